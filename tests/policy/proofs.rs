//! What a solver adds: changes whose form tells nothing are proven, or shown to widen by the request that it found. cvc5 runs as a
//! process, by its Python package (`tests/prove`); `bash tests/run` installs it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

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

/// Makes a solver in a folder.
type Solver<'a> = &'a dyn Fn(&Path) -> PathBuf;

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
    let solvers: [(&str, Solver<'_>); 5] =
        [("missing", &missing), ("ends", &ends), ("lies", &lies), ("doubts", &doubts), ("hangs", &hangs)];
    for (name, solver) in solvers {
        let began = Instant::now();
        let (code, document) = diff(&change(), &base, solver, &["--budget", "2s"]);
        assert_eq!(code, Some(3), "{name}: {document:#}");
        assert_eq!(document["rows"][0]["width"], "may widen", "{name}");
        assert!(document["unproven"].is_string(), "{name}: {document:#}");
        assert!(began.elapsed() < Duration::from_secs(60), "{name}: it is waited for");
    }
}

/// What `check --prove` says of a permit with this condition, and of the rest of the clean tree; the codes of its findings.
fn check(policies: &str, solver: impl Fn(&Path) -> PathBuf, words: &[&str]) -> (Vec<String>, String) {
    let dir = tempfile::tempdir().unwrap();
    Tree::clean().with(&[("orders.cedar", "", policies)]).write(&dir.path().join("policies"));
    let mut command = clean(env!("CARGO_BIN_EXE_jitney"));
    command.args(["policy", "check", "--format", "json", "--deny", "note", "--cache", "proofs"]).args(words);
    let output = command.current_dir(dir.path()).env("JITNEY_CVC5", solver(dir.path())).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let document: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}{:?}", output.stderr));
    let findings =
        document["findings"].as_array().unwrap().iter().map(|each| each["code"].as_str().unwrap().to_owned());
    let cache = fs::read_to_string(dir.path().join("proofs")).unwrap_or_default();
    // What depends on the day of the run is no matter here.
    (findings.filter(|code| !code.starts_with("expir") && !code.starts_with("review")).collect(), cache)
}

fn permit(condition: &str) -> String {
    let scope = "Jitney::Scope::\"https://orders.example.com orders:write\"";
    format!(
        "\n@id(\"odd\")\npermit (principal == Jitney::Workload::\"report\", action, resource == {scope}) when {{ {condition} }};\n"
    )
}

const PROVE: [&str; 3] = ["--prove", "--budget", "120s"];

#[test]
fn a_permit_that_never_applies_is_found_by_proof() {
    let never = permit("context.task == \"x\" && context.ttl * 3 == 1000");
    let forbid = "@id(\"not\")\nforbid (principal, action, resource) when { context.task == \"x\" && context.ttl * 2 >= 100 };\n";
    let shadowed = permit("context.task == \"x\" && context.ttl > 49 && context.ttl < 1000") + forbid;
    let fails = permit("9223372036854775807 + 1 > context.ttl");
    let lives = permit("context.task == \"x\" && context.ttl * 3 == 999");
    for (policies, code) in [(&never, "permit-never"), (&shadowed, "permit-shadowed"), (&fails, "condition-fails")] {
        assert_eq!(check(policies, solver, &[]).0, [""; 0], "{policies}: by its form nothing is told");
        assert_eq!(check(policies, solver, &PROVE).0, [code], "{policies}");
    }
    assert_eq!(check(&lives, solver, &PROVE).0, [""; 0]);
}

#[test]
fn what_is_not_proven_is_named_and_what_is_proven_is_known_the_next_time() {
    let never = permit("context.task == \"x\" && context.ttl * 3 == 1000");
    let missing = |_: &Path| PathBuf::from("/nonexistent/cvc5");
    let (codes, cache) = check(&never, missing, &PROVE);
    assert_eq!((codes, cache.as_str()), (vec!["proof-missing".to_owned()], ""), "nothing was proven, nothing is kept");
    let (codes, proven) = check(&never, solver, &PROVE);
    assert_eq!(codes, ["permit-never"]);
    assert!(!proven.is_empty(), "what was proven is kept");
    let known = |dir: &Path| {
        fs::write(dir.join("proofs"), &proven).unwrap();
        PathBuf::from("/nonexistent/cvc5")
    };
    assert_eq!(check(&never, known, &PROVE).0, ["permit-never"], "no solver is asked for what is known");
    let other = permit("context.task == \"x\" && context.ttl * 3 == 1001");
    assert_eq!(check(&other, known, &PROVE).0, ["proof-missing"], "another condition is another question");
}
