//! Whether what HEAD allows is allowed by BASE too, told by the form of the conditions.
//!
//! Conditions are those of one workload and one scope, what is known of both put in. A proof here holds for every request that
//! the schema allows. No answer is no proof of the opposite.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, UnaryOp};

use super::facts::{BUDGET, Facts};

/// What one side allows: what some permit allows, no forbid takes away, and no shorter permit cuts.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// One of them must hold.
    pub permits: Vec<Expr>,
    /// None of them may hold, or fail: a forbid that fails counts as one that applies.
    pub forbids: Vec<Expr>,
    /// None of them may hold: permits that would oblige to less than what is asked about. One that fails obliges nobody.
    pub cuts: Vec<Expr>,
}

/// "Whatever `head` allows, `base` allows."
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// The side that must not allow more.
    pub head: Side,
    /// The side it is held against.
    pub base: Side,
}

impl Question {
    /// Whether it is so, by the form of the conditions alone.
    pub fn is_plain(&self) -> bool {
        self.head.permits.iter().all(|permit| Case::of(permit, &self.head).is_within(&self.base))
    }
}

/// A request that one permit of HEAD allows: what must hold of it.
struct Case<'a> {
    wanted: Vec<(&'a Expr, bool)>,
    head: &'a Side,
}

impl<'a> Case<'a> {
    fn of(permit: &'a Expr, head: &'a Side) -> Self {
        // What does not hold and cannot fail is false.
        let cuts = head.cuts.iter().filter(|cut| cannot_fail(cut));
        let not = head.forbids.iter().chain(cuts).map(|expr| (expr, false));
        // The last is followed first.
        Self { wanted: not.chain([(permit, true)]).collect(), head }
    }

    fn is_within(&self, base: &Side) -> bool {
        !self.may_hold(&[])
            || (self.is_permitted(base)
                && base.forbids.iter().all(|forbid| self.proves(forbid, false))
                && base.cuts.iter().all(|cut| self.is_not_cut(cut)))
    }

    fn is_permitted(&self, base: &Side) -> bool {
        base.permits.iter().any(|permit| self.proves(permit, true)) || {
            let none: Vec<_> = base.permits.iter().filter(|permit| cannot_fail(permit)).map(|p| (p, false)).collect();
            !none.is_empty() && !self.may_hold(&none)
        }
    }

    fn is_not_cut(&self, cut: &Expr) -> bool {
        self.head.cuts.contains(cut) || self.proves(cut, false) || !self.may_hold(&[(cut, true)])
    }

    /// Whether there may be such a request for which these come out so, too.
    fn may_hold(&self, more: &[(&Expr, bool)]) -> bool {
        let wanted: Vec<_> = self.wanted.iter().chain(more).copied().collect();
        Facts::default().can_hold(&wanted, &mut BUDGET.clone())
    }

    /// Whether `expr` comes out as `holds` for every such request.
    fn proves(&self, expr: &Expr, holds: bool) -> bool {
        if self.states(expr, holds) || (cannot_fail(expr) && !self.may_hold(&[(expr, !holds)])) {
            return true;
        }
        match expr.expr_kind() {
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => self.proves(arg, !holds),
            ExprKind::And { left, right } if holds => self.proves(left, true) && self.proves(right, true),
            ExprKind::Or { left, right } if !holds => self.proves(left, false) && self.proves(right, false),
            ExprKind::And { left, right } | ExprKind::Or { left, right } => {
                self.proves(left, holds) || (cannot_fail(left) && self.proves(right, holds))
            }
            _ => false,
        }
    }

    /// Whether it is among what must hold, as it is, or as a part of a whole that does.
    fn states(&self, expr: &Expr, holds: bool) -> bool {
        self.wanted.iter().any(|(wanted, so)| stated(wanted, *so, expr, holds))
    }
}

fn stated(wanted: &Expr, so: bool, expr: &Expr, holds: bool) -> bool {
    if so == holds && wanted == expr {
        return true;
    }
    match wanted.expr_kind() {
        ExprKind::And { left, right } if so => stated(left, true, expr, holds) || stated(right, true, expr, holds),
        ExprKind::Or { left, right } if !so => stated(left, false, expr, holds) || stated(right, false, expr, holds),
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => stated(arg, !so, expr, holds),
        _ => false,
    }
}

