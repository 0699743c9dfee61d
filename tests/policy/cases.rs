//! `jitney policy test` from outside.

use serde_json::{Value, json};

use crate::root;
use crate::tree::{Edit, Tree, jitney};

const CASES: &str = r#"now = 2026-11-25T12:00:00Z

[[case]]
name = "the report reads at night"
expect = "allow"
by = "report-reads"
workload = "report"
audience = "https://orders.example.com"
scope = "orders:read"
task = "nightly-1"

[[case]]
name = "and for no other task"
expect = "deny"
because = "denied_scope"
workload = "report"
audience = "https://orders.example.com"
scope = "orders:read"
task = "daily-1"

[[case]]
name = "the mailer writes for two minutes"
expect = "allow"
by = ["mailer-reads-one", "mailer-writes"]
workload = "mailer"
audience = "https://orders.example.com"
scope = "orders:read:42 orders:write"
task = "mail-1"
ttl = "2m"
"#;

const FILE: &str = "tests/orders.toml";

fn with(edits: &[Edit<'_>]) -> Tree {
    Tree::clean().with(&[(FILE, "", CASES)]).with(edits)
}

/// The exit code, and what is said in both ways.
fn run(tree: &Tree) -> (Option<i32>, Value, String) {
    let dir = tempfile::tempdir().unwrap();
    tree.write(dir.path());
    let words = ["policy", "test", dir.path().to_str().unwrap()];
    let (code, text, error) = jitney(&words);
    let (same, document, _) = jitney(&[&words[..], &["--output", "json"]].concat());
    assert_eq!(code, same, "{text}{error}{document}");
    (code, serde_json::from_str(&document).unwrap_or(Value::Null), text + &error)
}

#[test]
fn cases_that_hold_pass_and_every_policy_is_covered() {
    let (code, document, text) = run(&with(&[]));
    assert_eq!((code, document["passed"].clone()), (Some(0), json!(true)), "{text}");
    assert!(text.contains("tests/orders.toml:4: the report reads at night"), "{text}");
    assert!(text.ends_with("3 passed, 0 failed; 3 of 3 policies covered\n"), "{text}");
    assert_eq!(document["coverage"], json!({"policies": 3, "covered": 3, "uncovered": []}));
    assert_eq!(document["cases"][1]["reason"], "denied_scope");
}

#[test]
fn the_example_organisation_has_a_case_for_every_policy() {
    let (code, text, error) = jitney(&["policy", "test", root().join("policies").to_str().unwrap()]);
    assert_eq!(code, Some(0), "{text}{error}");
    let covered = text.lines().last().and_then(|line| line.split("; ").nth(1)).unwrap().to_owned();
    let counts: Vec<&str> = covered.split(' ').collect();
    assert_eq!(counts[0], counts[2], "{covered}: {text}");
}

#[test]
fn a_case_that_is_decided_otherwise_is_shown_with_what_was_decided() {
    for (edit, shown) in [
        (
            (FILE, "expect = \"allow\"\nby = \"report-reads\"", "expect = \"deny\""),
            "it should be denied, and is allowed",
        ),
        (
            (FILE, "expect = \"deny\"\nbecause = \"denied_scope\"", "expect = \"allow\""),
            "denied (denied_scope): no policy grants orders:read",
        ),
        (
            (FILE, "because = \"denied_scope\"", "because = \"expired\""),
            "it should be denied by reason of expired, and is by denied_scope",
        ),
        (
            (FILE, "by = \"report-reads\"", "by = \"mailer-writes\""),
            "it should hang on mailer-writes, and hangs on report-reads",
        ),
        ((FILE, "\"2m\"", "\"3m\""), "no policy grants orders:write"),
        ((FILE, "2026-11-25T12:00:00Z", "2027-07-01"), "expired at the end of 2027-06-30"),
        (("orders.cedar", "nightly-*", "monthly-*"), "it should be allowed, and is denied"),
    ] {
        let (code, document, text) = run(&with(&[edit]));
        assert_eq!((code, document["passed"].clone()), (Some(1), json!(false)), "{text}");
        assert!(text.contains("error[case]") && text.contains(shown), "{shown}: {text}");
        assert!(text.contains("not decided as they say") && text.contains("  next: "), "{text}");
    }
}

#[test]
fn policies_that_no_case_puts_to_work_are_named() {
    let (code, document, text) = run(&with(&[(
        "orders.cedar",
        "",
        "\n@id(\"stop\")\nforbid (principal, action, resource) when { context.task like \"stop-*\" };\n",
    )]));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("not covered stop (") && text.contains("3 of 4 policies covered"), "{text}");
    assert_eq!(document["coverage"]["uncovered"][0]["id"], "stop");
    let refused = CASES.lines().skip(11).take(8).collect::<Vec<_>>().join("\n");
    let refused = refused.replace("because = \"denied_scope\"", "by = \"stop\"").replace("daily-1", "stop-1");
    let more = with(&[
        (
            "orders.cedar",
            "",
            "\n@id(\"stop\")\nforbid (principal, action, resource) when { context.task like \"stop-*\" };\n",
        ),
        (FILE, "", &format!("\n{refused}\n")),
    ]);
    let (code, _, text) = run(&more);
    assert!(code == Some(0) && text.contains("4 passed, 0 failed; 4 of 4 policies covered"), "{text}");
}

