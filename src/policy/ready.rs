//! A slice weighed in advance: what of it is settled by the workload and the scope, and which conditions are left.
//!
//! Whether a policy applies is always said by Cedar's evaluator, by the same expression: only earlier, where nothing that
//! the rest of the request holds can change it. Never keeps an answer that the next request could change.

use std::sync::Arc;

use cedar_policy_core::ast::{Context, EntityUIDEntry, Expr, Literal, Policy, Request, SlotEnv, Value, ValueKind};
use cedar_policy_core::entities::Entities;
use cedar_policy_core::evaluator::{EvaluationError, Evaluator};
use cedar_policy_core::extensions::Extensions;

use super::condition::{Reads, head, head_reads};
use super::denial::Outcome;
use super::facts::Facts;
use super::rule::Rule;
use super::slice::RuleIx;

/// Who asks for what, as Cedar's evaluator takes it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub principal: &'a EntityUIDEntry,
    pub action: &'a EntityUIDEntry,
    pub resource: &'a EntityUIDEntry,
    pub entities: &'a Entities,
}

impl<'a> Asked<'a> {
    pub fn evaluator(&self, context: Context) -> Evaluator<'a> {
        let (principal, action, resource) = (self.principal.clone(), self.action.clone(), self.resource.clone());
        let request = Request::new_unchecked(principal, action, resource, Some(context));
        Evaluator::new(request, self.entities, Extensions::all_available())
    }
}

/// The policies that spoke.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub permits: Vec<RuleIx>,
    pub forbids: Vec<RuleIx>,
}

impl Verdict {
    /// Puts them in the set's order. Cedar names them in none.
    pub fn sort(&mut self) {
        self.permits.sort_unstable();
        self.forbids.sort_unstable();
    }

    pub fn outcome(&self) -> Outcome {
        match (self.permits.is_empty(), self.forbids.is_empty()) {
            (_, false) => Outcome::Forbidden,
            (true, true) => Outcome::NotPermitted,
            (false, true) => Outcome::Permitted,
        }
    }
}

/// What is left of a slice.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// They apply, whatever the rest of the request says.
    permits: Box<[RuleIx]>,
    forbids: Box<[RuleIx]>,
    /// They may.
    open: Box<[Open]>,
    /// What the open ones look at.
    reads: Reads,
}

#[derive(Debug)]
struct Open {
    rule: RuleIx,
    permits: bool,
    condition: Arc<Expr>,
}

/// Whether one policy applies, as far as is known.
enum Settled {
    Applies,
    Not,
    If(Arc<Expr>, Reads),
}

impl Ready {
    /// Weighs the rules of a slice by what is `known` of all requests that will come to it: the others of `asked` are not
    /// looked at.
    pub fn settle(slice: &[RuleIx], rules: &[Rule], known: Reads, asked: &Asked<'_>) -> Self {
        let evaluator = asked.evaluator(Context::empty());
        let (mut permits, mut forbids, mut open, mut reads) = (Vec::new(), Vec::new(), Vec::new(), Reads::NOTHING);
        for ix in slice {
            let rule = &rules[*ix as usize];
            match settle(rule, known, &evaluator) {
                Settled::Applies if rule.permits() => permits.push(*ix),
                Settled::Applies => forbids.push(*ix),
                Settled::Not => {}
                Settled::If(condition, looks_at) => {
                    reads = reads | looks_at;
                    open.push(Open { rule: *ix, permits: rule.permits(), condition });
                }
            }
        }
        Self { permits: permits.into(), forbids: forbids.into(), open: open.into(), reads }
    }

    /// Adds the policies that apply to one request.
    pub fn weigh(&self, asked: &Asked<'_>, facts: &mut Facts<'_>, verdict: &mut Verdict) {
        verdict.permits.extend_from_slice(&self.permits);
        verdict.forbids.extend_from_slice(&self.forbids);
        if self.open.is_empty() {
            return;
        }
        let evaluator = asked.evaluator(facts.context(self.reads));
        let no_slots = SlotEnv::new();
        for open in &self.open {
            if applies(open.permits, truth(evaluator.interpret(&open.condition, &no_slots))) {
                let side = if open.permits { &mut verdict.permits } else { &mut verdict.forbids };
                side.push(open.rule);
            }
        }
    }
}

/// What an evaluation came to; nothing where it failed, or gave something else than a truth.
fn truth(value: Result<Value, EvaluationError>) -> Option<bool> {
    match value.ok()?.value {
        ValueKind::Lit(Literal::Bool(holds)) => Some(holds),
        _ => None,
    }
}

/// Cedar passes over a policy that fails to evaluate. For a permit that is the safe side; for a forbid it is not, so a forbid
/// that fails counts as one that applies.
fn applies(permits: bool, holds: Option<bool>) -> bool {
    holds.unwrap_or(!permits)
}

fn settle(rule: &Rule, known: Reads, evaluator: &Evaluator<'_>) -> Settled {
    let policy: &Policy = rule.policy.as_ref();
    let (in_head, in_body) = (head_reads(&rule.policy), rule.body.as_ref().map_or(Reads::NOTHING, |body| body.reads));
    let whole = || Settled::If(Arc::new(policy.condition()), in_head | in_body);
    if known.contains(in_head | in_body) {
        return match evaluator.evaluate(policy) {
            // For want of stack here and now: another thread may have it.
            Err(EvaluationError::RecursionLimit(_)) => whole(),
            holds => match applies(rule.permits(), holds.ok()) {
                true => Settled::Applies,
                false => Settled::Not,
            },
        };
    }
    if !known.contains(in_head) {
        return whole();
    }
    match (truth(evaluator.interpret(&head(&rule.policy), policy.env())), &rule.body) {
        (Some(false), _) => Settled::Not,
        (Some(true), Some(body)) => Settled::If(body.expr.clone(), in_body),
        _ => whole(),
    }
}
