//! Policies are read again while the broker runs: all of them or none.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{Ask, Backing, Broker, eventually, jitney, key_of, now, on_both_stores, workload, workload_path};

on_both_stores!(a_change_counts_by_itself_and_at_a_signal, a_broken_set_leaves_the_old_one_in_use);

/// Whole from the first moment: the broker may look between the making of a file and its filling.
fn put(broker: &Broker, path: &str, text: &str) {
    let aside = broker.policy(".aside");
    fs::write(&aside, text).unwrap();
    fs::rename(aside, broker.policy(path)).unwrap();
}

/// What is wrong with the folder, as status has it.
fn refused_set(broker: &Broker) -> Option<Value> {
    broker.operator_sees("/admin/v1/status")["policies"].get("refused").cloned()
}

fn check(folder: &Path) -> (Option<i32>, String) {
    let said = jitney(folder.parent().unwrap(), &[], &["policy", "check", folder.to_str().unwrap()]);
    (said.status.code(), format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr)))
}

const NEWCOMER: &str = "newcomer";

fn add_newcomer(broker: &Broker) {
    fs::write(broker.policy(&workload_path(NEWCOMER)), workload(NEWCOMER, "2099-12-31", &key_of(NEWCOMER).jwks(), ""))
        .unwrap();
}

fn digest(broker: &Broker) -> String {
    broker.operator_sees("/admin/v1/status")["policies"]["digest"].as_str().unwrap().to_owned()
}

fn a_change_counts_by_itself_and_at_a_signal(backing: &Backing) {
    let broker = Broker::start(backing);
    let before = digest(&broker);
    assert_eq!(broker.ask(&Ask::of(NEWCOMER)).outcome(), (401, "invalid_client".into()));
    add_newcomer(&broker);
    eventually("the newcomer is known by itself", || (broker.ask(&Ask::of(NEWCOMER)).status == 200).then_some(()));
    assert_ne!(digest(&broker), before);
    let token = broker.mint(NEWCOMER, "t");

    fs::remove_file(broker.policy(&workload_path(NEWCOMER))).unwrap();
    broker.signal(Signal::HUP);
    eventually("it is gone", || (broker.ask(&Ask::of(NEWCOMER)).status == 401).then_some(()));
    assert_eq!(digest(&broker), before);
    assert!(broker.stands(&token), "a set is no rule: access that was removed ends at exp, or by a revocation");
    broker.operator_revokes(json!({"workload": NEWCOMER}));
    assert!(!broker.stands(&token));

    add_newcomer(&broker);
    let reloaded = broker.operator("/admin/v1/policies/reload", json!({})).expect(200);
    assert_eq!(reloaded.field("digest"), digest(&broker));
    broker.mint(NEWCOMER, "t");
    broker.audited(&[("event", "policy.reload"), ("outcome", "done")]);
}

fn a_broken_set_leaves_the_old_one_in_use(backing: &Backing) {
    let broker = Broker::start(backing);
    let before = digest(&broker);
    put(&broker, "broken.cedar", "@id(\"x\")\npermit (principal,\n");
    // All or nothing: the good half of a change does not count either.
    add_newcomer(&broker);
    let refused = broker.operator("/admin/v1/policies/reload", json!({}));
    assert_eq!(refused.outcome(), (422, "invalid_policies".into()));
    assert!(refused.field("error_description").contains("broken.cedar:"), "{}", refused.text());
    broker.signal(Signal::HUP);
    eventually("the log says why", || broker.stderr().contains("broken.cedar:").then_some(()));
    broker.audited(&[("event", "policy.reload"), ("outcome", "failed")]);
    assert_eq!(broker.ask(&Ask::of(NEWCOMER)).status, 401);
    assert_eq!(digest(&broker), before);
    broker.mint("demo", "t");
    let told = refused_set(&broker).expect("status says that the set in use is not that of the folder");
    assert!(told["finding"].as_str().unwrap().contains("broken.cedar:"), "{told}");
    assert!(told["since"].as_u64().unwrap().abs_diff(now()) < 120, "{told}");
    let status = broker.cli("demo", &["status"]);
    let warning = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(status.status.success() && warning.contains("the changed policies are refused since 20"), "{warning}");
    assert!(warning.contains("broken.cedar:"), "{warning}");
    let folder = broker.data().join("policies");
    assert!(warning.contains(&format!("mend it: jitney policy check {}", folder.display())), "{warning}");

    fs::remove_file(broker.policy("broken.cedar")).unwrap();
    eventually("the mended set counts", || (broker.ask(&Ask::of(NEWCOMER)).status == 200).then_some(()));
    eventually("status has nothing to say of it", || refused_set(&broker).is_none().then_some(()));
    assert!(!String::from_utf8_lossy(&broker.cli("demo", &["status"]).stderr).contains("refused since"));
}

