//! `init`: what it writes loads without a finding, is explained, works as printed, and touches nothing that is there.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::patient::text;
use crate::common::clean;

const OWNER: [&str; 2] = ["--owner", "you@example.com"];

/// `init` where git knows nobody.
fn init(dir: &Path, words: &[&str]) -> Output {
    jitney(dir).arg("init").args(words).output().unwrap()
}

fn jitney(dir: &Path) -> Command {
    let mut command = clean(env!("CARGO_BIN_EXE_jitney"));
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").current_dir(dir).stdin(Stdio::null());
    command
}

/// Every file below a folder, by its path, sorted.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(tree(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The indented lines under a heading.
fn under(told: &str, heading: &str) -> Vec<String> {
    let lines = told.lines().skip_while(|line| *line != heading).skip(1);
    let found: Vec<_> = lines.map_while(|line| line.strip_prefix("  ")).map(str::to_owned).collect();
    assert!(!found.is_empty(), "nothing under `{heading}` in\n{told}");
    found
}

/// A shell in which `jitney` is the program under test.
fn bash(dir: &Path, script: &str) -> Command {
    let bin = Path::new(env!("CARGO_BIN_EXE_jitney")).parent().unwrap();
    let mut bash = clean("bash");
    bash.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    bash.args(["-euo", "pipefail", "-c", script]).current_dir(dir).stdin(Stdio::null());
    bash
}

/// A broker that a printed command started; ended when dropped.
struct Served(Child);

impl Served {
    /// None where it does not come to listen.
    fn start(dir: &Path, lines: &[String]) -> Option<Self> {
        let (last, before) = lines.split_last().unwrap();
        let script = format!("{}\nexec {last}", before.join("\n"));
        let mut child = bash(dir, &script).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let served = Self(child);
        let listens = told.any(|line| line.starts_with("listening on "));
        std::thread::spawn(move || told.for_each(drop));
        listens.then_some(served)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What `init` printed in a fresh folder, and the broker that runs as it says there.
fn served(scopes: &str) -> (tempfile::TempDir, String, Served) {
    // A port that was free may have been taken since: then another.
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let broker = format!("http://127.0.0.1:{}", free_port());
        let words = ["my shop", "--workload", "report", "--scope", scopes, "--broker", &broker];
        let output = init(dir.path(), &[&words[..], &OWNER].concat());
        let told = text(&output.stdout);
        assert!(output.status.success(), "{told}{}", text(&output.stderr));
        if let Some(served) = Served::start(dir.path(), &under(&told, "In one terminal:")) {
            return (dir, told, served);
        }
    }
    panic!("the broker does not start");
}

#[test]
fn what_is_printed_works_as_it_is_printed() {
    // A space in the folder's name and an open scope: what is pasted must be quoted, what is asked for be an instance.
    let (dir, told, _broker) = served("orders:read orders:write:*");
    let script = under(&told, "In another:").join("\n");
    let output = bash(dir.path(), &format!("{script}\njitney verify --token-file .jitney/token")).output().unwrap();
    let (said, erred) = (text(&output.stdout), text(&output.stderr));
    assert!(said.contains("all is well\n"), "{said}{erred}");
    assert!(said.contains("valid\n") && said.contains("orders:read orders:write:1"), "{said}{erred}");
    // The last line, which is this test's, comes after the task was completed.
    assert_eq!(output.status.code(), Some(1), "{said}{erred}");
    assert!(said.contains("not valid: it was revoked"), "{said}{erred}");
}

#[test]
fn what_is_written_is_whole_private_and_explained() {
    let dir = tempfile::tempdir().unwrap();
    let output = init(dir.path(), &[&["deep/shop"][..], &OWNER].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shop = dir.path().join("deep/shop");
    let mode = |path: &str| fs::metadata(shop.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".jitney"), mode(".jitney/first-job.pem")), (0o700, 0o600));
    assert!(fs::read_to_string(shop.join(".jitney/.gitignore")).unwrap().lines().any(|line| line == "*"));
    let jwks = fs::read_to_string(shop.join("policies/keys/first-job.jwks.json")).unwrap();
    assert!(!jwks.contains("\"d\""), "{jwks}");

