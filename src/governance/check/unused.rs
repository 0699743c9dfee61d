//! `workload-ungranted`, `scope-ungranted`, `audience-unused`: what is there, and of no use to anybody.

use std::collections::HashSet;

use cedar_policy::{EntityUid, ResourceConstraint};

use super::finding::Findings;
use super::shadow::{Shadows, principal};
use super::tree::Tree;
use super::what;
use crate::policy::PolicySet;

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    let Some(set) = tree.set else { return };
    let granted = Granted::of(tree, set);
    for doc in tree.workloads.iter().filter(|doc| !granted.to_all && !granted.workloads.contains(&doc.id)) {
        let told = format!("no policy grants workload `{}` anything", doc.id);
        let mend = "delete its file, or write the permit that it was made for".to_owned();
        findings.at(what::workload_ungranted(), (doc.file, 0..0), &doc.id, (told, mend));
    }
    for doc in &tree.audiences {
        let Some(audience) = set.audience(&doc.id) else { continue };
        let unused = |name: &str| !granted.has(audience.id.as_str(), name);
        let idle: Vec<_> = audience.scopes.iter().filter(|scope| unused(&scope.name)).collect();
        if idle.len() == audience.scopes.len() {
            let why = if idle.is_empty() {
                "declares no scope"
            } else {
                "is of use to nobody: no policy grants any scope of it"
            };
            let told = format!("audience `{}` {why}", doc.id);
            let mend = "delete its file, or write the permit that it was made for".to_owned();
            findings.at(what::audience_unused(), (doc.file, 0..0), &doc.id, (told, mend));
            continue;
        }
        for scope in idle {
            let told = format!("no policy grants the scope {} of `{}` to anybody", scope.name, doc.id);
            let written = format!("\"{}\"", scope.name);
            let at = doc.file.text.find(&written).map_or(0..0, |at| at..at + written.len());
            let mend = "leave the declaration out until somebody needs it".to_owned();
            findings.at(what::scope_ungranted(), (doc.file, at), &doc.id, (told, mend));
        }
    }
}

/// What some permit speaks of, conditions counted as fulfilled.
#[derive(Default)]
struct Granted {
    to_all: bool,
    workloads: HashSet<String>,
    everywhere: bool,
    audiences: HashSet<String>,
    scopes: HashSet<(String, String)>,
}

impl Granted {
    fn of(tree: &Tree<'_>, set: &PolicySet) -> Self {
        let shadows = Shadows::of(tree);
        let mut granted = Self::default();
        for permit in tree.rules.iter().filter(|rule| rule.permits && shadows.over(rule).is_none()) {
            match principal(permit) {
                None => granted.to_all = true,
                Some(uid) if set.workload(uid.id().unescaped()).is_some() => {
                    granted.workloads.insert(uid.id().unescaped().to_owned());
                }
                // Whom it names is not there.
                Some(_) => continue,
            }
            match permit.policy.resource_constraint() {
                ResourceConstraint::Any | ResourceConstraint::Is(_) => granted.everywhere = true,
                ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
                    granted.resource(&uid, set);
                }
            }
        }
        granted
    }

    fn resource(&mut self, uid: &EntityUid, set: &PolicySet) {
        let id = uid.id().unescaped();
        let Some((uri, scope)) = id.split_once(' ') else {
            self.audiences.insert(id.to_owned());
            return;
        };
        self.scopes.insert((uri.to_owned(), scope.to_owned()));
        // One instance is of the declaration that leaves it open, and an open declaration holds what is declared in it.
        for declared in set.audience(uri).into_iter().flat_map(|audience| &audience.scopes) {
            let holds = declared.is_open() && declared.matches(scope);
            let lies_in =
                scope.ends_with(":*") && scope.strip_suffix('*').is_some_and(|head| declared.name.starts_with(head));
            if holds || lies_in {
                self.scopes.insert((uri.to_owned(), declared.name.to_string()));
            }
        }
    }

    fn has(&self, audience: &str, scope: &str) -> bool {
        self.everywhere
            || self.audiences.contains(audience)
            || self.scopes.contains(&(audience.to_owned(), scope.to_owned()))
    }
}
