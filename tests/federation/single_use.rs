//! `@single_use`: a platform's token that gets one lease, or serves one task, whichever broker it is shown to.

use serde_json::json;

use super::ambient::{printed, shell};
use super::common::{API, Backing, Broker, Key, Platform, Redis, complete_path, on_both_stores, workload_path};
use super::{by, platform_workload, trusting};

on_both_stores!(
    a_token_bound_to_one_lease_gets_no_second_one,
    a_token_bound_to_one_task_serves_no_other,
    a_token_that_proves_two_workloads_gets_one_lease_all_the_same,
);

const JOB: &str = "claims = { repository_id = \"1\" }";

fn policy(how_far: &str) -> String {
    format!(
        "@id(\"bound\")\n@single_use(\"{how_far}\")\npermit (principal == Jitney::Workload::\"job\", action, resource == \
         Jitney::Scope::\"{API} orders:write\");"
    )
}

fn start(platform: &Platform, how_far: &str, store: Option<String>) -> Broker {
    trusting(platform, JOB).policy("bound.cedar", policy(how_far)).start_on(store)
}

fn a_token_bound_to_one_lease_gets_no_second_one(backing: &Backing) {
    let (platform, key) = (Platform::http(), Key::ec());
    platform.publish(&[(&key, "p1")]);
    let broker = start(&platform, "lease", backing.url());
    let shown = platform.token(&key, "p1", json!({"repository_id": "1"}));
    // What needs no such permit binds nothing, and a refusal uses nothing up.
    broker.granted(&by(&shown).task("t"));
    assert_eq!(broker.ask(&by(&shown).task("t").with("scope", "orders:purge orders:write")).status, 400);
    let token = broker.granted(&by(&shown).task("t").with("scope", "orders:write"));
    let again = broker.ask(&by(&shown).task("t").with("scope", "orders:write"));
    assert_eq!(again.outcome(), (401, "invalid_client".into()));
    assert!(again.field("error_description").contains("bound to the lease"), "{}", again.text());
    broker.granted(&by(&shown).task("t"));
    broker.send(&by(&shown).at(&complete_path("t"))).expect(204);
    assert!(!broker.stands(&token));
    let fresh = platform.token(&key, "p1", json!({"repository_id": "1", "jti": "fresh"}));
    broker.granted(&by(&fresh).task("u").with("scope", "orders:write"));
}

fn a_token_bound_to_one_task_serves_no_other(backing: &Backing) {
    let (platform, key) = (Platform::http(), Key::ec());
    platform.publish(&[(&key, "p1")]);
    let broker = start(&platform, "task", backing.url());
    let shown = platform.token(&key, "p1", json!({"repository_id": "1"}));
    let ask = |task: &str| by(&shown).task(task).with("scope", "orders:write");
    for _ in 0..3 {
        broker.granted(&ask("first"));
    }
    let other = broker.ask(&ask("second"));
    assert_eq!(other.outcome(), (401, "invalid_client".into()));
    assert!(other.field("error_description").contains("bound to another task"), "{}", other.text());
    broker.granted(&ask("first"));
}

/// A broker that two workloads trust alike, under one permit for everybody.
fn start_twins(platform: &Platform, store: Option<String>) -> Broker {
    let permit = format!(
        "@id(\"bound\")\n@single_use(\"lease\")\npermit (principal, action, resource == Jitney::Scope::\"{API} orders:write\");"
    );
    trusting(platform, JOB)
        .policy(&workload_path("twin"), platform_workload(platform.url(), JOB))
        .policy("bound.cedar", permit)
        .start_on(store)
}

fn a_token_that_proves_two_workloads_gets_one_lease_all_the_same(backing: &Backing) {
    let (platform, key) = (Platform::http(), Key::ec());
    platform.publish(&[(&key, "p1")]);
    let broker = start_twins(&platform, backing.url());
    let shown = platform.token(&key, "p1", json!({"repository_id": "1"}));
    let ask = |id: &str| by(&shown).task("t").with("client_id", id).with("scope", "orders:write");
    broker.granted(&ask("job"));
    for id in ["twin", "job"] {
        let again = broker.ask(&ask(id));
        assert_eq!(again.outcome(), (401, "invalid_client".into()), "{id}: {}", again.text());
        assert!(again.field("error_description").contains("bound to the lease"), "{}", again.text());
    }
}

#[test]
fn two_workloads_at_two_brokers_get_one_lease_for_one_token() {
    let (platform, key, redis) = (Platform::http(), Key::ec(), Redis::start());
    platform.publish(&[(&key, "p1")]);
    let [one, two] = [(); 2].map(|()| start_twins(&platform, Some(redis.url())));
    for round in 0..5 {
        let shown = platform.token(&key, "p1", json!({"repository_id": "1", "jti": format!("r{round}")}));
        let mut statuses = std::thread::scope(|scope| {
            let asked = [(&one, "job"), (&two, "twin"), (&one, "twin"), (&two, "job")].map(|(broker, id)| {
                let ask = by(&shown).task("t").with("client_id", id).with("scope", "orders:write");
                scope.spawn(move || broker.ask(&ask).status)
            });
            asked.map(|each| each.join().unwrap())
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401, 401, 401]);
    }
}

#[test]
fn what_one_broker_bound_is_bound_at_the_other() {
    let (platform, key, redis) = (Platform::http(), Key::ec(), Redis::start());
    platform.publish(&[(&key, "p1")]);
    let [one, two] = [(); 2].map(|()| start(&platform, "lease", Some(redis.url())));
    for round in 0..5 {
        let shown = platform.token(&key, "p1", json!({"repository_id": "1", "jti": format!("r{round}")}));
        let ask = by(&shown).task("t").with("scope", "orders:write");
        let mut statuses = std::thread::scope(|scope| {
            let asked = [&one, &two, &one, &two].map(|broker| scope.spawn(|| broker.ask(&ask).status));
            asked.map(|each| each.join().unwrap())
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401, 401, 401]);
    }
}

#[test]
fn doctor_says_that_a_token_counts_once_and_leaves_it_as_it_was() {
    let (platform, key) = (Platform::http(), Key::ec());
    platform.publish(&[(&key, "p1")]);
    for how_far in ["lease", "task"] {
        let broker = start(&platform, how_far, None);
        let shown = platform.token(&key, "p1", json!({"repository_id": "1", "aud": super::common::ISSUER}));
        let doctor = |scope: &str| {
            let words = ["doctor", "--audience", API, "--scope", scope];
            printed(&shell(&broker, &[("JITNEY_ID_TOKEN", &shown)], &words))
        };
        for _ in 0..2 {
            assert!(!doctor("orders:read").contains("@single_use"), "nothing binds it");
            let once = if how_far == "lease" {
                "gets one lease (@single_use)"
            } else {
                "gets leases of one task (@single_use)"
            };
            let told = doctor("orders:write");
            assert!(told.contains(once), "{told}");
        }
        broker.granted(&by(&shown).task("t").with("scope", "orders:write"));
        assert_eq!(broker.ask(&by(&shown).task("u").with("scope", "orders:write")).status, 401, "now it is used up");
    }
}
