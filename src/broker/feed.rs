//! The feed's snapshot, as verifiers ask for it with `once=1`: signed claims, then the rules in parts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::keys::JwksDocument;
use crate::model::{AudienceUri, Reason, Refusal, UnixTime};
use crate::revocation::Cursor;
use crate::revocation::event::{self, Kind};
use crate::revocation::snapshot::{self, SnapshotClaims};
use crate::store::Head;

use super::{Broker, BrokerError};

/// How long one snapshot is handed out while the log has not moved: verifiers that ask together share one.
const SHARED_FOR: Duration = Duration::from_millis(200);

/// The most filters whose snapshots are kept.
const KEPT: usize = 256;

/// The last snapshot for each filter.
#[derive(Default)]
pub(super) struct Snapshots(Mutex<Vec<Kept>>);

struct Kept {
    audience: Option<AudienceUri>,
    /// The log's head when it was made: an end that was acknowledged since is in no snapshot of this one.
    head: Head,
    /// The keys that it names.
    keys: Arc<JwksDocument>,
    made: Instant,
    bytes: Bytes,
}

impl Broker {
    /// A snapshot as server-sent events, ended after its last part. What an audience's filter leaves out cannot concern
    /// its tokens.
    ///
    /// # Errors
    /// [`Refusal`] where the audience is unknown, or the store cannot be asked: an old snapshot is never handed out as a
    /// new one.
    pub async fn snapshot(&self, audience: Option<&str>) -> Result<Bytes, Refusal> {
        let audience = match audience {
            None => None,
            Some(raw) => match self.parts.policies.current().audience(raw) {
                Some(audience) => Some(audience.id.clone()),
                None => return Err(Refusal::new(Reason::UnknownAudience, format!("unknown audience: {raw:.255}"))),
            },
        };
        let unavailable = |error: BrokerError| {
            match error.is_of_the_store() {
                true => tracing::debug!(%error, "no snapshot can be made"),
                false => tracing::warn!(%error, "no snapshot can be made"),
            }
            Refusal::new(Reason::StoreUnavailable, "the revocation log cannot be read: try again")
        };
        // The moment before the head is read: the view that comes of it is no younger.
        let (iat, made) = (self.parts.clock.now(), Instant::now());
        let head = self.catch_up().await.map_err(unavailable)?;
        // Another broker's new key may have signed already.
        self.refresh_keys().await.map_err(unavailable)?;
        let keys = self.parts.keys.jwks();
        if let Some(bytes) = self.snapshots.find(audience.as_ref(), head, &keys) {
            return Ok(bytes);
        }
        let bytes = self.make_snapshot(audience.as_ref(), iat, head, &keys).map_err(unavailable)?;
        self.snapshots.keep(Kept { audience, head, keys, made, bytes: bytes.clone() });
        Ok(bytes)
    }

    fn make_snapshot(
        &self,
        audience: Option<&AudienceUri>,
        iat: UnixTime,
        head: Head,
        keys: &JwksDocument,
    ) -> Result<Bytes, BrokerError> {
        let (_, position, rules) = self.follower.rules(audience);
        let parts = snapshot::parts(&rules);
        let claims = SnapshotClaims {
            iss: self.options.issuer.clone(),
            iat,
            epoch: head.epoch,
            position,
            audience: audience.cloned(),
            kids: keys.kids.clone(),
            count: rules.len() as u64,
            parts: parts.iter().map(|data| snapshot::part_hash(data)).collect(),
        };
        let cursor = Cursor::new(head.epoch, position, audience);
        let mut bytes = BytesMut::new();
        let jws = self.parts.keys.sign_snapshot(&claims)?;
        bytes.extend_from_slice(&event::write(Kind::Snapshot, &cursor, &jws));
        for data in &parts {
            bytes.extend_from_slice(&event::write(Kind::Part, &cursor, data));
        }
        Ok(bytes.freeze())
    }
}

impl Snapshots {
    fn find(&self, audience: Option<&AudienceUri>, head: Head, keys: &JwksDocument) -> Option<Bytes> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |each: &&Kept| {
            let is_same = each.audience.as_ref() == audience && each.head == head && each.keys.kids == keys.kids;
            is_same && each.made.elapsed() < SHARED_FOR
        };
        kept.iter().find(fresh).map(|each| each.bytes.clone())
    }

    fn keep(&self, fresh: Kept) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|each| each.audience != fresh.audience && each.made.elapsed() < SHARED_FOR);
        if kept.len() < KEPT {
            kept.push(fresh);
        }
    }
}
