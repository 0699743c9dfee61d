//! The ends of leases as a store takes them.

use serde::{Deserialize, Serialize};

use crate::model::{AudienceUri, Epoch, KeyId, LeaseId, Rule, TaskId, UnixTime, WorkloadId};

use super::Spent;

/// One end: what, when, and by which assertion where a workload asked for it.
#[derive(Debug, Clone)]
pub struct End {
    /// What ends.
    pub target: EndTarget,
    /// The broker's clock.
    pub at: UnixTime,
    /// The assertion that asked for it, used up in the same atomic step.
    pub spent: Option<Spent>,
}

/// What ends.
#[derive(Debug, Clone)]
pub enum EndTarget {
    /// A task and its children: takes no lease until `closed_until`. Appends a rule only where a lease of it may live
    /// and the mark does not already hold the position of a rule that covers it.
    Task {
        /// Whose task.
        workload: WorkloadId,
        /// The task.
        task: TaskId,
        /// Until when it takes no lease.
        closed_until: UnixTime,
    },
    /// The same, only where it appends a rule: where no lease of it may live, or all of them are covered, nothing is
    /// written, no mark either ([`RecordError::NothingLives`](super::RecordError::NothingLives)).
    LiveTask {
        /// Whose task.
        workload: WorkloadId,
        /// The task.
        task: TaskId,
        /// Until when it takes no lease.
        closed_until: UnixTime,
    },
    /// One lease and the leases that renewed it. Nothing where it is unknown or past.
    Lease(LeaseId),
    /// All leases of a workload, also where it acts for another.
    Workload(WorkloadId),
    /// The same, and it gets no lease until it is released. One that is in quarantine keeps the one it is in.
    Quarantine(Quarantine),
    /// A quarantine known from before this epoch, which the store may have lost: the same, once more. Nothing where the
    /// workload is in quarantine, or was released in this epoch; refused where the epoch is another.
    Restore(Quarantine, Epoch),
    /// All leases for a resource server.
    Audience(AudienceUri),
    /// All tokens under a key, whatever their position; it is published no more and never signs again.
    Key(KeyId),
    /// Everything.
    All,
}

/// A workload shut out by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Which.
    pub workload: WorkloadId,
    /// Why, in the operator's words.
    pub reason: String,
    /// By whom (`uid:1000`).
    pub actor: String,
    /// Since when.
    pub since: UnixTime,
}

/// The quarantines of one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantines {
    /// The epoch in which they were read.
    pub epoch: Epoch,
    /// All of them, in no promised order.
    pub all: Vec<Quarantine>,
}

/// What an end did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// The rules that were appended; none where nothing lived or it was ended before.
    pub rules: Vec<Rule>,
    /// The leases ended, where the target was a lease: itself and its successors.
    pub leases: Vec<LeaseId>,
    /// Whether a quarantine was imposed.
    pub imposed: bool,
}
