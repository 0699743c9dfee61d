//! Why a request is allowed or not: which policies speak of it, which part of their conditions holds, and what would have to
//! be different.
//!
//! Never decides: what is said of the outcome is what [`PolicySet::decide`] said, and every change of a request that is told
//! was put to it.

mod bend;
mod change;
mod mend;
mod prove;
pub(super) mod spelling;
mod weigh;

use std::sync::Arc;
use std::time::Duration;

use super::ask::{Ask, IdentityUsed, Limits};
use super::catalogue::scopes::Declared;
use super::catalogue::{Audience, TaskTemplate};
use super::condition::Reads;
use super::denial::{Denial, Outcome};
use super::depth;
use super::diagnostic::Diagnostic;
use super::facts::Facts;
use super::grant::Grant;
use super::limits::Times;
use super::ready::Asked;
use super::set::PolicySet;
use super::slice::RuleIx;
use super::world::{Principal, Target, entry};
use super::{Severity, diagnostic::SourceFile};
use crate::model::{ScopeSet, TaskId, UnixTime, WorkloadId};

pub use change::Change;

/// A question that owns what it asks, so that it can be changed and asked again.
#[derive(Debug, Clone)]
pub struct Question {
    /// Who asks.
    pub workload: WorkloadId,
    /// The resource server.
    pub audience: String,
    /// What is asked.
    pub scopes: ScopeSet,
    /// The task it is for.
    pub task: TaskId,
    /// Whether somebody named that task: one that stands in for it is no ground for a condition.
    pub is_task_said: bool,
    /// The task that its platform attests, where the claims that say so are told.
    pub attested: Option<TaskId>,
    /// By what its platform names the task, where neither was told: what a condition says of the task is open then.
    pub open_task: Option<Arc<TaskTemplate>>,
    /// How long the token shall live, where that is asked.
    pub ttl: Option<Duration>,
    /// How the workload proved itself.
    pub identity: IdentityUsed,
    /// When.
    pub now: UnixTime,
    /// What the configuration allows.
    pub limits: Limits,
}

impl Question {
    /// As the decision takes it.
    pub const fn ask(&self) -> Ask<'_> {
        Ask {
            workload: &self.workload,
            audience: self.audience.as_str(),
            scopes: &self.scopes,
            task: &self.task,
            ttl: self.ttl,
            identity: &self.identity,
            now: self.now,
            limits: self.limits,
            renews: None,
        }
    }
}

/// What there is to say of one question.
#[derive(Debug)]
pub struct Explanation {
    /// The decision.
    pub decided: Result<Grant, Denial>,
    /// Each asked scope; none where it did not come to policies.
    pub scopes: Vec<ScopeExplained>,
    /// What would have to be different for it to be allowed, the nearest first; none where it is.
    pub changes: Vec<Change>,
}

/// One asked scope.
#[derive(Debug)]
pub struct ScopeExplained {
    /// The scope.
    pub scope: String,
    /// What the policies said to it; none where its audience declares no such scope.
    pub outcome: Option<Outcome>,
    /// The policies that speak of this workload and this scope.
    pub policies: Vec<PolicyExplained>,
}

/// One policy that speaks of the request.
#[derive(Debug)]
pub struct PolicyExplained {
    /// Its `@id`.
    pub id: Arc<str>,
    /// Whether it permits, rather than forbids.
    pub permits: bool,
    /// Its file.
    pub file: String,
    /// Its line there.
    pub line: usize,
    /// Whether it applies.
    pub applies: bool,
    /// The parts of its condition, in their order; none where it has none.
    pub parts: Vec<Part>,
    pub(super) rule: RuleIx,
}

/// One part of a condition: what stands between its `&&`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// As it stands in the file.
    pub text: String,
    /// Whether it holds; none where it cannot be evaluated.
    pub holds: Option<bool>,
    /// Whether that is open, for the platform names the task that it speaks of, and nobody told which.
    pub is_open: bool,
    /// What it looks at, and what that is in this request.
    pub values: Vec<(String, String)>,
}

impl PolicyExplained {
    /// What was weighed by a task that only stands in for the platform's is not told as weighed.
    fn leave_the_task_open(&mut self) {
        for part in &mut self.parts {
            if let Some((_, value)) = part.values.iter_mut().find(|(name, _)| name == "context.task") {
                *value = "what the platform names".into();
                (part.holds, part.is_open) = (None, true);
            }
        }
    }
}

