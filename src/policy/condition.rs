//! A policy made ready to be weighed: which parts of a request it looks at, and its condition on its own.
//!
//! Cedar puts a policy's whole condition together anew for each request, with each part's place in the file. Here it is
//! taken apart once, at load. Never says what an expression means: Cedar's evaluator does.

use std::collections::HashSet;
use std::ops::BitOr;
use std::sync::Arc;

use cedar_policy::{Policy, PrincipalConstraint, ResourceConstraint};
use cedar_policy_core::ast::{self, Expr, ExprKind, Var};
use cedar_policy_core::est;

/// Parts of a request, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reads(u8);

impl Reads {
    pub const NOTHING: Self = Self(0);
    pub const PRINCIPAL: Self = Self(1);
    pub const RESOURCE: Self = Self(1 << 1);
    pub const TASK: Self = Self(1 << 2);
    pub const TTL: Self = Self(1 << 3);
    pub const NOW: Self = Self(1 << 4);
    pub const IDENTITY: Self = Self(1 << 5);
    /// All of the context.
    pub const CONTEXT: Self = Self(Self::TASK.0 | Self::TTL.0 | Self::NOW.0 | Self::IDENTITY.0);

    /// Whether all of `other` is in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What an expression looks at.
    pub fn of(expr: &Expr) -> Self {
        let mut reads = Self::NOTHING;
        let (mut whole, mut parts) = (0_usize, 0_usize);
        for each in expr.subexpressions() {
            match each.expr_kind() {
                ExprKind::Var(Var::Principal) => reads = reads | Self::PRINCIPAL,
                ExprKind::Var(Var::Resource) => reads = reads | Self::RESOURCE,
                ExprKind::Var(Var::Context) => whole += 1,
                ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } => {
                    if matches!(expr.expr_kind(), ExprKind::Var(Var::Context)) {
                        parts += 1;
                        reads = reads | Self::of_attribute(attr);
                    }
                }
                _ => {}
            }
        }
        // It stands somewhere without one of its attributes being asked for: all of it may matter.
        if whole == parts { reads } else { reads | Self::CONTEXT }
    }

    fn of_attribute(name: &str) -> Self {
        match name {
            "task" => Self::TASK,
            "ttl" => Self::TTL,
            "now" => Self::NOW,
            "identity" => Self::IDENTITY,
            _ => Self::CONTEXT,
        }
    }
}

impl BitOr for Reads {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// An expression, and what it looks at.
#[derive(Debug)]
pub(super) struct Condition {
    pub expr: Arc<Expr>,
    pub reads: Reads,
}

impl Condition {
    pub fn new(expr: Arc<Expr>) -> Self {
        let reads = Reads::of(&expr);
        Self { expr, reads }
    }
}

/// What the head of a policy looks at.
pub(super) fn head_reads(policy: &Policy) -> Reads {
    let principal = match policy.principal_constraint() {
        PrincipalConstraint::Any => Reads::NOTHING,
        _ => Reads::PRINCIPAL,
    };
    let resource = match policy.resource_constraint() {
        ResourceConstraint::Any => Reads::NOTHING,
        _ => Reads::RESOURCE,
    };
    principal | resource
}

/// The head of a policy alone, as an expression.
pub(super) fn head(policy: &Policy) -> Expr {
    let policy: &ast::Policy = policy.as_ref();
    let (principal, resource) = (policy.principal_constraint().as_expr(), policy.resource_constraint().as_expr());
    Expr::and(principal, Expr::and(policy.action_constraint().as_expr(), resource))
}

/// Conditions, each kept once: where thousands of policies say `when { context.task like "run-*" }`, the processor's caches
/// hold it.
#[derive(Default)]
pub(super) struct Kept(HashSet<Arc<Expr>>);

impl Kept {
    /// What the policy says behind its head, where it says anything.
    pub fn body(&mut self, policy: &Policy) -> Option<Condition> {
        let policy: &ast::Policy = policy.as_ref();
        policy.non_scope_constraints().map(|expr| Condition::new(self.once(expr)))
    }

    fn once(&mut self, expr: &Expr) -> Arc<Expr> {
        match self.0.get(expr) {
            Some(known) => known.clone(),
            None => {
                let new = Arc::new(expr.clone());
                self.0.insert(new.clone());
                new
            }
        }
    }
}

/// The same policy without the places in its file, each of which Cedar would count a reference to with every step of an
/// evaluation, on a counter that all threads share. As it was, where that cannot be had.
pub(super) fn placeless(policy: &Policy) -> Policy {
    let own: &ast::Policy = policy.as_ref();
    let bare = est::Policy::from(own.clone()).try_into_ast_policy(Some(own.id().clone()));
    match bare {
        // Places do not count in the comparison.
        Ok(bare) if bare.condition() == own.condition() && bare.effect() == own.effect() => bare.into(),
        _ => policy.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(condition: &str) -> Reads {
        let policy = format!("permit(principal, action, resource) when {{ {condition} }};");
        let policy = Policy::parse(None, policy).unwrap();
        Kept::default().body(&policy).unwrap().reads
    }

    #[test]
    fn what_a_condition_looks_at_is_told_part_by_part() {
        assert_eq!(reads("true"), Reads::NOTHING);
        assert_eq!(reads("context.task like \"a*\""), Reads::TASK);
        assert_eq!(reads("context has ttl && context.ttl < context.now"), Reads::TTL | Reads::NOW);
        assert_eq!(reads("context.identity.claims has kid"), Reads::IDENTITY);
        assert_eq!(reads("principal.owner == resource.audience.owner"), Reads::PRINCIPAL | Reads::RESOURCE);
        assert_eq!(reads("[resource, principal].contains(principal)"), Reads::PRINCIPAL | Reads::RESOURCE);
    }

    #[test]
    fn where_the_context_stands_as_a_whole_all_of_it_counts() {
        for whole in
            ["context == {}", "context has other", "context has identity.claims.kid", "{a: context}.a.task == \"\""]
        {
            assert_eq!(reads(whole), Reads::CONTEXT, "{whole}");
        }
        assert_eq!(reads("context.task == \"\" && [context].isEmpty()"), Reads::CONTEXT);
    }

    #[test]
    fn a_policy_without_its_places_is_the_same_policy() {
        let text = r#"@id("a") @max_ttl("5m") forbid(principal is Jitney::Workload in Jitney::Workload::"w", action in
            [Jitney::Action::"mint"], resource in Jitney::Audience::"a") when { context.task like "a\**" } unless
            { if context.ttl > -5 then !(context has x) else datetime("2024-01-01") < datetime("2025-01-01") };"#;
        let policy = Policy::parse(None, text).unwrap();
        let bare = placeless(&policy);
        let (policy, bare): (&ast::Policy, &ast::Policy) = (policy.as_ref(), bare.as_ref());
        assert_eq!((bare.id(), bare.effect()), (policy.id(), policy.effect()));
        assert_eq!(bare.condition(), policy.condition());
        assert!(bare.annotations().eq(policy.annotations()));
        assert!(policy.condition().subexpressions().any(|each| each.source_loc().is_some()));
        assert!(bare.condition().subexpressions().all(|each| each.source_loc().is_none()));
    }
}
