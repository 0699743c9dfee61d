//! `permit-never`: a permit whose condition contradicts itself, its head, or what the set says of those it names.
//!
//! Sound, not complete: what is not understood counts as possible. A condition is followed case by case, and every case must
//! end in a contradiction before anything is said.

use std::collections::{HashMap, HashSet};

use cedar_policy::{PrincipalConstraint, ResourceConstraint};
use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, Pattern, PatternElem, UnaryOp, Var};

use super::finding::Findings;
use super::tree::Tree;
use super::ttl::audience_of;
use super::what;
use super::width::place;
use crate::policy::{IdentityKind, PolicySet, Proof, RuleView, Workload};

/// So many steps are followed in one condition; what is left then counts as possible.
const BUDGET: usize = 2000;

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
        let mut facts = Facts::of(permit, set, tree.now.secs());
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
        ExprKind::Like { expr, pattern } if path(expr).is_some() && is_any(pattern) => Truth::Always,
        ExprKind::BinaryApp { op: BinaryOp::Eq | BinaryOp::LessEq, arg1, arg2 }
            if path(arg1).is_some() && arg1 == arg2 =>
        {
            Truth::Always
        }
        _ => Truth::Depends,
    }
}

/// Whether every text fits.
fn is_any(pattern: &Pattern) -> bool {
    let elements = pattern.get_elems();
    !elements.is_empty() && elements.iter().all(|each| matches!(each, PatternElem::Wildcard))
}

/// `context.task`, `resource.audience.owner`: attributes from a variable on.
fn path(expr: &Expr) -> Option<String> {
    match expr.expr_kind() {
        ExprKind::Var(var) => Some(match var {
            Var::Principal => "principal".into(),
            Var::Action => "action".into(),
            Var::Resource => "resource".into(),
            Var::Context => "context".into(),
        }),
        ExprKind::GetAttr { expr, attr } => Some(format!("{}.{attr}", path(expr)?)),
        _ => None,
    }
}

fn text(expr: &Expr) -> Option<&str> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::String(text)) => Some(text),
        _ => None,
    }
}

fn number(expr: &Expr) -> Option<i64> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::Long(number)) => Some(*number),
        _ => None,
    }
}

/// What must hold of one attribute for a case to go on.
#[derive(Debug, Clone)]
enum Test {
    OneOf(Vec<String>),
    Not(String),
    Like(Pattern, bool),
    Between(i64, i64),
}

/// What is known in one case.
#[derive(Debug, Clone, Default)]
struct Facts {
    tests: HashMap<String, Vec<Test>>,
    /// The claims that a named workload's proofs can carry.
    claims: Option<HashSet<String>>,
}

impl Facts {
    /// What holds whenever the permit's head does.
    fn of(permit: &RuleView<'_>, set: &PolicySet, now: u64) -> Self {
        let mut facts = Self::default();
        facts.must("context.now", Test::Between(i64::try_from(now).unwrap_or(0), i64::MAX));
        let audience = audience_of(permit).and_then(|id| set.audience(&id));
        let longest =
            audience.and_then(|audience| audience.max_ttl).map_or(i64::MAX, |span| span.as_secs().cast_signed());
        facts.must("context.ttl", Test::Between(1, longest));
        if let Some(audience) = audience {
            facts.is("resource.audience.id", audience.id.as_str());
            facts.is("resource.audience.owner", audience.owner.as_deref().unwrap_or(""));
        }
        if let ResourceConstraint::Eq(uid) = permit.policy.resource_constraint()
            && let Some((_, name)) = uid.id().unescaped().split_once(' ')
        {
            facts.is("resource.name", name);
        }
        if let PrincipalConstraint::Eq(uid) = permit.policy.principal_constraint()
            && let Some(workload) = set.workload(uid.id().unescaped())
        {
            facts.of_workload(workload);
        }
        facts
    }

