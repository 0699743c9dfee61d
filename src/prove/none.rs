//! What stands here where the program is built without the feature `prove`: no solver is asked, and nothing is called proven
//! by one.

use std::time::{Duration, Instant};

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

/// A request that a solver has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The task's name.
    pub task: String,
    /// Seconds.
    pub ttl: i64,
    /// Unix seconds.
    pub now: i64,
    /// `context.identity.type`.
    pub kind: String,
    /// The claims.
    pub claims: std::collections::BTreeMap<String, String>,
    /// The name of the scope.
    pub scope: Option<String>,
}

/// One side of a question, as texts of conditions.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// One of them must hold.
    pub permits: Vec<String>,
    /// None of them may hold.
    pub forbids: Vec<String>,
    /// None of them may hold, or fail.
    pub firm: Vec<String>,
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
