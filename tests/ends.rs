//! What has ended stays as it ended: a later end of the same thing is acknowledged, and changes neither when nor why. And a
//! workload whose file is gone can be looked at and ended as long as its leases live.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

use serde_json::{Value, json};

use common::{
    Ask, Backing, Broker, Redis, Rule, Setup, Token, document, done, eventually, on_both_stores, workload_path,
};

on_both_stores!(
    a_lease_that_its_task_ended_keeps_that_end,
    a_lease_that_was_revoked_keeps_that_end,
    a_workload_s_own_revocation_rewrites_no_end,
    wider_ends_rewrite_no_narrower_one,
    a_list_names_the_first_end_of_each_of_many_leases,
    a_successor_under_a_key_that_stands_ends_with_the_lease_whose_key_was_revoked,
    the_first_quarantine_stands_on_every_broker,
    a_workload_without_a_file_is_shown_and_can_be_ended,
);

#[track_caller]
fn shown(broker: &Broker, token: &Token) -> Value {
    document(&broker.cli("demo", &["lease", "show", &token.lease(), "--output", "json"]))
}

/// How a lease ended first: by what, where, when.
#[track_caller]
fn end(broker: &Broker, token: &Token) -> (Value, u64, u64) {
    let lease = shown(broker, token);
    assert_eq!(lease["state"], "ended", "{lease}");
    let end = &lease["ended"];
    (lease["ended_by"].clone(), end["position"].as_u64().unwrap(), end["at"].as_u64().unwrap())
}

fn position(done: &Value) -> u64 {
    Rule::read(&done["rules"][0]).position
}

fn a_lease_that_its_task_ended_keeps_that_end(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "t");
    done(&broker.cli("demo", &["complete", "--task", "t"]));
    let first = end(&broker, &token);
    assert_eq!(first.0, "task");
    let dry = document(&broker.cli(
        "demo",
        &["lease", "revoke", "--lease", &token.lease(), "--reason", "late", "--dry-run", "--output", "json"],
    ));
    assert_eq!(dry["selected"], 0, "{dry}");
    let told = done(&broker.cli("demo", &["lease", "revoke", "--lease", &token.lease(), "--reason", "late"]));
    let rule = first.1;
    assert!(told.contains(&format!("already ended (task), by rule {rule} of the log")), "{told}");
    assert!(told.contains(&format!("jitney lease show {}", token.lease())), "{told}");
    let ended = broker.operator_revokes(json!({"lease": token.lease()}));
    assert_eq!((ended["rules"].clone(), ended["leases"].clone()), (json!([]), json!([])), "{ended}");
    assert_eq!(ended["already"]["ended"]["position"], rule, "{ended}");
    assert_eq!(end(&broker, &token), first);
    let story = done(&broker.cli("demo", &["lease", "show", &token.lease()]));
    let row = story.lines().find(|line| line.starts_with("ended ")).unwrap();
    assert!(row.contains("complete by the workload") && !row.contains("late"), "{story}");
    // The audit log tells both.
    let line = broker.decision(ended["decision_id"].as_str().unwrap());
    assert_eq!((line["event"].clone(), line["count"].clone()), (json!("revoke"), json!(0)), "{line}");
    assert_eq!((line["detail"].clone(), line["no_effect"].clone()), (json!("it had ended before"), json!(true)));
}

fn a_lease_that_was_revoked_keeps_that_end(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "t");
    let revoke = |reason: &str| {
        let words = ["lease", "revoke", "--lease", &token.lease(), "--reason", reason, "--output", "json"];
        document(&broker.cli("demo", &words))
    };
    let ended = revoke("leaked");
    let first = end(&broker, &token);
    assert_eq!((first.0.clone(), first.1), (json!("lease"), position(&ended)));
    assert_eq!(revoke("again")["rules"], json!([]));
    // Its task's end is one of all that it may have besides.
    done(&broker.cli("demo", &["complete", "--task", "t"]));
    assert_eq!(end(&broker, &token), first);
    let lease = shown(&broker, &token);
    assert_eq!((lease["ended"]["reason"].clone(), lease["ended"]["event"].clone()), (json!("leaked"), json!("revoke")));
    assert!(lease["ended"]["actor"].as_str().unwrap().starts_with("uid:"), "{lease}");
}

fn a_workload_s_own_revocation_rewrites_no_end(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "t");
    let ended = broker.operator_revokes(json!({"task": "t"}));
    let first = end(&broker, &token);
    assert_eq!((first.0.clone(), first.1), (json!("task"), position(&ended)));
    let request = Ask::bare("demo").with("token", &token.text).at("/oauth2/revoke");
    assert_eq!(broker.send(&request).status, 200);
    assert_ne!(broker.send(&request).status, 200, "its assertion counts once");
    assert_eq!(end(&broker, &token), first);
}

