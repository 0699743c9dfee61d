//! `review-due`: somebody said when a workload is to be looked at again, and the day has come.

use super::expiry::day_of;
use super::finding::Findings;
use super::tree::Tree;
use super::what;

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    for doc in &tree.workloads {
        let Some((day, start)) = day_of(doc, "review").filter(|(_, start)| tree.now >= *start) else { continue };
        let span = doc.field("review").map_or(0..0, |field| field.span());
        let told = format!(
            "workload `{}` was to be reviewed from {day} on ({} days ago)",
            doc.id,
            tree.now.since(start).as_secs() / 86_400
        );
        let mend = "look at its grants with its owner (`jitney workload show`), then set the next `review`".to_owned();
        findings.at(what::review_due(), (doc.file, span), &doc.id, (told, mend));
    }
}
