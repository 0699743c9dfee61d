//! Who asks: client authentication by `private_key_jwt` (RFC 7523 §3, RFC 8725), or by a platform's own token, for workloads
//! and resource servers.
//!
//! Owns the proof of identity, and the keys of the platforms that sign it. Never says what a caller may do or whether it is in good standing (quarantine, expiry),
//! and never says which clients or keys exist before a signature is verified.

mod attestor;
mod caller;
mod claims;
#[cfg(test)]
mod fixtures;
mod keys;
mod oidc;
#[cfg(test)]
mod tests;

pub use attestor::{Attestor, ClientAuth, Endpoint};
pub use caller::{Caller, Fault, PlatformToken, TaskBy, Unproven, Who};
pub use oidc::{Bounds, IssuerView, Issuers};
