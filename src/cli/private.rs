//! What is in this process's memory, keys and tokens among it, is its own.
//!
//! Owns the switches that say so to the kernel. They hold for this process alone: a command that is started by `jitney
//! run` begins without them.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// From here on no other process of the same user reads this one's memory or environment, and no core file keeps them.
///
/// # Errors
/// What the system said.
pub(super) fn memory() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// No core file either where someone makes this process dumpable again. Inherited, so only for what starts no command.
///
/// # Errors
/// What the system said.
pub(super) fn no_core() -> io::Result<()> {
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}