fn wider_ends_rewrite_no_narrower_one(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "t");
    let first = broker.operator_revokes(json!({"workload": "demo"}));
    let place = position(&first);
    let ended = end(&broker, &token);
    assert_eq!((ended.0.clone(), ended.1), (json!("workload"), place));
    for selector in [
        json!({"task": "t", "workload": "demo"}),
        json!({"audience": common::API}),
        json!({"workload": "demo"}),
        json!({"lease": token.lease()}),
        json!({"all": true}),
    ] {
        broker.operator_revokes(selector.clone());
        assert_eq!(end(&broker, &token), ended, "{selector}");
    }
    let listed = document(&broker.cli("demo", &["lease", "list", "--output", "json"]));
    let listed = &listed["leases"][0];
    assert_eq!((&listed["state"], &listed["ended_by"]), (&json!("ended"), &json!("workload")), "{listed}");
    assert_eq!(listed["ended"]["position"], place, "a list names the first of the rules too: {listed}");
}

fn a_list_names_the_first_end_of_each_of_many_leases(backing: &Backing) {
    let broker = Broker::start(backing);
    let rounds: Vec<(Token, Token, u64)> = (0..3)
        .map(|round| {
            let tokens = ["t", "t/child"].map(|task| broker.mint("demo", task));
            // Each of these is on a name that the rounds before have rules on.
            let selector = if round == 1 { json!({"audience": common::API}) } else { json!({"workload": "demo"}) };
            let place = position(&broker.operator_revokes(selector));
            let [parent, child] = tokens;
            (parent, child, place)
        })
        .collect();
    broker.operator_revokes(json!({"audience": common::API}));
    let stands = broker.mint("demo", "u");
    let listed = document(&broker.cli("demo", &["lease", "list", "--output", "json"]));
    let of = |token: &Token| {
        let found = listed["leases"].as_array().unwrap().iter().find(|each| each["id"] == token.lease());
        found.unwrap_or_else(|| panic!("{listed}")).clone()
    };
    for (parent, child, place) in &rounds {
        for token in [parent, child] {
            assert_eq!(of(token)["ended"]["position"], *place, "{listed}");
            assert_eq!((of(token)["ended_by"].clone(), *place), (end(&broker, token).0, end(&broker, token).1));
        }
    }
    assert_eq!((&of(&stands)["state"], &of(&stands)["ended"]), (&json!("live"), &Value::Null));
}

fn a_successor_under_a_key_that_stands_ends_with_the_lease_whose_key_was_revoked(backing: &Backing) {
    let broker = Broker::start(backing);
    let first = broker.mint("demo", "t");
    assert!(broker.cli("demo", &["key", "rotate", "--now"]).status.success());
    let second = Token::of(&broker.renew("demo", &first.lease(), None));
    assert_ne!(first.kid(), second.kid());
    broker.operator_revokes(json!({"key": first.kid()}));
    assert!(!broker.stands(&first) && broker.stands(&second));
    let before = end(&broker, &first);
    assert_eq!(before.0, "key");
    let ended = broker.operator_revokes(json!({"lease": first.lease()}));
    assert_eq!((ended["selected"].clone(), ended["leases"].clone()), (json!(1), json!([second.lease()])), "{ended}");
    assert!(!broker.stands(&second));
    assert_eq!(end(&broker, &first), before);
    assert_eq!(end(&broker, &second).0, "lease");
}

fn the_first_quarantine_stands_on_every_broker(backing: &Backing) {
    let first = Broker::start(backing);
    // The embedded store is for one broker.
    let second = matches!(backing, Backing::Redis(_)).then(|| Broker::start(backing));
    let brokers: Vec<&Broker> = std::iter::once(&first).chain(second.as_ref()).collect();
    let other = *brokers.last().unwrap();
    let token = first.mint("demo", "t");
    let endless = first.cli("demo", &["workload", "quarantine", "demo", "--reason", &"x".repeat(1025)]);
    assert!(String::from_utf8_lossy(&endless.stderr).contains("1024 characters at most"), "{endless:?}");
    done(&first.cli("demo", &["workload", "quarantine", "demo", "--reason", "key leaked\nok \u{202e}"]));
    let stands = |broker: &Broker| document(&broker.cli("demo", &["workload", "show", "demo", "--output", "json"]));
    let quarantine = stands(&first)["quarantine"].clone();
    assert_eq!(quarantine["reason"], "key leaked\nok \u{202e}");
    for broker in &brokers {
        let told = done(&broker.cli("demo", &["workload", "quarantine", "demo", "--reason", "me too"]));
        assert!(
            told.contains("already in quarantine since 2") && told.contains(r"because: key leaked\nok \u{202e}"),
            "{told}"
        );
    }
    let again = ["workload", "quarantine", "demo", "--reason", "me too", "--output", "json"];
    assert_eq!(document(&other.cli("demo", &again))["already"], quarantine);
    for broker in &brokers {
        assert_eq!(stands(broker)["quarantine"], quarantine);
        assert!(!broker.stands(&token));
    }
    assert_eq!(end(&first, &token).0, "workload");
    done(&other.cli("demo", &["workload", "release", "demo", "--reason", "new key"]));
    assert_eq!(stands(&first)["quarantine"], Value::Null);
    assert_eq!(document(&first.cli("demo", &again))["already"], Value::Null);
    assert_eq!(stands(other)["quarantine"]["reason"], "me too", "a new one has its own reason");
}

