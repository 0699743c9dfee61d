//! What every request reads without waiting: the key that signs, and what is published.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::jose::EncodedHeader;
use crate::jose::es256::{SigningKey, VerifyingKey};
use crate::model::{Epoch, KeyId, UnixTime};
use crate::store::PublishedKey;

use super::jwks::JwksDocument;
use super::options::Times;

/// How long a retired key still signs what was recorded for it before: a mint in flight is not thrown away.
const IN_FLIGHT: Duration = Duration::from_secs(60);

/// A private key of this broker's, with the headers of what it signs.
#[derive(Debug)]
pub(super) struct HeldKey {
    pub(super) key: SigningKey,
    pub(super) token: EncodedHeader,
    pub(super) snapshot: EncodedHeader,
    pub(super) checkpoint: EncodedHeader,
}

impl HeldKey {
    pub(super) fn new(key: SigningKey) -> Arc<Self> {
        let token = EncodedHeader::es256("at+jwt", key.kid());
        let snapshot = EncodedHeader::es256("revocations+jwt", key.kid());
        let checkpoint = EncodedHeader::es256(super::checkpoint::TYPE, key.kid());
        Arc::new(Self { key, token, snapshot, checkpoint })
    }

    pub(super) const fn kid(&self) -> &KeyId {
        self.key.kid()
    }
}

/// A whole picture; replaced, never changed.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) epoch: Epoch,
    pub(super) active: Option<Arc<HeldKey>>,
    pub(super) next: Option<Arc<HeldKey>>,
    /// Retired keys and since when.
    pub(super) leaving: Vec<(Arc<HeldKey>, UnixTime)>,
    /// What the store has recorded, of all brokers.
    pub(super) published: BTreeMap<KeyId, PublishedKey>,
    /// When the reading behind `published` began.
    pub(super) read_at: UnixTime,
    /// Keys that never sign again in this epoch, whatever a reading that was under way still lists.
    pub(super) revoked: BTreeSet<KeyId>,
    pub(super) jwks: Arc<JwksDocument>,
    pub(super) verifying: Arc<[(KeyId, VerifyingKey)]>,
}

impl State {
    /// Without any key: what a new epoch begins with (I5).
    pub(super) fn empty(epoch: Epoch, now: UnixTime, times: &Times) -> Self {
        Self {
            epoch,
            active: None,
            next: None,
            leaving: Vec::new(),
            published: BTreeMap::new(),
            read_at: now,
            revoked: BTreeSet::new(),
            jwks: Arc::new(JwksDocument::of(&[], now, times)),
            verifying: Arc::new([]),
        }
    }

    /// Until when a key is published, as the store has recorded it; the Unix epoch for one that is not.
    pub(super) fn until(&self, kid: &KeyId) -> UnixTime {
        self.published.get(kid).map_or_else(UnixTime::default, |key| key.published_until)
    }

    /// The private half of a key that may sign a lease recorded for it.
    pub(super) fn signing(&self, kid: &KeyId, now: UnixTime) -> Option<&Arc<HeldKey>> {
        let leaving = self.leaving.iter().filter(|(_, since)| now <= since.plus(IN_FLIGHT)).map(|(held, _)| held);
        self.active.iter().chain(leaving).find(|held| held.kid() == kid)
    }

    /// Drops what must not be there, and builds what is served from the rest.
    #[must_use]
    pub(super) fn settled(mut self, now: UnixTime, times: &Times) -> Self {
        let revoked = &self.revoked;
        let stands = |held: &Arc<HeldKey>| !revoked.contains(held.kid());
        self.next = self.next.filter(stands);
        // I4: the next key was published ahead of this moment, so it can step in at once.
        self.active = self.active.filter(stands).or_else(|| self.next.take());
        self.leaving.retain(|(held, since)| stands(held) && now <= since.plus(IN_FLIGHT));
        self.published.retain(|kid, _| !revoked.contains(kid));
        let mut served: Vec<&PublishedKey> = self.published.values().filter(|key| key.published_until > now).collect();
        served.sort_by_key(|key| (key.published_at, &key.kid));
        self.verifying = served.into_iter().filter_map(public_half).collect();
        self.jwks = Arc::new(JwksDocument::of(&self.verifying, self.read_at, times));
        self
    }
}

/// A published key's public half. One whose name is not its own thumbprint is no key of a broker's: whoever wrote it
/// wanted to take another's place.
fn public_half(key: &PublishedKey) -> Option<(KeyId, VerifyingKey)> {
    let public = VerifyingKey::from_base64url(&key.point).ok().filter(|public| *public.kid() == key.kid);
    if public.is_none() {
        tracing::warn!(kid = %key.kid, broker = %key.broker, "a published key that is none is not served");
    }
    public.map(|public| (key.kid.clone(), public))
}
