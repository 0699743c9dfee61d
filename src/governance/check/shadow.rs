//! `permit-shadowed`: a permit all of which a forbid takes away.
//!
//! Sound, not complete: the forbid's head covers the permit's, and whatever the forbid asks for, the permit asks for too.

use std::collections::HashMap;

use cedar_policy::{ActionConstraint, EntityUid, PrincipalConstraint, ResourceConstraint};

use super::finding::Findings;
use super::tree::Tree;
use super::what;
use crate::policy::{PolicySet, RuleView, asks_no_more};

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    let shadows = Shadows::of(tree);
    for permit in tree.rules.iter().filter(|rule| rule.permits) {
        let Some(forbid) = shadows.over(permit) else { continue };
        let told = format!("permit `{}` gives nothing: forbid `{}` takes all of it away", permit.id, forbid.id);
        let mend = "delete the permit, or narrow the forbid with `unless`".to_owned();
        findings.at(what::permit_shadowed(), (permit.file, permit.span.clone()), permit.id, (told, mend));
    }
}

/// The forbids, by the workload they name.
pub(super) struct Shadows<'a> {
    set: Option<&'a PolicySet>,
    of_all: Vec<&'a RuleView<'a>>,
    of_one: HashMap<EntityUid, Vec<&'a RuleView<'a>>>,
}

impl<'a> Shadows<'a> {
    pub fn of(tree: &'a Tree<'_>) -> Self {
        let mut shadows = Self { set: tree.set, of_all: Vec::new(), of_one: HashMap::new() };
        for forbid in tree.rules.iter().filter(|rule| !rule.permits && is_of_mint(rule)) {
            match principal(forbid) {
                None => shadows.of_all.push(forbid),
                Some(uid) => shadows.of_one.entry(uid).or_default().push(forbid),
            }
        }
        shadows
    }

    /// A forbid that takes all of `permit` away.
    pub fn over(&self, permit: &RuleView<'_>) -> Option<&'a RuleView<'a>> {
        let own = principal(permit).and_then(|uid| self.of_one.get(&uid));
        let mut forbids = self.of_all.iter().chain(own.into_iter().flatten()).copied();
        forbids.find(|forbid| self.covers(forbid, permit) && asks_no_more(forbid.body, permit.body))
    }

    /// Whether the forbid's resource holds the permit's.
    fn covers(&self, forbid: &RuleView<'_>, permit: &RuleView<'_>) -> bool {
        let (ResourceConstraint::Eq(inner) | ResourceConstraint::In(inner) | ResourceConstraint::IsIn(_, inner)) =
            permit.policy.resource_constraint()
        else {
            return resource_is_any(forbid);
        };
        match forbid.policy.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => true,
            ResourceConstraint::Eq(uid) => {
                uid == inner && matches!(permit.policy.resource_constraint(), ResourceConstraint::Eq(_))
            }
            ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => uid == inner || self.holds(&uid, &inner),
        }
    }

    /// Whether the scope `inner` lies in `outer`: its audience, or the declaration it is an instance of.
    fn holds(&self, outer: &EntityUid, inner: &EntityUid) -> bool {
        let Some((audience, scope)) = inner.id().unescaped().split_once(' ') else { return false };
        let outer = outer.id().unescaped();
        if outer == audience {
            return true;
        }
        let declared = self.set.and_then(|set| set.audience(audience));
        let open = outer.strip_prefix(audience).and_then(|name| name.strip_prefix(' '));
        declared.is_some_and(|each| {
            each.scopes.iter().any(|one| Some(&*one.name) == open && one.is_open() && one.matches(scope))
        })
    }
}

fn resource_is_any(rule: &RuleView<'_>) -> bool {
    matches!(rule.policy.resource_constraint(), ResourceConstraint::Any | ResourceConstraint::Is(_))
}

fn is_of_mint(rule: &RuleView<'_>) -> bool {
    matches!(rule.policy.action_constraint(), ActionConstraint::Any | ActionConstraint::Eq(_))
}

/// The workload that a head names; none where it speaks of all.
pub(super) fn principal(rule: &RuleView<'_>) -> Option<EntityUid> {
    match rule.policy.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
        PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => Some(uid),
    }
}
