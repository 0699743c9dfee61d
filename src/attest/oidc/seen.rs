//! Platform tokens seen before: a second look at one costs a hash. Bounded; holds what was proven, never the token.

use std::sync::Arc;

use quick_cache::sync::Cache;
use ring::digest::{Context, SHA256};

use crate::model::UnixTime;

use super::super::caller::Caller;
use super::Trust;

/// How many tokens are remembered at most; each costs about a kilobyte.
const MOST: usize = 8192;

/// SHA-256 over the whole token, NUL, and the `client_id` that came with it.
pub(in crate::attest) type Key = [u8; 32];

/// What was proven, and what that rests on.
#[derive(Debug)]
pub(in crate::attest) struct Proof {
    /// The digest of the policy set that it was proven against.
    pub(super) set: Box<str>,
    /// From this moment on the token has expired, skew included.
    pub(super) until: UnixTime,
    /// The keys; none where they are pinned in the set itself.
    pub(super) trust: Option<Trust>,
    pub(super) caller: Caller,
}

impl Proof {
    pub(in crate::attest) fn new(set: &str, until: UnixTime, trust: Option<Trust>, caller: Caller) -> Self {
        Self { set: set.into(), until, trust, caller }
    }
}

/// The memory.
#[derive(Debug)]
pub(in crate::attest) struct Seen(Cache<Key, Arc<Proof>>);

impl Seen {
    pub(in crate::attest) fn new() -> Self {
        Self(Cache::new(MOST))
    }

    /// The name of a token that came with `client_id`, and the digest of what of it is signed: of an ECDSA signature there is
    /// always a second one that fits, so the token itself goes by the latter. One pass for both.
    pub(in crate::attest) fn digests(token: &str, client_id: Option<&str>) -> (Key, [u8; 32]) {
        let (signed, signature) = token.split_at(token.rfind('.').unwrap_or(token.len()));
        let mut hash = Context::new(&SHA256);
        hash.update(signed.as_bytes());
        let of_signed = taken(hash.clone());
        hash.update(signature.as_bytes());
        // No token holds a NUL, and no client id at all is another than an empty one.
        if let Some(id) = client_id {
            hash.update(&[0]);
            hash.update(id.as_bytes());
        }
        (taken(hash), of_signed)
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Proof>> {
        self.0.get(key)
    }

    /// Remembers a proof.
    pub(in crate::attest) fn put(&self, key: Key, proof: Proof) {
        self.0.insert(key, Arc::new(proof));
    }
}

fn taken(hash: Context) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.finish().as_ref());
    digest
}
