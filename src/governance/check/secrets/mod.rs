//! `secret`: keys, tokens and passwords of others' making in any file under the directory.
//!
//! What a secret looks like is gitleaks' to say: its rules (`gitleaks.toml`, MIT, version 8.30.1, as it was published) are
//! data here, and [`engine`] reads them as gitleaks does. Owns that no finding shows one, whichever lint it is of.

mod engine;

use std::collections::HashSet;

use super::finding::Findings;
use super::tree::Tree;
use super::what;
use crate::policy::Diagnostic;
use engine::Engine;

/// What was found; it is held back from whatever is printed.
pub(super) struct Secrets {
    values: HashSet<String>,
}

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) -> Secrets {
    let mut values = HashSet::new();
    let rule = what::secret();
    let mend = "take it for known to others: end it where it was made, take it out of the history too, and keep its \
                successor in a file that only its user reads";
    for text in &tree.walk.files {
        for hit in Engine::shared().scan(&text.path, &text.file.text) {
            let told = format!("a secret stands here: {} (gitleaks `{}`)", hit.about, hit.rule);
            let found = Diagnostic::of(rule.severity, rule.code, told).withheld().at(&text.file, hit.place.clone());
            if !findings.all.iter().any(|each| is_told(each, &found, text.path.as_str())) {
                findings.add(rule, found.help(mend), "");
            }
            values.extend(text.file.text.get(hit.place).map(str::to_owned));
        }
    }
    for (path, why) in &tree.walk.passed_over {
        let told = format!("{path} was not searched for secrets: {why}");
        let found = Diagnostic::of(crate::policy::Severity::Warning, "secret-unsearched", told);
        let at = format!("{}/{path}", findings.dir());
        findings.add(
            super::rules::of("stray-file"),
            found.in_file(&at).help("move it out of the folder of policies"),
            "",
        );
    }
    Secrets { values }
}

/// Whether the same place was told by another lint.
fn is_told(known: &super::Finding, found: &Diagnostic, path: &str) -> bool {
    known.path == path && known.rule.code == "secret" && known.diagnostic.line == found.line
}

impl Secrets {
    /// Takes excerpts away from every file that holds a secret, and secrets out of what any finding says.
    pub fn hide(&self, findings: &mut Findings) {
        let files: HashSet<String> =
            findings.all.iter().filter(|each| each.rule.code == "secret").map(|each| each.path.clone()).collect();
        for finding in findings.all.iter_mut() {
            if files.contains(&finding.path) {
                finding.diagnostic.withhold();
            }
            let super::Finding { diagnostic: Diagnostic { message, help, .. }, subject, suppressed, .. } = finding;
            let reason = suppressed.as_mut().map(|why| &mut why.reason);
            for said in [message, subject].into_iter().chain(help).chain(reason) {
                for value in self.values.iter().filter(|value| said.contains(value.as_str())).collect::<Vec<_>>() {
                    *said = said.replace(value.as_str(), "[redacted]");
                }
            }
        }
    }
}
