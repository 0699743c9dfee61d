//! Checks access tokens in memory: key, signature, claims, and the view of revocations. What a resource server links.
//!
//! [`Checker`] is the check alone, without I/O; [`Verifier`] keeps a checker's keys and view fresh from a broker. Never
//! mints, never asks anybody about a token while it is checked.
//!
#![doc = include_str!("../../docs/rust.md")]

pub mod blocking;
mod challenge;
mod check;
mod claims;
pub(crate) mod feed;
#[cfg(test)]
mod fixtures;
mod follow;
mod fresh;
mod invalid;
pub(crate) mod jwks;
mod live;
mod options;
mod own;
#[cfg(test)]
mod stub;
mod task;
mod token;
pub mod tower;

pub use check::{Checker, CheckerOptions, Expect};
pub use feed::FeedError;
pub use invalid::Invalid;
pub use jwks::JwksError;
pub use live::Verifier;
pub use options::{ConnectError, Observer, VerifierOptions, WhenStale};
pub use token::VerifiedToken;
