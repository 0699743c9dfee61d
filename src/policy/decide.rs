//! The decision: what was asked, weighed against the set, in a fixed order. Default deny; every scope on its own.
//!
//! The only maker of [`Grant`]s. Never does I/O, never parses what could be parsed at load.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{Authorizer, Context, Decision, Effect, Entities, EntityUid, Request, RestrictedExpression};

use super::ask::{Ask, IdentityUsed};
use super::catalogue::scopes::{Declared, ScopeIx};
use super::denial::{Considered, Denial, Outcome};
use super::diagnostic::Diagnostic;
use super::grant::Grant;
use super::limits::Times;
use super::set::PolicySet;
use super::slice::{RuleIx, Slice};
use super::world::{Principal, Target};
use crate::model::{Reason, Refusal, Scope};

impl PolicySet {
    /// Decides. In this order: the workload's state, the audience, the scopes, the `ttl` against configuration and
    /// audience, the policies, the `ttl` against what the policies that permitted it oblige.
    ///
    /// # Errors
    /// [`Denial`], of which the refusal is for the caller: it names what was refused and by which rule, never what
    /// other workloads may do.
    pub fn decide(&self, ask: &Ask<'_>) -> Result<Grant, Denial> {
        let (at, principal) = self.governed(ask)?;
        let target = self
            .target(ask.audience)
            .ok_or_else(|| Denial::new(Reason::UnknownAudience, format!("unknown audience: {:.255}", ask.audience)))?;
        let declared = declared(target, ask)?;
        let mut times = Times::new(ask, &target.audience)?;
        let context = context(ask, times.wanted()).map_err(|_| internal())?;
        let mut verdicts = Vec::with_capacity(ask.scopes.len());
        for (scope, declared) in ask.scopes.iter().zip(declared) {
            let subject = self.subject(principal, target, scope, declared)?;
            verdicts.push(self.judge(at, principal, &subject, &context)?);
        }
        if verdicts.iter().any(|verdict| verdict.outcome() != Outcome::Permitted) {
            return Err(self.denied(ask, target, times.wanted(), &verdicts));
        }
        let mut permits: Vec<RuleIx> = Vec::with_capacity(1);
        for ix in verdicts.into_iter().flat_map(|verdict| verdict.permits) {
            if !permits.contains(&ix) {
                permits.push(ix);
            }
        }
        for ix in &permits {
            times.oblige(self.rule(*ix));
        }
        let (ttl, chain_limit) = times.settle()?;
        Ok(Grant {
            workload: principal.workload.id.clone(),
            audience: target.audience.id.clone(),
            scopes: ask.scopes.clone(),
            task: ask.task.clone(),
            at: ask.now,
            ttl,
            chain_limit,
            predecessor: ask.renews.map(|renewed| renewed.lease),
            policies: permits.iter().map(|ix| self.rule(*ix).id.clone()).collect(),
            single_use: permits.iter().filter_map(|ix| self.rule(*ix).single_use).max(),
        })
    }

    /// The workload, where its file allows it anything.
    fn governed(&self, ask: &Ask<'_>) -> Result<(usize, &Principal), Denial> {
        let id = ask.workload;
        let Some((at, principal)) = self.principal(id.as_str()) else {
            return Err(Denial::new(Reason::Ungoverned, format!("workload {id} is not in the policy set")));
        };
        let workload = &principal.workload;
        match workload.state(ask.now) {
            Ok(()) => Ok((at, principal)),
            Err(Reason::Expired) => {
                let day = workload.expires.map(|day| day.to_string()).unwrap_or_default();
                Err(Denial::new(Reason::Expired, format!("workload {id} expired at the end of {day}, UTC")))
            }
            Err(reason) => Err(Denial::new(reason, format!("workload {id} has no {}", workload.gaps().join(", no ")))),
        }
    }