impl PolicySet {
    /// Explains what is decided on `question`.
    pub fn explain(&self, question: &Question) -> Explanation {
        // Policies are parsed anew for the words of their parts, which takes as much stack as their load did.
        depth::with_room(|| self.explain_here(question)).unwrap_or_else(|_| {
            let decided = self.decide(&question.ask());
            Explanation { decided, scopes: Vec::new(), changes: Vec::new() }
        })
    }

    /// The ttl that policies see in `question`.
    pub(crate) fn wanted_ttl(&self, question: &Question) -> Duration {
        wanted(&question.ask(), self.audience(&question.audience).map(|audience| &**audience))
    }

    fn explain_here(&self, question: &Question) -> Explanation {
        let ask = question.ask();
        let decided = self.decide(&ask);
        let mut scopes = self.scopes_explained(&ask);
        let changes = match &decided {
            Ok(_) => Vec::new(),
            Err(denial) => change::all(self, question, denial, &scopes),
        };
        if question.open_task.is_some() {
            scopes.iter_mut().flat_map(|scope| &mut scope.policies).for_each(PolicyExplained::leave_the_task_open);
        }
        Explanation { decided, scopes, changes }
    }

    fn scopes_explained(&self, ask: &Ask<'_>) -> Vec<ScopeExplained> {
        let (Some((at, principal)), Some(target)) = (self.principal(ask.workload.as_str()), self.target(ask.audience))
        else {
            return Vec::new();
        };
        let mut facts = Facts::new(ask, wanted(ask, Some(&target.audience)));
        let explained = |scope: &crate::model::Scope| {
            let policies = target
                .table
                .find(scope.as_str())
                .map(|declared| self.weighed(at, principal, target, declared, scope, &mut facts));
            ScopeExplained {
                scope: scope.to_string(),
                outcome: policies.as_deref().map(outcome_of),
                policies: policies.unwrap_or_default(),
            }
        };
        ask.scopes.iter().map(explained).collect()
    }

    fn weighed(
        &self,
        at: usize,
        principal: &Principal,
        target: &Target,
        declared: Declared,
        scope: &crate::model::Scope,
        facts: &mut Facts<'_>,
    ) -> Vec<PolicyExplained> {
        let context = facts.context(Reads::CONTEXT);
        let (Declared::Exactly(ix) | Declared::InstanceOf(ix)) = declared;
        let instance = match declared {
            Declared::Exactly(_) => None,
            Declared::InstanceOf(ix) => self.world().instance(principal, target, self.scope(ix), scope).ok(),
        };
        let instance_entry = instance.as_ref().map(|(uid, _)| entry(uid));
        let asked = Asked {
            principal: &principal.entry,
            action: self.mint_entry(),
            resource: instance_entry.as_ref().unwrap_or(&self.scope(ix).entry),
            entities: instance.as_ref().map_or(self.world().entities.as_ref(), |(_, entities)| entities.as_ref()),
        };
        let evaluator = asked.evaluator(context);
        let mut rules: Vec<RuleIx> =
            self.slices().of(at, ix).flat_map(|part| part.slice.rules.iter().copied()).collect();
        rules.sort_unstable();
        rules.dedup();
        let weigh = |ix: RuleIx| {
            let rule = self.rule(ix);
            let (applies, parts) = weigh::weigh(rule, &evaluator)?;
            let (file, line) = place(&rule.file, rule.span.clone());
            Some(PolicyExplained { id: rule.id.clone(), permits: rule.permits(), file, line, applies, parts, rule: ix })
        };
        rules.into_iter().filter_map(weigh).collect()
    }
}

/// What policies see as the ttl: what is asked, or the default; a decision may cut the default first, to what is allowed.
fn wanted(ask: &Ask<'_>, audience: Option<&Audience>) -> Duration {
    let cut = audience.and_then(|audience| Times::new(ask, audience).ok()).map(|times| times.wanted());
    cut.or(ask.ttl).unwrap_or(ask.limits.default_ttl)
}

/// The file, and the line in it.
fn place(file: &SourceFile, span: std::ops::Range<usize>) -> (String, usize) {
    let Diagnostic { file, line, .. } = Diagnostic::of(Severity::Note, "policy", "").at(file, span);
    (file, line)
}

fn outcome_of(policies: &[PolicyExplained]) -> Outcome {
    let any = |permits: bool| policies.iter().any(|policy| policy.applies && policy.permits == permits);
    match (any(false), any(true)) {
        (true, _) => Outcome::Forbidden,
        (false, true) => Outcome::Permitted,
        (false, false) => Outcome::NotPermitted,
    }
}

#[cfg(test)]
#[path = "../explain_tests.rs"]
mod tests;
