//! `@single_use`: a platform's token that gets one lease, or serves one task, whichever broker it is shown to.

use serde_json::json;

use super::common::{API, Backing, Broker, Key, Platform, Redis, complete_path, on_both_stores};
use super::{by, trusting};

on_both_stores!(a_token_bound_to_one_lease_gets_no_second_one, a_token_bound_to_one_task_serves_no_other);

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
