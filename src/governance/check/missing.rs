//! `owner-missing`, `purpose-missing`, `identity-missing`: who answers for it, why it is there, how it proves itself.

use super::finding::Findings;
use super::tree::Tree;
use super::what;

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    for doc in tree.docs() {
        let (what, id) = (doc.what, &doc.id);
        let place = |name: &str| doc.field(name).map_or(0..0, |field| field.span());
        if doc.text("owner").is_none() {
            let told = format!("{what} `{id}` has no owner: nobody answers for it");
            let mend = "write owner = \"…\": the address of the team that answers when it must be ended".to_owned();
            findings.at(what::owner_missing(), (doc.file, place("owner")), id, (told, mend));
        }
        if doc.text("purpose").is_none() {
            let told = format!("{what} `{id}` has no purpose: nobody can say whether it is still needed");
            let mend = "write purpose = \"…\": what it does, and for whom".to_owned();
            findings.at(what::purpose_missing(), (doc.file, place("purpose")), id, (told, mend));
        }
    }
    for doc in &tree.workloads {
        if doc.identities().next().is_none() {
            let told = format!("workload `{}` has no way to prove itself", doc.id);
            let mend = "add an [[identity]], or delete its file".to_owned();
            findings.at(what::identity_missing(), (doc.file, 0..0), &doc.id, (told, mend));
        }
    }
}
