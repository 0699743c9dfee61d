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
        /// By whom.
        actor: String,
        /// Why, in an operator's words.
        reason: String,
    },
}

impl Quarantine {
    /// Makes it count: who is shut out gets nothing, whatever the policies say.
    pub fn weigh(&self, question: &Question, explained: &mut Explanation) {
        let Some(text) = self.told(question) else { return };
        let id = &question.workload;
        let is_all = explained.decided.is_ok();
        let more = if is_all { "" } else { "; the policies refuse it besides" };
        let mend = format!("release {id}, once it is safe: jitney workload release {id} --reason …{more}");
        explained.changes.insert(0, Change { proven: is_all, ..Change::told(mend) });
        if is_all {
            let refusal = Refusal::new(Reason::Quarantined, text);
            explained.decided = Err(Denial { refusal, policies: Vec::new(), considered: Vec::new() });
        }
    }

    /// Whether somebody looked.
    pub const fn is_known(&self) -> bool {
        !matches!(self, Self::NotLookedAt(_))
    }

    /// Since when, by whom and why; none where it is in none, or nobody looked.
    pub fn told(&self, question: &Question) -> Option<String> {
        let Self::Yes { since, actor, reason } = self else { return None };
        Some(format!("workload {} is in quarantine since {since} by {actor}: {reason}", question.workload))
    }

    /// For programs: the same members in every case.
    pub fn json(&self) -> Value {
        let (is_in_force, since, actor, reason, why_not) = match self {
            Self::NotLookedAt(why) => (None, None, None, None, Some(why)),
            Self::No => (Some(false), None, None, None, None),
            Self::Yes { since, actor, reason } => (Some(true), Some(since), Some(actor), Some(reason), None),
        };
        json!({"in_force": is_in_force, "since": since, "actor": actor, "reason": reason, "not_looked_at": why_not})
    }
}
