//! One request bent into another: what its conditions compare, made to come out otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, PatternElem, UnaryOp};

use super::super::catalogue::IdentityKind;
use super::Question;
use super::weigh::path;
use crate::model::TaskId;
use crate::model::time::format_span;

/// More ways than this to bend one request are not tried.
pub(super) const MOST: usize = 64;

/// One thing about a request that may be different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bend {
    Ttl(u64),
    Task(String, Option<String>),
    Claim(String, String),
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
        ("context.ttl", Literal::Long(limit)) => {
            let near = match (op, is_turned, wanted) {
                (BinaryOp::Less, false, true) | (BinaryOp::LessEq, true, false) => vec![limit - 1],
                (BinaryOp::Less, true, true) | (BinaryOp::LessEq, false, false) => vec![limit + 1],
                (BinaryOp::Eq, _, false) => vec![limit - 1, limit + 1],
                _ => vec![*limit],
            };
            bends.extend(near.into_iter().filter_map(|secs| u64::try_from(secs).ok()).map(Bend::Ttl));
        }
        ("context.task", Literal::String(task)) if op == BinaryOp::Eq && wanted => {
            bends.push(Bend::Task(task.to_string(), None));
        }
        ("context.identity.type", Literal::String(kind)) if op == BinaryOp::Eq && wanted => {
            let kinds = [IdentityKind::PrivateKeyJwt, IdentityKind::Oidc];
            bends.extend(kinds.into_iter().find(|each| each.as_str() == kind.as_str()).map(Bend::Kind));
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

/// The question with all this different; nothing where it would be none.
pub(super) fn bent(question: &Question, bends: &[Bend]) -> Option<Question> {
    let mut then = question.clone();
    for bend in bends {
        match bend {
            Bend::Ttl(secs) => then.ttl = Some(Duration::from_secs(*secs)),
            Bend::Task(task, _) => then.task = TaskId::parse(task).ok()?,
            Bend::Claim(name, value) => {
                let mut claims: BTreeMap<String, String> = (*then.identity.claims).clone();
                claims.insert(name.clone(), value.clone());
                then.identity.claims = Arc::new(claims);
            }
            Bend::Kind(kind) => then.identity.kind = *kind,
        }
    }
    Some(then)
}

pub(super) fn told_bend(bend: &Bend, then: &Question) -> String {
    match bend {
        Bend::Ttl(_) => told_ttl(then),
        Bend::Task(task, Some(pattern)) => format!("name the task like `{pattern}`, as `{task}`"),
        Bend::Task(task, None) => format!("name the task `{task}`"),
        Bend::Claim(name, value) => format!("prove it with the claim {name} = `{value}`"),
        Bend::Kind(kind) => format!("prove it by {}", kind.as_str()),
    }
}

pub(super) fn told_ttl(question: &Question) -> String {
    let ttl = question.ttl.unwrap_or_default();
    format!("ask for a ttl of {} s ({})", ttl.as_secs(), format_span(ttl))
}
