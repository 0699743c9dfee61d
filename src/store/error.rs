//! How a store fails, and how it refuses.

use crate::model::{Epoch, KeyId, UnixTime, WorkloadId};

/// The store could not do it. No token may follow.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It did not answer in time, or not at all, or said that it cannot now (loading, read-only, out of memory).
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A page is asked for by a cursor that it never gave.
    #[error("the cursor is none of this store's: begin again without one")]
    Cursor,
    /// It answered something that jitney never wrote.
    #[error("the store holds what jitney did not write: {0}")]
    Corrupt(String),
}

/// Why a record was not made.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The assertion was used before.
    #[error("this assertion was used before")]
    Replayed,
    /// Whether the assertion was used before is not known: it can have been used before the store's memory began, and
    /// that followed one that was lost.
    #[error("the memory of used assertions was lost at {since}, and this one can have been used before")]
    Forgotten {
        /// Since when the assertion can have been used.
        from: UnixTime,
        /// When the memory began.
        since: UnixTime,
    },
    /// The task, or an ancestor of it, has ended.
    #[error("the task {task} has ended and takes no lease until {until}")]
    TaskEnded {
        /// The name in the lineage that ended.
        task: String,
        /// When it may be used again.
        until: UnixTime,
    },
    /// The workload, or one it acts for, is in quarantine.
    #[error("the workload {0} is in quarantine")]
    Quarantined(WorkloadId),
    /// The signing key was revoked or is not published.
    #[error("the signing key {0} may not sign")]
    KeyRefused(KeyId),
    /// The log's life is another than the draft names.
    #[error("the store's log is in epoch {0}")]
    Epoch(Epoch),
    /// The lease to be renewed is unknown, ended, or has a successor.
    #[error("the lease to renew {0}")]
    Predecessor(&'static str),
    /// There is nothing that a rule would end.
    #[error("no lease of the task lives")]
    NothingLives,
    /// There is already a lease of this id: another id is to be drawn.
    #[error("a lease of this id is recorded already")]
    Duplicate,
}
