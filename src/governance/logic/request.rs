//! A request in full: what a reviewer is shown, and what a set is asked to decide.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::time::format_span;
use crate::model::{ScopeSet, TaskId, UnixTime, WorkloadId};
use crate::policy::{Ask, Grant, IdentityKind, IdentityUsed, Invariant, Limits, PolicySet};

/// Who asks for what, and all that policies see of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The workload.
    pub workload: String,
    /// The audience's URI.
    pub audience: String,
    /// The scope.
    pub scope: String,
    /// The task's name.
    pub task: String,
    /// Seconds.
    pub ttl: u64,
    /// Unix seconds.
    pub now: u64,
    /// How the workload proved itself.
    pub kind: IdentityKind,
    /// The claims kept from the proof.
    pub claims: BTreeMap<String, String>,
}

impl Request {
    /// What `set` decides, where the broker's own limits do not count. None where it refuses, or is asked nonsense.
    pub fn decided(&self, set: &PolicySet) -> Option<Grant> {
        self.asked(|ask| set.decide(ask).ok()).flatten()
    }

    /// Whether an invariant of `set` speaks of it.
    pub(crate) fn meets(&self, invariant: &Invariant, set: &PolicySet) -> bool {
        self.asked(|ask| set.is_met(invariant, ask)).unwrap_or(false)
    }

    /// None where it is nonsense.
    fn asked<T>(&self, then: impl FnOnce(&Ask<'_>) -> T) -> Option<T> {
        const LONG: Duration = Duration::from_secs(100 * 366 * 86_400);
        let (workload, scopes) = (WorkloadId::parse(&self.workload).ok()?, ScopeSet::parse(&self.scope).ok()?);
        let (task, identity) = (TaskId::parse(&self.task).ok()?, self.identity());
        let limits = Limits { max_ttl: LONG, max_lifetime: LONG, ..Limits::default() };
        let ask = Ask {
            workload: &workload,
            audience: &self.audience,
            scopes: &scopes,
            task: &task,
            ttl: Some(Duration::from_secs(self.ttl)),
            identity: &identity,
            now: UnixTime::from_secs(self.now),
            limits,
            renews: None,
        };
        Some(then(&ask))
    }

    fn identity(&self) -> IdentityUsed {
        IdentityUsed { kind: self.kind, claims: Arc::new(self.claims.clone()) }
    }

    /// Whether `head` gives this request more than `base` does.
    pub fn gains(&self, head: &PolicySet, base: &PolicySet) -> bool {
        let Some(head) = self.decided(head) else { return false };
        self.decided(base)
            .is_none_or(|base| head.chain_limit() > base.chain_limit() || head.single_use() < base.single_use())
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "workload": self.workload, "audience": self.audience, "scope": self.scope, "task": self.task, "ttl": self.ttl,
            "now": UnixTime::from_secs(self.now).rfc3339(),
            "identity": {"type": self.kind.as_str(), "claims": self.claims},
        })
    }
}

impl fmt::Display for Request {
    /// What the table's row does not say already.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = format_span(Duration::from_secs(self.ttl));
        let now = UnixTime::from_secs(self.now).rfc3339();
        write!(
            f,
            "workload {} asks {} for {}, task {}, {span}, at {now}",
            self.workload, self.audience, self.scope, self.task
        )?;
        write!(f, ", proven by {}", self.kind.as_str())?;
        for (name, value) in &self.claims {
            write!(f, ", {name} {value}")?;
        }
        Ok(())
    }
}
