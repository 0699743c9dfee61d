//! The proof that policies allowed it.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{AudienceUri, LeaseId, ScopeSet, TaskId, UnixTime, WorkloadId};

/// A decision that came out "yes": who, what, for which task, how long, and by which policies. Only
/// [`PolicySet::decide`](super::PolicySet::decide) makes one; a lease's draft takes nothing else.
#[derive(Debug, Clone)]
pub struct Grant {
    pub(super) workload: WorkloadId,
    pub(super) audience: AudienceUri,
    pub(super) scopes: ScopeSet,
    pub(super) task: TaskId,
    pub(super) at: UnixTime,
    pub(super) ttl: Duration,
    pub(super) chain_limit: UnixTime,
    pub(super) predecessor: Option<LeaseId>,
    pub(super) policies: Arc<[Arc<str>]>,
    pub(super) single_use: Option<SingleUse>,
}

/// How far one platform token goes; the narrower one is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SingleUse {
    /// For the leases of one task.
    Task,
    /// For one lease.
    Lease,
}

impl SingleUse {
    /// The word that a policy says it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Lease => "lease",
        }
    }
}

impl Grant {
    /// Who.
    pub const fn workload(&self) -> &WorkloadId {
        &self.workload
    }
    /// At which resource server.
    pub const fn audience(&self) -> &AudienceUri {
        &self.audience
    }
    /// What.
    pub const fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }
    /// For which task.
    pub const fn task(&self) -> &TaskId {
        &self.task
    }
    /// Decided at; the token's `iat`.
    pub const fn at(&self) -> UnixTime {
        self.at
    }
    /// How long the token may live, whole seconds.
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }
    /// The latest `exp` any lease of the chain may have.
    pub const fn chain_limit(&self) -> UnixTime {
        self.chain_limit
    }
    /// The lease it renews.
    pub const fn predecessor(&self) -> Option<LeaseId> {
        self.predecessor
    }
    /// The ids of the policies that permitted it, each once.
    pub const fn policies(&self) -> &Arc<[Arc<str>]> {
        &self.policies
    }
    /// How far the platform token that asked may go, where a policy that permitted it says so.
    pub const fn single_use(&self) -> Option<SingleUse> {
        self.single_use
    }
}

/// A grant as a test wants it, without policies.
#[cfg(test)]
pub(crate) fn grant_for_tests(
    workload: &str,
    audience: &str,
    scopes: &str,
    task: &str,
    at: UnixTime,
    ttl: Duration,
) -> Grant {
    Grant {
        workload: WorkloadId::parse(workload).expect("workload"),
        audience: AudienceUri::parse(audience).expect("audience"),
        scopes: ScopeSet::parse(scopes).expect("scopes"),
        task: TaskId::parse(task).expect("task"),
        at,
        ttl,
        chain_limit: at.plus(Duration::from_secs(8 * 3600)),
        predecessor: None,
        policies: Arc::new(["test".into()]),
        single_use: None,
    }
}

#[cfg(test)]
impl Grant {
    /// The same, renewing `lease`.
    pub(crate) fn renewing(mut self, lease: LeaseId) -> Self {
        self.predecessor = Some(lease);
        self
    }
}
