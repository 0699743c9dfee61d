//! A snapshot for one subscriber: signed claims, then the rules in parts, each written when its turn comes.
//!
//! A million rules are some seventy megabytes: they are never there at once, neither while the hashes are made nor while
//! the parts are sent. What is shared of them, their chunk keeps.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::AudienceUri;
use crate::revocation::Cursor;
use crate::revocation::event::{self, Kind};
use crate::revocation::snapshot::SnapshotClaims;
use crate::store::StoreError;

use super::super::live::Chunk;
use super::super::{Broker, BrokerError};
use super::hub::Place;

/// A snapshot on its way.
pub(super) struct Snapshot {
    /// Where its reader stands behind it.
    pub(super) place: Place,
    cursor: Cursor,
    jws: Option<String>,
    parts: std::vec::IntoIter<Arc<Chunk>>,
}

impl Snapshot {
    /// The next event, in pieces; none behind the last part.
    pub(super) fn next(&mut self) -> Option<[Bytes; 3]> {
        let (kind, data) = match self.jws.take() {
            Some(jws) => (Kind::Snapshot, jws.into()),
            None => (Kind::Part, self.parts.next()?.data(self.place.audience.as_ref())),
        };
        let cursor = if self.parts.len() == 0 { self.cursor } else { self.cursor.within_snapshot() };
        let (head, end) = event::around(kind, &cursor);
        Some([head, data, end])
    }
}

impl Broker {
    pub(super) async fn make_snapshot(&self, audience: Option<AudienceUri>) -> Result<Snapshot, BrokerError> {
        // The moment before the head is read: the view that comes of it is no younger.
        let iat = self.parts.clock.now();
        self.catch_up().await?;
        // Another broker's new key may have signed already.
        self.refresh_keys().await?;
        let (turn, epoch, position, mut parts) =
            self.follower.with_rules(|rules| (rules.turn, rules.epoch, rules.upto, rules.live.chunks()));
        let epoch = epoch.ok_or_else(between_epochs)?;
        let (count, hashes) = heads(&mut parts, audience.as_ref()).await;
        let keys = self.parts.keys.jwks();
        let claims = SnapshotClaims {
            iss: self.options.issuer.clone(),
            iat,
            epoch,
            position,
            audience: audience.clone(),
            kids: keys.kids.clone(),
            count,
            parts: hashes,
        };
        let jws = self.parts.keys.sign_snapshot(&claims)?;
        // Keys of another epoch than the rules' would be told of these.
        if self.parts.keys.signer()?.epoch != epoch {
            return Err(between_epochs().into());
        }
        let cursor = Cursor::new(epoch, position, audience.as_ref());
        let place = Place { turn, epoch, audience, position, after: position, count, keys };
        Ok(Snapshot { place, cursor, jws: Some(jws), parts: parts.into_iter() })
    }
}

/// How many rules there are for a filter, and the hash of each part; chunks without one are dropped. Each hash that is not
/// known yet takes half a millisecond or more, so others have their turn in between.
async fn heads(chunks: &mut Vec<Arc<Chunk>>, audience: Option<&AudienceUri>) -> (u64, Vec<String>) {
    let (mut count, mut hashes) = (0, Vec::with_capacity(chunks.len()));
    let mut parts = Vec::with_capacity(chunks.len());
    for chunk in chunks.drain(..) {
        let head = chunk.head(audience);
        if head.count > 0 {
            count += head.count as u64;
            hashes.push(head.hash.to_string());
            parts.push(chunk);
        }
        tokio::task::yield_now().await;
    }
    *chunks = parts;
    (count, hashes)
}

fn between_epochs() -> StoreError {
    StoreError::Unavailable("the log begins a new epoch".into())
}
