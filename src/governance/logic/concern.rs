//! Which scopes a policy can speak of, as they are gone through.

use std::collections::BTreeSet;

use cedar_policy::{Policy, ResourceConstraint};

use crate::policy::{Audience, PolicySet, What};

/// What is asked for, and at which audience.
pub type Asked = (String, What);

/// A declared scope, or all instances of an open one.
pub fn what(name: &str) -> What {
    if name.ends_with(":*") { What::AnyOther(name.into()) } else { What::Named(name.into()) }
}

/// Every scope that an audience declares.
pub fn all_of(audience: &Audience, found: &mut BTreeSet<Asked>) {
    found.extend(audience.scopes.iter().map(|scope| (audience.id.to_string(), what(&scope.name))));
}

/// Every scope of `set` that the head of a policy can be.
pub fn covered_by(policy: &Policy, set: &PolicySet, found: &mut BTreeSet<Asked>) {
    match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => {
            set.audiences().for_each(|audience| all_of(audience, found));
        }
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
            let id = uid.id().unescaped();
            let Some((uri, name)) = id.split_once(' ') else {
                return set.audience(id).into_iter().for_each(|audience| all_of(audience, found));
            };
            found.insert((uri.to_owned(), what(name)));
            for declared in set.audience(uri).into_iter().flat_map(|audience| &audience.scopes) {
                if name.strip_suffix('*').is_some_and(|head| declared.name.starts_with(head)) {
                    found.insert((uri.to_owned(), what(&declared.name)));
                }
            }
        }
    }
}

/// With every instance that a policy writes out, where instances of an open scope are asked for: what is left then are those
/// that no policy tells apart.
pub fn with_what_is_written(workload: &str, asked: &BTreeSet<Asked>, sets: &[&PolicySet]) -> BTreeSet<Asked> {
    let mut all = asked.clone();
    for (audience, open) in asked.iter().filter(|(_, what)| matches!(what, What::AnyOther(_))) {
        for set in sets {
            let seat = set.seat(workload, audience, open);
            for uid in seat.iter().flat_map(|seat| seat.written()) {
                let Some((uri, name)) = uid.id().unescaped().split_once(' ') else { continue };
                if uri == audience && !name.ends_with(":*") {
                    all.insert((audience.clone(), what(name)));
                }
            }
        }
    }
    all
}
