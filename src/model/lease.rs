//! A lease: the broker's record of one issued token.

use serde::{Deserialize, Serialize};

use super::{AudienceUri, Epoch, KeyId, LeaseId, Position, ScopeSet, TaskId, UnixTime, WorkloadId};

/// Who, what, for which task, until when. The token is made from this and from nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its name, the token's `jti`.
    pub id: LeaseId,
    /// Whose it is.
    pub workload: WorkloadId,
    /// The resource server it is for.
    pub audience: AudienceUri,
    /// What it allows; in JSON by the name that tokens and the audit log have for it.
    #[serde(rename = "scope", alias = "scopes")]
    pub scopes: ScopeSet,
    /// The task it is for.
    pub task: TaskId,
    /// Recorded at; the token's `iat`.
    pub issued_at: UnixTime,
    /// The token's `exp`.
    pub expires_at: UnixTime,
    /// The latest `exp` any lease of its chain of renewals may have.
    pub chain_limit: UnixTime,
    /// The lease it renews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<LeaseId>,
    /// The workloads that act in it, besides its own (RFC 8693); empty before token exchange.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actors: Vec<WorkloadId>,
    /// The key its token is signed with.
    pub kid: KeyId,
    /// The log's life it was recorded in.
    pub epoch: Epoch,
    /// The log's head as it was read before anything that could forbid it was checked; the token's `rev`.
    pub position: Position,
}

/// A lease as the store tells it: the record, and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// The record itself.
    #[serde(flatten)]
    pub lease: Lease,
    /// The lease that renewed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<LeaseId>,
    /// Its own end, where one lease alone was revoked. Ends of its task, workload, audience, key or of everything are
    /// rules of the log and are judged there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<LeaseEnd>,
}

/// When and where in the log a single lease ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseEnd {
    /// By the clock of the broker that ended it.
    pub at: UnixTime,
    /// The rule's place.
    pub position: Position,
}