#[test]
fn what_no_case_can_say_is_told_by_its_line() {
    for (edit, shown) in [
        ((FILE, "expect = \"deny\"", "expct = \"deny\""), "did you mean `expect`?"),
        ((FILE, "expect = \"deny\"", "expect = \"no\""), "a case expects `allow` or `deny`"),
        ((FILE, "task = \"daily-1\"\n", ""), "this case has no `task`"),
        ((FILE, "daily-1", "daily 1"), "this names no task"),
        ((FILE, "denied_scope", "denied"), "there is no reason `denied`"),
        ((FILE, "\"2m\"", "\"soon\""), "is no span of time"),
        ((FILE, "2026-11-25T12:00:00Z", "2026-11-25T12:00:00"), "a moment with its offset"),
        ((FILE, "ttl = \"2m\"", "identity = { type = \"oidc\" }"), "has no identity of type `oidc`"),
        ((FILE, "ttl = \"2m\"", "identity = { type = \"odic\" }"), "did you mean `oidc`?"),
        ((FILE, "ttl = \"2m\"", "identity = { claims = { actor = \"x\" } }"), "gives policies no claim `actor`"),
    ] {
        let (code, document, text) = run(&with(&[edit]));
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(shown) && text.contains("tests/orders.toml:"), "{shown}: {text}");
        assert_eq!(document["passed"], json!(false), "{document}");
    }
}

#[test]
fn nothing_to_run_is_no_success() {
    let (code, document, text) = run(&Tree::clean());
    assert!(code == Some(1) && text.contains("has no cases"), "{text}");
    assert_eq!(document["passed"], json!(false));
    let (code, _, text) = run(&with(&[("workloads/mailer.toml", "owner =", "ownr =")]));
    assert!(code == Some(1) && text.contains("does not load, so no case was run"), "{text}");
}

/// Nobody may ever write into it, and no run of a pipeline waits for that.
#[test]
fn a_pipe_among_the_cases_or_beside_them_is_not_waited_for() {
    use crate::common::jitney;
    for (name, words) in [
        ("tests/x.toml", "policy test ."),
        ("invariants/x.cedar", "policy diff . ."),
        ("widenings/x.toml", "policy diff . ."),
    ] {
        let dir = tempfile::tempdir().unwrap();
        with(&[]).write(dir.path());
        let at = dir.path().join(name);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &at, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let said = jitney(dir.path(), &[], &words.split(' ').collect::<Vec<_>>());
        let told = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(said.status.code() == Some(1) && told.contains("not a regular file"), "{name}: {told}");
    }
}
