//! What stands beside the policies: whether a workload is shut out, which only a broker knows.

use serde_json::{Value, json};

use crate::model::{Reason, Refusal};
use crate::policy::{Change, Denial, Explanation, Question};

/// What is known of a workload's quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quarantine {
    /// Nothing, and why: no broker said anything.
    NotLookedAt(String),
    /// It is in none.
    No,
    /// It is shut out.
    Yes {
        /// Since when, RFC 3339.
        since: String,
        /// Why, in an operator's words.
        reason: String,
    },
}

impl Quarantine {
    /// Makes it count: who is shut out gets nothing, whatever the policies say.
    pub fn weigh(&self, question: &Question, explained: &mut Explanation) {
        let Self::Yes { since, reason } = self else { return };
        let id = &question.workload;
        let is_all = explained.decided.is_ok();
        let more = if is_all { "" } else { "; the policies refuse it besides" };
        let text = format!("release {id}, once it is safe: jitney workload release {id} --reason …{more}");
        explained.changes.insert(0, Change { proven: is_all, ..Change::told(text) });
        if is_all {
            let text = format!("workload {id} is in quarantine since {since}: {reason}");
            let refusal = Refusal::new(Reason::Quarantined, text);
            explained.decided = Err(Denial { refusal, policies: Vec::new(), considered: Vec::new() });
        }
    }

    /// For programs: the same members in every case.
    pub fn json(&self) -> Value {
        let (is_in_force, since, reason, why_not) = match self {
            Self::NotLookedAt(why) => (None, None, None, Some(why)),
            Self::No => (Some(false), None, None, None),
            Self::Yes { since, reason } => (Some(true), Some(since), Some(reason), None),
        };
        json!({"in_force": is_in_force, "since": since, "reason": reason, "not_looked_at": why_not})
    }
}
