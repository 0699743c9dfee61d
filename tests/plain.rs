//! Bad input, plainly: who types something wrong is told what it was and what to do next.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::process::Output;

use common::{API, Ask, Backing, Broker, ISSUER, Redis, Setup, eventually, jitney, key_of};

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
    fails(&ask(&["--scope", "orders:eat"]), 1, "orders:eat", "declares no such scope: `jitney audience show");
    fails(&ask(&["--scope", "orders:raed"]), 1, "did you mean orders:read?", "jitney policy explain ");
    slip(&broker);
    let other = ["token", "--task", "t", "--audience", "https://nobody.example.com", "--scope", "a"];
    fails(&broker.cli("demo", &other), 1, "unknown audience: https://nobody.example.com", "jitney audience list");
    let unnamed = ["token", "--audience", API, "--scope", "orders:read"];
    fails(&broker.cli("demo", &unnamed), 1, "the parameter task is missing", "add --task NAME");
    for (workload, next) in
        [("expired", "jitney workload show"), ("nobody", "compare JITNEY_WORKLOAD and JITNEY_KEY_FILE")]
    {
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

/// What nobody declares stands in the log as it was asked, so that the explanation can say what was meant.
fn slip(broker: &Broker) {
    let words = ["token", "--task", "t", "--audience", "https://api.exmaple.com", "--scope", "orders:read"];
    let (_, _, stderr) = said(&broker.cli("demo", &words));
    assert!(stderr.contains(&format!("did you mean {API}?")), "{stderr}");
    let id = stderr.split("policy explain ").nth(1).unwrap().split('`').next().unwrap();
    let (_, stdout, _) = said(&broker.cli("demo", &["policy", "explain", id]));
    assert!(
        stdout.contains("https://api.exmaple.com") && stdout.contains(&format!("ask for audience {API}")),
        "{stdout}"
    );
    let of = ["policy", "explain", "--workload", "demo", "--audience", API, "--scope", "orders:read"];
    assert_eq!(said(&broker.cli("demo", &[&of[..], &["--now", "2026-11-28"]].concat())).0, Some(0));
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
    fails(&broker.cli("demo", &["lease", "list", "--cursor", "zzz"]), 2, "`zzz` is no cursor", "leave --cursor out");
    let (code, _, none) = said(&broker.cli("demo", &["lease", "list", "--limit", "0"]));
    assert!(code == Some(2) && none.contains("write a whole number from 1; as many as there are: --all"), "{none}");
    for (words, warned) in [
        (["--workload", "nope"], "the policies know no workload nope: `jitney workload list` names them"),
        (
            ["--audience", "https://nope"],
            "the policies know no audience https://nope: `jitney audience list` names them",
        ),
        (["--workload", "demo"], ""),
    ] {
        let (code, _, stderr) = said(&broker.cli("demo", &[&["lease", "list"][..], &words].concat()));
        assert!(code == Some(0) && stderr.contains(warned) && stderr.is_empty() == warned.is_empty(), "{stderr}");
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
    for (words, wrong) in [
        (&["serve", "--listen", "nonsense"][..], "--listen: "),
        (&["serve", "--dev", "--listen", "127.0.0.1:99999"], "--listen: "),
        (&["serve", "--dev", "--store", "mysql://h"], "--store: "),
        (&["serve", "--dev", "--store", "redis://u:p/a?s#hush@h"], "never an argument"),
    ] {
        let output = jitney(dir.path(), &[], words);
        fails(&output, 2, wrong, "");
        assert!(!said(&output).2.contains("hush"), "{:?}", said(&output));
    }
    let token = |settings: &[(&str, &str)]| {
        jitney(dir.path(), settings, &["token", "--task", "t", "--audience", API, "--scope", "a"])
    };
    fails(&token(&[]), 2, "JITNEY_URL is not set", "JITNEY_URL");
    fails(&token(&[("JITNEY_URL", "127.0.0.1:8180")]), 2, "has no scheme", "http:// for a broker on this machine");
    let both = [("JITNEY_URL", "https://b"), ("JITNEY_KEY_FILE", "k"), ("JITNEY_ASSERTION_FILE", "a")];
    fails(&token(&both), 2, "both set", "unset one");
}

#[test]
fn what_is_said_of_a_configuration_names_places_that_a_person_finds() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("conf");
    fs::create_dir(&conf).unwrap();
    let serve = |text: &str| {
        fs::write(conf.join("x.toml"), text).unwrap();
        jitney(dir.path(), &[], &["serve", "--config", "conf/x.toml", "--listen", "127.0.0.1:0"])
    };
    let at = |name: &str| conf.join(name).display().to_string();
    let output = serve("[policies]\ndri = \"p\"\n");
    fails(&output, 1, "conf/x.toml:2:1: ", "configuration.md");
    fails(&output, 1, &format!("(conf/x.toml is {})", at("x.toml")), "");
    fails(&serve("[policies]\ndir = \"p\"\n"), 1, &format!("cannot be loaded from {}", at("p")), "[policies] dir");
    let tls = "[server]\ntls_cert = \"c.pem\"\ntls_key = \"k.pem\"\n";
    fails(&serve(tls), 1, &at("c.pem"), "tls_cert");
}

#[test]
fn a_broker_says_at_its_start_what_it_serves() {
    let text = "[admin]\nsocket = \"data/admin.sock\"\n[policies]\ndir = \"data/policies\"\n[keys]\ndir = \
                \"data/keys\"\n[audit]\npath = \"data/audit.jsonl\"\n[store]\nurl = \"embedded:data/store\"\n";
    let broker = Setup::default().config(text).start_on(None);
    let said = broker.stderr();
    let line = said.lines().find(|line| line.contains("serving")).unwrap_or_else(|| panic!("{said}"));
    let data = broker.data();
    for told in [
        format!("issuer=\"{ISSUER}\""),
        format!("listen={}", broker.url()),
        format!("admin={}", data.join("admin.sock").display()),
        format!("store=embedded:{}", data.join("store").display()),
        "audiences=2".into(),
    ] {
        assert!(line.contains(&told), "no {told} in {line}");
    }
    assert!(line.contains("workloads=") && line.contains("policies="), "{line}");
}

#[test]
fn a_key_of_dev_that_was_removed_is_made_anew_and_known() {
    let mut broker = Setup::plain().start_on(None);
    let key = broker.data().join("demo.pem");
    let token = |broker: &Broker| {
        let (url, key) = (broker.url(), key.display().to_string());
        let settings = [("JITNEY_URL", &*url), ("JITNEY_WORKLOAD", "demo"), ("JITNEY_KEY_FILE", &key)];
        let words = ["token", "--task", "t", "--audience", "https://api.example.com", "--scope", "orders:read"];
        said(&jitney(&broker.data(), &settings, &words))
    };
    assert_eq!(token(&broker).0, Some(0));
    assert!(broker.stop().success());
    fs::remove_file(&key).unwrap();
    broker.start_again();
    assert!(
        broker.stderr().contains("demo.pem was missing and is made anew, its public half in "),
        "{}",
        broker.stderr()
    );
    let (code, _, stderr) = token(&broker);
    assert_eq!(code, Some(0), "{stderr}");
    // Where other keys stand beside it, nothing is written over.
    assert!(broker.stop().success());
    let known = broker.data().join("policies/keys/demo.jwks.json");
    let mut set: serde_json::Value = serde_json::from_str(&fs::read_to_string(&known).unwrap()).unwrap();
    let own = set["keys"][0].clone();
    let other: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(broker.data().join("policies/keys/api.jwks.json")).unwrap()).unwrap();
    set["keys"] = serde_json::json!([own, other["keys"][0]]);
    fs::write(&known, set.to_string()).unwrap();
    fs::remove_file(&key).unwrap();
    broker.start_again();
    assert!(broker.stderr().contains("the policies do not know it"), "{}", broker.stderr());
    assert_eq!(fs::read_to_string(&known).unwrap(), set.to_string());
}

