//! Platform tokens seen before: a second look at one costs a hash. Bounded; holds what was proven, never the token.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use quick_cache::sync::Cache;
use ring::digest::{Context, SHA256};

use crate::model::UnixTime;

use super::super::caller::Caller;
use super::Trust;

/// How many tokens are remembered at most; each costs about a kilobyte.
const MOST: usize = 8192;

/// SHA-256 over the whole token, NUL, and the `client_id` that came with it.
pub(in crate::attest) type Name = [u8; 32];

/// What was proven, and what that rests on.
#[derive(Debug)]
pub(in crate::attest) struct Proof {
    /// Of the token that proved it.
    name: Name,
    /// The digest of the policy set that it was proven against.
    pub(super) set: Arc<str>,
    /// From this moment on the token has expired, skew included.
    pub(super) until: UnixTime,
    /// The keys; none where they are pinned in the set itself.
    pub(super) trust: Option<Trust>,
    pub(super) caller: Arc<Caller>,
}

impl Proof {
    pub(in crate::attest) fn new(
        name: Name,
        set: &Arc<str>,
        until: UnixTime,
        trust: Option<Trust>,
        caller: Arc<Caller>,
    ) -> Self {
        Self { name, set: set.clone(), until, trust, caller }
    }
}

/// The memory. A token's place in it is told by the end of its signature, so that what was never seen, as each of a client's
/// own assertions, is not hashed as a whole to learn that; what stands there counts for the token of its name alone.
#[derive(Debug)]
pub(in crate::attest) struct Seen {
    proofs: Cache<u64, Arc<Proof>>,
    places: RandomState,
}

impl Seen {
    pub(in crate::attest) fn new() -> Self {
        Self { proofs: Cache::new(MOST), places: RandomState::new() }
    }

    /// The name of a token that came with `client_id`, and the digest of what of it is signed: of an ECDSA signature there is
    /// always a second one that fits, so the token itself goes by the latter. One pass for both.
    pub(in crate::attest) fn digests(token: &str, client_id: Option<&str>) -> (Name, [u8; 32]) {
        let (signed, signature) = token.split_at(token.rfind('.').unwrap_or(token.len()));
        let mut hash = Context::new(&SHA256);
        hash.update(signed.as_bytes());
        let of_signed = taken(hash.clone());
        hash.update(signature.as_bytes());
        (named(hash, client_id), of_signed)
    }

    pub(super) fn get(&self, token: &str, client_id: Option<&str>) -> Option<Arc<Proof>> {
        let proof = self.proofs.get(&self.place(token, client_id))?;
        let mut hash = Context::new(&SHA256);
        hash.update(token.as_bytes());
        (proof.name == named(hash, client_id)).then_some(proof)
    }

    /// Remembers what `token` proved.
    pub(in crate::attest) fn put(&self, token: &str, client_id: Option<&str>, proof: Proof) {
        self.proofs.insert(self.place(token, client_id), Arc::new(proof));
    }

    fn place(&self, token: &str, client_id: Option<&str>) -> u64 {
        let end = token.as_bytes().last_chunk::<16>();
        self.places.hash_one((end, client_id))
    }
}

fn named(mut hash: Context, client_id: Option<&str>) -> Name {
    // No token holds a NUL, and no client id at all is another than an empty one.
    if let Some(id) = client_id {
        hash.update(&[0]);
        hash.update(id.as_bytes());
    }
    taken(hash)
}

fn taken(hash: Context) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.finish().as_ref());
    digest
}
