//! Compares the names in policies with what there is: Cedar checks types, not whether a workload exists.
//!
//! A permit whose head names nothing grants nothing, which is a warning, so that deleting a workload's file is never
//! refused for a policy left behind. Anywhere else a name of nothing changes what is allowed, so it is an error.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use cedar_policy::{EntityUid, Policy, PrincipalConstraint, ResourceConstraint};

use super::diagnostic::Diagnostic;
use super::rule::Rule;
use super::schema::Words;
use super::world::{Principal, Target};

/// The code of a finding that names what does not exist.
pub(super) const UNKNOWN: &str = "unknown-name";

/// What helps where a scope is named by less.
const FORM_OF_SCOPES: &str = "a scope's id is its audience's id, a space, and the scope as declared";

/// Checks every name in every rule, and gives back the workloads that conditions name.
pub(super) fn check(
    words: &Words,
    principals: &[Principal],
    targets: &[Target],
    rules: &[Rule],
    findings: &mut Vec<Diagnostic>,
) -> HashSet<EntityUid> {
    let known = Known::of(words, principals, targets);
    let mut named = HashSet::new();
    for rule in rules {
        known.equals_open(rule, findings);
        let head = head(rule);
        for uid in rule.policy.entity_literals() {
            let in_head = head.contains(&uid);
            if let Some(unknown) = known.unknown(&uid) {
                findings.push(known.finding(rule, &unknown, in_head && rule.permits()));
            } else if !in_head && uid.type_name() == &words.workload {
                named.insert(uid);
            }
        }
    }
    named
}

/// The same of invariants: one that names nothing shows nothing, and there is an order in which names may change.
pub(super) fn check_invariants(
    words: &Words,
    principals: &[Principal],
    targets: &[Target],
    rules: &[Rule],
    findings: &mut Vec<Diagnostic>,
) {
    let known = Known::of(words, principals, targets);
    for rule in rules {
        known.equals_open(rule, findings);
        let unknown = rule.policy.entity_literals().into_iter().filter_map(|uid| known.unknown(&uid));
        findings.extend(unknown.map(|unknown| unknown.in_invariant(rule)));
    }
}

/// What a policy names that does not exist.
pub(super) fn unknown(words: &Words, principals: &[Principal], targets: &[Target], policy: &Policy) -> Vec<EntityUid> {
    let known = Known::of(words, principals, targets);
    let named = policy.entity_literals().into_iter();
    named.filter(|uid| known.unknown(uid).is_some()).collect()
}

/// What the head names.
pub(super) fn head(rule: &Rule) -> Vec<EntityUid> {
    let principal = match rule.policy.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
        PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => Some(uid),
    };
    let resource = match rule.policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => Some(uid),
    };
    principal.into_iter().chain(resource).collect()
}

struct Known<'a> {
    words: &'a Words,
    workloads: HashSet<&'a str>,
    audiences: HashMap<&'a str, &'a Target>,
}

/// A name of nothing.
struct Unknown {
    what: &'static str,
    /// As the policy writes it.
    id: String,
    near: Option<String>,
    /// Whether it is written as a name of its kind is.
    is_well_formed: bool,
}

impl<'a> Known<'a> {
    fn of(words: &'a Words, principals: &'a [Principal], targets: &'a [Target]) -> Self {
        Self {
            words,
            workloads: principals.iter().map(|each| each.workload.id.as_str()).collect(),
            audiences: targets.iter().map(|each| (each.audience.id.as_str(), each)).collect(),
        }
    }

