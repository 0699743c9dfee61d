//! What a solver adds: changes whose form tells nothing are proven, or shown to widen by the request that it found. cvc5 runs as a
//! process, by its Python package (`tests/prove`); `bash tests/run` installs it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::clean;
use crate::tree::{Edit, Tree};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program in `dir` that runs these commands.
fn program(dir: &Path, commands: &str) -> PathBuf {
    let path = dir.join("cvc5");
    fs::write(&path, format!("#!/bin/sh\n{commands}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// cvc5.
pub fn solver(dir: &Path) -> PathBuf {
    let python = root().join("target/prove/venv/bin/python");
    assert!(python.exists(), "`bash tests/run` installs {}", python.display());
    let script = root().join("tests/prove/solver.py");
    program(dir, &format!("exec '{}' '{}' \"$@\"", python.display(), script.display()))
}

fn diff(
    change: &[Edit<'_>],
    base: &[Edit<'_>],
    solver: impl Fn(&Path) -> PathBuf,
    words: &[&str],
) -> (Option<i32>, Value) {
    let dir = tempfile::tempdir().unwrap();
    let before = Tree::clean().with(base);
    before.write(&dir.path().join("base"));
    before.with(change).write(&dir.path().join("head"));
    let solver = solver(dir.path());
    // By the clock of this machine: a budget that never ends would end nothing.
    let mut command = clean(env!("CARGO_BIN_EXE_jitney"));
    command.args(["policy", "diff", "base", "head", "--format", "json"]).args(words);
    let output = command.current_dir(dir.path()).env("JITNEY_CVC5", solver).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let document = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}{:?}", output.stderr));
    (output.status.code(), document)
}

const WHEN: &str = "when { context.task like \"nightly-*\" };";

/// `before`, `after`, and what a solver makes of it.
const CHANGES: [(&str, &str, &str); 7] = [
    ("context.ttl < 300", "context.ttl + 10 < 310", "not wider"),
    ("context.ttl < 300", "context.ttl * 2 < 700", "widens"),
    (
        "context.task like \"a*\"",
        "context.task like \"a*\" && !(context.task like \"b*\") || context.task == \"a\"",
        "not wider",
    ),
    ("context.ttl != 77", "context.ttl < 77 || context.ttl > 77", "not wider"),
    ("context.ttl != 77", "context.ttl < 77 || context.ttl * 1000 > 76999", "widens"),
    // For the largest numbers the sum overflows, and then BASE grants nothing: a request that no broker lets come so far.
    ("context.ttl * 3 != 1001", "true", "may widen"),
    ("context.now + 1 > 0", "context.now > -1", "may widen"),
];

#[test]
fn what_form_does_not_tell_is_proven_or_shown_to_widen() {
    for (before, after, width) in CHANGES {
        let base = format!("when {{ {before} }};");
        let head = format!("when {{ {after} }};");
        let (code, document) =
            diff(&[("orders.cedar", &base, &head)], &[("orders.cedar", WHEN, &base)], solver, &["--budget", "120s"]);
        let rows = document["rows"].as_array().unwrap();
        let widths: Vec<&str> = rows.iter().map(|row| row["width"].as_str().unwrap()).collect();
        match width {
            "not wider" => assert_eq!(
                (code, widths.iter().all(|width| *width == "not wider")),
                (Some(0), true),
                "{before} → {after}: {document:#}"
            ),
            _ => assert_eq!((code, widths.as_slice()), (Some(3), &[width][..]), "{before} → {after}: {document:#}"),
        }
        if width == "widens" {
            assert!(rows[0]["request"]["ttl"].as_u64().unwrap() > 76, "{document:#}");
        }
    }
}

/// Each way in which a solver can be of no use: nothing is called proven, and the reason is told.
#[test]
fn a_solver_that_fails_proves_nothing() {
    let (before, after) = ("when { context.ttl < 300 };", "when { context.ttl + 10 < 310 };");
    let change = || [("orders.cedar", before, after)];
    let base = [("orders.cedar", WHEN, before)];
    let missing = |_: &Path| PathBuf::from("/nonexistent/cvc5");
    let ends = |dir: &Path| program(dir, "exit 3");
    let lies = |dir: &Path| program(dir, "while read -r line; do echo maybe; done");
    let doubts =
        |dir: &Path| program(dir, "while read -r line; do case $line in *check-sat*) echo unknown;; esac; done");
    let hangs = |dir: &Path| program(dir, "exec sleep 600");
    let solvers: [(&str, &dyn Fn(&Path) -> PathBuf); 5] =
        [("missing", &missing), ("ends", &ends), ("lies", &lies), ("doubts", &doubts), ("hangs", &hangs)];
    for (name, solver) in solvers {
        let began = Instant::now();
        let (code, document) = diff(&change(), &base, solver, &["--budget", "2s"]);
        assert_eq!(code, Some(3), "{name}: {document:#}");
        assert_eq!(document["rows"][0]["width"], "may widen", "{name}");
        assert_eq!(document["unproven"].is_string(), true, "{name}: {document:#}");
        assert!(began.elapsed() < Duration::from_secs(60), "{name}: it is waited for");
    }
    let (code, document) = diff(&change(), &base, solver, &["--budget", "0s"]);
    assert_eq!((code, document["unproven"].clone()), (Some(3), json!("the solver was not done in time")));
}