#[test]
fn a_key_that_others_can_read_is_warned_of_and_used() {
    let broker = Broker::start(&Backing::Embedded);
    let key = broker.data().join("../open.pem");
    fs::write(&key, key_of("demo").pem()).unwrap();
    let with = |mode: u32, words: &[&str]| {
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let (url, key) = (broker.url(), key.to_str().unwrap());
        let settings =
            [("JITNEY_URL", &*url), ("JITNEY_ISSUER", ISSUER), ("JITNEY_WORKLOAD", "demo"), ("JITNEY_KEY_FILE", key)];
        said(&jitney(&broker.data(), &settings, words))
    };
    let ask = ["--task", "t", "--audience", API, "--scope", "orders:read"];
    let run = [&["run"][..], &ask, &["--", "true"]].concat();
    for words in [&[&["token"][..], &ask].concat()[..], &run, &["complete", "--task", "u"]] {
        let (code, _, warned) = with(0o640, words);
        assert!(code == Some(0) && warned.starts_with("warning: others on this machine can read"), "{warned}");
        assert!(warned.contains("(mode 0640): chmod 600 ") && warned.lines().count() == 1, "{warned}");
        // The task is over by now where it was completed: another of the same kind.
        let other: Vec<_> = words.iter().map(|word| if *word == "t" { "t2" } else { word }).collect();
        assert_eq!(with(0o600, &other).2, "", "{words:?}");
    }
}

#[test]
fn a_decision_id_alone_will_do_for_an_explanation_and_the_usage_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, stderr) = said(&jitney(dir.path(), &[], &["policy", "explain"]));
    assert!(code == Some(2) && stderr.contains("jitney policy explain DECISION_ID\n"), "{stderr}");
}

