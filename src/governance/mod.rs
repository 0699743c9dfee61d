//! Governance: what a set of policies is held against before it counts, in a review or by a pipeline.
//!
//! Owns the checks, the test cases, what a change does to access, the inventory, and what comes of them as documents. Never
//! decides a request, and never changes a set. `docs/policy-check.md`, `docs/policy-diff.md`, `docs/inventory.md`,
//! `docs/report.md`.

mod beside;
pub mod cases;
pub mod check;
pub mod diff;
pub mod explain;
mod git;
pub mod history;
pub mod invariants;
pub mod inventory;
pub mod logic;
pub mod report;
