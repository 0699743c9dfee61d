//! The decision log: JSON Lines, each line chained to the one before by its SHA-256, so that tampering shows.
//!
//! Owns the lines, their file, and [`Witnessed`], the proof that a record is written: signing takes nothing less.
//! Never holds a secret: records are built from typed names and bounded, escaped text. How it is checked: `verify`.

mod answer;
pub(crate) mod chain;
mod error;
mod file;
mod flood;
mod last;
mod log;
mod queue;
mod record;
mod tail;
mod text;
pub(crate) mod verify;
mod witness;
mod writer;

pub use error::{AuditError, Broken, Fault};
pub use flood::FloodRate;
pub use last::{LastGrant, LastGrants, last_grants};
pub use log::{AuditLog, AuditOptions, Counters, Durability};
pub use record::{AuditRecord, Event, Outcome};
pub use tail::{Filter, Follow, tail};
pub use verify::{LineInfo, Summary, verify, verify_holding};
pub use witness::Witnessed;

/// A moment in milliseconds since the Unix epoch, as a line tells it.
pub fn time(ms: u64) -> String {
    chain::Stamp(ms).to_string()
}

#[cfg(test)]
mod tests;
