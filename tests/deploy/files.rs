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

/// The documents of a file of YAML, by PyYAML.
pub fn yaml(name: &str) -> Vec<Value> {
    const PROGRAM: &str = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    serde_json::from_slice(&python("python", &["-c", PROGRAM], name)).unwrap()
}

/// Runs a program that `tests/run` has installed, of the version that is pinned now, on a file of `deploy/`.
pub fn python(program: &str, words: &[&str], name: &str) -> Vec<u8> {
    let venv = root().join("target/deploy/venv");
    let mut same = Command::new("sha256sum");
    same.args(["--check", "--status", "--strict"]).arg(venv.join("made-from")).current_dir(root());
    assert!(
        same.status().is_ok_and(|status| status.success()),
        "{} is not there, or not as it is pinned: `bash tests/run` installs it",
        venv.display()
    );
    let output = Command::new(venv.join("bin").join(program)).args(words).arg(path(name)).output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    assert!(output.status.success(), "deploy/{name}: {said}");
    output.stdout
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