    let checked = jitney(&shop).args(["policy", "check", "policies"]).output().unwrap();
    assert!(text(&checked.stdout).ends_with("1 workload, 1 audience, 1 policy, 0 warnings, 4 notes\n"), "{checked:?}");

    let told = text(&output.stdout);
    for path in tree(&shop) {
        let shown = path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
        assert!(told.contains(&format!("  {shown}\n")), "{shown} is not told");
        let is_explained = [".toml", ".cedar", ".env", ".gitignore"].iter().any(|end| shown.ends_with(end));
        let content = fs::read_to_string(&path).unwrap();
        let lines = content.lines().filter(|_| is_explained);
        let mut above = false;
        for line in lines {
            let explains = line.contains("# ") || line.contains("// ");
            assert!(line.is_empty() || explains || above, "{shown}: `{line}` is not explained");
            above = line.starts_with('#') || line.starts_with("//");
        }
        for (at, line) in content.lines().enumerate().filter(|(_, line)| line.contains("EDIT")) {
            assert!(told.contains(&format!("  {shown}:{}: ", at + 1)), "{line} is not told");
        }
    }
}

#[test]
fn a_file_that_exists_refuses_all_and_nothing_is_written() {
    for taken in ["workload.env", "policies/keys/first-job.jwks.json"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(taken);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let output = init(dir.path(), &OWNER);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(said.starts_with("error: ") && said.contains(taken) && said.contains("next: "), "{said}");
        assert_eq!(tree(dir.path()), std::slice::from_ref(&path));
        assert_eq!(fs::read_to_string(path).unwrap(), "mine");
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(init(dir.path(), &OWNER).status.success());
    let before = fs::read(dir.path().join(".jitney/first-job.pem")).unwrap();
    let again = init(dir.path(), &OWNER);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("jitney.toml and 9 more files are there already"), "{again:?}");
    assert_eq!(fs::read(dir.path().join(".jitney/first-job.pem")).unwrap(), before);
}

/// What the pipelines of `deploy/ci` run passes on what is written, and covers all of it.
#[test]
fn what_is_written_passes_the_pipeline_that_is_shipped() {
    let many = ["--scope", "orders:read", "--scope", "orders:write:*", "--scope", "invoices:read"];
    for words in [&[][..], &many[..]] {
        let dir = tempfile::tempdir().unwrap();
        assert!(init(dir.path(), &[words, &OWNER].concat()).status.success());
        let checked = jitney(dir.path()).args(["policy", "check", "policies", "--deny", "warning"]).output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
        let tested = jitney(dir.path()).args(["policy", "test", "policies", "--output", "json"]).output().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&tested.stdout).unwrap_or_else(|_| panic!("{tested:?}"));
        assert!(tested.status.success(), "{said:#}");
        let expects = fs::read_to_string(dir.path().join("policies/tests/first-job.toml")).unwrap();
        let permits = words.iter().filter(|word| **word == "--scope").count().max(1);
        let count = |what: &str| expects.matches(&format!("expect = \"{what}\"")).count();
        assert_eq!((count("allow"), count("deny")), (permits, 1), "{expects}");
        let tested = jitney(dir.path()).args(["policy", "test", "policies"]).output().unwrap();
        let told = text(&tested.stdout);
        let policies = if permits == 1 { "policy" } else { "policies" };
        assert!(told.ends_with(&format!(" 0 failed; {permits} of {permits} {policies} covered\n")), "{told}");
    }
}

