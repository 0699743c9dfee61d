//! What a chain cannot tell by itself, its checkpoints do: an end that was cut off, or written anew.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{audit, closed, lines, restless, said, verified};
use crate::common::{Backing, Broker, Jwks, Setup, base64url, eventually, from_base64url, key_of};

fn beside(log: &Path) -> PathBuf {
    PathBuf::from(format!("{}.checkpoints", log.display()))
}

fn entries(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(beside(log)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until a checkpoint tells of the last line.
fn signed_for_all(broker: &Broker) -> Value {
    let log = broker.audit_path();
    eventually("the last line is signed for", || {
        let last: Value = serde_json::from_str(lines(&log).last().unwrap()).unwrap();
        entries(&log).pop().filter(|entry| entry["seq"] == last["seq"])
    })
}

fn often() -> Setup {
    Setup::default().set("JITNEY_AUDIT_CHECKPOINT", "1s")
}

#[test]
fn a_checkpoint_is_signed_by_the_broker_s_key_over_the_last_line() {
    let broker = often().start(&Backing::Embedded);
    broker.mint("demo", "t");
    let entry = signed_for_all(&broker);
    let token = Jwks::fetch(&broker).check(entry["checkpoint"].as_str().unwrap(), "audit-checkpoint+jwt").unwrap();
    let last = lines(&broker.audit_path()).pop().unwrap();
    let hash: String = ring::digest::digest(&ring::digest::SHA256, last.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(token.claim("head"), hash);
    assert_eq!(token.claim("iss"), crate::common::ISSUER);
    let line: Value = serde_json::from_str(&last).unwrap();
    assert_eq!((token.number("seq"), &json!(token.claim("broker"))), (line["seq"].as_u64().unwrap(), &line["broker"]));
    assert_eq!(token.number("count"), token.number("seq") - token.number("after"));
    assert_eq!(entry["key"]["kid"], token.kid());
    assert!(entry["key"].get("d").is_none());
    let status: Value = serde_json::from_slice(&broker.cli("demo", &["status", "--output", "json"]).stdout).unwrap();
    assert_eq!(status["audit"]["checkpoint"]["seq"], token.number("seq"), "{status}");
}

#[test]
fn a_broker_that_ends_signs_for_its_last_line_and_goes_on_behind_it() {
    let mut broker = Broker::start(&Backing::Embedded);
    broker.mint("demo", "t");
    for _ in 0..2 {
        assert!(broker.stop().success());
        let (is_intact, told) = verified(&broker, &broker.audit_path(), &[]);
        assert!(is_intact, "{told}");
        assert_eq!(told["checkpoints"]["last"]["seq"], told["last"]["seq"], "{told}");
        assert_eq!(told["checkpoints"]["last"]["hash"], told["head"], "{told}");
        assert_eq!(told["checkpoints"]["all"], told["checkpoints"]["fitting"], "{told}");
        broker.start_again();
        broker.mint("demo", "t");
    }
    let log = broker.audit_path();
    let file = log.to_str().unwrap();
    assert!(broker.stop().success());
    let told = said(&broker.cli("demo", &["audit", "verify", "--file", file])).1;
    assert!(told.contains("the last, is what a checkpoint tells of; lines cut off together with theirs"), "{told}");
}

#[test]
fn an_end_that_was_cut_off_or_written_anew_shows() {
    let mut broker = Broker::start(&Backing::Embedded);
    for n in 0..5 {
        broker.mint("demo", &format!("t{n}"));
    }
    assert!(broker.stop().success());
    let log = broker.audit_path();
    let whole = fs::read_to_string(&log).unwrap();
    let all: Vec<&str> = whole.lines().collect();
    let left = all.len() - 2;
    fs::write(&log, all[..left].join("\n") + "\n").unwrap();
    let (is_intact, told) = verified(&broker, &log, &[]);
    assert!(!is_intact, "{told}");
    assert_eq!((&told["fault"], &told["line"]), (&"truncated".into(), &json!(left)), "{told}");
    let (code, _, stderr) = said(&broker.cli("demo", &["audit", "verify", "--file", log.to_str().unwrap()]));
    assert!(code == Some(1) && stderr.contains("a checkpoint tells of a line") && stderr.contains("next:"), "{stderr}");
    // By itself, without its checkpoints, it looks whole.
    let copy = broker.data().join("copy.jsonl");
    fs::copy(&log, &copy).unwrap();
    assert!(verified(&broker, &copy, &[]).0);
    let beside = beside(&log);
    assert!(!verified(&broker, &copy, &["--checkpoints", beside.to_str().unwrap()]).0);
    // A broker that is started on it says so, grants nothing away, and signs for nothing before there are as many lines.
    broker.start_again();
    eventually("it says so", || broker.stderr().contains("lines were lost or taken away").then_some(()));
    assert!(broker.stop().success());
    // Written anew: another broker's log of as many lines in its place.
    let other = Broker::start(&Backing::Embedded);
    for n in 0..9 {
        other.mint("demo", &format!("u{n}"));
    }
    fs::copy(other.audit_path(), &log).unwrap();
    let (is_intact, told) = verified(&broker, &log, &[]);
    assert!(!is_intact && told["fault"] == "changed" && told["why"].as_str().unwrap().contains("checkpoint"), "{told}");
}

#[test]
fn a_checkpoint_that_is_forged_dropped_or_by_another_s_key_is_refused() {
    let mut broker = Broker::start(&Backing::Embedded);
    broker.mint("demo", "t");
    for _ in 0..3 {
        assert!(broker.stop().success());
        broker.start_again();
    }
    let log = broker.audit_path();
    let url = broker.url();
    assert!(broker.cli("demo", &["audit", "verify", "--jwks", &url]).status.success());
    let keys = broker.data().join("keys.json");
    fs::write(&keys, broker.get("/oauth2/jwks").text()).unwrap();
    assert!(broker.stop().success());
    let given = ["--jwks", keys.to_str().unwrap()];
    let (is_intact, told) = verified(&broker, &log, &given);
    assert!(is_intact && told["checkpoints"]["by_given_keys"] == told["checkpoints"]["all"], "{told}");

    let whole = fs::read_to_string(beside(&log)).unwrap();
    let all: Vec<&str> = whole.lines().collect();
    let fails = |text: &str, more: &[&str], why: &str| {
        fs::write(beside(&log), text).unwrap();
        let words = [&["audit", "verify", "--file", log.to_str().unwrap()], more].concat();
        let (code, _, stderr) = said(&broker.cli("demo", &words));
        assert!(code == Some(1) && stderr.contains(why), "{why}: {stderr}");
    };
    // Its words changed, its signature kept.
    let mut entry: Value = serde_json::from_str(all[1]).unwrap();
    let signed = entry["checkpoint"].as_str().unwrap().to_owned();
    let [header, claims, signature] = signed.split('.').collect::<Vec<_>>()[..] else { panic!("{signed}") };
    let mut claims: Value = serde_json::from_slice(&from_base64url(claims)).unwrap();
    claims["head"] = "0".repeat(64).into();
    entry["checkpoint"] = format!("{header}.{}.{signature}", base64url(claims.to_string())).into();
    let forged = [all[0], &entry.to_string(), all[2]].join("\n") + "\n";
    fails(&forged, &[], "line 2 of the checkpoints");
    fails(&([all[0], all[2]].join("\n") + "\n"), &[], "one is missing");
    fails("nonsense\n", &[], "it is no checkpoint");
    // Signed well and beside its key, but that is the forger's: behind what the given keys vouch for, or by a broker that wrote
    // nothing here.
    let key = key_of("forger");
    let mine = |claims: &Value, kid: &str| {
        let header = json!({"alg": "ES256", "typ": "audit-checkpoint+jwt", "kid": kid}).to_string();
        let input = format!("{}.{}", base64url(header), base64url(claims.to_string()));
        let signature = base64url(key.sign("ES256", input.as_bytes()));
        json!({"v": 1, "seq": claims["seq"], "checkpoint": format!("{input}.{signature}"), "key": key.jwk(Some(kid))})
    };
    let told_by = |entry: &str| {
        let entry: Value = serde_json::from_str(entry).unwrap();
        let signed = entry["checkpoint"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
        serde_json::from_slice::<Value>(&from_base64url(&signed)).unwrap()
    };
    let last = told_by(all[all.len() - 1]);
    let anew = [&all[..all.len() - 1], &[&mine(&last, "mine").to_string()]].concat().join("\n") + "\n";
    fails(&anew, &given, "is signed by a key that is not in");
    let mut others = last.clone();
    others["broker"] = "b-other".into();
    let anew = [&all[..all.len() - 1], &[&mine(&others, "mine").to_string()]].concat().join("\n") + "\n";
    fails(&anew, &[], "is by the broker b-other, which wrote no line of");
    // Signed, but with a key of the forger's.
    let other = Broker::start(&Backing::Embedded);
    other.mint("demo", "t");
    eventually("it has signed", || beside(&other.audit_path()).exists().then_some(()));
    let theirs = fs::read_to_string(beside(&other.audit_path())).unwrap();
    fails(&theirs, &given, "is signed by a key of");
    fails("", &given, "there is no checkpoint in");
    // Whoever took them away is not to be helped by the advice.
    fs::remove_file(beside(&log)).unwrap();
    let (code, _, stderr) =
        said(&broker.cli("demo", &["audit", "verify", "--file", log.to_str().unwrap(), given[0], given[1]]));
    assert!(
        code == Some(1) && stderr.contains("the checkpoints are missing: somebody may have removed them"),
        "{stderr}"
    );
    assert!(stderr.contains("--checkpoints PATH") && !stderr.contains("leave out"), "{stderr}");
    fs::write(beside(&log), &whole).unwrap();
    assert!(verified(&broker, &log, &given).0);
}

/// Somebody took the log away, and the broker goes on in another file: nothing signed speaks of its lines yet.
#[test]
fn keys_vouch_for_nothing_where_no_checkpoint_tells_of_a_line_that_is_there() {
    let mut broker = Broker::start(&Backing::Embedded);
    assert!(broker.stop().success());
    broker.start_again();
    let (log, url) = (broker.audit_path(), broker.url());
    // How often it has signed by then is a matter of how fast it was.
    signed_for_all(&broker);
    assert!(verified(&broker, &log, &["--jwks", &url]).0);
    // What follows the last checkpoint directly, it vouches for.
    broker.mint("demo", "s");
    fs::rename(&log, log.with_extension("away")).unwrap();
    broker.mint("demo", "t");
    let (is_intact, told) = verified(&broker, &log, &[]);
    assert!(is_intact && told["checkpoints"]["fitting"] == 0, "{told}");
    let (_, shown, _) = said(&broker.cli("demo", &["audit", "verify"]));
    assert!(shown.contains("not checked: whole lines cut off it show only"), "{shown}");
    let (code, _, stderr) = said(&broker.cli("demo", &["audit", "verify", "--jwks", &url]));
    assert!(code == Some(1) && stderr.contains("tells of a line of it"), "{stderr}");
    assert!(!stderr.contains("leave out"), "{stderr}");
}

/// An auditor is sent one closed file, and the checkpoints of the whole log.
#[test]
fn a_closed_file_alone_is_held_against_the_checkpoints_of_its_own_lines() {
    let mut broker = restless().start(&Backing::Embedded);
    for n in 0..30 {
        broker.mint("demo", &format!("t{n}"));
    }
    assert!(broker.stop().success());
    let log = broker.audit_path();
    let files = closed(&log);
    assert!(files.len() > 2, "{files:?}");
    let kept = beside(&log);
    let away = tempfile::tempdir().unwrap();
    for file in &files {
        let alone = away.path().join(file.file_name().unwrap());
        fs::copy(file, &alone).unwrap();
        let words = ["--checkpoints", kept.to_str().unwrap()];
        let (is_intact, told) = verified(&broker, &alone, &words);
        assert!(is_intact && told["closed_file"] == true, "{told}");
        let (first, last) = (told["first"]["seq"].as_u64().unwrap(), told["last"]["seq"].as_u64().unwrap());
        let beyond = entries(&log).iter().filter(|entry| entry["seq"].as_u64().unwrap() > last).count();
        assert_eq!(told["checkpoints"]["beyond"], beyond, "{told}");
        let shown = audit(&broker, &["verify", "--file", alone.to_str().unwrap(), words[0], words[1]]);
        assert!(shown.contains(&format!("lines {first} to {last}, one closed file of the log")), "{shown}");
        let newest =
            audit(&broker, &["verify", "--file", alone.to_str().unwrap(), "--from-checkpoint", words[0], words[1]]);
        assert!(newest.contains("begun at"), "{newest}");
        let text = fs::read_to_string(&alone).unwrap();
        // A line behind the last one that its name tells of shows, though it fits.
        let next = files.iter().skip_while(|each| each.file_name() != file.file_name()).nth(1);
        let beyond = fs::read_to_string(next.unwrap_or(&log)).unwrap();
        let line: Value = serde_json::from_str(beyond.lines().next().unwrap()).unwrap();
        fs::write(&alone, format!("{text}{}\n", beyond.lines().next().unwrap())).unwrap();
        let (is_intact, told) = verified(&broker, &alone, &words);
        assert!(!is_intact && told["fault"] == "inserted", "{told} {line}");
        assert_eq!(told["line"], text.lines().count() + 1, "{told}");
        // Its own end cut off shows, with checkpoints or without.
        let cut: String = text.split_inclusive('\n').take(text.lines().count() - 1).collect();
        fs::write(&alone, cut).unwrap();
        for words in [&words[..], &[]] {
            let (is_intact, told) = verified(&broker, &alone, words);
            assert!(!is_intact && told["fault"] == "truncated", "{told}");
        }
    }
    // So does that of the newest alone, and of a whole log whose newest file is gone.
    let elsewhere = tempfile::tempdir().unwrap();
    let newest = elsewhere.path().join("audit.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let cut: String = text.split_inclusive('\n').take(text.lines().count() - 1).collect();
    fs::write(&newest, cut).unwrap();
    let (is_intact, told) = verified(&broker, &newest, &["--checkpoints", kept.to_str().unwrap()]);
    assert!(!is_intact && told["fault"] == "truncated", "{told}");
    fs::rename(&log, away.path().join("gone")).unwrap();
    let (is_intact, told) = verified(&broker, &log, &[]);
    assert!(!is_intact && told["fault"] == "truncated", "{told}");
}

#[test]
fn a_log_without_a_line_proves_nothing_and_says_so() {
    let broker = Broker::start(&Backing::Embedded);
    let empty = broker.data().join("empty.jsonl");
    fs::write(&empty, "").unwrap();
    let shown = audit(&broker, &["verify", "--file", empty.to_str().unwrap()]);
    assert!(shown.starts_with("empty ") && shown.contains("nothing to verify") && !shown.contains("intact"), "{shown}");
    let (_, told) = verified(&broker, &empty, &[]);
    assert!(told["empty"] == true && told["lines"] == 0, "{told}");
}

#[test]
fn checkpoints_outlive_the_keys_that_signed_them() {
    let backing = Backing::Embedded;
    let mut broker = often().start(&backing);
    broker.mint("demo", "t");
    let first = signed_for_all(&broker)["key"]["kid"].as_str().unwrap().to_owned();
    let old = broker.data().join("old.json");
    fs::write(&old, broker.get("/oauth2/jwks").text()).unwrap();
    broker.operator_revokes(json!({"key": first}));
    broker.mint("demo", "t");
    let second = eventually("another key signs", || {
        let kid = signed_for_all(&broker)["key"]["kid"].as_str().unwrap().to_owned();
        (kid != first).then_some(kid)
    });
    assert!(!Jwks::fetch(&broker).kids().contains(&first));
    let url = broker.url();
    let (is_intact, told) = verified(&broker, &broker.audit_path(), &["--jwks", &url]);
    assert!(is_intact && told["checkpoints"]["last"]["kid"] == second, "{told}");
    let (is_intact, told) = verified(&broker, &broker.audit_path(), &["--jwks", old.to_str().unwrap()]);
    assert!(is_intact && told["checkpoints"]["by_given_keys"].as_u64().unwrap() >= 1, "{told}");
    assert!(broker.stop().success());
}

#[test]
fn from_a_checkpoint_on_what_stands_before_is_not_read() {
    let mut broker = restless().start(&Backing::Embedded);
    for n in 0..30 {
        broker.mint("demo", &format!("t{n}"));
    }
    assert!(broker.stop().success());
    broker.start_again();
    broker.mint("demo", "more");
    let log = broker.audit_path();
    let all = lines(&log).len() as u64;
    let (is_intact, told) = verified(&broker, &log, &["--from-checkpoint"]);
    assert!(is_intact, "{told}");
    let newest = told["checkpoints"]["last"]["seq"].as_u64().unwrap();
    let entries = entries(&log);
    assert!(entries.len() > 3 && entries.iter().any(|entry| entry["seq"] == newest), "{told}");
    assert_eq!((&told["first"]["seq"], &told["last"]["seq"]), (&newest.into(), &all.into()), "{told}");
    assert_eq!(told["lines"], all - newest + 1);
    let older = entries[1]["seq"].as_u64().unwrap().to_string();
    let (_, told) = verified(&broker, &log, &["--from-checkpoint", &older]);
    assert_eq!(told["first"]["seq"].to_string(), older);
    // Damage before it is not looked at; behind it, it is.
    let first = &closed(&log)[0];
    let text = fs::read_to_string(first).unwrap();
    fs::write(first, text.replacen("granted", "refused", 1)).unwrap();
    assert!(!verified(&broker, &log, &[]).0);
    assert!(verified(&broker, &log, &["--from-checkpoint"]).0);
    fs::write(first, text).unwrap();
    let (code, _, stderr) = said(&broker.cli("demo", &["audit", "verify", "--from-checkpoint", "999999"]));
    assert!(code == Some(1) && stderr.contains("no checkpoint of line 999999"), "{stderr}");
    assert!(audit(&broker, &["verify", "--from-checkpoint"]).contains("begun at"));
}
