//! What the process says of itself: logs on standard error, metrics for a scrape.
//!
//! Owns formats and names. Never sees a token, an assertion or a key; never decides anything.

mod dates;
mod guard;
mod labels;
mod logs;
mod metrics;

pub use guard::{GuardMetrics, GuardOutcome};
pub use labels::{Endpoint, StoreOp};
pub use logs::{Format, LogError, check_filter, init};
pub use metrics::Metrics;
