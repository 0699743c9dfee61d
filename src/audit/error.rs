//! How the log fails, and how it is found to be broken. No token may follow any of [`AuditError`].

use std::io;
use std::path::{Path, PathBuf};

/// The log could not be opened, read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// There is something else than a regular file at the path.
    #[error("the audit log {} is no regular file: name another path in [audit] path", .0.display())]
    NotRegular(PathBuf),
    /// The file holds what jitney never wrote, or what has been changed since.
    #[error("the audit log {} does not end in an intact line of jitney's ({why}): move the file away, then start again", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// Another process writes it.
    #[error("the audit log {} is being written by another process: give each broker a log of its own in [audit] path", .0.display())]
    Locked(PathBuf),
    /// The system said no.
    #[error("the audit log {}: {what}: {why}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        why: String,
    },
    /// A checkpoint that is none, or whose signature does not fit.
    #[error("line {line} of the checkpoints {}: {why}", path.display())]
    Checkpoint {
        /// The file of the checkpoints.
        path: PathBuf,
        /// Which of them, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A broker's name that would not stand in a decision id.
    #[error("a broker is named by 1 to 64 characters of A-Z a-z 0-9 _ -")]
    BrokerName,
    /// More records wait than the queue holds.
    #[error("the audit log's queue is full")]
    QueueFull,
    /// The record was not written in time; it may still be.
    #[error("the audit log did not take the record in time")]
    Late,
    /// The log is closed.
    #[error("the audit log is closed")]
    Closed,
}

impl AuditError {
    /// What the system said about `path` while `what` was tried.
    pub(super) fn io(path: &Path, what: &'static str, error: &io::Error) -> Self {
        Self::Io { path: path.to_owned(), what, why: error.to_string() }
    }
}

/// A log that is not as it was written, or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}: {why}")]
pub struct Broken {
    /// The file of the log that it stands in; none where text was checked that is no file.
    pub file: Option<PathBuf>,
    /// The first line that is wrong, counted in the file from 1.
    pub line: u64,
    /// What happened to it.
    pub fault: Fault,
    /// What was seen.
    pub why: String,
}

/// What can be seen to have happened to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The line's text is not what was written.
    #[error("changed")]
    Changed,
    /// Lines before it are missing.
    #[error("lines dropped")]
    Dropped,
    /// The line was there before, or never belonged there.
    #[error("inserted")]
    Inserted,
    /// The line stands before others that belong before it.
    #[error("reordered")]
    Reordered,
    /// The file ends in half a line, or before a line that a checkpoint tells of.
    #[error("truncated")]
    Truncated,
    /// A head known from before stands nowhere in it.
    #[error("head missing")]
    HeadMissing,
    /// The file cannot be read.
    #[error("unreadable")]
    Unreadable,
}