/// Whether it comes to a value for every request. What the schema makes sure of is not asked again: a claim is looked at behind
/// its `has`. Left are sums that overflow, entities that are not there, and functions of extensions.
pub fn cannot_fail(expr: &Expr) -> bool {
    match expr.expr_kind() {
        ExprKind::Lit(_) | ExprKind::Var(_) => true,
        ExprKind::And { left, right } | ExprKind::Or { left, right } => cannot_fail(left) && cannot_fail(right),
        ExprKind::If { test_expr, then_expr, else_expr } => {
            cannot_fail(test_expr) && cannot_fail(then_expr) && cannot_fail(else_expr)
        }
        ExprKind::UnaryApp { op, arg } => matches!(op, UnaryOp::Not | UnaryOp::IsEmpty) && cannot_fail(arg),
        ExprKind::BinaryApp { op, arg1, arg2 } => {
            let is_safe = matches!(
                op,
                BinaryOp::Eq
                    | BinaryOp::Less
                    | BinaryOp::LessEq
                    | BinaryOp::In
                    | BinaryOp::Contains
                    | BinaryOp::ContainsAll
                    | BinaryOp::ContainsAny
            );
            is_safe && cannot_fail(arg1) && cannot_fail(arg2)
        }
        // Of an entity it would have been settled, were the entity there.
        ExprKind::GetAttr { expr, .. } => {
            !matches!(expr.expr_kind(), ExprKind::Lit(Literal::EntityUID(_))) && cannot_fail(expr)
        }
        ExprKind::HasAttr { expr, .. } | ExprKind::ExtHasAttr { expr, .. } => cannot_fail(expr),
        ExprKind::Like { expr, .. } | ExprKind::Is { expr, .. } => cannot_fail(expr),
        ExprKind::Set(parts) => parts.iter().all(cannot_fail),
        ExprKind::Record(parts) => parts.values().all(cannot_fail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expr(text: &str) -> Expr {
        text.parse().unwrap()
    }

    fn side(permits: &[&str], forbids: &[&str], cuts: &[&str]) -> Side {
        let all = |texts: &[&str]| texts.iter().map(|text| expr(text)).collect();
        Side { permits: all(permits), forbids: all(forbids), cuts: all(cuts) }
    }

    fn plain(head: Side, base: Side) -> bool {
        Question { head, base }.is_plain()
    }

    /// `head` and `base`, a permit each.
    fn narrows(head: &str, base: &str) -> bool {
        plain(side(&[head], &[], &[]), side(&[base], &[], &[]))
    }

    #[test]
    fn a_permit_that_asks_for_more_is_not_wider() {
        for (head, base) in [
            ("true", "true"),
            ("context.ttl < 300", "context.ttl < 600"),
            ("context.ttl < 300", "true"),
            ("context.ttl < 300 && context.task like \"a*\"", "context.task like \"a*\""),
            ("context.task like \"ab*\"", "context.task like \"a*\""),
            ("context.task == \"ab\"", "context.task like \"a*\""),
            ("[\"a\", \"b\"].contains(context.task)", "[\"b\", \"c\", \"a\"].contains(context.task)"),
            ("context.task == \"a\"", "context.task == \"a\" || context.ttl < 5"),
            ("context.task == \"a\" || context.task == \"b\"", "context.task like \"*\""),
            ("context.ttl + 1 < 5 && context.ttl < 3", "context.ttl + 1 < 5"),
            ("context.now >= 5 && context.now < 8", "context.now > 4"),
            ("if context.ttl < 5 then context.task == \"a\" else false", "context.ttl < 5"),
        ] {
            assert!(narrows(head, base), "{head} against {base}");
        }
    }

    #[test]
    fn what_may_allow_more_is_never_called_narrower() {
        for (head, base) in [
            ("true", "context.ttl < 600"),
            ("context.ttl < 600", "context.ttl < 300"),
            ("context.ttl <= 300", "context.ttl < 300"),
            ("context.task like \"a*\"", "context.task like \"ab*\""),
            ("context.task like \"*a\"", "context.task like \"a*\""),
            ("context.task == \"a\" || context.ttl < 5", "context.task == \"a\""),
            ("[\"a\", \"b\"].contains(context.task)", "context.task == \"a\""),
            // The sum overflows for the largest number: then BASE allows nothing.
            ("context.ttl > 5", "context.ttl + 1 > 6"),
            ("context.ttl > 5", "context.ttl + 1 > 6 || true"),
        ] {
            assert!(!narrows(head, base), "{head} against {base}");
        }
    }

    #[test]
    fn several_permits_may_hold_what_one_held() {
        let (a, b) = ("context.task == \"a\"", "context.task == \"b\"");
        assert!(plain(side(&["[\"a\", \"b\"].contains(context.task)"], &[], &[]), side(&[a, b], &[], &[])));
        assert!(plain(side(&[a, b], &[], &[]), side(&["[\"a\", \"b\"].contains(context.task)"], &[], &[])));
        assert!(!plain(side(&[a, b], &[], &[]), side(&[a], &[], &[])));
        assert!(plain(side(&[], &[], &[]), side(&[], &[], &[])));
        assert!(!plain(side(&[a], &[], &[]), side(&[], &[], &[])));
    }

    #[test]
    fn a_forbid_that_goes_must_be_made_up_for() {
        let forbid = "context.ttl > 60";
        let base = || side(&["true"], &[forbid], &[]);
        assert!(plain(base(), base()));
        assert!(plain(side(&["true"], &["context.ttl > 30"], &[]), base()));
        assert!(plain(side(&["context.ttl <= 60"], &[], &[]), base()));
        assert!(!plain(side(&["true"], &["context.ttl > 90"], &[]), base()));
        assert!(!plain(side(&["true"], &[], &[]), base()));
        // A forbid that may fail forbids then; the one in its place does not.
        assert!(!plain(side(&["true"], &["context.ttl > 9"], &[]), side(&["true"], &["context.ttl + 1 > 10"], &[])));
    }

    #[test]
    fn a_shorter_permit_that_goes_lets_the_longer_one_through() {
        let (short, long) = ("context.task like \"a*\"", "true");
        assert!(plain(side(&[long], &[], &[short]), side(&[long], &[], &[short])));
        assert!(!plain(side(&[long], &[], &[]), side(&[long], &[], &[short])));
        assert!(plain(side(&[long], &[], &["true"]), side(&[long], &[], &[short])));
    }

    #[test]
    fn what_can_fail_is_known() {
        for safe in ["context.ttl < 5", "context.identity.claims has kid", "[1].contains(context.ttl)", "!(1 == 2)"] {
            assert!(cannot_fail(&expr(safe)), "{safe}");
        }
        for risky in ["context.ttl + 1 < 5", "-context.ttl < 5", "ip(context.task).isLoopback()", "A::\"a\".b == 1"] {
            assert!(!cannot_fail(&expr(risky)), "{risky}");
        }
    }
}
