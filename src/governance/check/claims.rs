//! `claim-misplaced`, `task-ambiguous`: what a file demands of a platform's token by a slip, and tasks that two runs can share.

use toml::de::DeTable;

use super::finding::Findings;
use super::tree::{Doc, Tree, field_of};
use super::what;
use crate::policy::{Identity, Proof, TaskNaming};

/// The fields of an identity, and of a file: what stands behind `[identity.claims]` by a slip.
const FIELDS: [&str; 14] = [
    "type",
    "jwks_file",
    "jwks",
    "jwks_uri",
    "task",
    "issuer",
    "audience",
    "claims",
    "keep",
    "owner",
    "purpose",
    "expires",
    "review",
    "id",
];

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    for doc in tree.docs() {
        doc.identities().for_each(|(identity, _)| misplaced(doc, identity, findings));
    }
    let Some(set) = tree.set else { return };
    for doc in &tree.workloads {
        // A set loads with all identities of its files, in their order.
        let Some(workload) = set.workload(&doc.id) else { continue };
        doc.identities().zip(&workload.identities).for_each(|((table, _), read)| ambiguous(doc, table, read, findings));
    }
}

/// A line behind the header of a table belongs to it: a claim of that name is then demanded of every token. Claims that stand in
/// one line cannot be meant otherwise.
fn misplaced(doc: &Doc<'_>, identity: &DeTable<'_>, findings: &mut Findings) {
    let Some(claims) = field_of(identity, "claims") else { return };
    if doc.file.text.get(claims.span()).is_none_or(|text| text.starts_with('{')) {
        return;
    }
    for (name, _) in claims.get_ref().as_table().into_iter().flat_map(|claims| claims.iter()) {
        let field = name.get_ref();
        if !FIELDS.contains(&&**field) {
            continue;
        }
        let told = format!(
            "{} `{}` demands a claim called `{field}`: the line stands in the table [identity.claims], to its end",
            doc.what, doc.id
        );
        let mend = "move it above [identity.claims], or write the claims in one line: claims = { … }; there a claim may be called so";
        findings.at(what::claim_misplaced(), (doc.file, name.span()), &doc.id, (told, mend.into()));
    }
}

/// A task that a platform attests is one run's: no other may be able to say that it is called so.
fn ambiguous(doc: &Doc<'_>, table: &DeTable<'_>, read: &Identity, findings: &mut Findings) {
    let (TaskNaming::Attested(template), Proof::Oidc(oidc)) = (&read.task, &read.proof) else { return };
    let said = |name: &str| {
        let rule = oidc.claims.iter().find(|rule| *rule.name == *name)?;
        rule.exact().map(str::to_owned)
    };
    let (Some((one, two)), Some(field)) = (template.runs_together(said), field_of(table, "task")) else { return };
    let told = format!(
        "workload `{}`: two runs can have one task by `{template}`, for `{one}` and `{two}` may hold what stands between them",
        doc.id
    );
    let mend = "write a `/` between them, which no claim may hold, or take ids that the platform numbers: {run_id}.{run_attempt}";
    findings.at(what::task_ambiguous(), (doc.file, field.span()), &doc.id, (told, mend.into()));
}
