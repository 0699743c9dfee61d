//! The decision log: JSON Lines, each line chained to the one before by its SHA-256, so that tampering shows.
//!
//! Owns the lines, their file, and [`Witnessed`], the proof that a record is written: signing takes nothing less.
//! Never holds a secret: records are built from typed names and bounded, escaped text. How it is checked: `verify`.

mod answer;
pub(crate) mod chain;
mod checkpoints;
mod error;
mod file;
mod files;
mod filter;
mod flood;
mod last;
mod line;
mod log;
mod ocsf;
mod pen;
mod pieces;
mod queue;
mod read;
mod record;
mod rotate;
mod seek;
mod tail;
mod text;
mod verify;
mod walk;
mod witness;
mod writer;
mod written;

pub use checkpoints::{Checkpoint, Checkpoints, Kept, beside, checkpoints};
pub use error::{AuditError, Broken, Fault};
pub use files::closed_at;
pub use filter::Filter;
pub use flood::FloodRate;
pub use last::{LastGrant, LastGrants, last_grants};
pub use line::{Line, Str};
pub use log::{AuditLog, AuditOptions, Counters, Durability, Head};
pub use ocsf::{OCSF_VERSION, ocsf};
pub use read::{Records, size};
pub use record::{AuditRecord, Event, Outcome};
pub use rotate::Rotation;
pub use tail::{Follow, tail};
pub use verify::{LineInfo, Point, Summary, Wanted, verify, verify_holding, verify_text, verify_with};
pub use witness::Witnessed;

/// A moment in milliseconds since the Unix epoch, as a line tells it.
pub fn time(ms: u64) -> String {
    chain::Stamp(ms).to_string()
}

/// The milliseconds of a moment, as a line tells it or as anybody writes RFC 3339.
pub fn moment(text: &str) -> Option<u64> {
    chain::Stamp::parse(text)
}

#[cfg(test)]
mod rotate_tests;
#[cfg(test)]
mod tests;
