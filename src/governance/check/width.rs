//! `principal-any`, `resource-any`, `resource-audience`, `condition-missing`, `condition-vacuous`: how much one permit gives.

use std::ops::Range;

use cedar_policy::{PrincipalConstraint, ResourceConstraint};
use cedar_policy_core::ast::{Expr, ExprKind, Var};

use super::finding::Findings;
use super::never::is_always;
use super::tree::Tree;
use super::what;
use crate::policy::RuleView;

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    for permit in tree.rules.iter().filter(|rule| rule.permits) {
        head(permit, findings);
        body(permit, findings);
    }
}

fn head(permit: &RuleView<'_>, findings: &mut Findings) {
    let id = permit.id;
    let of_any = matches!(permit.policy.principal_constraint(), PrincipalConstraint::Any | PrincipalConstraint::Is(_));
    if of_any && !speaks_of(permit.body, Var::Principal) {
        let told = format!("permit `{id}` speaks of every workload, those that are added later too");
        let mend = "write principal == Jitney::Workload::\"…\"; one policy a workload also is the quickest to weigh";
        findings.at(what::principal_any(), (permit.file, place(permit, "principal")), id, (told, mend.into()));
    }
    let at = || (permit.file, place(permit, "resource"));
    match permit.policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) if !speaks_of(permit.body, Var::Resource) => {
            let told = format!("permit `{id}` speaks of every scope of every audience, those that are added later too");
            let mend = "write resource == Jitney::Scope::\"AUDIENCE SCOPE\" for each scope that is needed".to_owned();
            findings.at(what::resource_any(), at(), id, (told, mend));
        }
        ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid)
            if uid.type_name().basename() == "Audience" && !speaks_of(permit.body, Var::Resource) =>
        {
            let told = format!("permit `{id}` speaks of every scope of {}", uid.id().unescaped());
            let mend = "name the scopes that are needed: what the audience declares later is permitted too".to_owned();
            findings.at(what::resource_audience(), at(), id, (told, mend));
        }
        _ => {}
    }
}

fn body(permit: &RuleView<'_>, findings: &mut Findings) {
    let id = permit.id;
    match permit.body {
        None => {
            let told = format!("permit `{id}` has no condition: a token may be asked for any task");
            let mend = "say which tasks it is for: when { context.task like \"nightly-*\" }".to_owned();
            findings.at(what::condition_missing(), (permit.file, place(permit, "permit")), id, (told, mend));
        }
        Some(body) if is_always(body) => {
            let told = format!("the condition of permit `{id}` is always true");
            let mend = "say which tasks it is for, or leave the condition out: it only looks like a limit".to_owned();
            let at = [place(permit, "when"), place(permit, "unless")].into_iter().find(|at| *at != permit.span);
            findings.at(what::condition_vacuous(), (permit.file, at.unwrap_or(permit.span.clone())), id, (told, mend));
        }
        Some(_) => {}
    }
}

/// Whether a condition looks at the principal, or at the resource, in a part that can come out false.
fn speaks_of(body: Option<&Expr>, var: Var) -> bool {
    let is_it = |each: &Expr| matches!(each.expr_kind(), ExprKind::Var(v) if *v == var);
    match body.map(|body| (body, body.expr_kind())) {
        None => false,
        Some((_, ExprKind::And { left, right })) => speaks_of(Some(left), var) || speaks_of(Some(right), var),
        Some((body, _)) => body.subexpressions().any(is_it) && !is_always(body),
    }
}

/// Where the policy has this word of its own, outside texts and comments; the whole policy where it has not.
pub(super) fn place(rule: &RuleView<'_>, word: &str) -> Range<usize> {
    let text = rule.file.text.get(rule.span.clone()).unwrap_or_default();
    let bytes = text.as_bytes();
    let (mut at, mut in_text) = (0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_text => at += 1,
            b'"' => in_text = !in_text,
            b'/' if !in_text && bytes.get(at + 1) == Some(&b'/') => {
                at += text[at..].find('\n').unwrap_or(bytes.len() - at);
            }
            _ if !in_text && text.is_char_boundary(at) && text[at..].starts_with(word) => {
                return rule.span.start + at..rule.span.start + at + word.len();
            }
            _ => {}
        }
        at += 1;
    }
    rule.span.clone()
}