    fn of_workload(&mut self, workload: &Workload) {
        self.is("principal.id", workload.id.as_str());
        self.is("principal.owner", workload.owner.as_deref().unwrap_or(""));
        self.is("principal.purpose", workload.purpose.as_deref().unwrap_or(""));
        let mut claims = HashSet::new();
        let mut kinds = Vec::new();
        for identity in &workload.identities {
            kinds.push(identity.kind().as_str().to_owned());
            match &identity.proof {
                Proof::Oidc(oidc) => {
                    claims.extend(oidc.keep.iter().map(|name| name.to_string()));
                    claims.insert("iss".to_owned());
                }
                _ if identity.kind() == IdentityKind::PrivateKeyJwt => drop(claims.insert("kid".to_owned())),
                _ => return,
            }
        }
        if !kinds.is_empty() {
            self.must("context.identity.type", Test::OneOf(kinds));
            self.claims = Some(claims);
        }
    }

    fn is(&mut self, path: &str, value: &str) {
        self.must(path, Test::OneOf(vec![value.to_owned()]));
    }

    /// Adds a test, and says whether all of that attribute's can still hold together.
    fn must(&mut self, path: &str, test: Test) -> bool {
        let tests = self.tests.entry(path.to_owned()).or_default();
        tests.push(test);
        let (mut low, mut high) = (i64::MIN, i64::MAX);
        for test in tests.iter() {
            if let Test::Between(from, to) = test {
                (low, high) = (low.max(*from), high.min(*to));
            }
        }
        let options = tests.iter().find_map(|test| if let Test::OneOf(all) = test { Some(all) } else { None });
        let fits = |value: &String| tests.iter().all(|test| test.fits(value));
        low <= high && options.is_none_or(|options| options.iter().any(fits))
    }

    /// Whether there may be a request for which all of `wanted` come out as they say.
    fn can_hold(&mut self, wanted: &[(&Expr, bool)], budget: &mut usize) -> bool {
        let Some(((expr, holds), rest)) = wanted.split_last() else { return true };
        *budget = budget.saturating_sub(1);
        if *budget == 0 {
            return true;
        }
        match case(expr, *holds) {
            Case::Sure(flag) => flag && self.can_hold(rest, budget),
            Case::All(all) => self.can_hold(&[rest, &all].concat(), budget),
            Case::Any(cases) => cases.iter().any(|case| self.clone().can_hold(&[rest, case].concat(), budget)),
            Case::Test(path, test) => self.must(&path, test) && self.can_hold(rest, budget),
            Case::Claim(name) => {
                self.claims.as_ref().is_none_or(|claims| claims.contains(&name)) && self.can_hold(rest, budget)
            }
            Case::Unknown => self.can_hold(rest, budget),
        }
    }
}

impl Test {
    fn fits(&self, value: &String) -> bool {
        match self {
            Self::OneOf(all) => all.contains(value),
            Self::Not(other) => value != other,
            Self::Like(pattern, holds) => pattern.wildcard_match(value) == *holds,
            // Of a number; texts have none of these.
            Self::Between(..) => true,
        }
    }
}