    /// What is judged for one scope.
    pub(super) fn subject(
        &self,
        principal: &Principal,
        target: &Target,
        scope: &Scope,
        declared: Declared,
    ) -> Result<Subject<'_>, Denial> {
        match declared {
            Declared::Exactly(ix) => Ok(Subject {
                ix,
                uid: Cow::Borrowed(&self.scope(ix).uid),
                entities: Cow::Borrowed(&self.world().entities),
            }),
            Declared::InstanceOf(ix) => {
                let instance = self.world().instance(principal, target, self.scope(ix), scope);
                let (uid, entities) = instance.map_err(|_| internal())?;
                Ok(Subject { ix, uid: Cow::Owned(uid), entities: Cow::Owned(entities) })
            }
        }
    }

    /// Weighs one scope by the slices that can speak of it.
    pub(super) fn judge(
        &self,
        workload: usize,
        principal: &Principal,
        subject: &Subject<'_>,
        context: &Context,
    ) -> Result<Verdict, Denial> {
        let request = Request::new(
            principal.uid.clone(),
            self.mint().clone(),
            subject.uid.clone().into_owned(),
            context.clone(),
            None,
        )
        .map_err(|_| internal())?;
        let slices = self.slices().of(workload, subject.ix);
        Ok(self.weigh(slices.map(|slice: &Slice| &slice.policies), &request, &subject.entities))
    }

    fn denied(&self, ask: &Ask<'_>, target: &Target, ttl: Duration, verdicts: &[Verdict]) -> Denial {
        let ids = |rules: &[RuleIx]| -> Vec<Arc<str>> { rules.iter().map(|ix| self.rule(*ix).id.clone()).collect() };
        let mut parts = Vec::new();
        let mut denial = Denial::new(Reason::DeniedScope, "");
        for (scope, verdict) in ask.scopes.iter().zip(verdicts) {
            let outcome = verdict.outcome();
            let policies = ids(if outcome == Outcome::Permitted { &verdict.permits } else { &verdict.forbids });
            match outcome {
                Outcome::Permitted => {}
                Outcome::NotPermitted => parts.push(format!("no policy grants {scope}")),
                Outcome::Forbidden => parts.push(format!("{scope} is forbidden by policy {}", policies.join(", "))),
            }
            if outcome == Outcome::Forbidden {
                denial
                    .policies
                    .extend(policies.iter().filter(|id| !denial.policies.contains(id)).cloned().collect::<Vec<_>>());
            }
            denial.considered.push(Considered { scope: scope.clone(), outcome, policies });
        }
        let (asked, secs) = (parts.join("; "), ttl.as_secs());
        let text = format!("{asked} (to {} at {}, task {}, {secs} s)", ask.workload, target.audience.id, ask.task);
        denial.refusal = Refusal::new(Reason::DeniedScope, text);
        denial
    }

    /// Weighs the request against each of the slices as if they were one set: any forbid decides, else any permit.
    pub(super) fn weigh<'a>(
        &self,
        slices: impl Iterator<Item = &'a cedar_policy::PolicySet>,
        request: &Request,
        entities: &Entities,
    ) -> Verdict {
        let authorizer = Authorizer::new();
        let mut verdict = Verdict::default();
        for policies in slices {
            let response = authorizer.is_authorized(request, policies, entities);
            let side = match response.decision() {
                Decision::Allow => &mut verdict.permits,
                Decision::Deny => &mut verdict.forbids,
            };
            side.extend(response.diagnostics().reason().filter_map(|id| self.rule_of(id)));
            // Cedar passes over a policy that fails to evaluate. For a permit that is the safe side; for a forbid it
            // is not, so a forbid that fails counts as one that applies.
            for error in response.diagnostics().errors() {
                let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
                let failed = self.rule_of(error.policy_id());
                verdict.forbids.extend(failed.filter(|ix| self.rule(*ix).policy.effect() == Effect::Forbid));
            }
        }
        // Cedar names them in no order.
        verdict.permits.sort_unstable();
        verdict.forbids.sort_unstable();
        verdict
    }
}

/// One scope, and the entities to judge it among.
pub(super) struct Subject<'a> {
    pub ix: ScopeIx,
    pub uid: Cow<'a, EntityUid>,
    pub entities: Cow<'a, Entities>,
}

/// The policies that spoke.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub permits: Vec<RuleIx>,
    pub forbids: Vec<RuleIx>,
}

impl Verdict {
    pub fn outcome(&self) -> Outcome {
        match (self.permits.is_empty(), self.forbids.is_empty()) {
            (_, false) => Outcome::Forbidden,
            (true, true) => Outcome::NotPermitted,
            (false, true) => Outcome::Permitted,
        }
    }
}

/// Each asked scope's declaration.
fn declared(target: &Target, ask: &Ask<'_>) -> Result<Vec<Declared>, Denial> {
    ask.scopes
        .iter()
        .map(|scope| {
            target.table.find(scope.as_str()).ok_or_else(|| {
                let text = format!("unknown scope: {} declares no {scope}", target.audience.id);
                Denial::new(Reason::UnknownScope, text)
            })
        })
        .collect()
}

/// What policies see as `context`.
pub(super) fn context(ask: &Ask<'_>, ttl: Duration) -> Result<Context, Diagnostic> {
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let long = |secs: u64| RestrictedExpression::new_long(i64::try_from(secs).unwrap_or(i64::MAX));
    let broken = |error: &dyn std::fmt::Display| Diagnostic::error("context", error.to_string());
    let IdentityUsed { kind, claims } = ask.identity;
    let claims = claims.iter().map(|(name, value)| (name.clone(), text(value)));
    let claims = RestrictedExpression::new_record(claims).map_err(|error| broken(&error))?;
    let identity = [("type".to_owned(), text(kind.as_str())), ("claims".to_owned(), claims)];
    let identity = RestrictedExpression::new_record(identity).map_err(|error| broken(&error))?;
    Context::from_pairs([
        ("task".to_owned(), text(ask.task.as_str())),
        ("ttl".to_owned(), long(ttl.as_secs())),
        ("now".to_owned(), long(ask.now.secs())),
        ("identity".to_owned(), identity),
    ])
    .map_err(|error| broken(&error))
}

/// Cedar refused a value that it takes by construction.
fn internal() -> Denial {
    Denial::new(Reason::Internal, "the decision could not be made")
}
