//! One reader that follows.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::{API, Ask, Backing, Broker, Jwks, SECOND, Stream, on_both_stores};

on_both_stores!(
    a_snapshot_comes_first_and_then_each_end_as_it_happens,
    a_filter_leaves_out_what_cannot_concern_it,
    heartbeats_tell_the_head_and_how_much_was_sent,
    who_comes_back_is_told_what_it_missed_and_nothing_twice,
    a_cursor_of_another_feed_gets_a_snapshot,
    new_keys_are_told,
    the_end_of_the_broker_is_the_end_of_its_streams,
);

fn a_snapshot_comes_first_and_then_each_end_as_it_happens(backing: &Backing) {
    let broker = Broker::start(backing);
    let before = broker.mint("demo", "before");
    broker.complete("demo", "before").expect(204);
    let mut stream = Stream::open(&broker, "");
    assert_eq!((stream.rules.len(), stream.rules[0].kind.as_str()), (1, "task"));
    let live = broker.mint("demo", "live");
    broker.revoke("demo", &live.text).expect(200);
    broker.operator_revokes(json!({"workload": "demo"}));
    broker.operator_revokes(json!({"all": true}));
    stream.until("all ends are told", |stream| stream.rules.len() == 4);
    let kinds: Vec<&str> = stream.rules.iter().map(|rule| rule.kind.as_str()).collect();
    assert_eq!(kinds, ["task", "lease", "workload", "all"]);
    assert!(!broker.stands(&before) && !broker.stands(&live));
}

fn a_filter_leaves_out_what_cannot_concern_it(backing: &Backing) {
    let broker = Broker::start(backing);
    let mut streams = [API, SECOND].map(|audience| Stream::open(&broker, &format!("?audience={audience}")));
    let mut all = Stream::open(&broker, "");
    for task in ["here", "there"] {
        broker.mint("demo", task);
    }
    broker.granted(&Ask::of("demo").task("there").with("resource", SECOND));
    broker.granted(&Ask::of("demo").task("only-there").with("resource", SECOND));
    for task in ["here", "there", "only-there"] {
        broker.complete("demo", task).expect(204);
    }
    broker.operator_revokes(json!({"audience": API}));
    all.until("four ends are told", |stream| stream.rules.len() == 4);
    let position = all.rules[3].position;
    for stream in &mut streams {
        stream.until("the last end is told", |stream| stream.positions().last() == Some(&position));
    }
    assert_eq!(streams[0].positions(), [1, 2, 4]);
    assert_eq!(streams[1].positions(), [2, 3, 4]);
}

fn heartbeats_tell_the_head_and_how_much_was_sent(backing: &Backing) {
    let broker = Broker::start(backing);
    broker.mint("demo", "a");
    broker.complete("demo", "a").expect(204);
    let mut stream = Stream::open(&broker, "");
    broker.mint("demo", "b");
    broker.complete("demo", "b").expect(204);
    stream.until("the end is told", |stream| stream.rules.len() == 2);
    let mut last = 0;
    let begun = Instant::now();
    for _ in 0..4 {
        let beat = stream.next_of("heartbeat").json();
        assert_eq!((beat["position"].as_u64(), beat["count"].as_u64()), (Some(2), Some(2)));
        let now = beat["now"].as_u64().unwrap();
        let here = crate::common::now() * 1000;
        assert!(now > last && now.abs_diff(here) < 5000, "{now} after {last}, {here} here");
        last = now;
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "twice a second: {:?}", begun.elapsed());
}

fn who_comes_back_is_told_what_it_missed_and_nothing_twice(backing: &Backing) {
    let broker = Broker::start(backing);
    let query = format!("?audience={API}");
    let mut stream = Stream::open(&broker, &query);
    let mut ended = 0;
    for turn in 0..6 {
        for n in 0..turn {
            broker.mint("demo", &format!("t-{turn}-{n}"));
            broker.complete("demo", &format!("t-{turn}-{n}")).expect(204);
            broker.granted(&Ask::of("demo").task(&format!("o-{turn}-{n}")).with("resource", SECOND));
            broker.complete("demo", &format!("o-{turn}-{n}")).expect(204);
        }
        ended += turn;
        stream = stream.resume(&broker, &query);
        let first = stream.next().unwrap();
        assert_eq!(first.name, "keys", "no snapshot: {first:?}");
        stream.until("what was missed is told", |stream| stream.rules.len() == ended);
        // In half of the turns the last cursor is a heartbeat's, behind rules of others.
        if turn % 2 == 0 {
            stream.next_of("heartbeat");
        }
    }
    assert!(stream.rules.is_sorted_by(|a, b| a.position < b.position));
}

fn a_cursor_of_another_feed_gets_a_snapshot(backing: &Backing) {
    let broker = Broker::start(backing);
    broker.mint("demo", "a");
    let mut stream = Stream::open(&broker, "");
    broker.complete("demo", "a").expect(204);
    let snapshot = broker.get("/v1/revocations?once=1").text();
    let partial = snapshot.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    stream.until("the end is told", |stream| stream.rules.len() == 1);
    let whole = stream.last;
    for (query, cursor) in [
        (format!("?audience={API}"), whole.as_str()),
        (String::new(), partial.as_str()),
        (String::new(), "nonsense"),
        (String::new(), ""),
        ("?once=1".into(), whole.as_str()),
    ] {
        let mut stream = Stream::connect(&broker, &query, Some(cursor)).unwrap();
        stream.snapshot(&broker);
        assert_eq!(stream.rules.len(), 1, "{query} {cursor}");
    }
}

fn new_keys_are_told(backing: &Backing) {
    let broker = Broker::start(backing);
    let mut stream = Stream::open(&broker, "");
    assert_eq!(stream.kids, Jwks::fetch(&broker).kids());
    let before = stream.kids.clone();
    broker.operator("/admin/v1/keys/rotate", json!({"now": true})).expect(200);
    stream.until("a new key is told", |stream| stream.kids.iter().any(|kid| !before.contains(kid)));
    let token = broker.mint("demo", "t");
    assert!(stream.kids.contains(&token.kid()), "it was told before it signed");
    // Who comes back hears of the keys first, for they may have changed.
    let mut stream = stream.resume(&broker, "");
    assert_eq!(stream.next().unwrap().name, "keys");
    assert_eq!(stream.kids, Jwks::fetch(&broker).kids());
    broker.operator_revokes(json!({"key": token.kid()}));
    stream.until("the stolen key is gone", |stream| !stream.kids.contains(&token.kid()));
    stream.until("its rule is told", |stream| stream.rules.iter().any(|rule| rule.kind == "key"));
}

fn the_end_of_the_broker_is_the_end_of_its_streams(backing: &Backing) {
    let mut broker = Broker::start(backing);
    let mut streams: Vec<Stream> = (0..20).map(|_| Stream::open(&broker, "")).collect();
    for stream in &mut streams {
        stream.next_of("heartbeat");
    }
    let begun = Instant::now();
    assert!(broker.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(5), "streams held the process for {:?}", begun.elapsed());
    for stream in &mut streams {
        while stream.next().is_some() {}
    }
}
