//! What is known of a request while it is looked at: it ends up in the audit line, whatever comes out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::attest::Caller;
use crate::audit::AuditRecord;
use crate::model::{AudienceUri, LeaseId, ScopeSet, TaskId, WorkloadId};

/// What is known so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Trail {
    /// Nobody proved who asks.
    pub unknown: bool,
    /// It is asked what would be granted, by one who proved who it is.
    pub probe: bool,
    pub workload: Option<WorkloadId>,
    pub audience: Option<AudienceUri>,
    pub task: Option<TaskId>,
    pub scopes: Option<ScopeSet>,
    pub lease: Option<LeaseId>,
    /// How long the token was asked to live.
    pub ttl: Option<Duration>,
    pub identity: Option<&'static str>,
    pub policies: Arc<[Arc<str>]>,
    /// What was kept from a platform's token, its issuer among it.
    pub claims: Option<Arc<BTreeMap<String, String>>>,
    pub detail: Option<String>,
}

impl Trail {
    /// Of one that proved who it is.
    pub(super) fn of(caller: &Caller) -> Self {
        let mut trail = Self::default();
        trail.proven_by(caller);
        trail
    }

    /// Adds how a caller proved who it is.
    pub(super) fn proven_by(&mut self, caller: &Caller) {
        self.identity = Some(caller.identity.kind.as_str());
        self.claims = caller.token.is_some().then(|| caller.identity.claims.clone());
    }

    pub(super) const fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// Takes over what this one does not know yet.
    pub(super) fn fill(&mut self, other: &Self) {
        fn take<T: Clone>(into: &mut Option<T>, from: &Option<T>) {
            if into.is_none() {
                into.clone_from(from);
            }
        }
        self.probe |= other.probe;
        take(&mut self.workload, &other.workload);
        take(&mut self.audience, &other.audience);
        take(&mut self.task, &other.task);
        take(&mut self.scopes, &other.scopes);
        take(&mut self.lease, &other.lease);
        take(&mut self.ttl, &other.ttl);
        take(&mut self.identity, &other.identity);
        take(&mut self.claims, &other.claims);
        take(&mut self.detail, &other.detail);
        if self.policies.is_empty() {
            self.policies.clone_from(&other.policies);
        }
    }

    /// Adds what is known to a record.
    pub(super) fn record(&self, mut record: AuditRecord) -> AuditRecord {
        if let Some(workload) = &self.workload {
            record = record.workload(workload.clone());
        }
        if let Some(audience) = &self.audience {
            record = record.audience(audience.clone());
        }
        if let Some(task) = &self.task {
            record = record.task(task.clone());
        }
        if let Some(scopes) = &self.scopes {
            record = record.scopes(scopes.clone());
        }
        if let Some(lease) = self.lease {
            record = record.lease(lease);
        }
        if let Some(ttl) = self.ttl {
            record = record.ttl(ttl);
        }
        if let Some(identity) = self.identity {
            record = record.identity(identity);
        }
        if let Some(claims) = &self.claims {
            record = record.claims(claims.clone());
        }
        if !self.policies.is_empty() {
            record = record.policies(self.policies.clone());
        }
        if let Some(detail) = &self.detail {
            record = record.detail(detail);
        }
        record.probe(self.probe)
    }
}
