//! A token whose signature and issuer were checked, with what a later check of it needs.

use std::any::Any;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

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
    /// What somebody made of its claims.
    pub(super) kept: OnceLock<Box<dyn Any + Send + Sync>>,
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

    /// What is made of its claims at first, and kept with the token for as long as that is remembered: who answers by it over
    /// and over need not make the same each time. There is room for one thing, of a few hundred bytes: none where another
    /// type's stands there.
    pub fn kept<T: Send + Sync + 'static>(&self, make: impl FnOnce(&AccessClaims) -> T) -> Option<&T> {
        self.kept.get_or_init(|| Box::new(make(&self.claims))).downcast_ref()
    }
}
