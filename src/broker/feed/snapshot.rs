//! A snapshot for one subscriber: signed claims, then the rules in parts.

use std::sync::Arc;

use bytes::Bytes;

use crate::keys::JwksDocument;
use crate::model::{AudienceUri, Rule};
use crate::revocation::Cursor;
use crate::revocation::event::{self, Kind};
use crate::revocation::snapshot::{self, SnapshotClaims};
use crate::store::StoreError;

use super::super::follow::concerns;
use super::super::{Broker, BrokerError};
use super::hub::Place;

/// A snapshot on its way.
pub(super) struct Snapshot {
    /// Where its reader stands behind it.
    pub(super) place: Place,
    cursor: Cursor,
    jws: Option<String>,
    parts: std::vec::IntoIter<String>,
}

impl Snapshot {
    /// The next event; none behind the last part.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let (kind, data) = match self.jws.take() {
            Some(jws) => (Kind::Snapshot, jws),
            None => (Kind::Part, self.parts.next()?),
        };
        let cursor = if self.parts.len() == 0 { self.cursor } else { self.cursor.within_snapshot() };
        Some(event::write(kind, &cursor, &data))
    }
}

impl Broker {
    pub(super) async fn make_snapshot(&self, audience: Option<AudienceUri>) -> Result<Snapshot, BrokerError> {
        // The moment before the head is read: the view that comes of it is no younger.
        let iat = self.parts.clock.now();
        self.catch_up().await?;
        // Another broker's new key may have signed already.
        self.refresh_keys().await?;
        let keys: Arc<JwksDocument> = self.parts.keys.jwks();
        let (turn, epoch, position, rules) = self.follower.with_rules(|rules| {
            let mine = rules.live.iter().filter(|(rule, of)| concerns(rule.kind, of, audience.as_ref()));
            (rules.turn, rules.epoch, rules.upto, mine.map(|(rule, _)| rule).collect::<Vec<Rule>>())
        });
        let epoch = epoch.ok_or_else(between_epochs)?;
        let parts = snapshot::parts(&rules);
        let claims = SnapshotClaims {
            iss: self.options.issuer.clone(),
            iat,
            epoch,
            position,
            audience: audience.clone(),
            kids: keys.kids.clone(),
            count: rules.len() as u64,
            parts: parts.iter().map(|data| snapshot::part_hash(data)).collect(),
        };
        let jws = self.parts.keys.sign_snapshot(&claims)?;
        // Keys of another epoch than the rules' would be told of these.
        if self.parts.keys.signer()?.epoch != epoch {
            return Err(between_epochs().into());
        }
        let cursor = Cursor::new(epoch, position, audience.as_ref());
        let place = Place { turn, epoch, audience, position, after: position, count: claims.count, keys };
        Ok(Snapshot { place, cursor, jws: Some(jws), parts: parts.into_iter() })
    }
}

fn between_epochs() -> StoreError {
    StoreError::Unavailable("the log begins a new epoch".into())
}
