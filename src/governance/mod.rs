//! Governance: what a set of policies is held against before it counts, in a review or by a pipeline.
//!
//! Owns the checks, the test cases, and what comes of them as documents. Never decides a request, and never changes a set. `docs/policy-check.md`.

pub mod cases;
pub mod check;
pub mod explain;
