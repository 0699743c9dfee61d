//! Whether the workload can prove itself as the question says. Where it cannot, it does not come to the policies, and what is told is
//! first how to prove it, and then what the policies would say.

use std::sync::Arc;

use super::Basis;
use crate::model::{Reason, Refusal};
use crate::policy::{Change, Denial, Explanation, IdentityUsed, Question, TaskTemplate};

impl Basis {
    /// Makes it count that the workload has no identity that shows what the question says.
    pub(super) fn weigh_proof(&self, question: &Question, explained: &mut Explanation) {
        if self.set.workload(question.workload.as_str()).is_none() {
            return;
        }
        let another = question.attested.as_ref().filter(|task| !question.task.is_within(task));
        if another.is_none() && self.set.can_prove(question) {
            return;
        }
        let (reason, text) = match (another, self.set.attested_tasks(question)) {
            (Some(attested), _) => {
                let mend = format!("leave the task out, or ask for {attested} or a child of it, as {attested}/STEP");
                explained.changes = self.through(mend, Some(self.set.leave_the_task(question)));
                (Reason::InvalidRequest, format!("the platform attests the task {attested}, not {}", question.task))
            }
            (None, Some(templates)) => {
                let then = self.set.leave_the_task(question);
                explained.changes = self.through(leave_the_task_out(&templates), Some(then));
                let all = templates.iter().map(|template| format!("`{template}`")).collect::<Vec<_>>().join(" or ");
                let text = format!("the platform names its tasks, {all}: none is called {}", question.task);
                (Reason::InvalidRequest, text)
            }
            (None, None) => {
                let (why, mend, then) = self.unproven(question);
                explained.changes = self.through(mend, then);
                (Reason::InvalidClient, format!("{} cannot prove itself so: {why}", question.workload))
            }
        };
        let refusal = Refusal::new(reason, text);
        explained.decided = Err(Denial { refusal, policies: Vec::new(), considered: Vec::new() });
    }

    /// Why no identity shows that, what to do about it, and the request as it is then.
    fn unproven(&self, question: &Question) -> (String, String, Option<Question>) {
        let with_task = |identity: IdentityUsed| {
            let then = Question { identity, ..question.clone() };
            if question.is_task_said { then } else { self.set.leave_the_task(&then) }
        };
        if let Some(mended) = self.set.mended(question) {
            let text = format!("prove it by {}, {}", told(&mended.identity), mended.mends.join(", and "));
            return (mended.why.join("; "), text, Some(with_task(mended.identity)));
        }
        let ways = self.set.ways_to_prove(&question.workload);
        let has: Vec<String> = ways.iter().map(told).collect();
        let has = if has.is_empty() { "nothing".to_owned() } else { has.join(", ") };
        let by = |used: &IdentityUsed| with_task(used.clone());
        let works = ways.iter().find(|used| self.set.decide(&by(used).ask()).is_ok());
        let text = match works {
            Some(used) => format!("prove it by {}", told(used)),
            None => format!("prove it by what workloads/{}.toml has: {has}", question.workload),
        };
        (format!("its file has {has}"), text, works.or(ways.first()).map(by))
    }

    /// The way through a request that is asked otherwise first: that alone where it is then allowed, else with what is amiss besides.
    fn through(&self, first: String, then: Option<Question>) -> Vec<Change> {
        let Some(then) = then else { return vec![Change::told(first)] };
        if !self.set.can_prove(&then) {
            return vec![Change::told(first)];
        }
        let explained = self.explain(&then);
        if explained.decided.is_ok() {
            return vec![Change { proven: true, ..Change::told(first) }];
        }
        let more = explained.changes.into_iter().map(|change| Change {
            text: format!("{first}; then {}", change.text),
            with: Some(change.with.unwrap_or_else(|| then.clone())),
            ..change
        });
        more.collect()
    }
}

fn told(used: &IdentityUsed) -> String {
    match used.claims.get("iss") {
        Some(issuer) => format!("{} of {issuer}", used.kind.as_str()),
        None => used.kind.as_str().to_owned(),
    }
}

fn leave_the_task_out(templates: &[Arc<TaskTemplate>]) -> String {
    let like = templates.first();
    let like = like.map_or_else(String::new, |like| format!(", or ask for a child of it, as {like}/STEP"));
    format!("leave the task out, and the platform names it{like}")
}
