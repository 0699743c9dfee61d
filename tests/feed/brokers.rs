//! Several brokers on one Redis: what one ends the other pushes, and the cursor decides what was missed.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::{Broker, Redis, Setup, Stream, eventually};

fn two(redis: &Redis) -> [Broker; 2] {
    [(); 2].map(|()| Setup::default().start_on(Some(redis.url())))
}

/// Ends a task at one, and waits until the reader at the other has heard of it.
#[track_caller]
fn ends(at: &Broker, stream: &mut Stream, task: &str) {
    at.mint("demo", task);
    at.complete("demo", task).expect(204);
    let want = stream.rules.len() + 1;
    stream.until("the other's end is told", |stream| stream.rules.len() == want);
}

#[test]
fn an_end_at_one_is_pushed_by_the_other_also_when_its_messages_are_cut() {
    let redis = Redis::start();
    let brokers = two(&redis);
    let mut stream = Stream::open(&brokers[1], "");
    ends(&brokers[0], &mut stream, "before");
    for n in 0..3 {
        redis.say("CLIENT KILL TYPE pubsub");
        ends(&brokers[0], &mut stream, &format!("pubsub-{n}"));
        redis.say("CLIENT KILL TYPE normal");
        // Mints fail for a moment.
        eventually("it mints again", || (brokers[0].ask(&crate::common::Ask::of("demo")).status == 200).then_some(()));
        ends(&brokers[0], &mut stream, &format!("normal-{n}"));
    }
    assert_eq!(stream.positions(), (1..=7).collect::<Vec<_>>());
}

#[test]
fn a_cursor_of_one_is_good_at_the_other() {
    let redis = Redis::start();
    let brokers = two(&redis);
    let mut stream = Stream::open(&brokers[0], "");
    for n in 0..10 {
        let task = format!("t-{n}");
        brokers[n % 2].mint("demo", &task);
        brokers[n % 2].complete("demo", &task).expect(204);
        // Either may not have heard of it when the reader comes: then it catches up first.
        stream = stream.resume(&brokers[(n + 1) % 2], "");
        assert_eq!(stream.next().unwrap().name, "keys", "no snapshot");
        stream.until("the end is told", |stream| stream.rules.len() == n + 1);
    }
}

#[test]
fn a_store_that_is_silent_or_no_primary_gives_no_heartbeat() {
    let redis = Redis::start();
    let other = Redis::start();
    let broker = Setup::default().start_on(Some(redis.url()));
    let mut stream = Stream::open(&broker, "");
    let mut last = || stream.next_of("heartbeat").json()["now"].as_u64().unwrap();
    last();
    redis.pause();
    let paused = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(1500));
            redis.resume();
        });
        // What was under way may still come; behind it nothing until Redis is back.
        let (first, second) = (last(), last());
        assert!(second - first > 500 || paused.elapsed() > Duration::from_millis(1500), "{first} {second}");
    });
    last();
    assert_eq!(redis.say(&format!("REPLICAOF 127.0.0.1 {}", other.port())), "+OK");
    // Its data is another's by now, or will be in a moment: what it says of the head counts for nothing.
    let demoted = crate::common::now() * 1000;
    let heard = std::iter::repeat_with(|| stream.next()).map_while(|event| event);
    let late = heard.take_while(|event| event.name != "snapshot").filter(|event| event.name == "heartbeat");
    let until = Instant::now() + Duration::from_secs(4);
    for beat in late.take(1) {
        let now = beat.json()["now"].as_u64().unwrap();
        assert!(now < demoted + 2000 || Instant::now() > until, "a heartbeat of {now}, demoted at {demoted}");
    }
}

#[test]
fn a_new_epoch_is_a_new_snapshot_on_the_open_connection() {
    let redis = Redis::start();
    let brokers = two(&redis);
    let mut streams = [Stream::open(&brokers[0], ""), Stream::open(&brokers[1], "")];
    for (n, broker) in brokers.iter().enumerate() {
        ends(broker, &mut streams[1 - n], &format!("t-{n}"));
    }
    let before = streams.each_ref().map(|stream| (stream.claims["epoch"].clone(), stream.last.clone()));
    assert_eq!(redis.say("FLUSHALL"), "+OK");
    for stream in &mut streams {
        stream.next_of("snapshot");
        assert_ne!(stream.claims["epoch"], before[0].0);
    }
    let fresh = eventually("a broker mints again", || {
        let answer = brokers[0].ask(&crate::common::Ask::of("demo").task("fresh"));
        (answer.status == 200).then_some(answer)
    });
    let kid = crate::common::Token::of(&fresh).kid();
    brokers[1].operator_revokes(json!({"workload": "demo"}));
    for stream in &mut streams {
        stream.until("an end of the new epoch is told", |stream| stream.rules.iter().any(|r| r.kind == "workload"));
        stream.until("the new key is told", |stream| stream.kids.contains(&kid));
    }
    // A cursor of the old epoch resumes nothing.
    let mut late = Stream::connect(&brokers[0], "", Some(&before[0].1)).unwrap();
    late.snapshot(&brokers[0]);
    assert_eq!(late.claims["epoch"], streams[0].claims["epoch"]);
}
