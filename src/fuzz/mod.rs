//! What fuzzers throw bytes at: one function a parser of what comes from outside, each with the laws it is held to.
//!
//! A broken law is a panic, which is what a fuzzer looks for. Never called by anything that serves; no part of what users
//! may call. How the targets are run: `docs/fuzzing.md`.

#![allow(clippy::expect_used, reason = "a law that is broken must crash")]

mod audit;
mod catalogue;
mod config;
mod embedded;
mod feed;
mod forms;
mod jose;
mod names;
mod paths;
mod redis;
mod shared;

pub use audit::audit;
pub use catalogue::catalogue;
pub use config::config;
pub use embedded::embedded;
pub use feed::feed;
pub use forms::token_form;
pub use jose::{assertion, jwks, jwt};
pub use names::{cursors, names};
pub use paths::paths;
pub use redis::redis;

/// A target, and the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("assertion", assertion),
    ("audit", audit),
    ("catalogue", catalogue),
    ("config", config),
    ("cursors", cursors),
    ("embedded", embedded),
    ("feed", feed),
    ("jwks", jwks),
    ("jwt", jwt),
    ("names", names),
    ("paths", paths),
    ("redis", redis),
    ("token_form", token_form),
];
