//! Names of every kind, and places in feeds and lists.

use std::fmt::{Debug, Display};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::time::{format_span, parse_span};
use crate::model::{
    AudienceUri, DecisionId, Epoch, KeyId, LeaseId, RuleDigest, Scope, ScopeSet, Selector, TaskId, WorkloadId,
};
use crate::revocation::Cursor;
use crate::store::redis::walk::Place;

/// Any text as every kind of name.
pub fn names(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    let workload = one(raw, |raw| WorkloadId::parse(raw).ok(), 64);
    let audience = one(raw, |raw| AudienceUri::parse(raw).ok(), 255);
    let key = one(raw, |raw| KeyId::parse(raw).ok(), 128);
    one(raw, |raw| DecisionId::parse(raw).ok(), 96);
    one(raw, |raw| Scope::parse(raw).ok(), 128);
    let task = one(raw, |raw| TaskId::parse(raw).ok(), TaskId::MAX_LEN);
    let lease = one(raw, LeaseId::parse, 36);
    one(raw, Epoch::parse, 16);
    scopes(raw);
    if let Some(task) = &task {
        lineage(task);
    }
    if let Some(id) = lease {
        assert_eq!(LeaseId::from_bytes(id.to_bytes()), id);
    }
    if let Some(digest) = RuleDigest::from_base64(raw) {
        assert_eq!(digest.to_base64(), raw);
    }
    if let Ok(span) = parse_span(raw) {
        assert_eq!(parse_span(&format_span(span)), Ok(span));
    }
    matching(raw);
    let selectors = [workload.map(Selector::Workload), audience.map(Selector::Audience), key.map(Selector::Key)];
    let digests: Vec<_> = selectors.iter().flatten().map(Selector::digest).collect();
    let apart = (1..digests.len()).all(|at| !digests[..at].contains(&digests[at]));
    assert!(apart, "rules of two kinds on one name have one digest");
}

/// A name is kept letter by letter, within its bound, and JSON carries it there and back.
fn one<T>(raw: &str, parse: impl Fn(&str) -> Option<T>, most: usize) -> Option<T>
where
    T: Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let parsed = parse(raw);
    let read: Option<T> = serde_json::from_value(Value::String(raw.to_owned())).ok();
    assert_eq!(read, parsed, "JSON and text disagree");
    let name = parsed?;
    assert_eq!(name.to_string(), raw);
    assert!((1..=most).contains(&raw.len()));
    assert_eq!(serde_json::to_value(&name).ok(), Some(Value::String(raw.to_owned())));
    Some(name)
}

fn scopes(raw: &str) {
    let Ok(scopes) = ScopeSet::parse(raw) else { return };
    assert!((1..=ScopeSet::MAX).contains(&scopes.len()));
    assert_eq!(ScopeSet::parse(&scopes.to_string()).as_ref(), Ok(&scopes));
    for (at, scope) in scopes.iter().enumerate() {
        assert!(scopes.contains(scope.as_str()) && raw.split(' ').any(|part| part == scope.as_str()));
        assert!(!scopes.iter().skip(at + 1).any(|later| later == scope), "a scope counts once");
    }
}

/// A task's ancestors are its parts from the left, and it is within each of them.
fn lineage(task: &TaskId) {
    let names: Vec<&str> = task.lineage().collect();
    assert_eq!(names.len(), task.as_str().split('/').count());
    assert_eq!(names.last().copied(), Some(task.as_str()));
    for (at, name) in names.iter().enumerate() {
        let ancestor = TaskId::parse(name).expect("an ancestor's name is a name");
        assert!(task.is_within(&ancestor) && (at + 1 == names.len() || !ancestor.is_within(task)));
        assert_eq!(task.as_str().split('/').take(at + 1).collect::<Vec<_>>().join("/"), *name);
    }
}

/// Two audiences, with a line feed between: whether they are one does not depend on who is asked.
fn matching(raw: &str) {
    let Some((one, other)) = raw.split_once('\n') else { return };
    let (Ok(one), Ok(other)) = (AudienceUri::parse(one), AudienceUri::parse(other)) else { return };
    assert!(one.matches(one.as_str()));
    assert_eq!(one.matches(other.as_str()), other.matches(one.as_str()));
    if one.matches(other.as_str()) {
        assert_eq!(one.as_str().trim_end_matches('/'), other.as_str().trim_end_matches('/'));
    }
}

/// A place in the feed, or in a list of leases.
pub fn cursors(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    if let Some(cursor) = Cursor::parse(raw) {
        assert_eq!(cursor.to_string(), raw, "a cursor has one spelling");
        let within = cursor.within_snapshot();
        assert_eq!(Cursor::parse(&within.to_string()), Some(within));
        assert!(!within.is_for(None), "what lies within a snapshot resumes nothing");
        assert!(cursor.after <= cursor.position, "what is sent was heard before");
        if cursor.is_for(None) {
            assert_eq!(Cursor::new(cursor.epoch, cursor.position, None).at(cursor.position, cursor.after), cursor);
        }
    }
    if let Some(place) = Place::parse(raw) {
        assert_eq!(Place::parse(&place.text()), Some(place));
    }
}
