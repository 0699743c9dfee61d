//! The files of `deploy/`, read as those read them whom they are for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn path(name: &str) -> PathBuf {
    root().join("deploy").join(name)
}

pub fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// The documents of a file of YAML, by PyYAML, which `tests/run` installs.
pub fn yaml(name: &str) -> Vec<Value> {
    const PROGRAM: &str = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let python = root().join("target/deploy/venv/bin/python");
    let output = Command::new(&python).args(["-c", PROGRAM]).arg(path(name)).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}: `bash tests/run` installs it", python.display()));
    assert!(output.status.success(), "deploy/{name}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The one document of this kind and name.
pub fn document<'a>(documents: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found: Vec<_> =
        documents.iter().filter(|each| each["kind"] == kind && each["metadata"]["name"] == name).collect();
    assert_eq!(found.len(), 1, "{kind} {name}");
    found[0]
}

/// A list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A string.
#[track_caller]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string"))
}

/// The entry of a list that is called so.
#[track_caller]
pub fn named<'a>(entries: &'a Value, name: &str) -> &'a Value {
    let found = list(entries).iter().find(|each| each["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {entries}"))
}

/// Every string in it, and every name of a member.
pub fn strings(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            into.push(name.clone());
            strings(value, into);
        }),
        _ => {}
    }
}
