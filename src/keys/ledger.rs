//! Which key is in which state, as it stands on the shelf, and what of it the store has to publish.
//!
//! Owns `keyring.json` and the arithmetic of publication. Never writes and never asks a store.

use serde::{Deserialize, Serialize};

use crate::model::{Epoch, KeyId, UnixTime};
use crate::store::PublishedKey;

use super::options::Times;

/// The file's name.
pub(super) const FILE: &str = "keyring.json";

/// The states of a broker's keys. Written whole at each change: its rename is the moment when the change happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ledger {
    /// The log's life these keys belong to.
    pub(super) epoch: Epoch,
    /// The key that signs.
    pub(super) active: Option<KeyId>,
    /// Since when.
    pub(super) active_since: UnixTime,
    /// The key that is published and waits.
    pub(super) next: Option<KeyId>,
    /// A rotation was asked for and waits until the next key may sign.
    pub(super) rotate_when_ready: bool,
    /// Keys that sign no more, with their publication, until it ends. Their private halves are gone.
    pub(super) retired: Vec<PublishedKey>,
}

impl Ledger {
    /// A ledger without keys.
    pub(super) const fn empty(epoch: Epoch) -> Self {
        Self {
            epoch,
            active: None,
            active_since: UnixTime::from_secs(0),
            next: None,
            rotate_when_ready: false,
            retired: Vec::new(),
        }
    }

    /// The same with `next` in the place of `active`, which is retired with the publication it had.
    pub(super) fn switched(&self, retired: Option<PublishedKey>, now: UnixTime) -> Self {
        let mut after = self.clone();
        after.retired.extend(retired.map(|key| PublishedKey { retired_at: Some(now), ..key }));
        after.active = after.next.take();
        after.active_since = now;
        after.rotate_when_ready = false;
        after
    }

    /// The same without a key that was revoked (I4): the next one signs in its place.
    pub(super) fn without(&self, kid: &KeyId, now: UnixTime) -> Self {
        let mut after = self.clone();
        after.retired.retain(|key| key.kid != *kid);
        if after.next.as_ref() == Some(kid) {
            after.next = None;
        }
        if after.active.as_ref() == Some(kid) {
            after.active = after.next.take();
            after.active_since = now;
            after.rotate_when_ready = false;
        }
        after
    }
}

/// What a key's publication has to be.
pub(super) struct Publication<'a> {
    /// Whose key it is.
    pub(super) broker: &'a str,
    /// Its point.
    pub(super) point: String,
    /// What the store has of it, where it has anything.
    pub(super) known: Option<&'a PublishedKey>,
}

impl Publication<'_> {
    /// Of the key that signs. One that the store does not know is a first key, or one whose broker was away for longer
    /// than its publication: it signs at once (the exception that I2 states).
    pub(super) fn active(self, kid: &KeyId, now: UnixTime, times: &Times) -> PublishedKey {
        let signs_from = self.known.map_or(now, |known| known.signs_from.min(now));
        self.of(kid, signs_from, now, times)
    }

    /// Of the key that waits: it signs once every copy of a JWKS without it is out of use (I2).
    pub(super) fn next(self, kid: &KeyId, now: UnixTime, times: &Times) -> PublishedKey {
        let signs_from = self.known.map_or_else(|| now.plus(times.ahead()), |known| known.signs_from);
        self.of(kid, signs_from, now, times)
    }

    fn of(self, kid: &KeyId, signs_from: UnixTime, now: UnixTime, times: &Times) -> PublishedKey {
        PublishedKey {
            kid: kid.clone(),
            point: self.point,
            broker: self.broker.to_owned(),
            published_at: self.known.map_or(now, |known| known.published_at),
            signs_from,
            published_until: times.extended(self.known.map(|known| known.published_until), now),
            retired_at: None,
        }
    }
}

/// The publication of a retired key (I3): never shorter than the store has it already.
pub(super) fn retired(key: &PublishedKey, known: Option<&PublishedKey>) -> PublishedKey {
    let until = known.map_or(key.published_until, |known| known.published_until.max(key.published_until));
    PublishedKey { published_until: until, ..key.clone() }
}