#[test]
fn a_folder_without_policies_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = said(&jitney(dir.path(), &[], &["policy", "check", "."]));
    assert_eq!(code, Some(1), "a broker loads it, and it is hardly the folder that was meant: {stdout}{stderr}");
    assert!(stdout.contains("error[set-empty]") && stdout.contains("grants nothing"), "{stdout}");
    assert!(stderr.contains("1 error, 0 warnings in ."), "{stderr}");
    assert!(!stderr.contains("let it pass"), "no entry of check.toml lets this pass: {stderr}");
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
    let (code, _, wrong) = verify(&["--head", &"0".repeat(64)]);
    assert!(code == Some(2) && wrong.contains("proves nothing"), "{wrong}");
    let other = format!("{}1", "0".repeat(63));
    fails(&broker.cli("demo", &["audit", "verify", "--head", &other]), 1, "head missing", "compare with a copy");
}

#[test]
fn what_is_to_be_pasted_names_the_broker_as_it_was_named() {
    let broker = Broker::start(&Backing::Embedded);
    let token = broker.mint("demo", "t");
    let admin = format!("unix:{}", broker.data().join("admin.sock").display());
    let lease = token.lease();
    for words in [
        &["workload", "show", "demo"][..],
        &["audience", "show", API],
        &["lease", "show", &lease],
        &["lease", "show", "0190163d-8694-839b-aea5-966c26f8ad91"],
        &["workload", "show", "nobody"],
    ] {
        let told = |words: &[&str]| {
            let (_, stdout, stderr) = said(&jitney(&broker.data(), &[], words));
            let mut told = stdout + &stderr;
            // What is told in columns has been counted in them.
            told.retain(|c| c != ' ');
            told
        };
        let named = told(&[&["--admin", &admin], words].concat());
        let bare = named.replace(&format!("--admin{admin}"), "");
        assert!(named.matches(&format!("jitney--admin{admin}")).count() >= 1, "{words:?}: {named}");
        for command in ["lease", "workload", "audience"] {
            assert!(!named.contains(&format!("jitney{command}")), "{words:?}: {named}");
            assert!(
                bare.matches(&format!("jitney{command}")).count()
                    == named.matches(&format!("{admin}{command}")).count()
            );
        }
    }
}

/// What is a thing's name, whose it is and what it may is called alike in every document.
#[test]
fn documents_for_programs_have_the_same_names_for_the_same_things() {
    let broker = Broker::start(&Backing::Embedded);
    let token = broker.mint("demo", "t");
    let document = |words: &[&str]| -> serde_json::Value {
        let (code, stdout, stderr) = said(&broker.cli("demo", &[words, &["--output", "json"]].concat()));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{words:?}");
        serde_json::from_str(&stdout).unwrap()
    };
    let lease = document(&["lease", "show", &token.lease()]);
    let listed = document(&["lease", "list"])["leases"][0].clone();
    let workload = document(&["workload", "show", "demo"]);
    let used = &workload["last_use"];
    for name in ["workload", "audience", "task", "scope"] {
        assert!(lease[name].is_string() && lease[name] == listed[name], "{name}: {lease}");
        assert_eq!(lease[name], lease["events"][0][name], "{name}: {lease}");
        if name != "workload" {
            assert_eq!(lease[name], used[name], "{name}: {workload}");
        }
    }
    assert_eq!(lease["id"], used["lease"]);
    for (kind, words) in [("workload", ["workload", "list"]), ("audience", ["audience", "list"])] {
        let list = document(&words);
        let first = list[format!("{kind}s")][0].clone();
        let shown = document(&[kind, "show", first["id"].as_str().unwrap()]);
        for (name, value) in first.as_object().unwrap() {
            // One is looked for further back than all are.
            assert!(
                shown.get(name).is_some_and(|found| found == value || name == "unused_since"),
                "{kind} {name}: {shown}"
            );
        }
    }
}

#[test]
fn a_lease_is_shown_to_programs_with_the_events_that_people_see() {
    let broker = Broker::start(&Backing::Embedded);
    let token = broker.mint("demo", "t");
    broker.complete("demo", "t").expect(204);
    broker.audited(&[("event", "complete"), ("task", "t")]);
    let (code, shown, _) = said(&broker.cli("demo", &["lease", "show", &token.lease(), "--output", "json"]));
    assert_eq!(code, Some(0));
    let lease: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((lease["id"].as_str(), lease["state"].as_str()), (Some(&*token.lease()), Some("ended")));
    let events: Vec<_> = lease["events"].as_array().unwrap().iter().map(|each| each["event"].clone()).collect();
    assert_eq!(events, ["mint", "complete"], "{lease}");
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
    let begun = std::time::Instant::now();
    for _ in 0..5 {
        broker.ask(&Ask::of("demo")).expect(503);
    }
    let warnings = || broker.stderr().lines().filter(|line| line.contains("the store cannot be asked")).count();
    let most = || 1 + usize::try_from(begun.elapsed().as_secs() / 30).unwrap();
    assert!((1..=most()).contains(&warnings()), "{}", broker.stderr());
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
    eventually("the log says so", || broker.stderr().contains("the store answers again").then_some(()));
    assert!(warnings() <= most(), "{}", broker.stderr());
}
