//! One policy held against one request, part by part, with the words of its file and the values of the request.

use std::collections::BTreeMap;

use cedar_policy::Policy;
use cedar_policy_core::ast::{self, Expr, ExprKind, Literal, SlotEnv, UnaryOp, Value, ValueKind, Var};
use cedar_policy_core::evaluator::Evaluator;

use super::super::condition::head;
use super::super::rule::Rule;
use super::Part;
use crate::model::UnixTime;

/// A part of a condition, and whether it must hold or must not.
pub(super) struct Conjunct<'a> {
    pub(super) expr: &'a Expr,
    pub(super) must_hold: bool,
    /// What is shown: the whole of what is negated, where it is.
    shown: &'a Expr,
}

/// Whether the policy applies, and its condition's parts; nothing where its head is of somebody or something else.
pub(super) fn weigh(rule: &Rule, evaluator: &Evaluator<'_>) -> Option<(bool, Vec<Part>)> {
    if truth(evaluator, &head(&rule.policy)) != Some(true) {
        return None;
    }
    let Some(body) = &rule.body else { return Some((true, Vec::new())) };
    // A forbid that cannot be evaluated applies, a permit does not.
    let applies = truth(evaluator, &body.expr).unwrap_or(!rule.permits());
    Some((applies, with_condition(rule, |text, expr| parts(text, expr, evaluator)).unwrap_or_default()))
}

/// The policy's condition as it stands in the file, and the file's text of it. What is weighed at load has no places.
pub(super) fn with_condition<T>(rule: &Rule, then: impl FnOnce(&str, &Expr) -> T) -> Option<T> {
    let text = rule.file.text.get(rule.span.clone())?;
    let policy = Policy::parse(None, text).ok()?;
    let policy: &ast::Policy = policy.as_ref();
    policy.non_scope_constraints().map(|expr| then(text, expr))
}

fn parts(text: &str, expr: &Expr, evaluator: &Evaluator<'_>) -> Vec<Part> {
    let part = |conjunct: Conjunct<'_>| Part {
        text: words(text, &conjunct),
        holds: truth(evaluator, conjunct.expr).map(|holds| holds == conjunct.must_hold),
        is_open: false,
        values: values(conjunct.expr, evaluator),
    };
    conjuncts(expr).into_iter().map(part).collect()
}

/// What stands between `&&`, and what an `unless` or a `!` says of parts between `||`.
pub(super) fn conjuncts(expr: &Expr) -> Vec<Conjunct<'_>> {
    fn split<'a>(expr: &'a Expr, must_hold: bool, shown: &'a Expr, all: &mut Vec<Conjunct<'a>>) {
        match expr.expr_kind() {
            ExprKind::And { left, right } if must_hold => {
                split(left, true, left, all);
                split(right, true, right, all);
            }
            ExprKind::Or { left, right } if !must_hold => {
                split(left, false, left, all);
                split(right, false, right, all);
            }
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => split(arg, !must_hold, shown, all),
            // Clauses are joined by a `true` that nobody wrote.
            ExprKind::Lit(Literal::Bool(holds)) if *holds == must_hold && expr.source_loc().is_none() => {}
            _ => all.push(Conjunct { expr, must_hold, shown }),
        }
    }
    let mut all = Vec::new();
    split(expr, true, expr, &mut all);
    all
}

/// As the file says it.
fn words(text: &str, conjunct: &Conjunct<'_>) -> String {
    let at = |expr: &Expr| expr.source_loc().and_then(|loc| text.get(loc.start()..loc.end()).map(str::to_owned));
    let is_whole = std::ptr::eq(conjunct.expr, conjunct.shown);
    let words = match (is_whole, conjunct.must_hold) {
        (true, true) => at(conjunct.expr).unwrap_or_else(|| conjunct.expr.to_string()),
        (false, true) => at(conjunct.shown).unwrap_or_else(|| conjunct.expr.to_string()),
        // `a > b` is `!(a <= b)` to Cedar, with a place of its own that has the words.
        (false, false) => at(conjunct.shown)
            .filter(|words| !words.trim_start().starts_with("unless"))
            .unwrap_or_else(|| negated(&at(conjunct.expr).unwrap_or_else(|| conjunct.expr.to_string()))),
        (true, false) => negated(&at(conjunct.expr).unwrap_or_else(|| conjunct.expr.to_string())),
    };
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn negated(words: &str) -> String {
    format!("!({words})")
}

pub(super) fn truth(evaluator: &Evaluator<'_>, expr: &Expr) -> Option<bool> {
    match evaluator.interpret(expr, &SlotEnv::new()).ok()?.value {
        ValueKind::Lit(Literal::Bool(holds)) => Some(holds),
        _ => None,
    }
}

/// What an expression looks at, with what it is.
fn values(expr: &Expr, evaluator: &Evaluator<'_>) -> Vec<(String, String)> {
    let mut found = BTreeMap::new();
    for each in expr.subexpressions() {
        let Some(path) = path(each) else { continue };
        // Of `a.b.c`, the longest alone: what it begins with says nothing more.
        let value = match evaluator.interpret(each, &SlotEnv::new()) {
            Ok(value) => told(&path, &value),
            Err(_) => Some("absent".to_owned()),
        };
        if let Some(value) = value {
            found.insert(path, value);
        }
    }
    found.into_iter().collect()
}

/// `context.ttl`: attributes of one of the request's parts.
pub(super) fn path(expr: &Expr) -> Option<String> {
    match expr.expr_kind() {
        ExprKind::GetAttr { expr, attr } => Some(match expr.expr_kind() {
            ExprKind::Var(Var::Principal) => format!("principal.{attr}"),
            ExprKind::Var(Var::Resource) => format!("resource.{attr}"),
            ExprKind::Var(Var::Context) => format!("context.{attr}"),
            _ => format!("{}.{attr}", path(expr)?),
        }),
        _ => None,
    }
}

/// A value that a person can compare; nothing for a record or an entity, which one looks into.
fn told(path: &str, value: &Value) -> Option<String> {
    match &value.value {
        ValueKind::Lit(Literal::Long(secs)) if path == "context.now" => {
            let at = u64::try_from(*secs).map(UnixTime::from_secs).map(UnixTime::rfc3339);
            Some(at.map_or_else(|_| secs.to_string(), |at| format!("{secs} ({at})")))
        }
        ValueKind::Lit(Literal::EntityUID(_)) | ValueKind::Record(_) => None,
        _ => Some(value.to_string()),
    }
}
