//! The feed's snapshot: signed, counted, and saying of every token what the broker itself says.

use serde_json::json;

use crate::common::{API, Ask, Backing, Broker, Feed, ISSUER, Jwks, Request, SECOND, Token, now, on_both_stores};

on_both_stores!(
    the_rules_are_what_has_ended,
    what_was_acknowledged_is_in_the_next_snapshot,
    a_filtered_feed_leaves_out_what_cannot_concern_it,
    the_snapshot_names_every_key_that_counts,
    a_feed_for_nobody_or_of_another_form_is_refused,
);

fn the_rules_are_what_has_ended(backing: &Backing) {
    let broker = Broker::start(backing);
    let empty = Feed::fetch(&broker);
    assert_eq!((empty.rules.len(), empty.claims["position"].clone()), (0, json!(0)));
    assert_eq!(empty.claims["iss"], ISSUER);
    assert!(empty.claims["iat"].as_u64().unwrap().abs_diff(now()) <= 2);

    let mut tokens: Vec<Token> = ["a", "a/b", "c", "d"].iter().map(|task| broker.mint("demo", task)).collect();
    tokens.push(broker.granted(&Ask::of("other").task("a").with("resource", SECOND)));
    broker.complete("demo", "a").expect(204);
    broker.revoke("demo", &tokens[2].text).expect(200);
    broker.operator_revokes(json!({"audience": SECOND}));
    tokens.push(broker.granted(&Ask::of("other").task("a").with("resource", SECOND)));
    broker.operator("/admin/v1/workloads/other/quarantine", json!({"reason": "a test"})).expect(200);
    tokens.push(broker.mint("demo", "d"));

    let feed = Feed::fetch(&broker);
    let judged: Vec<_> = tokens.iter().map(|token| feed.ends(token)).collect();
    let expected = [Some("task"), Some("task"), Some("lease"), None, Some("audience"), Some("workload"), None];
    assert_eq!(judged, expected, "{:?}", feed.rules);
    for token in &tokens {
        assert_eq!(broker.stands(token), feed.ends(token).is_none(), "{}", token.claims);
    }
    let kinds: Vec<&str> = feed.rules.iter().map(|rule| rule.kind.as_str()).collect();
    assert_eq!(kinds, ["task", "lease", "audience", "workload"], "what ended, once, in order");
    assert!(feed.rules.is_sorted_by_key(|rule| rule.position));
    assert_eq!(feed.claims["position"], feed.rules.last().unwrap().position);
    let last = tokens.iter().map(|token| token.number("exp")).max().unwrap();
    let of_the_tokens = feed.rules.iter().filter(|rule| rule.kind == "workload");
    assert!(of_the_tokens.clone().count() == 1 && of_the_tokens.clone().all(|rule| rule.until + 1 >= last));
    assert_eq!(feed.claims["epoch"], empty.claims["epoch"]);
}

fn what_was_acknowledged_is_in_the_next_snapshot(backing: &Backing) {
    let broker = Broker::start(backing);
    for n in 0..10 {
        let token = broker.mint("demo", &format!("t-{n}"));
        assert_eq!(Feed::of(&broker, API).ends(&token), None);
        broker.complete("demo", &format!("t-{n}")).expect(204);
        assert_eq!(Feed::of(&broker, API).ends(&token), Some("task"), "however soon it is asked for");
    }
}

fn a_filtered_feed_leaves_out_what_cannot_concern_it(backing: &Backing) {
    let broker = Broker::start(backing);
    let here = broker.mint("demo", "here");
    let there = broker.granted(&Ask::of("demo").task("there").with("resource", SECOND));
    let both = [broker.mint("demo", "both"), broker.granted(&Ask::of("demo").task("both").with("resource", SECOND))];
    for task in ["here", "there", "both"] {
        broker.complete("demo", task).expect(204);
    }
    broker.operator_revokes(json!({"workload": "demo"}));
    let (all, mine, theirs) = (Feed::fetch(&broker), Feed::of(&broker, API), Feed::of(&broker, SECOND));
    assert_eq!([all.rules.len(), mine.rules.len(), theirs.rules.len()], [4, 3, 3]);
    assert_eq!((mine.ends(&here), theirs.ends(&there)), (Some("task"), Some("task")));
    assert_eq!((mine.ends(&both[0]), theirs.ends(&both[1])), (Some("task"), Some("task")));
}

fn the_snapshot_names_every_key_that_counts(backing: &Backing) {
    let broker = Broker::start(backing);
    let feed = Feed::fetch(&broker);
    let mut kids: Vec<_> = feed.claims["kids"].as_array().unwrap().iter().map(|kid| kid.as_str().unwrap()).collect();
    kids.sort_unstable();
    assert_eq!(kids, Jwks::fetch(&broker).kids());
}

fn a_feed_for_nobody_or_of_another_form_is_refused(backing: &Backing) {
    let broker = Broker::start(backing);
    for query in ["once=2", "once=", "once", "once=1&once=1", "audience=a&audience=b"] {
        assert_eq!(
            broker.get(&format!("/v1/revocations?{query}")).outcome(),
            (400, "invalid_request".into()),
            "{query}"
        );
    }
    let nobody = broker.get("/v1/revocations?once=1&audience=https://nobody.example.com");
    assert_eq!(nobody.outcome(), (400, "invalid_target".into()));
    assert_eq!(broker.send(&Request::new("POST", "/v1/revocations?once=1")).status, 405);
}
