//! `set-empty`: a folder that holds nothing is hardly the one that was meant.

use super::finding::Findings;
use super::tree::Tree;
use super::what;
use crate::policy::Diagnostic;

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    let is_empty = tree.set.is_some_and(|set| set.workloads().len() + set.audiences().len() + set.policy_count() == 0);
    if !is_empty {
        return;
    }
    let dir = findings.dir().to_owned();
    let rule = what::set_empty();
    let told = format!("{dir} holds no workload, no audience and no policy: a broker loads it and grants nothing");
    let found = Diagnostic::of(rule.severity, rule.code, told).in_file(&dir);
    findings.add(rule, found.help("name the folder that holds workloads/, audiences/ and *.cedar"), "");
}
