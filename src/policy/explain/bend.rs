//! One request bent into another: what its conditions compare, made to come out otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, PatternElem, UnaryOp};

use super::super::ask::IdentityUsed;
use super::super::catalogue::IdentityKind;
use super::super::set::PolicySet;
use super::Question;
use super::weigh::path;
use crate::model::time::format_span;
use crate::model::{TaskId, UnixTime};

/// More ways than this to bend one request are not tried.
pub(super) const MOST: usize = 64;

/// One thing about a request that may be different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bend {
    Ttl(u64),
    Task(String, Option<String>),
    Claim(String, String),
    /// This claim, whatever it says.
    HasClaim(String),
    /// Another moment, Unix seconds; a later one always.
    Now(u64),
    Kind(IdentityKind),
}

/// One way for each need, in every combination. A need without a way leaves none.
pub(super) fn combined(ways: &[Vec<Bend>]) -> Vec<Vec<Bend>> {
    let mut all: Vec<Vec<Bend>> = vec![Vec::new()];
    for bends in ways {
        let with = |before: &[Bend], bend: &Bend| match before.contains(bend) {
            true => before.to_vec(),
            false => [before, std::slice::from_ref(bend)].concat(),
        };
        let longer = all.iter().flat_map(|before| bends.iter().map(|bend| with(before, bend)));
        all = longer.take(MOST).collect();
    }
    all
}

/// What would make `expr` come out as `wanted`, as far as it compares one thing of the request with something written.
pub(super) fn gather(expr: &Expr, wanted: bool, bends: &mut Vec<Bend>) {
    match expr.expr_kind() {
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => gather(arg, !wanted, bends),
        ExprKind::And { left, right } | ExprKind::Or { left, right } => {
            gather(left, wanted, bends);
            gather(right, wanted, bends);
        }
        ExprKind::Like { expr, pattern } if wanted => {
            let written: String = pattern
                .iter()
                .map(|part| match part {
                    PatternElem::Char(c) => *c,
                    PatternElem::Wildcard => '*',
                })
                .collect();
            let example = |word: &str| {
                pattern.iter().fold(String::new(), |text, part| match part {
                    PatternElem::Char(c) => format!("{text}{c}"),
                    PatternElem::Wildcard => text + word,
                })
            };
            match path(expr).as_deref() {
                Some("context.task") => bends.push(Bend::Task(example("1"), Some(written))),
                Some(other) => bends.extend(claim(other).map(|name| Bend::Claim(name, example("x")))),
                None => {}
            }
        }
        ExprKind::HasAttr { expr, attr } if wanted && path(expr).as_deref() == Some("context.identity.claims") => {
            bends.push(Bend::HasClaim(attr.to_string()));
        }
        ExprKind::BinaryApp { op, arg1, arg2 } => compared(*op, arg1, arg2, wanted, bends),
        _ => {}
    }
}

fn compared(op: BinaryOp, left: &Expr, right: &Expr, wanted: bool, bends: &mut Vec<Bend>) {
    let (Some(name), ExprKind::Lit(written), is_turned) = (match (path(left), path(right)) {
        (Some(name), _) => (Some(name), right.expr_kind(), false),
        (_, name) => (name, left.expr_kind(), true),
    }) else {
        return;
    };
    match (name.as_str(), written) {
        ("context.ttl" | "context.now", Literal::Long(limit)) => {
            let near = match (op, is_turned, wanted) {
                (BinaryOp::Less, false, true) | (BinaryOp::LessEq, true, false) => vec![limit.saturating_sub(1)],
                (BinaryOp::Less, true, true) | (BinaryOp::LessEq, false, false) => vec![limit.saturating_add(1)],
                (BinaryOp::Eq, _, false) => vec![limit.saturating_sub(1), limit.saturating_add(1)],
                _ => vec![*limit],
            };
            let make = if name == "context.ttl" { Bend::Ttl } else { Bend::Now };
            bends.extend(near.into_iter().filter_map(|secs| u64::try_from(secs).ok()).map(make));
        }
        ("context.task", Literal::String(task)) if op == BinaryOp::Eq && wanted => {
            bends.push(Bend::Task(task.to_string(), None));
        }
        ("context.identity.type", Literal::String(kind)) if op == BinaryOp::Eq && wanted => {
            bends.extend(IdentityKind::ALL.into_iter().find(|each| each.as_str() == kind.as_str()).map(Bend::Kind));
        }
        (other, Literal::String(value)) if op == BinaryOp::Eq && wanted => {
            bends.extend(claim(other).map(|name| Bend::Claim(name, value.to_string())));
        }
        _ => {}
    }
}

