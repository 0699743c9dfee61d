//! `key-weak`, `key-shared`, `claim-wildcard`: by what workloads and audiences prove themselves.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::Value;
use toml::de::DeTable;

use super::finding::Findings;
use super::tree::{Doc, Tree, field_of};
use super::what;
use crate::jose::{Alg, Jwk};

/// As strong as P-256 (NIST SP 800-57 part 1, table 2).
const RSA_BITS: usize = 3072;

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    let mut seen: HashMap<Vec<u8>, (&Doc<'_>, usize)> = HashMap::new();
    for (number, doc) in tree.docs().enumerate() {
        for (identity, span) in doc.identities() {
            let kind = field_of(identity, "type").and_then(|kind| kind.get_ref().as_str());
            if kind == Some("oidc") {
                wildcards(doc, identity, findings);
            }
            let (keys, place) = pinned(tree, doc, identity, span);
            // An issuer signs for many: its keys are meant to be in several files, and how long they are is the platform's choice.
            // What is shorter than 2048 bits does not load.
            for key in keys.iter().filter(|_| kind == Some("private_key_jwt")) {
                weak(doc, key, place.clone(), findings);
                let (first, holder) = seen.entry(key.public_bytes().to_vec()).or_insert((doc, number));
                if *holder != number {
                    let told = format!("{} `{}` has the key of {} `{}`", doc.what, doc.id, first.what, first.id);
                    let mend = "give it a key of its own: with one key each of the two can be the other, and neither can \
                                be ended alone";
                    findings.at(what::key_shared(), (doc.file, place.clone()), &doc.id, (told, mend.into()));
                }
            }
        }
    }
}

/// The keys that an identity pins, and the place that names them. Those that cannot be used are told by the load.
fn pinned(tree: &Tree<'_>, doc: &Doc<'_>, identity: &DeTable<'_>, whole: Range<usize>) -> (Vec<Jwk>, Range<usize>) {
    let keys = |set: &Value| {
        let all = set["keys"].as_array().map_or(&[][..], Vec::as_slice);
        all.iter().filter_map(|key| Jwk::from_json(key.as_object()?).ok()).collect::<Vec<_>>()
    };
    if let Some(field) = field_of(identity, "jwks_file") {
        let named = field.get_ref().as_str().unwrap_or_default();
        let folder = if doc.what == "workload" { "workloads" } else { "audiences" };
        let text = tree.files.get(&crate::policy::resolve(folder, named)).map(|file| &*file.text);
        let set = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
        return (keys(&set), field.span());
    }
    let Some(field) = field_of(identity, "jwks") else { return (Vec::new(), whole) };
    let inline = doc.file.text.get(field.span()).map(|text| format!("jwks = {text}"));
    let table = inline.and_then(|text| toml::from_str::<Value>(&text).ok()).unwrap_or(Value::Null);
    (keys(&table["jwks"]), field.span())
}

fn weak(doc: &Doc<'_>, key: &Jwk, place: Range<usize>, findings: &mut Findings) {
    let bits = key.signature_len() * 8;
    if (key.serves(Alg::Rs256) || key.serves(Alg::Ps256)) && bits < RSA_BITS {
        let told = format!("{} `{}` proves itself with an RSA key of {bits} bits", doc.what, doc.id);
        let mend = "make a key on P-256 or Ed25519, or an RSA key of 3072 bits or more".to_owned();
        findings.at(what::key_weak(), (doc.file, place), &doc.id, (told, mend));
    }
}

/// Globs that every text fits.
fn wildcards(doc: &Doc<'_>, identity: &DeTable<'_>, findings: &mut Findings) {
    let claims = field_of(identity, "claims").and_then(|claims| claims.get_ref().as_table());
    for (name, says) in claims.into_iter().flat_map(|claims| claims.iter()) {
        let glob = says.get_ref().as_table().and_then(|says| field_of(says, "glob")?.get_ref().as_str());
        if glob.is_some_and(|glob| !glob.is_empty() && glob.chars().all(|c| c == '*')) {
            let told = format!("{} `{}` takes any `{}`", doc.what, doc.id, name.get_ref());
            let mend = "write what the claim must say, or as much of it as is known; left out, it is not asked at all";
            findings.at(what::claim_wildcard(), (doc.file, says.span()), &doc.id, (told, mend.into()));
        }
    }
}