#[test]
fn somebody_must_answer_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let output = init(dir.path(), &["shop"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--owner"), "{output:?}");
    assert!(tree(dir.path()).is_empty());

    fs::write(dir.path().join("gitconfig"), "[user]\n\temail = person@example.com\n").unwrap();
    let mut command = jitney(dir.path());
    let output =
        command.env("GIT_CONFIG_GLOBAL", dir.path().join("gitconfig")).args(["init", "shop"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let workload = fs::read_to_string(dir.path().join("shop/policies/workloads/first-job.toml")).unwrap();
    assert!(workload.contains("owner = \"person@example.com\""), "{workload}");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&["--broker", "http://broker.example.com"], "plain http"),
        (&["--broker", "https://broker.example.com/path"], "nothing behind them"),
        (&["--repository-id", "1"], "--repository-id means nothing"),
        (&["--platform", "github", "--environment", "prod"], "needs --repository-id"),
        (&["--platform", "github"], "needs --repository-id, and --environment or --ref"),
        (&["--platform", "github", "--repository-id", "1"], "needs --environment or --ref"),
        (&["--platform", "github", "--repository-id", "1", "--ref", "main"], "--ref refs/heads/main"),
        (&["--platform", "gitlab"], "needs --project-id"),
        (&["--platform", "kubernetes", "--issuer", "https://c.example.com"], "needs --service-account"),
        (&["--platform", "kubernetes", "--service-account", "a/b"], "needs --issuer"),
        (
            &["--platform", "kubernetes", "--service-account", "a/b", "--issuer", "http://c.example.com"],
            "--issuer https://cluster.example.com",
        ),
        (
            &["--platform", "kubernetes", "--service-account", "ab", "--issuer", "https://c.example.com"],
            "NAMESPACE/NAME",
        ),
    ];
    for (words, expected) in cases {
        let output = init(dir.path(), &[*words, &OWNER].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(expected), "{said}");
        assert!(tree(dir.path()).is_empty(), "{words:?}");
    }
}

/// An identity of a platform is written by a build whose broker takes one, and by no other: nothing is left there.
#[test]
fn a_platform_s_identity_loads_without_a_finding_or_is_not_written() {
    let cases: [(&[&str], &[&str]); 4] = [
        (
            &["--platform", "github", "--repository-id", "123456", "--environment", "production"],
            &["repository_id = \"123456\"", "environment = \"production\"", "task = \"{run_id}.{run_attempt}\""],
        ),
        (
            &["--platform", "gitlab", "--project-id", "42"],
            &["project_id = \"42\"", "ref_protected = \"true\"", "issuer = \"https://gitlab.com\""],
        ),
        (
            &["--platform", "gitlab", "--project-id", "42", "--ref", "main"],
            &["ref = \"main\"", "ref_type = \"branch\"", "ref_protected = \"true\""],
        ),
        (
            &["--platform", "kubernetes", "--service-account", "shop/web", "--issuer", "https://cluster.example.com"],
            &["sub = \"system:serviceaccount:shop:web\"", "issuer = \"https://cluster.example.com\""],
        ),
    ];
    for (words, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let output = init(dir.path(), &[&["shop"], words, &OWNER].concat());
        let said = text(&output.stderr);
        if !knows_platforms() {
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("a broker would not load these policies"), "{said}");
            assert!(tree(dir.path()).is_empty());
            continue;
        }
        assert!(output.status.success(), "{said}");
        let checked = jitney(dir.path()).args(["policy", "check", "shop/policies"]).output().unwrap();
        assert!(text(&checked.stdout).contains(", 0 warnings"), "{checked:?}");
        let workload = fs::read_to_string(dir.path().join("shop/policies/workloads/first-job.toml")).unwrap();
        for part in expected {
            assert!(workload.contains(part), "{workload}");
        }
        assert!(!workload.contains("[identity.claims]"), "what is added at the end would be a claim: {workload}");
        assert!(!dir.path().join("shop/.jitney/first-job.pem").exists());
        assert!(text(&output.stdout).contains("\n  jitney run --audience "), "{output:?}");
    }
}

/// Whether this build's broker takes an identity of type `oidc` at all.
fn knows_platforms() -> bool {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("workloads")).unwrap();
    let identity = "[[identity]]\ntype = \"oidc\"\nissuer = \"https://i.example.com\"\nclaims = { sub = \"s\" }\n";
    let file = format!("owner = \"o\"\npurpose = \"p\"\nexpires = 2099-12-31\n{identity}");
    fs::write(dir.path().join("workloads/w.toml"), file).unwrap();
    jitney(dir.path()).args(["policy", "check", "."]).output().unwrap().status.success()
}
