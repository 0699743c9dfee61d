//! `permit-never`: a permit whose condition contradicts itself, its head, or what the set says of those it names.
//!
//! Sound, not complete: what is not understood counts as possible. A condition is followed case by case, and every case must
//! end in a contradiction before anything is said.

use cedar_policy::{PrincipalConstraint, ResourceConstraint};
use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, UnaryOp};

use super::finding::Findings;
use super::tree::Tree;
use super::ttl::audience_of;
use super::what;
use super::width::place;
use crate::governance::logic::facts::{BUDGET, Facts, Test, path, takes_any};
use crate::policy::{PolicySet, RuleView};

/// What is sure of an expression, whatever is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Always,
    Never,
    Depends,
}

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    let Some(set) = tree.set else { return };
    for permit in tree.rules.iter().filter(|rule| rule.permits) {
        let Some(body) = permit.body else { continue };
        let mut facts = facts_of(permit, set, tree.now.secs());
        let mut budget = BUDGET;
        if facts.can_hold(&[(body, true)], &mut budget) {
            continue;
        }
        let told = format!("permit `{}` can never apply: its condition cannot hold for what its head names", permit.id);
        let mend = "correct the condition, or delete the policy".to_owned();
        let at = [place(permit, "when"), place(permit, "unless")].into_iter().find(|at| *at != permit.span);
        findings.at(what::permit_never(), (permit.file, at.unwrap_or(permit.span.clone())), permit.id, (told, mend));
    }
}

/// What an expression comes to by itself.
pub(super) fn truth(expr: &Expr) -> Truth {
    let of = |flag| if flag { Truth::Always } else { Truth::Never };
    match expr.expr_kind() {
        ExprKind::Lit(Literal::Bool(flag)) => of(*flag),
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => match truth(arg) {
            Truth::Always => Truth::Never,
            Truth::Never => Truth::Always,
            Truth::Depends => Truth::Depends,
        },
        ExprKind::And { left, right } => match (truth(left), truth(right)) {
            (Truth::Never, _) | (Truth::Always, Truth::Never) => Truth::Never,
            (Truth::Always, Truth::Always) => Truth::Always,
            _ => Truth::Depends,
        },
        ExprKind::Or { left, right } => match (truth(left), truth(right)) {
            (Truth::Always, _) | (Truth::Never, Truth::Always) => Truth::Always,
            (Truth::Never, Truth::Never) => Truth::Never,
            _ => Truth::Depends,
        },
        ExprKind::Like { expr, pattern } if path(expr).is_some() && takes_any(pattern) => Truth::Always,
        ExprKind::BinaryApp { op: BinaryOp::Eq | BinaryOp::LessEq, arg1, arg2 }
            if path(arg1).is_some() && arg1 == arg2 =>
        {
            Truth::Always
        }
        _ => Truth::Depends,
    }
}

/// Whether it limits nothing: no request there can be, of anybody for anything, makes it come out false.
pub(super) fn is_always(expr: &Expr) -> bool {
    truth(expr) == Truth::Always || !Facts::of_any_request().can_hold(&[(expr, false)], &mut BUDGET.clone())
}

/// What holds whenever the permit's head does.
fn facts_of(permit: &RuleView<'_>, set: &PolicySet, now: u64) -> Facts {
    let mut facts = Facts::default();
    facts.must("context.now", Test::Between(i64::try_from(now).unwrap_or(0), i64::MAX));
    let audience = audience_of(permit).and_then(|id| set.audience(&id));
    let longest = audience.and_then(|audience| audience.max_ttl).map_or(i64::MAX, |span| span.as_secs().cast_signed());
    facts.must("context.ttl", Test::Between(1, longest));
    if let Some(audience) = audience {
        facts.know_audience(audience);
    }
    if let ResourceConstraint::Eq(uid) = permit.policy.resource_constraint()
        && let Some((_, name)) = uid.id().unescaped().split_once(' ')
    {
        facts.is("resource.name", name);
    }
    if let PrincipalConstraint::Eq(uid) = permit.policy.principal_constraint()
        && let Some(workload) = set.workload(uid.id().unescaped())
    {
        facts.know_workload(workload);
    }
    facts
}
