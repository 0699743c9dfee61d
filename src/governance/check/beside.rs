//! `test-broken`, `widening-broken`: what stands in `tests/` and `widenings/` and cannot be read as what it is there for.
//!
//! Without it, the next run of `policy test` or `policy diff` is the first to say so, in somebody else's change.

use super::finding::Findings;
use super::tree::Tree;
use super::what;
use crate::governance::{cases, diff};

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    for text in &tree.walk.files {
        let of = |folder: &str| {
            let name = text.path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
            name.ends_with(".toml") && !name.contains('/') && !name.starts_with('.')
        };
        let (rule, wrong) = if of("tests") {
            (what::test_broken(), cases::wrong(&text.file, tree.set, tree.now))
        } else if of("widenings") {
            (what::widening_broken(), diff::wrong_statements(&text.file))
        } else {
            continue;
        };
        for mut diagnostic in wrong {
            diagnostic.help.get_or_insert_with(|| "correct it at the place shown: it is no TOML as it stands".into());
            findings.add(rule, diagnostic, "");
        }
    }
}
