//! What a workload links: asks for tokens, completes its tasks, talks to a broker's admin API.
//!
//! Owns the settings `JITNEY_URL`, `JITNEY_ISSUER`, `JITNEY_WORKLOAD`, `JITNEY_KEY_FILE`, `JITNEY_ASSERTION_FILE`, and
//! what is retried and for how long. Never decides, never judges a token, never puts a token or a key in a log.

pub mod admin;
mod discovery;
mod error;
mod identity;
mod token;

pub use error::{ClientError, Refused};
pub use identity::{BrokerAddress, Identity};
pub use token::{Token, TokenAsk, TokenClient};

#[cfg(test)]
pub(crate) mod fake;
