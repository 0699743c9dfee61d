//! What a store tells about itself: pages of leases and of the log, published keys, settings, figures.

use serde::{Deserialize, Serialize};

use crate::model::{AudienceUri, Epoch, KeyId, LeaseRecord, Position, Rule, TaskId, UnixTime, WorkloadId};

use super::Head;

/// Which live leases are asked for; what is absent does not narrow.
#[derive(Debug, Clone, Default)]
pub struct LeaseFilter {
    /// Of this workload.
    pub workload: Option<WorkloadId>,
    /// For this resource server.
    pub audience: Option<AudienceUri>,
    /// Of this task or its children.
    pub task: Option<TaskId>,
    /// Not yet expired at this moment.
    pub now: UnixTime,
    /// A page ends, with a cursor, once so many records were looked at, few more; none: once the store has had the time
    /// that it takes for a page.
    pub looks: Option<usize>,
}

impl LeaseFilter {
    /// Whether a record is among those asked for.
    pub fn selects(&self, record: &LeaseRecord) -> bool {
        let lease = &record.lease;
        lease.expires_at > self.now
            && self.workload.as_ref().is_none_or(|workload| *workload == lease.workload)
            && self.audience.as_ref().is_none_or(|audience| *audience == lease.audience)
            && self.task.as_ref().is_none_or(|task| lease.task.is_within(task))
    }
}

/// A page of leases.
#[derive(Debug, Clone, Default)]
pub struct LeasePage {
    /// The leases.
    pub leases: Vec<LeaseRecord>,
    /// Where to go on; none at the end.
    pub next: Option<String>,
}

/// One rule of the log with what brokers need besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The rule.
    pub rule: Rule,
    /// The audiences its tokens are for, where it is a rule on a lease or task and they are known; empty means any.
    pub audiences: Vec<AudienceUri>,
}

/// A stretch of the log.
#[derive(Debug, Clone)]
pub struct LogPage {
    /// The head, read before the entries.
    pub head: Head,
    /// The entries, by position.
    pub entries: Vec<LogEntry>,
    /// The place up to which the log has now been told; the head's where nothing was left over.
    pub upto: Position,
}

/// A signing key's public half, as all brokers serve it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedKey {
    /// Its name.
    pub kid: KeyId,
    /// The P-256 point, SEC1 uncompressed (65 bytes), base64url.
    pub point: String,
    /// The broker that holds the private half.
    pub broker: String,
    /// First published at.
    pub published_at: UnixTime,
    /// Signs from this moment on, where it is a next key that waits; in the past for one that signs.
    pub signs_from: UnixTime,
    /// No token it signs may live to this moment: the key leaves the JWKS then, unless the publication is extended.
    pub published_until: UnixTime,
    /// Signs no more since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<UnixTime>,
}

/// One setting of the store's that bears on durability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Safety {
    /// Its name, as `[store] accept_unsafe` lists it (`appendonly`, `appendfsync`, `maxmemory-policy` …).
    pub setting: String,
    /// What the server says; `unknown` where it will not.
    pub value: String,
    /// Whether what jitney promises holds with it.
    pub safe: bool,
    /// What it costs where it is unsafe, and the mend; where it is safe and yet costs something, that.
    pub mend: String,
}

/// The names of all settings that a store may find unsafe.
pub const SAFETY_NAMES: [&str; 10] = [
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "maxmemory-policy",
    "default_user",
    "role",
    "min_replicas",
    "clock",
    "sync",
    "lazyfree-lazy-expire",
];

/// A store's figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStats {
    /// `embedded` or `redis`.
    pub kind: String,
    /// Leases not yet expired; an estimate where counting would cost more than it tells.
    pub live_leases: u64,
    /// Rules not yet past.
    pub live_rules: u64,
    /// The log's life.
    pub epoch: Option<Epoch>,
    /// The log's head.
    pub position: Position,
}
