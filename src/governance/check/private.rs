//! `secret`, where it is a private key as jitney's own tools know one: a JWK with its private members.
//!
//! PEM and all other forms are found by [`super::secrets`]. What is found is never shown.

use serde_json::Value;

use super::finding::Findings;
use super::tree::{Text, Tree};
use super::what;
use crate::policy::Diagnostic;

/// Members of a JWK that only its owner may know (RFC 7518 §6).
const MEMBERS: [&str; 7] = ["d", "k", "p", "q", "dp", "dq", "qi"];

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    for text in &tree.walk.files {
        if text.file.text.contains("\"kty\"") {
            of_json(text, findings);
        } else if text.file.text.contains("kty") && text.path.ends_with(".toml") {
            of_toml(text, findings);
        }
    }
}

fn of_json(text: &Text, findings: &mut Findings) {
    if let Ok(value) = serde_json::from_str::<Value>(&text.file.text) {
        walk(text, &value, "\"", findings);
    }
}

fn of_toml(text: &Text, findings: &mut Findings) {
    if let Ok(value) = toml::from_str::<Value>(&text.file.text) {
        walk(text, &value, "", findings);
    }
}

fn walk(text: &Text, value: &Value, quote: &str, findings: &mut Findings) {
    match value {
        Value::Object(members) => {
            let private = MEMBERS.iter().find(|name| members.get(**name).is_some_and(Value::is_string));
            if let Some(name) = private.filter(|_| members.get("kty").is_some_and(Value::is_string)) {
                found(text, members[*name].as_str().unwrap_or_default(), &format!("{quote}{name}{quote}"), findings);
            }
            members.values().for_each(|inner| walk(text, inner, quote, findings));
        }
        Value::Array(all) => all.iter().for_each(|inner| walk(text, inner, quote, findings)),
        _ => {}
    }
}

fn found(text: &Text, secret: &str, member: &str, findings: &mut Findings) {
    let rule = what::secret();
    let at = text.file.text.find(&format!("\"{secret}\"")).unwrap_or(0);
    let told = format!("a private key: a JWK with {member} (RFC 7518 §6)");
    let found = Diagnostic::of(rule.severity, rule.code, told).withheld().at(&text.file, at..at);
    let mend = "take it for known to others: make a new key, put its public half alone here, and take this one out of the \
                history too";
    findings.add(rule, found.help(mend), "");
}
