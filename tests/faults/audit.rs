//! No line, no token: and as soon as the log can be written, tokens again, by itself.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::json;

use crate::common::{Ask, Audit, Backing, Broker, Redis, Setup, Token, eventually, on_both_stores, within};

on_both_stores!(without_its_folder_the_log_grants_nothing, another_file_in_its_place_is_not_written_to);

#[track_caller]
fn refuses(broker: &Broker) {
    let answer = broker.ask(&Ask::of("demo"));
    assert_eq!(answer.outcome(), (503, "temporarily_unavailable".into()), "{}", answer.text());
    assert!(answer.header("retry-after").is_some() && answer.json().get("access_token").is_none());
    assert!(answer.field("error_description").contains("audit"), "{}", answer.text());
}

#[track_caller]
fn recovers(broker: &Broker) -> Token {
    let minted = || Some(broker.ask(&Ask::of("demo"))).filter(|answer| answer.status == 200);
    let token = Token::of(&within(Duration::from_secs(10), "it mints again", minted));
    eventually("it is ready", || (broker.get("/readyz").status == 200).then_some(()));
    token
}

fn without_its_folder_the_log_grants_nothing(backing: &Backing) {
    let broker = Setup::default().set("JITNEY_AUDIT_PATH", "log/audit.jsonl").start(backing);
    let (folder, aside) = (broker.data().join("../log"), broker.data().join("../aside"));
    let token = broker.mint("demo", "t");
    fs::rename(&folder, &aside).unwrap();
    fs::write(&folder, "no folder").unwrap();
    refuses(&broker);
    let readiness = eventually("it is not ready", || Some(broker.get("/readyz")).filter(|answer| answer.status == 503));
    assert_eq!(readiness.json()["missing"], json!(["audit log: it cannot be written"]), "anybody may ask");
    let status = broker.operator_sees("/admin/v1/status");
    assert!(status["audit"]["failure"].as_str().unwrap().contains("audit.jsonl"), "{status}");
    assert!(String::from_utf8_lossy(&broker.cli("demo", &["status"]).stdout).contains("CANNOT BE WRITTEN"));
    assert!(broker.stderr().contains("the audit log cannot be written"), "{}", broker.stderr());
    // Ends do not wait for it: the store's log holds them.
    broker.complete("demo", "t").expect(204);
    assert!(!broker.stands(&token));
    broker.operator_revokes(json!({"workload": "other"}));
    assert_eq!(broker.ask(&Ask::of("nothing")).status, 400, "a refusal hands nothing out");

    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    let minted = recovers(&broker);
    let log = folder.join("audit.jsonl");
    eventually("the ends' lines have followed", || {
        let audit = Audit::read(&log);
        let has = |event: &str| audit.find(&[("event", event), ("outcome", "done")]).is_some();
        (has("complete") && has("revoke")).then_some(())
    });
    let audit = Audit::read(&log);
    assert!(audit.find(&[("event", "mint"), ("lease", &minted.lease())]).is_some());
    let verified = broker.cli("demo", &["audit", "verify", "--file", log.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

fn another_file_in_its_place_is_not_written_to(backing: &Backing) {
    let broker = Broker::start(backing);
    broker.mint("demo", "t");
    let (path, aside) = (broker.audit_path(), broker.data().join("aside"));
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    refuses(&broker);
    fs::remove_dir(&path).unwrap();
    // As a rotation of logs does: a new file goes on with the chain of the old one.
    let minted = recovers(&broker);
    let (old, new) = (Audit::read(&aside), Audit::read(&path));
    assert!(old.find(&[("event", "mint"), ("lease", &minted.lease())]).is_none());
    assert!(new.find(&[("event", "mint"), ("lease", &minted.lease())]).is_some());
    assert!(new.lines()[0]["event"].as_str().unwrap().starts_with("chain."), "{}", new.lines()[0]);
}

/// A limit on the size of the files that this one process writes stands for a full disk. Redis keeps the leases, so
/// nothing else of the broker's grows.
#[test]
fn a_full_disk_grants_nothing_until_there_is_room() {
    let backing = Backing::Redis(Redis::start());
    let broker = Broker::start(&backing);
    broker.mint("demo", "t");
    let size = fs::metadata(broker.audit_path()).unwrap().len();
    let limit = |bytes: Option<u64>| {
        prlimit(Some(broker.pid()), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    };
    // Room for half a line.
    limit(Some(size + 100));
    refuses(&broker);
    refuses(&broker);
    broker.complete("demo", "t").expect(204);
    let written = fs::read(broker.audit_path()).unwrap();
    assert!(written.ends_with(b"\n"), "half a line is taken back");
    limit(None);
    let minted = recovers(&broker);
    broker.audited(&[("event", "mint"), ("lease", &minted.lease())]);
    broker.audited(&[("event", "complete"), ("task", "t")]);
    assert!(broker.cli("demo", &["audit", "verify"]).status.success());
}

#[test]
fn a_changed_line_is_found() {
    let broker = Broker::start(&Backing::Embedded);
    for _ in 0..5 {
        broker.mint("demo", "t");
    }
    assert!(broker.cli("demo", &["audit", "verify"]).status.success());
    let text = fs::read_to_string(broker.audit_path()).unwrap();
    let copy = broker.data().join("copy.jsonl");
    let changed = text.replacen("\"granted\"", "\"refused\"", 1);
    let lines: Vec<&str> = text.lines().collect();
    let without = [&lines[..3], &lines[4..]].concat().join("\n") + "\n";
    for forged in [changed, without] {
        fs::write(&copy, forged).unwrap();
        let output = broker.cli("demo", &["audit", "verify", "--file", copy.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// The same for a broker whose store is on that disk too.
#[test]
fn a_full_disk_stops_the_embedded_store_until_there_is_room() {
    let broker = Broker::start(&Backing::Embedded);
    let ended = broker.mint("demo", "ended");
    let token = broker.mint("demo", "t");
    broker.complete("demo", "ended").expect(204);
    let limit = |bytes: Option<u64>| {
        prlimit(Some(broker.pid()), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    };
    limit(Some(0));
    for _ in 0..3 {
        let answer = broker.ask(&Ask::of("demo"));
        assert_eq!(answer.outcome(), (503, "temporarily_unavailable".into()), "{}", answer.text());
        assert!(answer.header("retry-after").is_some());
        assert_eq!(broker.complete("demo", "t").outcome(), (503, "temporarily_unavailable".into()));
    }
    limit(None);
    let fresh = recovers(&broker);
    assert_eq!([&token, &ended, &fresh].map(|token| broker.stands(token)), [true, false, true]);
    broker.complete("demo", "t").expect(204);
    assert!(!broker.stands(&token));
}
