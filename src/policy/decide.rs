//! The decision: what was asked, weighed against the set, in a fixed order. Default deny; every scope on its own.
//!
//! The only maker of [`Grant`]s. Never does I/O, never parses what could be parsed at load.

use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{Authorizer, Decision, Effect, Entities, Request};

use super::ask::Ask;
use super::catalogue::scopes::{Declared, ScopeIx};
use super::condition::Reads;
use super::denial::{Considered, Denial, Outcome};
use super::explain::spelling;
use super::facts::Facts;
use super::grant::Grant;
use super::limits::Times;
use super::ready::{Asked, Verdict};
use super::set::PolicySet;
use super::slice::RuleIx;
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
        let target = self.target(ask.audience).ok_or_else(|| {
            let meant = spelling::meant(self.near_audience(ask.audience).as_deref());
            Denial::new(Reason::UnknownAudience, format!("unknown audience: {:.255}{meant}", ask.audience))
        })?;
        let declared = declared(target, ask)?;
        let mut times = Times::new(ask, &target.audience)?;
        let mut facts = Facts::new(ask, times.wanted());
        let mut verdicts = Vec::with_capacity(ask.scopes.len());
        for (scope, declared) in ask.scopes.iter().zip(declared) {
            verdicts.push(match declared {
                Declared::Exactly(ix) => self.judge(at, principal, ix, &mut facts),
                Declared::InstanceOf(ix) => self.judge_instance(at, (principal, target), (ix, scope), &mut facts)?,
            });
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

    /// Weighs one declared scope by the slices that can speak of it.
    pub(super) fn judge(&self, workload: usize, principal: &Principal, ix: ScopeIx, facts: &mut Facts<'_>) -> Verdict {
        let asked = Asked {
            principal: &principal.entry,
            action: self.mint_entry(),
            resource: &self.scope(ix).entry,
            entities: self.world().entities.as_ref(),
        };
        let mut verdict = Verdict::default();
        for part in self.slices().of(workload, ix) {
            part.ready(self.rules(), &asked).weigh(&asked, facts, &mut verdict);
        }
        verdict.sort();
        verdict
    }

    /// Weighs one instance of an open scope. It is a new entity, so nothing of its slices is settled before.
    pub(super) fn judge_instance(
        &self,
        workload: usize,
        (principal, target): (&Principal, &Target),
        (ix, scope): (ScopeIx, &Scope),
        facts: &mut Facts<'_>,
    ) -> Result<Verdict, Denial> {
        let instance = self.world().instance(principal, target, self.scope(ix), scope);
        let (uid, entities) = instance.map_err(|_| internal())?;
        let (principal, action) = (principal.uid.clone(), self.mint().clone());
        let context = facts.context(Reads::CONTEXT).into();
        let request = Request::new(principal, action, uid, context, None).map_err(|_| internal())?;
        let slices = self.slices().of(workload, ix);
        Ok(self.weigh(slices.map(|part| &part.slice.policies), &request, &entities))
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
        verdict.sort();
        verdict
    }
}

/// Each asked scope's declaration.
fn declared(target: &Target, ask: &Ask<'_>) -> Result<Vec<Declared>, Denial> {
    ask.scopes
        .iter()
        .map(|scope| {
            target.table.find(scope.as_str()).ok_or_else(|| {
                let text = spelling::unknown_scope(&target.audience, scope.as_str());
                Denial::new(Reason::UnknownScope, text)
            })
        })
        .collect()
}

/// Cedar refused a value that it takes by construction.
fn internal() -> Denial {
    Denial::new(Reason::Internal, "the decision could not be made")
}