fn claim(path: &str) -> Option<String> {
    path.strip_prefix("context.identity.claims.").map(str::to_owned)
}

/// The question with all this different; nothing where it would be none, or where the workload could not prove itself so.
pub(super) fn bent(set: &PolicySet, question: &Question, bends: &[Bend]) -> Option<Question> {
    let mut then = question.clone();
    let mut claims: BTreeMap<String, String> = (*then.identity.claims).clone();
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    for bend in bends {
        match bend {
            Bend::Ttl(secs) => then.ttl = Some(Duration::from_secs(*secs)),
            Bend::Task(task, _) => then.task = TaskId::parse(task).ok()?,
            Bend::Now(secs) if *secs > question.now.secs() => then.now = UnixTime::from_secs(*secs),
            Bend::Now(_) => return None,
            Bend::Claim(name, value) => drop(shown.insert(name.clone(), value.clone())),
            Bend::HasClaim(name) => drop(shown.entry(name.clone()).or_insert_with(|| "x".into())),
            Bend::Kind(kind) => then.identity.kind = *kind,
        }
    }
    if shown.is_empty() && then.identity.kind == question.identity.kind {
        return Some(then);
    }
    claims.extend(shown.clone());
    then.identity.claims = Arc::new(claims);
    if then.identity.kind == question.identity.kind && set.can_prove(&then) {
        return Some(then);
    }
    // Another of its identities may show that.
    let wants = |used: &IdentityUsed| {
        let is_asked = bends.iter().any(|bend| matches!(bend, Bend::Kind(_)));
        !is_asked || used.kind == then.identity.kind
    };
    let others = set.ways_to_prove(&question.workload).into_iter().filter(wants);
    let mut others = others.map(|used| {
        let claims: BTreeMap<_, _> = (*used.claims).clone().into_iter().chain(shown.clone()).collect();
        Question { identity: IdentityUsed { claims: Arc::new(claims), ..used }, ..then.clone() }
    });
    others.find(|other| set.can_prove(other))
}

/// What to do, for each of them; `forbids`: what is in the way until a later moment.
pub(super) fn told_bends(bends: &[Bend], question: &Question, then: &Question, forbids: &[String]) -> Vec<String> {
    let mut told = Vec::new();
    let is_kind_told = bends.iter().any(|bend| matches!(bend, Bend::Kind(_)));
    if then.identity.kind != question.identity.kind && !is_kind_told {
        told.push(format!("prove it by {}", then.identity.kind.as_str()));
    }
    for bend in bends {
        told.push(match bend {
            Bend::Ttl(_) => told_ttl(then),
            Bend::Task(_, Some(pattern)) if question.open_task.is_some() => {
                format!("have the platform name a task like `{pattern}`")
            }
            Bend::Task(task, Some(pattern)) => format!("name the task like `{pattern}`, as `{task}`"),
            Bend::Task(task, None) => format!("name the task `{task}`"),
            Bend::Claim(name, value) => format!("prove it with the claim {name} = `{value}`"),
            Bend::HasClaim(name) => {
                if bends.iter().any(|other| matches!(other, Bend::Claim(claim, _) if claim == name)) {
                    continue;
                }
                format!("prove it with a claim {name}")
            }
            Bend::Now(_) => told_now(then, forbids),
            Bend::Kind(kind) => format!("prove it by {}", kind.as_str()),
        });
    }
    told
}

/// From when on, and what is in the way until then.
pub(super) fn told_now(then: &Question, forbids: &[String]) -> String {
    let at = then.now.rfc3339();
    match forbids {
        [] => format!("ask at {at} or later"),
        [one] => format!("ask at {at} or later: until then policy {one} forbids it"),
        more => format!("ask at {at} or later: until then policies {} forbid it", more.join(", ")),
    }
}

pub(super) fn told_ttl(question: &Question) -> String {
    let ttl = question.ttl.unwrap_or_default();
    format!("ask for a ttl of {} s ({})", ttl.as_secs(), format_span(ttl))
}
