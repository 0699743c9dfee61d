//! What a solver is asked, and what it finds: the same whether one is built in or not.

use std::collections::BTreeMap;

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

/// A request for which one side allows what the other does not.
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
    pub claims: BTreeMap<String, String>,
    /// The name of the scope.
    pub scope: Option<String>,
}
