//! Policies are read again while the broker runs: all of them or none.

use std::fs;

use rustix::process::Signal;
use serde_json::json;

use crate::common::{Ask, Backing, Broker, eventually, key_of, on_both_stores, workload, workload_path};

on_both_stores!(a_change_counts_by_itself_and_at_a_signal, a_broken_set_leaves_the_old_one_in_use);

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
    // All or nothing: the good half of a change does not count either.
    add_newcomer(&broker);
    fs::write(broker.policy("broken.cedar"), "@id(\"x\")\npermit (principal,\n").unwrap();
    let refused = broker.operator("/admin/v1/policies/reload", json!({}));
    assert_eq!(refused.outcome(), (422, "invalid_policies".into()));
    assert!(refused.field("error_description").contains("broken.cedar:"), "{}", refused.text());
    broker.signal(Signal::HUP);
    eventually("the log says why", || broker.stderr().contains("broken.cedar:").then_some(()));
    broker.audited(&[("event", "policy.reload"), ("outcome", "failed")]);
    assert_eq!(broker.ask(&Ask::of(NEWCOMER)).status, 401);
    assert_eq!(digest(&broker), before);
    broker.mint("demo", "t");

    fs::remove_file(broker.policy("broken.cedar")).unwrap();
    eventually("the mended set counts", || (broker.ask(&Ask::of(NEWCOMER)).status == 200).then_some(()));
}