/// What it means that an expression holds, or does not.
enum Case<'a> {
    Sure(bool),
    All(Vec<(&'a Expr, bool)>),
    Any(Vec<Vec<(&'a Expr, bool)>>),
    Test(String, Test),
    Claim(String),
    Unknown,
}

fn case(expr: &Expr, holds: bool) -> Case<'_> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::Bool(flag)) => Case::Sure(*flag == holds),
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => Case::All(vec![(arg, !holds)]),
        ExprKind::And { left, right } if holds => Case::All(vec![(left, true), (right, true)]),
        ExprKind::Or { left, right } if !holds => Case::All(vec![(left, false), (right, false)]),
        ExprKind::And { left, right } | ExprKind::Or { left, right } => {
            Case::Any(vec![vec![(left, holds)], vec![(right, holds)]])
        }
        ExprKind::If { test_expr, then_expr, else_expr } => {
            Case::Any(vec![vec![(test_expr, true), (then_expr, holds)], vec![(test_expr, false), (else_expr, holds)]])
        }
        ExprKind::HasAttr { expr, attr } if holds && path(expr).as_deref() == Some("context.identity.claims") => {
            Case::Claim(attr.to_string())
        }
        ExprKind::Like { expr, pattern } => match path(expr) {
            Some(path) => Case::Test(path, Test::Like(pattern.clone(), holds)),
            None => Case::Unknown,
        },
        ExprKind::BinaryApp { op, arg1, arg2 } => compared(*op, arg1, arg2, holds),
        _ => Case::Unknown,
    }
}

fn compared<'a>(op: BinaryOp, left: &'a Expr, right: &'a Expr, holds: bool) -> Case<'a> {
    match op {
        BinaryOp::Eq => match (path(left).or_else(|| path(right)), text(left).or_else(|| text(right))) {
            (Some(path), Some(value)) if holds => Case::Test(path, Test::OneOf(vec![value.to_owned()])),
            (Some(path), Some(value)) => Case::Test(path, Test::Not(value.to_owned())),
            (Some(path), None) if holds => match number(left).or_else(|| number(right)) {
                Some(number) => Case::Test(path, Test::Between(number, number)),
                None => Case::Unknown,
            },
            _ => Case::Unknown,
        },
        // `a < n`, and what is left of it where it does not hold.
        BinaryOp::Less | BinaryOp::LessEq => {
            let step = i64::from(op == BinaryOp::Less);
            match (path(left), number(right), number(left), path(right)) {
                (Some(path), Some(n), ..) if holds => Case::Test(path, Test::Between(i64::MIN, n.saturating_sub(step))),
                (Some(path), Some(n), ..) => Case::Test(path, Test::Between(n.saturating_add(1 - step), i64::MAX)),
                (_, _, Some(n), Some(path)) if holds => {
                    Case::Test(path, Test::Between(n.saturating_add(step), i64::MAX))
                }
                (_, _, Some(n), Some(path)) => Case::Test(path, Test::Between(i64::MIN, n.saturating_sub(1 - step))),
                _ => Case::Unknown,
            }
        }
        BinaryOp::Contains => match (left.expr_kind(), path(right)) {
            (ExprKind::Set(all), Some(path)) if holds => match all.iter().map(text).collect::<Option<Vec<_>>>() {
                Some(all) => Case::Test(path, Test::OneOf(all.into_iter().map(str::to_owned).collect())),
                None => Case::Unknown,
            },
            _ => Case::Unknown,
        },
        _ => Case::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cedar_policy::Policy;
    use cedar_policy_core::ast;

    fn possible(condition: &str) -> bool {
        let policy =
            Policy::parse(None, format!("permit(principal, action, resource) when {{ {condition} }};")).unwrap();
        let policy: &ast::Policy = policy.as_ref();
        let mut facts = Facts::default();
        facts.must("context.ttl", Test::Between(1, 600));
        facts.is("principal.owner", "team-a");
        facts.claims = Some(HashSet::from(["kid".to_owned()]));
        facts.can_hold(&[(policy.non_scope_constraints().unwrap(), true)], &mut 2000)
    }

    #[test]
    fn contradictions_are_found() {
        for condition in [
            "false",
            "context.task == \"a\" && context.task == \"b\"",
            "context.task == \"a\" && context.task like \"b*\"",
            "context.task == \"ab\" && !(context.task like \"a*\")",
            "context.task == \"a\" && context.task != \"a\"",
            "context.ttl > 600",
            "context.ttl >= 601",
            "context.ttl < 1",
            "600 < context.ttl",
            "!(context.ttl <= 600)",
            "context.ttl == 0",
            "principal.owner == \"team-b\"",
            "(principal.owner == \"team-b\" || principal.owner == \"team-c\") && context.ttl > 1",
            "[\"x\", \"y\"].contains(context.task) && context.task like \"z*\"",
            "if context.ttl > 5 then principal.owner == \"b\" else false",
            "context.identity.claims has actor && context.identity.claims.actor == \"x\"",
        ] {
            assert!(!possible(condition), "{condition}");
        }
    }

    #[test]
    fn what_may_hold_is_left_alone() {
        for condition in [
            "true",
            "context.task == \"a\" || context.task == \"b\"",
            "context.task like \"a*\" && context.task like \"*b\"",
            "context.ttl <= 600 && context.ttl >= 600",
            "context.ttl > 599",
            "600 <= context.ttl",
            "principal.owner == \"team-a\"",
            "principal.owner == resource.audience.owner",
            "!(context.task == \"a\" && context.task == \"b\")",
            "context.identity.claims has kid",
            "!(context.identity.claims has actor)",
            "context.ttl + 1 > 601",
            "[\"x\", \"y\"].contains(context.task) && context.task like \"y*\"",
        ] {
            assert!(possible(condition), "{condition}");
        }
    }
}
