//! Bad input, plainly: who types something wrong is told what it was and what to do next.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::process::Output;

use common::{API, Backing, Broker, Redis, Setup, eventually, jitney};

/// Exit code, standard output, standard error.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Every failure is one `error:` with what was wrong in it, and one next step.
#[track_caller]
fn fails(output: &Output, code: i32, wrong: &str, next: &str) {
    let (found, _, stderr) = said(output);
    assert_eq!(found, Some(code), "{stderr}");
    let error = stderr.split("error: ").nth(1).unwrap_or_else(|| panic!("no error: {stderr}"));
    let (message, step) = error.split_once("\n  next: ").unwrap_or_else(|| panic!("no next step: {stderr}"));
    assert!(message.contains(wrong), "{wrong}: {stderr}");
    assert!(step.contains(next) && step.trim().lines().count() == 1, "{next}: {stderr}");
}

#[test]
fn a_workload_is_told_what_to_do() {
    let broker = Broker::start(&Backing::Embedded);
    let ask = |more: &[&str]| {
        let base = ["token", "--task", "t", "--audience", API, "--scope", "orders:read"];
        broker.cli("demo", &[&base[..], more].concat())
    };
    fails(&ask(&["--ttl", "2h"]), 1, "ttl of 7200 s is above the longest allowed here, 600 s", "within the bound");
    fails(&ask(&["--scope", "orders:purge"]), 1, "invalid_scope", "ask for less");
    fails(&ask(&["--scope", "orders:eat"]), 1, "orders:eat", "ask for less");
    let other = ["token", "--task", "t", "--audience", "https://nobody.example.com", "--scope", "a"];
    fails(&broker.cli("demo", &other), 1, "unknown audience: https://nobody.example.com", "jitney audience list");
    for (workload, next) in [("expired", "jitney workload show"), ("nobody", "compare what this workload shows")] {
        let words = ["token", "--task", "t", "--audience", API, "--scope", "orders:read"];
        fails(&broker.cli(workload, &words), 1, "", next);
    }
    assert!(broker.cli("demo", &["complete", "--task", "t"]).status.success());
    fails(&ask(&[]), 1, "has ended and takes no lease before", "use another name");
    let words = ["run", "--task", "u", "--audience", API, "--scope", "orders:read", "--", "/nonexistent"];
    fails(&broker.cli("demo", &words), 127, "cannot be started", "PATH");
    fails(&broker.cli("demo", &["verify", "a.b.c"]), 2, "never an argument", "--token-file");
    fails(&broker.cli("demo", &["verify", "--token-file", "/nonexistent"]), 1, "cannot be read", "--token-file");
    fails(&broker.cli("demo", &["verify"]), 2, "there is no token", "jitney token");
}

#[test]
fn an_operator_is_told_what_to_do() {
    let broker = Broker::start(&Backing::Embedded);
    let missing = "0190163d-8694-839b-aea5-966c26f8ad91";
    for (words, wrong, next) in [
        (&["lease", "show", missing][..], missing, "jitney lease list"),
        (&["workload", "show", "nobody"], "nobody", "workload list"),
        (&["workload", "quarantine", "nobody", "--reason", "r"], "nobody", "workload list"),
        (&["audience", "show", "https://nobody.example.com"], "nobody", "audience list"),
        (&["lease", "revoke", "--key", "nobody", "--reason", "r"], "nobody", "key list"),
        (&["lease", "revoke", "--task", "nobody", "--reason", "r"], "nobody", "list"),
        (&["audit", "verify", "--file", "/nonexistent"], "/nonexistent", "--file PATH"),
        (&["policy", "check", "/nonexistent"], "/nonexistent", "check again"),
    ] {
        fails(&broker.cli("demo", words), 1, wrong, next);
    }
    let dir = tempfile::tempdir().unwrap();
    fails(
        &jitney(dir.path(), &[], &["serve", "--config", "none.toml"]),
        1,
        "none.toml: cannot be read",
        "configuration.md",
    );
    let store = [("JITNEY_STORE_ACCEPT_UNSAFE", "apendonly")];
    fails(&jitney(dir.path(), &store, &["serve"]), 1, "did you mean `appendonly`?", "configuration.md");
    fails(&jitney(dir.path(), &[], &["serve"]), 1, "the policies cannot be loaded", "jitney serve --dev");
    fails(
        &jitney(dir.path(), &[], &["token", "--task", "t", "--audience", API, "--scope", "a"]),
        2,
        "JITNEY_URL is not set",
        "JITNEY_URL",
    );
}

