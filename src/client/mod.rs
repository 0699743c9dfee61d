//! What a workload links: finds who it is, asks for tokens, keeps them fresh, completes its tasks, talks to a broker's
//! admin API.
//!
//! Owns the settings `JITNEY_URL`, `JITNEY_ISSUER`, `JITNEY_WORKLOAD`, `JITNEY_KEY_FILE`, `JITNEY_ASSERTION_FILE`,
//! `JITNEY_ID_TOKEN`, and what is retried and for how long. Never decides, never judges a token, never puts a token or a key in a log.

pub mod admin;
mod discovery;
mod error;
mod held;
mod identity;
mod said;
mod token;

pub use error::{ClientError, Refused};
pub use held::HeldToken;
pub use identity::{BrokerAddress, Identity};
pub use said::task_of;
pub use token::{Probed, Token, TokenAsk, TokenClient};

#[cfg(test)]
pub(crate) mod fake;
