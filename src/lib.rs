//! jitney: just-in-time credentials for workloads.
//!
//! The map of the rooms, floor by floor; a room imports only from floors below its own, none from its own
//! (`tests/architecture.rs` holds this). The only `cfg(feature)` lines of the crate stand here. Why it is built so:
//! `docs/decisions.md`.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// Floor 0: plain data.
pub mod model;

// Floor 1: foundations.
#[cfg(feature = "server")]
pub mod audit;
#[cfg(any(feature = "verifier", feature = "client"))]
pub mod fetch;
pub mod jose;
#[cfg(feature = "server")]
pub mod net;
#[cfg(feature = "server")]
#[cfg_attr(not(feature = "prove"), path = "prove/none.rs")]
pub mod prove;
#[cfg(feature = "verifier")]
pub mod revocation;
#[cfg(feature = "server")]
pub mod telemetry;

// Floor 2: what may be granted; what a resource server links; what a workload links.
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod policy;
#[cfg(feature = "verifier")]
pub mod verifier;

// Floor 3: where leases stand, a draft of one is made from a policy's grant; the verifier as a process; what policies are
// held against in review.
#[cfg(feature = "server")]
pub mod governance;
#[cfg(feature = "server")]
pub mod guard;
#[cfg(feature = "server")]
pub mod store;

// Floor 4: who asks; what signs.
#[cfg(feature = "server")]
pub mod attest;
#[cfg(feature = "server")]
pub mod keys;

// Floor 5: the use cases.
#[cfg(feature = "server")]
pub mod broker;

// Floor 6: the use cases over HTTP.
#[cfg(feature = "server")]
pub mod http;

// Floor 7: what a broker is told.
#[cfg(feature = "server")]
pub mod config;

// Floor 8: the command line, and the wiring.
#[cfg(feature = "server")]
pub mod cli;

// Floor 9: what fuzzers throw bytes at.
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
