//! `placeholder-left`: lines that still say what `jitney init` wrote there, to be changed by whoever reads them.
//!
//! Owns those words, so that what is written and what is looked for are the same.

use super::finding::Findings;
use super::tree::{Doc, Tree, field_of};
use super::what;
use crate::model::{AudienceUri, WorkloadId};

/// The purpose of a workload that calls this audience.
pub fn of_workload(audience: &str) -> String {
    format!("Calls {audience}")
}

/// The purpose of an audience that this workload calls.
pub fn of_audience(workload: &str) -> String {
    format!("What {workload} calls")
}

/// What a scope allows.
pub fn of_scope(scope: &str) -> String {
    format!("Allows {scope}")
}

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    for doc in tree.docs() {
        if let Some((purpose, span)) = doc.text("purpose").filter(|(purpose, _)| is_left(doc, purpose)) {
            let told = format!("the purpose of {} `{}` is what `jitney init` wrote: `{purpose}`", doc.what, doc.id);
            let mend = "say why it exists, for whom, and with what it deals".to_owned();
            findings.at(what::placeholder_left(), (doc.file, span), &doc.id, (told, mend));
        }
        let scopes = field_of(doc.table(), "scopes").and_then(|scopes| scopes.get_ref().as_table());
        for (name, about) in scopes.into_iter().flat_map(|scopes| scopes.iter()) {
            let scope = name.get_ref();
            if about.get_ref().as_str().is_some_and(|about| about == of_scope(scope)) {
                let told = format!("what `{scope}` of audience `{}` allows is what `jitney init` wrote", doc.id);
                let mend = "say what a token with it may do: \"Read any order\"".to_owned();
                findings.at(what::placeholder_left(), (doc.file, about.span()), &doc.id, (told, mend));
            }
        }
    }
}

fn is_left(doc: &Doc<'_>, purpose: &str) -> bool {
    let named = match doc.what {
        "audience" => purpose.split(' ').nth(1).filter(|id| WorkloadId::parse(id).is_ok()).map(of_audience),
        _ => purpose.split(' ').nth(1).filter(|uri| AudienceUri::parse(uri).is_ok()).map(of_workload),
    };
    named.is_some_and(|written| written == purpose)
}
