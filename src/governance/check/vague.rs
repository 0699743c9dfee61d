//! `owner-vague`, `purpose-vague`, `purpose-copied`: words that are there, and say nothing.

use std::collections::HashMap;
use std::ops::Range;

use super::finding::Findings;
use super::tree::{Doc, Tree};
use super::what;

/// What people write where they mean to write something later.
const PLACEHOLDERS: [&str; 33] = [
    "todo",
    "tbd",
    "tba",
    "fixme",
    "xxx",
    "na",
    "none",
    "null",
    "unknown",
    "unspecified",
    "nobody",
    "someone",
    "somebody",
    "anyone",
    "me",
    "us",
    "test",
    "tests",
    "testing",
    "temp",
    "tmp",
    "foo",
    "bar",
    "baz",
    "example",
    "sample",
    "dummy",
    "placeholder",
    "changeme",
    "asdf",
    "misc",
    "various",
    "stuff",
];

/// Everybody, which is nobody to call at night, where nothing else stands beside them.
const EVERYBODY: [&str; 24] = [
    "team",
    "teams",
    "staff",
    "ops",
    "dev",
    "devs",
    "developer",
    "developers",
    "engineers",
    "admin",
    "admins",
    "owner",
    "owners",
    "user",
    "users",
    "people",
    "group",
    "everyone",
    "everybody",
    "all",
    "company",
    "the",
    "our",
    "my",
];

/// Words of a purpose that tell nothing by themselves.
const FILLERS: [&str; 22] = [
    "a", "an", "the", "this", "that", "is", "for", "of", "to", "and", "it", "its", "workload", "audience", "service",
    "job", "identity", "account", "task", "policy", "purpose", "does",
];

/// A purpose with fewer letters tells nobody why.
const SHORTEST: usize = 12;

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    let mut seen: HashMap<String, &Doc<'_>> = HashMap::new();
    for doc in tree.docs() {
        if let Some((owner, span)) = doc.text("owner") {
            owner_of(doc, owner, span, findings);
        }
        let Some((purpose, span)) = doc.text("purpose") else { continue };
        if let Some(why) = vague(purpose, &doc.id) {
            let told = format!("the purpose of {} `{}` {why}", doc.what, doc.id);
            let mend = "say what it does, for whom, and with what: \"Mails each customer the invoice of a paid order\"";
            findings.at(what::purpose_vague(), (doc.file, span), &doc.id, (told, mend.into()));
            continue;
        }
        if let Some(first) = seen.get(&words(purpose).join(" ")) {
            let told = format!("{} `{}` has the purpose of {} `{}`", doc.what, doc.id, first.what, first.id);
            let mend = "say what this one does; where both do the same, one of them may be needless".to_owned();
            findings.at(what::purpose_copied(), (doc.file, span), &doc.id, (told, mend));
        } else {
            seen.insert(words(purpose).join(" "), doc);
        }
    }
}

fn owner_of(doc: &Doc<'_>, owner: &str, span: Range<usize>, findings: &mut Findings) {
    let spelled = words(owner);
    let why = if spelled.iter().all(|word| PLACEHOLDERS.contains(&word.as_str())) {
        "is a placeholder"
    } else if spelled.iter().all(|word| EVERYBODY.contains(&word.as_str())) {
        "names everybody and nobody"
    } else if spelled == words(&doc.id) {
        "is its own name"
    } else if doc.text("purpose").is_some_and(|(purpose, _)| words(purpose) == spelled) {
        "is a copy of its purpose"
    } else {
        return;
    };
    let told = format!("the owner of {} `{}` {why}", doc.what, doc.id);
    let mend = "name a team that can be reached: \"team-data@example.com\"".to_owned();
    findings.at(what::owner_vague(), (doc.file, span), &doc.id, (told, mend));
}

/// What counts as a sentence that says something, for people.
pub(in crate::governance) const TELLING: &str = "a sentence of 12 letters and digits or more that is no placeholder";

/// Whether a sentence for people says nothing.
pub(in crate::governance) fn is_vague(sentence: &str) -> bool {
    vague(sentence, "").is_some()
}

/// Why a purpose says nothing.
fn vague(purpose: &str, id: &str) -> Option<&'static str> {
    let spelled = words(purpose);
    let telling: Vec<&String> = spelled.iter().filter(|word| !FILLERS.contains(&word.as_str())).collect();
    if telling.iter().all(|word| PLACEHOLDERS.contains(&word.as_str())) {
        return Some("is a placeholder");
    }
    let name = words(id);
    if telling.iter().all(|word| name.contains(word)) {
        return Some("says its name again, and nothing else");
    }
    if purpose.chars().filter(|c| c.is_alphanumeric()).count() < SHORTEST {
        return Some("is too short to tell why it exists");
    }
    None
}

/// The words of a text in small letters, without what stands between them.
fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase().replace("n/a", "na");
    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_say_nothing_are_told_from_those_that_do() {
        for (purpose, id) in [
            ("TODO", "w"),
            ("tbd.", "w"),
            ("???", "w"),
            ("test", "w"),
            ("N/A", "w"),
            ("nightly-report", "nightly-report"),
            ("The nightly report job", "nightly-report"),
            ("A service account", "w"),
            ("Reports", "w"),
        ] {
            assert!(vague(purpose, id).is_some(), "{purpose}");
        }
        for (purpose, id) in [
            ("Builds the nightly sales report from the orders service", "nightly-report"),
            ("Runs the tests of the shop", "shop-ci"),
            ("Größe der Lager messen", "w"),
        ] {
            assert_eq!(vague(purpose, id), None, "{purpose}");
        }
    }
}
