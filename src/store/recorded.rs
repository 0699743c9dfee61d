//! The proof that a lease was recorded.

use crate::model::Lease;

/// A lease that a store has durably written. Only the stores make one: signing takes nothing less.
#[derive(Debug)]
#[must_use = "a recorded lease that is not signed stays a lease without a token"]
pub struct Recorded {
    /// Boxed, as it was in the draft: it goes through a dozen hands on its way to a token.
    lease: Box<Lease>,
}

impl Recorded {
    /// Called by a store when its write has succeeded, and by nothing else.
    pub(in crate::store) const fn by_the_store(lease: Box<Lease>) -> Self {
        Self { lease }
    }

    /// A proof without a store, for the tests of what comes after it.
    #[cfg(test)]
    pub(crate) fn for_tests(lease: Lease) -> Self {
        Self { lease: Box::new(lease) }
    }

    /// The lease as it was written.
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }
}
