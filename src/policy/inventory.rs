//! What a workload could be granted, computed from the policies rather than declared.

use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{EntityUid, PrincipalConstraint, ResourceConstraint};
use cedar_policy_core::ast::{Expr, ExprKind};

use super::catalogue::scopes::ScopeIx;
use super::names;
use super::rule::Rule;
use super::set::PolicySet;
use super::world::{Principal, ScopeEntry};
use crate::model::AudienceUri;

/// One scope that one policy could permit a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PossibleGrant {
    /// The resource server.
    pub audience: AudienceUri,
    /// The scope as declared, or the one instance that the policy names.
    pub scope: Arc<str>,
    /// The policy's id.
    pub policy: Arc<str>,
    /// The longest token: what the policy obliges and the audience allows; nothing where neither says.
    pub max_ttl: Option<Duration>,
    /// The longest chain of renewals, as `max_ttl`.
    pub max_lifetime: Option<Duration>,
    /// The forbids that may take a part of it away, by id.
    pub forbids: Vec<Arc<str>>,
    /// The forbids each of which surely takes all of it away, by id: where there is one, nothing is granted by this.
    pub taken_by: Vec<Arc<str>>,
    /// Whether it hangs on a condition: the policy's own, or that of a forbid which may apply too.
    pub conditional: bool,
}

impl PolicySet {
    /// What the policies could permit this workload, by audience and scope. Never too little: conditions count as
    /// fulfilled, and are flagged. A forbid that covers all of it, and asks for nothing that the permit does not ask for, takes it away.
    pub fn grants_of(&self, workload: &str) -> Vec<PossibleGrant> {
        let mut grants = self.permits_of(workload);
        grants.retain(|grant| grant.taken_by.is_empty());
        grants
    }

    /// The policies that have to go, or to change, before this workload's file can: without it they name nothing, and the set does not
    /// load. A permit that names it in its head is none of them.
    pub(crate) fn keepers_of(&self, workload: &str) -> Vec<&Arc<str>> {
        let Some((_, principal)) = self.principal(workload) else { return Vec::new() };
        let uid = &principal.uid;
        let keeps = |rule: &&Rule| {
            !(rule.permits() && names::head(rule).contains(uid)) && rule.policy.entity_literals().contains(uid)
        };
        self.rules().iter().filter(keeps).map(|rule| &rule.id).collect()
    }

    /// [`grants_of`](Self::grants_of), and what a permit says that a forbid takes away.
    pub fn permits_of(&self, workload: &str) -> Vec<PossibleGrant> {
        let Some((at, principal)) = self.principal(workload) else { return Vec::new() };
        let scopes = (0..).zip(self.scopes()).flat_map(|(ix, scope)| self.grants_at(at, principal, ix, scope));
        scopes.collect()
    }

    fn grants_at(&self, at: usize, principal: &Principal, ix: ScopeIx, scope: &ScopeEntry) -> Vec<PossibleGrant> {
        let audience = &self.targets()[scope.target].audience;
        let rules = self.slices().of(at, ix).flat_map(|part| part.slice.rules.iter().map(|ix| self.rule(*ix)));
        let (permits, forbids): (Vec<&Rule>, Vec<&Rule>) =
            rules.filter(|rule| speaks_of(rule, &principal.uid)).partition(|rule| rule.permits());
        let mut grants = Vec::new();
        for permit in permits {
            let instance = named_instance(permit, scope);
            // A forbid that names another instance has nothing to say here; one that names the same, or none, covers
            // all of it; one that names an instance of what is permitted whole takes a part.
            let mut conditional = permit.policy.has_non_scope_constraint();
            let (mut limits, mut taken_by) = (Vec::new(), Vec::new());
            for forbid in &forbids {
                let named = named_instance(forbid, scope);
                let covers = named.is_none() || named == instance;
                if covers && takes_all(forbid, permit) {
                    taken_by.push(forbid.id.clone());
                }
                if covers || instance.is_none() {
                    conditional = true;
                    limits.push(forbid.id.clone());
                }
            }
            // The id of an instance is its audience's id, a space, the scope.
            let name = instance.and_then(|uid| uid.id().unescaped().split_once(' ').map(|(_, name)| name.into()));
            grants.push(PossibleGrant {
                audience: audience.id.clone(),
                scope: name.unwrap_or_else(|| scope.name.clone()),
                policy: permit.id.clone(),
                max_ttl: permit.max_ttl.into_iter().chain(audience.max_ttl).min(),
                max_lifetime: permit.max_lifetime.into_iter().chain(audience.max_lifetime).min(),
                forbids: limits,
                taken_by,
                conditional,
            });
        }
        grants
    }
}

/// Whether the head can be this workload.
fn speaks_of(rule: &Rule, principal: &EntityUid) -> bool {
    match rule.policy.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => true,
        PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => {
            uid == *principal
        }
    }
}

/// The one instance of the open `scope` that the head names; nothing where it speaks of all of `scope`.
fn named_instance(rule: &Rule, scope: &ScopeEntry) -> Option<EntityUid> {
    match rule.policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
            (uid != scope.uid && !scope.parents.contains(&uid)).then_some(uid)
        }
    }
}

