//! `invariant-broken`, `invariant-unproven`: what must never be possible, held against the set. Of what an invariant names by
//! text, `named` tells.

use super::finding::Findings;
use super::named;
use super::tree::Tree;
use super::what;
use crate::governance::invariants::breaches;
use crate::governance::logic::solve::Solving;
use crate::policy::SourceFile;

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings, solving: &mut Solving) {
    let Some(set) = tree.set else { return };
    let is_one = |path: &str| {
        let name = path.strip_prefix("invariants/").unwrap_or_default();
        name.ends_with(".cedar") && !name.contains('/') && !name.starts_with('.')
    };
    let files: Vec<SourceFile> =
        tree.walk.files.iter().filter(|text| is_one(&text.path)).map(|text| text.file.clone()).collect();
    if files.is_empty() {
        return;
    }
    let (invariants, wrong) = set.invariants(&files);
    wrong.into_iter().for_each(|diagnostic| findings.add(what::invariant_broken(), diagnostic, ""));
    named::of_invariants(set, &invariants, findings);
    for breach in breaches(set, &invariants, None, tree.now.secs(), solving) {
        let Some(invariant) = invariants.iter().find(|each| *each.id == *breach.invariant) else { continue };
        let at = (&invariant.file, invariant.span.clone());
        let (rule, told, mend) = match &breach.request {
            Some(request) => (
                what::invariant_broken(),
                format!("invariant `{}` is broken: {}: {request}", breach.invariant, breach.told()),
                "narrow the permit that is named, or forbid in a policy what the invariant says; no broker weighs it",
            ),
            None => (
                what::invariant_unproven(),
                format!("nothing shows that invariant `{}` holds: {}", breach.invariant, breach.told()),
                "say it in a plainer way, or check with --prove and a solver",
            ),
        };
        findings.at(rule, at, &breach.invariant, (told, mend.into()));
    }
}
