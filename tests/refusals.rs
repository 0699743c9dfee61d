//! Every refusal of the contract, on both stores: its status, its error, its decision; and the next request is served.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "refusals/assertions.rs"]
mod assertions;
#[path = "refusals/bounds.rs"]
mod bounds;
#[path = "refusals/rows.rs"]
mod rows;
