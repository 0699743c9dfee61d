//! A token whose signature and issuer were checked, with what a later check of it needs.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::jose::es256::VerifyingKey;
use crate::model::{AccessClaims, KeyId};
use crate::revocation::TokenDigests;

/// A token that a [`super::Checker`] let pass. Made by a checker alone.
#[derive(Debug)]
pub struct VerifiedToken {
    pub(super) claims: AccessClaims,
    pub(super) kid: KeyId,
    pub(super) key: Arc<VerifyingKey>,
    pub(super) digests: TokenDigests,
    /// The generation of the key table in which its key was last found accepted.
    pub(super) keyed: AtomicU64,
    /// The generation of the view in which no rule ended it.
    pub(super) passed: AtomicU64,
}

impl VerifiedToken {
    /// What it says.
    pub const fn claims(&self) -> &AccessClaims {
        &self.claims
    }

    /// The key that signed it.
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// What rules could end it.
    pub const fn digests(&self) -> &TokenDigests {
        &self.digests
    }
}