/// A policy that nobody reads is told of wherever a set is loaded; what editors leave is not.
#[test]
fn a_file_that_nothing_reads_is_told_of() {
    let broker = Broker::start(&Backing::Embedded);
    let before = digest(&broker);
    for silent in ["notes.md", "orders.cedar~", ".#orders.cedar", "workloads/.demo.toml.swp"] {
        fs::write(broker.policy(silent), "x").unwrap();
    }
    fs::create_dir(broker.policy("sub")).unwrap();
    let forbid = "@id(\"no\")\nforbid (principal, action, resource);\n";
    for stray in ["no.CEDAR", "sub/x.cedar", "workloads/no.cedar"] {
        fs::write(broker.policy(stray), forbid).unwrap();
        eventually("the reload tells of it", || broker.stderr().contains(&format!("/{stray}: ")).then_some(()));
    }
    let (code, told) = check(&broker.policy(""));
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(told.matches("warning[stray-file/stray]").count(), 3, "{told}");
    assert!(told.contains("rename it to no.cedar"), "{told}");
    assert_eq!(digest(&broker), before, "they are no part of the set");
    broker.mint("demo", "t");

    fs::rename(broker.policy("no.CEDAR"), broker.policy("no.cedar")).unwrap();
    eventually("what is mended counts", || (broker.ask(&Ask::of("demo")).status == 400).then_some(()));
}

#[test]
fn a_name_that_is_no_text_is_refused_with_the_whole_set() {
    let broker = Broker::start(&Backing::Embedded);
    let path = broker.policy("").join(OsStr::from_bytes(b"no\xff.cedar"));
    fs::write(&path, "").unwrap();
    let told = eventually("the set is refused by itself", || refused_set(&broker));
    assert!(told["finding"].as_str().unwrap().contains("not UTF-8"), "{told}");
    let (code, said) = check(&broker.policy(""));
    assert!(code == Some(1) && said.contains("not UTF-8"), "{said}");
    fs::remove_file(&path).unwrap();
    eventually("it is mended", || refused_set(&broker).is_none().then_some(()));
}

/// Cedar recurses: what is too deep for it ends neither the check nor a broker.
#[test]
fn policies_beyond_the_depth_are_refused_and_the_old_ones_stay() {
    let broker = Broker::start(&Backing::Embedded);
    let before = digest(&broker);
    let policy =
        |condition: &str| format!("@id(\"deep\")\npermit (principal, action, resource)\nwhen {{ {condition} }};\n");
    let nested = |depth: usize| policy(&format!("{}false{}", "(".repeat(depth), ")".repeat(depth)));
    for (beyond, why) in [
        (nested(32), "more than 32 brackets"),
        (nested(200_000), "more than 32 brackets"),
        (policy(&format!("false{}", " || false".repeat(100_000))), "more than 1000 operators"),
    ] {
        put(&broker, "deep.cedar", &beyond);
        let (code, said) = check(&broker.policy(""));
        assert!(code == Some(1) && said.contains("cedar-depth") && said.contains(why), "{said:.900}");
        let told = eventually("the set is refused by itself", || {
            refused_set(&broker).filter(|told| told["finding"].as_str().unwrap().contains(why))
        });
        assert!(told["finding"].as_str().unwrap().contains("deep.cedar:3:"), "{told}");
        assert_eq!(digest(&broker), before);
        broker.mint("demo", "t");
    }
    put(&broker, "deep.cedar", &nested(31));
    assert_eq!(check(&broker.policy("")).0, Some(0));
    eventually("what is within the bounds counts", || (digest(&broker) != before).then_some(()));
    assert_eq!(refused_set(&broker), None);
    broker.mint("demo", "t");
}
