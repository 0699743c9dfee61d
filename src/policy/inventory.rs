//! What a workload could be granted, computed from the policies rather than declared.

use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{EntityUid, PrincipalConstraint, ResourceConstraint};

use super::catalogue::scopes::ScopeIx;
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
    /// Whether it hangs on a condition: the policy's own, or that of a forbid which may apply too.
    pub conditional: bool,
}

impl PolicySet {
    /// What the policies could permit this workload, by audience and scope. Never too little: conditions count as
    /// fulfilled, and are flagged. A forbid without condition that names all of it takes it away.
    pub fn grants_of(&self, workload: &str) -> Vec<PossibleGrant> {
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
            let mut taken = false;
            let mut limits = Vec::new();
            for forbid in &forbids {
                let named = named_instance(forbid, scope);
                let covers = named.is_none() || named == instance;
                taken |= covers && !forbid.policy.has_non_scope_constraint();
                if covers || instance.is_none() {
                    conditional = true;
                    limits.push(forbid.id.clone());
                }
            }
            if taken {
                continue;
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
}
