//! `jitney policy diff`, declared invariants and proofs, from outside: what each says and with which code it ends; and, over
//! thousands of random pairs of sets, against what plain Cedar decides.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "policy/diff.rs"]
mod diff;
#[path = "policy/held.rs"]
mod held;
#[path = "policy/proofs.rs"]
mod proofs;
#[path = "policy/property/mod.rs"]
mod property;
#[path = "policy/tree.rs"]
#[allow(dead_code, reason = "other tests take the rest of it")]
mod tree;
