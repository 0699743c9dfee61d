//! Which lines somebody asks for.

use serde::Deserialize;

use crate::model::{AudienceUri, DecisionId, LeaseId, TaskId, WorkloadId};

use super::chain::Stamp;
use super::line::{Str, moment_of};

/// Which lines are asked for; what is absent does not narrow.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this event, by its word (`mint`).
    pub event: Option<String>,
    /// That came out so (`refused`).
    pub outcome: Option<String>,
    /// That explain this decision.
    pub decision_id: Option<DecisionId>,
    /// About this workload.
    pub workload: Option<WorkloadId>,
    /// About this resource server.
    pub audience: Option<AudienceUri>,
    /// About this task or its children.
    pub task: Option<TaskId>,
    /// About this lease, or its renewal.
    pub lease: Option<LeaseId>,
    /// Of this moment or later, in milliseconds since the Unix epoch.
    pub since: Option<u64>,
    /// Of before this moment.
    pub until: Option<u64>,
}

/// What a filter looks at.
#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(borrow)]
    time: Str<'a>,
    #[serde(borrow)]
    event: Str<'a>,
    #[serde(borrow)]
    outcome: Str<'a>,
    #[serde(borrow)]
    decision_id: Option<Str<'a>>,
    #[serde(borrow)]
    workload: Option<Str<'a>>,
    #[serde(borrow)]
    audience: Option<Str<'a>>,
    task: Option<TaskId>,
    lease: Option<LeaseId>,
    predecessor: Option<LeaseId>,
}

/// By so many milliseconds lines may stand out of the order of their moments: requests hand them over at once.
const OUT_OF_ORDER: u64 = 60_000;

impl Filter {
    /// Whether a line is so much older than what is asked for that no line before it can be asked for.
    pub(super) fn is_long_before(&self, line: &[u8]) -> bool {
        let Some(since) = self.since.and_then(|since| since.checked_sub(OUT_OF_ORDER)) else { return false };
        moment_of(line).is_some_and(|time| time < Stamp(since).to_string().as_bytes())
    }

    /// Whether a line is among those asked for. What is no line of jitney's is passed on, for someone has to see it.
    pub fn selects(&self, line: &[u8]) -> bool {
        let Ok(seen) = serde_json::from_slice::<Seen<'_>>(line) else { return true };
        // Moments are written in one form, so that their text is in their order.
        let is_then = self.since.is_none_or(|ms| *seen.time >= *Stamp(ms).to_string())
            && self.until.is_none_or(|ms| *seen.time < *Stamp(ms).to_string());
        if !is_then {
            return false;
        }
        let equal = |wanted: Option<&str>, seen: Option<&str>| wanted.is_none_or(|wanted| seen == Some(wanted));
        equal(self.event.as_deref(), Some(&seen.event))
            && equal(self.outcome.as_deref(), Some(&seen.outcome))
            && equal(self.decision_id.as_ref().map(DecisionId::as_str), seen.decision_id.as_deref())
            && equal(self.workload.as_ref().map(WorkloadId::as_str), seen.workload.as_deref())
            && equal(self.audience.as_ref().map(AudienceUri::as_str), seen.audience.as_deref())
            && self.task.as_ref().is_none_or(|task| seen.task.is_some_and(|seen| seen.is_within(task)))
            && self.lease.is_none_or(|lease| seen.lease == Some(lease) || seen.predecessor == Some(lease))
    }
}
