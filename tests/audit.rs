//! The audit log from outside: what is proven of it, what goes on when it is closed and begun anew, who else can read it, and
//! why a request was refused.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "audit/checkpoints.rs"]
mod checkpoints;
#[path = "audit/damage.rs"]
mod damage;
#[path = "audit/explain.rs"]
mod explain;
#[path = "audit/export.rs"]
mod export;
#[path = "audit/rotation.rs"]
mod rotation;
#[path = "audit/tail.rs"]
mod tail;

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use common::{Broker, Setup};

/// Exit code, standard output, standard error.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Runs `jitney audit …` against a broker; standard output, where it goes well.
#[track_caller]
fn audit(broker: &Broker, words: &[&str]) -> String {
    let (code, stdout, stderr) = said(&broker.cli("demo", &[&["audit"], words].concat()));
    assert_eq!(code, Some(0), "{words:?}: {stderr}");
    stdout
}

/// `jitney audit verify` of a file in JSON, with more words; and whether it is intact.
#[track_caller]
fn verified(broker: &Broker, file: &Path, more: &[&str]) -> (bool, Value) {
    let file = file.to_str().unwrap();
    let words = [&["audit", "verify", "--output", "json", "--file", file], more].concat();
    let (code, stdout, stderr) = said(&broker.cli("demo", &words));
    let document: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    assert_eq!(document["intact"], code == Some(0), "{document}");
    (code == Some(0), document)
}

/// A broker that closes its log every few lines.
fn restless() -> Setup {
    Setup::default().set("JITNEY_AUDIT_ROTATE_SIZE", "4096")
}

/// The closed files beside a log, oldest first.
fn closed(log: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(log.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let is_closed = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("audit-");
    let mut files: Vec<PathBuf> = entries.filter(is_closed).collect();
    let last = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().rsplit('-').next().unwrap().to_owned();
    files.sort_by_key(last);
    files
}

/// The lines of all files.
fn lines(log: &Path) -> Vec<String> {
    let files = closed(log).into_iter().chain([log.to_owned()]);
    let text: String = files.map(|file| std::fs::read_to_string(file).unwrap_or_default()).collect();
    text.lines().map(str::to_owned).collect()
}
