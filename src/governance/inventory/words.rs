//! A Cedar condition in plain words, for people who read no Cedar.
//!
//! What has no words here is told in Cedar's own text, in backticks: never a sentence that says more, or less, than the
//! condition does.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, UnaryOp, Var};

use crate::model::UnixTime;

/// A condition's parts, all of which must hold, each in words.
pub(super) fn conditions(expr: &Expr) -> Vec<String> {
    let mut parts = Vec::new();
    split(expr, &mut parts);
    parts.into_iter().map(|part| told(part, false)).collect()
}

/// When a forbid with this condition does not apply, in words.
pub(super) fn not_where(expr: &Expr) -> String {
    match expr.expr_kind() {
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => format!("only where {}", told(arg, false)),
        _ => format!("not where {}", told(expr, false)),
    }
}

fn split<'a>(expr: &'a Expr, into: &mut Vec<&'a Expr>) {
    match expr.expr_kind() {
        ExprKind::And { left, right } => {
            split(left, into);
            split(right, into);
        }
        // A policy without a body of its own is `true` and something.
        ExprKind::Lit(Literal::Bool(true)) => {}
        _ => into.push(expr),
    }
}

/// In words, or in Cedar's. `within`: a part of a larger sentence.
fn told(expr: &Expr, within: bool) -> String {
    words(expr, within).unwrap_or_else(|| format!("`{expr}`"))
}

fn words(expr: &Expr, within: bool) -> Option<String> {
    Some(match expr.expr_kind() {
        ExprKind::And { left, right } => joined("and", left, right, within),
        ExprKind::Or { left, right } => joined("or", left, right, within),
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => match arg.expr_kind() {
            ExprKind::BinaryApp { op, arg1, arg2 } => compared(*op, arg1, arg2, false)?,
            ExprKind::Like { expr, pattern } => format!("{} is not like `{pattern}`", subject(expr)?),
            ExprKind::HasAttr { expr, attr } => carries(expr, attr, false)?,
            _ => format!("not ({})", words(arg, false)?),
        },
        ExprKind::BinaryApp { op, arg1, arg2 } => compared(*op, arg1, arg2, true)?,
        ExprKind::Like { expr, pattern } => format!("{} is like `{pattern}`", subject(expr)?),
        ExprKind::HasAttr { expr, attr } => carries(expr, attr, true)?,
        ExprKind::Lit(Literal::Bool(true)) => "always".into(),
        ExprKind::Lit(Literal::Bool(false)) => "never".into(),
        _ => return None,
    })
}

fn joined(word: &str, left: &Expr, right: &Expr, within: bool) -> String {
    let sentence = format!("{} {word} {}", told(left, true), told(right, true));
    if within { format!("({sentence})") } else { sentence }
}

/// `a > b` is `not (a <= b)` to Cedar, and so on.
fn compared(op: BinaryOp, left: &Expr, right: &Expr, holds: bool) -> Option<String> {
    let is_now = |expr: &Expr| path(expr).as_deref() == Some("context.now");
    if let Some(at) = number(right).filter(|_| is_now(left)) {
        return moment(op, at, holds);
    }
    let verb = match (op, holds) {
        (BinaryOp::Eq, true) => "is",
        (BinaryOp::Eq, false) => "is not",
        (BinaryOp::Less, true) => "is less than",
        (BinaryOp::Less, false) => "is at least",
        (BinaryOp::LessEq, true) => "is at most",
        (BinaryOp::LessEq, false) => "is more than",
        _ => return None,
    };
    let unit = match path(left).as_deref() == Some("context.ttl") && number(right).is_some() {
        true => " s",
        false => "",
    };
    Some(format!("{} {verb} {}{unit}", subject(left)?, value(right)?))
}

fn moment(op: BinaryOp, at: i64, holds: bool) -> Option<String> {
    let at = UnixTime::from_secs(u64::try_from(at).ok()?).rfc3339();
    Some(match (op, holds) {
        (BinaryOp::Less, true) => format!("it is before {at}"),
        (BinaryOp::Less, false) => format!("it is {at} or later"),
        (BinaryOp::LessEq, true) => format!("it is {at} or before"),
        (BinaryOp::LessEq, false) => format!("it is after {at}"),
        (BinaryOp::Eq, true) => format!("it is {at}"),
        (BinaryOp::Eq, false) => format!("it is not {at}"),
        _ => return None,
    })
}

