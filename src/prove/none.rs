//! What stands here where the program is built without the feature `prove`: no solver is asked, and nothing is called proven
//! by one.

mod data;

use std::time::{Duration, Instant};

pub use data::{Found, Texts};

/// A solver; there is none.
#[derive(Debug)]
pub enum Solver {}

/// Why a solver said nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unproven {
    /// It was not built in.
    #[error("this jitney is built without the feature `prove`")]
    NotBuilt,
    /// No time is left.
    #[error("the solver was not done in time")]
    Late,
}

impl Solver {
    /// Starts one.
    ///
    /// # Errors
    /// Always.
    pub fn start(_schema: &str) -> Result<Self, Unproven> {
        Err(Unproven::NotBuilt)
    }

    /// Whether all that `head` allows is allowed by `base`: none, or a request that is not.
    ///
    /// # Errors
    /// Never asked.
    pub fn widens(
        &mut self,
        _head: &Texts,
        _base: &Texts,
        _until: Instant,
        _each: Duration,
    ) -> Result<Option<Found>, Unproven> {
        match *self {}
    }
}