    fn unknown(&self, uid: &EntityUid) -> Option<Unknown> {
        let id = uid.id().unescaped().to_owned();
        let unknown = |what, id: &str, near: Option<String>| {
            let is_well_formed = what != "scope" || id.contains(' ');
            Some(Unknown { what, id: id.to_owned(), near, is_well_formed })
        };
        let of_type = uid.type_name();
        if of_type == &self.words.workload {
            let near = || super::diagnostic::closest(&id, self.workloads.iter().copied()).map(str::to_owned);
            return if self.workloads.contains(id.as_str()) { None } else { unknown("workload", &id, near()) };
        }
        if of_type == &self.words.audience {
            let near = || self.near_audience(&id);
            return if self.audiences.contains_key(id.as_str()) { None } else { unknown("audience", &id, near()) };
        }
        if of_type != &self.words.scope {
            return None;
        }
        let Some((audience, scope)) = id.split_once(' ') else {
            return unknown("scope", &id, None);
        };
        let Some(target) = self.audiences.get(audience) else {
            return unknown("scope", &id, self.near_audience(audience).map(|near| format!("{near} {scope}")));
        };
        let declared = &target.audience.scopes;
        if target.table.find(scope).is_some() || declared.iter().any(|each| *each.name == *scope) {
            return None;
        }
        let near = super::diagnostic::closest(scope, declared.iter().map(|each| &*each.name));
        unknown("scope", &id, near.map(|near| format!("{audience} {near}")))
    }

    /// `resource ==` an open declaration would match nothing: what is asked for is an instance.
    fn equals_open(&self, rule: &Rule, findings: &mut Vec<Diagnostic>) {
        let ResourceConstraint::Eq(uid) = rule.policy.resource_constraint() else { return };
        let id = uid.id().unescaped();
        if uid.type_name() == &self.words.scope && id.ends_with(":*") {
            let finding =
                Diagnostic::error("open-scope", format!("policy `{}` equals no scope that is asked for", rule.id));
            let finding = finding.at(&rule.file, place_of(rule, id)).about(&rule.id);
            findings.push(finding.help("write `resource in` for all its instances, or `==` with one in place of `*`"));
        }
    }

    fn near_audience(&self, id: &str) -> Option<String> {
        super::diagnostic::closest(id, self.audiences.keys().copied()).map(str::to_owned)
    }

    fn finding(&self, rule: &Rule, unknown: &Unknown, harmless: bool) -> Diagnostic {
        let Unknown { what, id, near, is_well_formed } = unknown;
        let message = format!("policy `{}` names the {what} `{id}`, which does not exist", rule.id);
        let finding = match harmless {
            true => Diagnostic::warning(UNKNOWN, message),
            false => Diagnostic::error(UNKNOWN, message),
        };
        let finding = finding.at(&rule.file, place_of(rule, id)).about(&rule.id);
        match (near, *what) {
            (Some(near), _) => finding.help(format!("did you mean `{near}`?")),
            (None, _) if !is_well_formed => finding.help(FORM_OF_SCOPES),
            (None, "scope") => finding.help("delete the policy, or declare the scope in its audience's file"),
            (None, _) => finding.help(format!("delete the policy, or add the {what}'s file")),
        }
    }
}

impl Unknown {
    fn in_invariant(&self, rule: &Rule) -> Diagnostic {
        let Self { what, id, near, is_well_formed } = self;
        let message = format!("invariant `{}` names the {what} `{id}`, which does not exist", rule.id);
        let finding = Diagnostic::error(UNKNOWN, message).at(&rule.file, place_of(rule, id)).about(&rule.id);
        if !is_well_formed {
            return finding.help(FORM_OF_SCOPES);
        }
        let called = match *what {
            "workload" => "principal.id",
            "audience" => "resource.audience.id",
            _ => "resource.name",
        };
        let order = format!(
            "the {what} is gone, or is called otherwise: first take the invariant away, or have it name the old and the new by \
             text, in a change of its own, while the old one is there: `[\"…\", \"…\"].contains({called})`"
        );
        match near {
            Some(near) => finding.help(format!("did you mean `{near}`? Else {order}")),
            None => finding.help(order),
        }
    }
}

/// Where the rule writes `id`; the whole rule where it is written in another way, with escapes.
fn place_of(rule: &Rule, id: &str) -> Range<usize> {
    let text = rule.file.text.get(rule.span.clone()).unwrap_or_default();
    let start = text.find(&format!("\"{id}\"")).map(|at| rule.span.start + at);
    start.map_or_else(|| rule.span.clone(), |at| at..at + id.len() + 2)
}
