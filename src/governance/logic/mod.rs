//! Questions about conditions: whether what one side allows is allowed by another, for every request.
//!
//! Owns the way to an answer: by the form of the conditions, then by trying requests, and last by a solver. Answers err on one
//! side only: nothing is called "not wider" without a proof. `docs/policy-diff.md`.

pub(crate) mod concern;
pub(crate) mod facts;
mod known;
pub(crate) mod named;
pub(crate) mod proven;
pub(crate) mod question;
pub mod request;
pub(crate) mod sides;
pub(crate) mod solve;
pub(crate) mod witness;