#[test]
fn a_folder_without_policies_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = said(&jitney(dir.path(), &[], &["policy", "check", "."]));
    assert_eq!(code, Some(0), "a broker loads it: {stdout}{stderr}");
    assert!(stderr.contains("warning: ") && stderr.contains("grants nothing"), "{stderr}");
    let broker = Broker::start(&Backing::Embedded);
    let (code, _, stderr) = said(&broker.cli("demo", &["policy", "check", "data/policies"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_log_that_was_cut_off_is_found_by_an_earlier_head() {
    let broker = Broker::start(&Backing::Embedded);
    broker.mint("demo", "one");
    let verify = |more: &[&str]| said(&broker.cli("demo", &[&["audit", "verify"], more].concat()));
    let head = |told: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix("head ")).unwrap_or_else(|| panic!("{told}"));
        line.trim().to_owned()
    };
    let (_, told, _) = verify(&[]);
    assert!(told.contains("whole lines cut off it show only against a head from before, --head HEX"), "{told}");
    let earlier = head(&told);
    broker.mint("demo", "two");
    let (_, told, _) = verify(&[]);
    let later = head(&told);
    let (code, told, _) = verify(&["--head", &earlier]);
    assert!(code == Some(0) && told.contains("stands in it"), "{told}");
    // The last line goes, whole.
    let text = fs::read_to_string(broker.audit_path()).unwrap();
    let cut = text.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n";
    let copy = broker.data().join("copy.jsonl");
    fs::write(&copy, cut).unwrap();
    let file = ["--file", copy.to_str().unwrap()];
    assert_eq!(verify(&file).0, Some(0), "by itself nothing is to be seen");
    assert_eq!(verify(&[&file[..], &["--head", &earlier]].concat()).0, Some(0));
    let words = [&["audit", "verify"], &file[..], &["--head", &later]].concat();
    fails(&broker.cli("demo", &words), 1, "head missing", "what came after that line is gone");
    let (code, told, _) = verify(&[&file[..], &["--head", &later, "--output", "json"]].concat());
    assert!(code == Some(1) && told.contains("\"head missing\""), "{told}");
    let (code, _, wrong) = verify(&["--head", "abc"]);
    assert!(code == Some(2) && wrong.contains("64 hex digits"), "{wrong}");
}

#[test]
fn status_tells_what_is_known_while_the_store_is_away() {
    let backing = Backing::Redis(Redis::start());
    let broker = Setup::default().start(&backing);
    broker.mint("demo", "t");
    broker.complete("demo", "t").expect(204);
    let Backing::Redis(redis) = &backing else { unreachable!() };
    let store = |broker: &Broker| broker.operator_sees("/admin/v1/status")["store"].clone();
    let before = store(&broker);
    assert!(before["available"] == true && before.get("away").is_none(), "{before}");
    redis.kill();
    let (code, told, warned) = said(&broker.cli("demo", &["status"]));
    assert_eq!(code, Some(0), "{warned}");
    assert!(told.contains("AWAY since ") && told.contains("as last read") && told.contains("policy set"), "{told}");
    assert!(warned.contains("warning: the store is away"), "{warned}");
    let away = store(&broker);
    assert!(away["available"] == false && away["away"]["position"] == before["position"], "{away}");
    assert!(away["away"]["heard_at"].as_u64().unwrap() > 0, "{away}");
    assert!(broker.cli("demo", &["audit", "verify"]).status.success(), "where the log is, is known without the store");
    redis.restart();
    eventually("the store is back", || (store(&broker)["available"] == true).then_some(()));
}
