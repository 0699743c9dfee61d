//! `review-near`, `review-due`: somebody said when a workload is to be looked at again, and the day comes, or has come.

use super::expiry::{NEAR, day_of};
use super::finding::Findings;
use super::tree::Tree;
use super::what;

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    for doc in &tree.workloads {
        let Some((day, start)) = day_of(doc, "review") else { continue };
        let (id, left, past) = (&doc.id, start.since(tree.now), tree.now.since(start));
        let at = (doc.file, doc.field("review").map_or(0..0, |field| field.span()));
        let mend = "look at its grants with its owner (`jitney workload show`), then set the next `review`".to_owned();
        if tree.now >= start {
            let told =
                format!("workload `{id}` was to be reviewed from {day} on ({} days ago)", past.as_secs() / 86_400);
            findings.at(what::review_due(), at, id, (told, mend));
        } else if left <= NEAR {
            let told =
                format!("workload `{id}` is to be reviewed from {day} on: {} days from now", left.as_secs() / 86_400);
            findings.at(what::review_near(), at, id, (told, mend));
        }
    }
}