fn carries(expr: &Expr, attr: &str, holds: bool) -> Option<String> {
    let verb = if holds { "carries" } else { "does not carry" };
    (path(expr)? == "context.identity.claims").then(|| format!("the proof {verb} the claim `{attr}`"))
}

/// What a sentence speaks of.
fn subject(expr: &Expr) -> Option<String> {
    let path = path(expr)?;
    Some(match path.as_str() {
        "context.task" => "the task".into(),
        "context.ttl" => "the token's life".into(),
        "context.identity.type" => "the kind of proof".into(),
        "principal" => "the workload".into(),
        "principal.owner" => "the workload's owner".into(),
        "resource" => "the scope".into(),
        "resource.audience.owner" => "the audience's owner".into(),
        "resource.audience.id" => "the audience".into(),
        path => format!("the claim `{}`", path.strip_prefix("context.identity.claims.")?),
    })
}

fn value(expr: &Expr) -> Option<String> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::String(text)) => Some(format!("`{}`", text.escape_debug())),
        ExprKind::Lit(Literal::Long(number)) => Some(number.to_string()),
        ExprKind::Lit(Literal::EntityUID(uid)) => Some(format!("`{}`", uid.eid().escaped())),
        _ => subject(expr),
    }
}

fn number(expr: &Expr) -> Option<i64> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::Long(number)) => Some(*number),
        _ => None,
    }
}

/// `context.task`, `resource.audience.owner`: attributes from a variable on.
fn path(expr: &Expr) -> Option<String> {
    match expr.expr_kind() {
        ExprKind::Var(Var::Principal) => Some("principal".into()),
        ExprKind::Var(Var::Resource) => Some("resource".into()),
        ExprKind::Var(Var::Context) => Some("context".into()),
        ExprKind::GetAttr { expr, attr } => Some(format!("{}.{attr}", path(expr)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(condition: &str) -> Vec<String> {
        conditions(&condition.parse().unwrap())
    }

    #[test]
    fn each_part_of_a_condition_is_told_in_words() {
        for (cedar, words) in [
            (r#"context.task like "batch-*""#, "the task is like `batch-*`"),
            (r#"!(context.task like "batch-*")"#, "the task is not like `batch-*`"),
            (r#"context.task == "t""#, "the task is `t`"),
            ("context.ttl < 60", "the token's life is less than 60 s"),
            ("context.ttl <= 60", "the token's life is at most 60 s"),
            ("context.ttl > 60", "the token's life is more than 60 s"),
            ("context.now >= 1803859200", "it is 2027-03-01T00:00:00Z or later"),
            ("context.now < 1804118400", "it is before 2027-03-04T00:00:00Z"),
            ("principal.owner == resource.audience.owner", "the workload's owner is the audience's owner"),
            ("principal.owner != resource.audience.owner", "the workload's owner is not the audience's owner"),
            ("context.identity.claims has repository", "the proof carries the claim `repository`"),
            (r#"context.identity.claims.repository == "a/b""#, "the claim `repository` is `a/b`"),
            (r#"context.identity.type == "oidc""#, "the kind of proof is `oidc`"),
            (
                r#"context.ttl < 60 || (context.task == "a" && context.task != "b")"#,
                "the token's life is less than 60 s or (the task is `a` and the task is not `b`)",
            ),
        ] {
            assert_eq!(told(cedar), [words], "{cedar}");
        }
        assert_eq!(told(r#"context.ttl < 60 && context.task == "t""#).len(), 2, "parts stand by themselves");
        assert!(told("true").is_empty());
    }

    #[test]
    fn what_has_no_words_stands_in_cedar_s() {
        for cedar in [
            r#"["a", "b"].contains(context.task)"#,
            r#"if context.ttl < 5 then true else false"#,
            r#"principal in Jitney::Workload::"w""#,
            "context.now - 5 < 7",
            "context.identity.claims == {}",
        ] {
            let told = told(cedar).concat();
            assert!(told.starts_with('`') && told.ends_with('`'), "{cedar}: {told}");
        }
    }

    #[test]
    fn a_forbid_is_told_by_where_it_leaves_room() {
        let expr = |text: &str| text.parse::<Expr>().unwrap();
        assert_eq!(not_where(&expr("!(context.ttl < 60)")), "only where the token's life is less than 60 s");
        assert_eq!(
            not_where(&expr("context.now >= 0 && context.now < 5")),
            "not where it is 1970-01-01T00:00:00Z or later and it is before 1970-01-01T00:00:05Z"
        );
    }
}
