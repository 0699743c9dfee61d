//! `ttl-above`: times that another always cuts, so that the file says more than is given.

use std::collections::HashMap;
use std::time::Duration;

use cedar_policy::ResourceConstraint;

use super::finding::Findings;
use super::tree::Tree;
use super::what;
use super::width::place;
use crate::model::time::format_span;
use crate::policy::{Audience, PolicySet, RuleView};

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    let Some(set) = tree.set else { return };
    let audiences: HashMap<&str, &Audience> = set.audiences().map(|each| (each.id.as_str(), &**each)).collect();
    for permit in tree.rules.iter().filter(|rule| rule.permits) {
        let limits = audience_of(permit).and_then(|id| audiences.get(&*id).copied());
        let audience = |of: fn(&Audience) -> Option<Duration>| limits.and_then(of);
        above(permit, "@max_ttl", permit.max_ttl, audience(|each| each.max_ttl), "max_ttl of its audience", findings);
        let lifetime = audience(|each| each.max_lifetime);
        above(permit, "@max_lifetime", permit.max_lifetime, lifetime, "max_lifetime of its audience", findings);
        above(permit, "@max_ttl", permit.max_ttl, permit.max_lifetime, "@max_lifetime", findings);
    }
    of_audiences(tree, set, findings);
}

fn above(
    permit: &RuleView<'_>,
    what: &str,
    span: Option<Duration>,
    limit: Option<Duration>,
    limit_is: &str,
    findings: &mut Findings,
) {
    let (Some(span), Some(limit)) = (span, limit) else { return };
    if span > limit {
        let [span, limit] = [span, limit].map(format_span);
        let told = format!("{what} of permit `{}` is {span}, and {limit_is} cuts it to {limit}", permit.id);
        let mend = format!("write {what}(\"{limit}\") or less, or raise the other with its owner");
        findings.at(what::ttl_above(), (permit.file, place(permit, what)), permit.id, (told, mend));
    }
}

fn of_audiences(tree: &Tree<'_>, set: &PolicySet, findings: &mut Findings) {
    for doc in &tree.audiences {
        let Some(audience) = set.audience(&doc.id) else { continue };
        if let (Some(ttl), Some(lifetime)) = (audience.max_ttl, audience.max_lifetime)
            && ttl > lifetime
        {
            let [ttl, lifetime] = [ttl, lifetime].map(format_span);
            let told = format!("max_ttl of audience `{}` is {ttl}, and its max_lifetime cuts it to {lifetime}", doc.id);
            let span = doc.field("max_ttl").map_or(0..0, |field| field.span());
            let mend = format!("write max_ttl = \"{lifetime}\" or less");
            findings.at(what::ttl_above(), (doc.file, span), &doc.id, (told, mend));
        }
    }
}

/// The audience that a policy's head names, by itself or by one of its scopes.
pub(super) fn audience_of(rule: &RuleView<'_>) -> Option<String> {
    match rule.policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
            let id = uid.id().unescaped();
            // A scope's id is its audience's, a space, the scope; no URI has a space.
            Some(id.split_once(' ').map_or(id, |(audience, _)| audience).to_owned())
        }
    }
}
