//! Checks access tokens in memory: key, signature, claims, and the view of revocations. What a resource server links.
//!
//! [`Checker`] is the check alone, without I/O; [`Verifier`] keeps a checker's keys and view fresh from a broker. Never
//! mints, never asks anybody about a token while it is checked.
//!
//! ```no_run
//! use jitney::model::AudienceUri;
//! use jitney::verifier::{Expect, Verifier, VerifierOptions};
//!
//! # async fn example(bearer: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let audience = Some(AudienceUri::parse("https://api.example.com")?);
//! let verifier =
//!     Verifier::connect(VerifierOptions { audience, ..VerifierOptions::new("https://broker.example.com") }).await?;
//! // For each request; the reason of a refusal goes into `WWW-Authenticate`.
//! let token = verifier.verify(bearer, &Expect { scopes: &["orders:read"], ..Expect::default() }).await?;
//! println!("{} for {}", token.claims().sub, token.claims().txn);
//! # Ok(())
//! # }
//! ```

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
mod token;

pub use check::{Checker, CheckerOptions, Expect};
pub use feed::FeedError;
pub use invalid::Invalid;
pub use jwks::JwksError;
pub use live::Verifier;
pub use options::{ConnectError, Observer, VerifierOptions, WhenStale};
pub use token::VerifiedToken;