/// Whether the forbid, whose head covers the permit's, leaves nothing of it.
fn takes_all(forbid: &Rule, permit: &Rule) -> bool {
    if !forbid.policy.has_non_scope_constraint() {
        return true;
    }
    let [asked, given] = [forbid, permit].map(|rule| rule.body.as_ref().map(|body| &*body.expr));
    asked.is_some() && asks_no_more(asked, given)
}

/// Whether each part of the forbid's condition is one of the permit's. Sound, not complete.
pub(crate) fn asks_no_more(forbid: Option<&Expr>, permit: Option<&Expr>) -> bool {
    let Some(forbid) = forbid else { return true };
    let (mut asked, mut given) = (Vec::new(), Vec::new());
    parts(forbid, &mut asked);
    permit.into_iter().for_each(|permit| parts(permit, &mut given));
    asked.iter().all(|part| given.contains(part))
}

/// What is joined by `&&`.
fn parts<'a>(expr: &'a Expr, found: &mut Vec<&'a Expr>) {
    match expr.expr_kind() {
        ExprKind::And { left, right } => {
            parts(left, found);
            parts(right, found);
        }
        _ => found.push(expr),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::set;
    use super::*;

    fn told(policies: &str, workload: &str) -> Vec<String> {
        let tell = |grant: PossibleGrant| {
            let secs = grant.max_ttl.map_or(0, |ttl| ttl.as_secs());
            format!("{} {} {secs}{}", grant.scope, grant.policy, if grant.conditional { " if" } else { "" })
        };
        set(policies).grants_of(workload).into_iter().map(tell).collect()
    }

    #[test]
    fn what_any_policy_could_permit_is_listed_with_its_longest_token() {
        let policies = r#"
            @id("r") @max_ttl("5m") permit(principal == Jitney::Workload::"alpha", action, resource == Jitney::Scope::"https://api.example.com orders:read");
            @id("w") permit(principal, action, resource == Jitney::Scope::"https://api.example.com orders:write") when { context.ttl < 60 };
            @id("i") permit(principal in Jitney::Workload::"alpha", action, resource == Jitney::Scope::"https://api.example.com items:read:42");"#;
        assert_eq!(told(policies, "alpha"), ["items:read:42 i 600", "orders:read r 300", "orders:write w 600 if"]);
        assert_eq!(told(policies, "beta"), ["orders:write w 600 if"]);
        assert!(told(policies, "nobody").is_empty());
    }

    #[test]
    fn a_forbid_takes_away_what_it_surely_covers_and_flags_the_rest() {
        let all = r#"@id("p") permit(principal, action, resource in Jitney::Audience::"https://api.example.com");"#;
        let with =
            |forbid: &str| told(&format!("{all} @id(\"f\") forbid(principal, action, resource{forbid};"), "alpha");
        assert_eq!(
            with(r#" == Jitney::Scope::"https://api.example.com orders:write")"#),
            ["items:read:* p 600", "orders:read p 600"]
        );
        let flagged = with(r#" == Jitney::Scope::"https://api.example.com items:read:42")"#);
        assert_eq!(flagged, ["items:read:* p 600 if", "orders:read p 600", "orders:write p 600"]);
        let flagged = with(") when { context.ttl > 60 }");
        assert_eq!(flagged, ["items:read:* p 600 if", "orders:read p 600 if", "orders:write p 600 if"]);
    }

    #[test]
    fn a_forbid_takes_all_of_a_permit_where_it_asks_no_more_and_is_named() {
        let taken = |forbid: &str| {
            let policies = format!(
                r#"@id("p") permit(principal, action, resource == Jitney::Scope::"https://api.example.com orders:read")
                     when {{ context.ttl <= 60 && context.task like "a-*" }};
                   @id("f") forbid(principal, action, resource) {forbid};"#
            );
            let set = set(&policies);
            let permit = set.permits_of("alpha").into_iter().next().unwrap();
            assert_eq!(set.grants_of("alpha").is_empty(), !permit.taken_by.is_empty(), "{forbid}");
            permit.taken_by.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(taken(""), ["f"]);
        assert_eq!(taken(r#"when { context.task like "a-*" }"#), ["f"]);
        assert!(taken(r#"when { context.task like "a-*" && context.now > 5 }"#).is_empty());
        assert!(taken("unless { context.ttl <= 60 }").is_empty());
    }

    #[test]
    fn what_names_a_workload_and_would_break_the_set_without_it_keeps_its_file() {
        let set = set(r#"
            @id("own") permit(principal == Jitney::Workload::"alpha", action, resource);
            @id("not-own") forbid(principal == Jitney::Workload::"alpha", action, resource) when { context.ttl > 60 };
            @id("but") permit(principal, action, resource) when { principal != Jitney::Workload::"alpha" };"#);
        let told: Vec<&str> = set.keepers_of("alpha").into_iter().map(|id| &**id).collect();
        assert_eq!(told, ["not-own", "but"]);
        assert!(set.keepers_of("beta").is_empty() && set.keepers_of("nobody").is_empty());
    }
}