fn a_workload_without_a_file_is_shown_and_can_be_ended(backing: &Backing) {
    let broker = Setup::default().start(backing);
    let tokens = [broker.mint("demo", "one"), broker.mint("other", "one")];
    for workload in ["demo", "other"] {
        std::fs::remove_file(broker.policy(&workload_path(workload))).unwrap();
    }
    eventually("the policies are read again", || {
        let known = document(&broker.cli("demo", &["workload", "list", "--output", "json"]));
        let all = known["workloads"].as_array().unwrap().clone();
        let gone = |id: &str| all.iter().any(|each| each["id"] == id && each["declared"] == false);
        (gone("demo") && gone("other")).then_some(())
    });
    // What it has is to be seen by who does not know its name.
    let listed = document(&broker.cli("demo", &["workload", "list", "--output", "json"]));
    let all = listed["workloads"].as_array().unwrap();
    let of_demo = all.iter().find(|each| each["id"] == "demo").unwrap();
    assert_eq!((&of_demo["state"], &of_demo["live_leases"]), (&json!("undeclared"), &json!(1)), "{listed:#}");
    assert_eq!((&of_demo["last_use"]["task"], &listed["more_undeclared"]), (&json!("one"), &json!(false)));
    let told = done(&broker.cli("demo", &["workload", "list"]));
    assert!(told.lines().any(|line| line.starts_with("other") && line.contains("no longer declared")), "{told}");
    assert_eq!(broker.ask(&Ask::of("demo").task("two")).outcome().0, 401, "it is nobody by now");
    let story = done(&broker.cli("demo", &["workload", "show", "demo"]));
    let row = |name: &str| {
        story.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {story}")).to_owned()
    };
    assert!(row("state").contains("no longer declared") && row("live leases").ends_with('1'), "{story}");
    assert!(row("last use").contains("orders:read") && row("last use").contains("task one"), "{story}");
    assert!(row("end all its leases").contains("jitney lease revoke --workload demo"), "{story}");
    assert!(!story.contains("end it for good"), "{story}");

    let told = done(&broker.cli("demo", &["workload", "quarantine", "demo", "--reason", "forgotten"]));
    assert!(told.contains("quarantined, 1 live lease selected"), "{told}");
    assert!(!broker.stands(&tokens[0]) && broker.stands(&tokens[1]));
    let listed = done(&broker.cli("demo", &["workload", "list"]));
    assert!(listed.contains("quarantined, no longer declared"), "{listed}");
    let told = done(&broker.cli("demo", &["workload", "release", "demo", "--reason", "was a mistake"]));
    assert!(told.contains("released, its state is undeclared"), "{told}");
    let told = done(&broker.cli("demo", &["lease", "revoke", "--workload", "other", "--reason", "forgotten"]));
    assert!(told.contains("1 live lease selected") && !broker.stands(&tokens[1]), "{told}");
    let listed = document(&broker.cli("demo", &["workload", "list", "--output", "json"]));
    let all = listed["workloads"].as_array().unwrap();
    assert!(!all.iter().any(|each| each["id"] == "other"), "nothing of it lives any more: {listed:#}");

    let missing = broker.cli("demo", &["workload", "show", "nobody"]);
    assert_eq!(missing.status.code(), Some(1), "of a name that never was there is nothing to tell");
}

/// Whoever shuts a workload out is told how many leases that ends, where that can be told; it waits for nothing.
#[test]
fn an_end_does_not_hang_on_the_count_of_what_it_ends() {
    let backing = Backing::Redis(Redis::start());
    let Backing::Redis(redis) = &backing else { unreachable!("it was just made") };
    let broker = Broker::start(&backing);
    let token = broker.mint("demo", "t");
    let spoil = "local all = redis.call('KEYS', 'jitney:*:l:*') for _, key in ipairs(all) do redis.call('DEL', key) \
                 redis.call('SET', key, 'x') end return #all";
    assert_eq!(redis.say(&format!("EVAL \"{spoil}\" 0")), ":1");
    let counted = broker.cli("demo", &["lease", "revoke", "--workload", "demo", "--reason", "leaked", "--dry-run"]);
    assert!(!counted.status.success(), "they cannot be counted");
    for act in [["workload", "quarantine", "demo"], ["lease", "revoke", "--workload=demo"]] {
        done(&broker.cli("demo", &[&act[..], &["--reason", "leaked"]].concat()));
    }
    assert!(!broker.stands(&token));
    // What was not counted is not told as none.
    let log = std::fs::read_to_string(broker.audit_path()).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ends: Vec<&Value> =
        lines.iter().filter(|line| line["event"] == "quarantine" || line["event"] == "revoke").collect();
    assert!(ends.len() == 2 && ends.iter().all(|line| line["count"].is_null()), "{ends:#?}");
}
