//! The words of jitney as plain data: ids, scopes, tasks, leases, rules, refusals.
//!
//! Owns parsing and the meaning of each word. Never does I/O, never awaits, never reads a clock of its own accord:
//! time comes in as an argument or through one [`Clock`].

pub mod claims;
pub(crate) mod hex;
pub mod ids;
pub mod lease;
pub mod redact;
pub mod refusal;
pub mod rule;
pub mod scope;
pub mod secret;
mod steady;
pub mod task;
pub mod time;

pub use claims::{AccessClaims, Actor as ActClaim, Introspected};
pub(crate) use ids::is_broker_name;
pub use ids::{AudienceUri, DecisionId, Epoch, InvalidName, KeyId, LeaseId, WorkloadId};
pub use lease::{Lease, LeaseEnd, LeaseRecord};
pub use redact::{is_hidden, without_credentials};
pub use refusal::{Reason, Refusal};
pub use rule::{Position, Rule, RuleDigest, RuleKind, Selector};
pub use scope::{Scope, ScopeSet};
pub use secret::Secret;
pub use task::TaskId;
pub use time::{Clock, UnixTime};
