//! The proof that a record stands in the log.

/// Something whose record the log has taken: in the kernel's hands, or synced where durability asks for it. Only
/// [`AuditLog::witness`](super::AuditLog::witness) makes one; signing takes nothing less.
#[derive(Debug)]
#[must_use = "what was witnessed waits to be signed"]
pub struct Witnessed<T>(T);

impl<T> Witnessed<T> {
    /// Called by the log when the record is written, and by nothing else.
    pub(in crate::audit) const fn by_the_log(proof: T) -> Self {
        Self(proof)
    }

    /// A proof without a log, for the tests of what comes after it.
    #[cfg(test)]
    pub(crate) const fn for_tests(proof: T) -> Self {
        Self(proof)
    }

    /// What was witnessed.
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// What was witnessed, for good.
    pub fn into_inner(self) -> T {
        self.0
    }
}
