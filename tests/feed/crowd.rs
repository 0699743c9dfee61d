//! Many readers, slow ones among them, and the bounds on both.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::{API, Answer, Backing, Broker, Request, Setup, Stream, on_both_stores, within};

on_both_stores!(
    whoever_joins_while_ends_happen_misses_none,
    a_reader_that_takes_nothing_is_cut_off_resumes_and_harms_nobody,
    streams_are_bounded_by_address_and_in_all,
);

fn whoever_joins_while_ends_happen_misses_none(backing: &Backing) {
    const ENDS: usize = 60;
    let broker = Broker::start(backing);
    for n in 0..ENDS {
        broker.mint("demo", &format!("t-{n}"));
    }
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..6)
            .map(|n| {
                let broker = &broker;
                scope.spawn(move || {
                    let query = if n % 2 == 0 { String::new() } else { format!("?audience={API}") };
                    let mut stream = Stream::open(broker, &query);
                    while stream.rules.len() < ENDS {
                        let event = stream.next().expect("an event");
                        // Some leave now and then, and come back.
                        if n % 3 == 2 && event.name == "revoke" && stream.rules.len() % 7 < 3 {
                            stream = stream.resume(broker, &query);
                        }
                    }
                    stream.positions()
                })
            })
            .collect();
        for n in 0..ENDS {
            broker.complete("demo", &format!("t-{n}")).expect(204);
        }
        let all: Vec<u64> = (1..=ENDS as u64).collect();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), all);
        }
    });
}

/// The sum of a metric's lines.
fn metric(broker: &Broker, name: &str) -> u64 {
    let text = broker.admin(&Request::get("/metrics")).expect(200).text();
    let lines = text.lines().filter(|line| line.split([' ', '{']).next() == Some(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn a_reader_that_takes_nothing_is_cut_off_resumes_and_harms_nobody(backing: &Backing) {
    let broker = Setup::default().set("JITNEY_LIMITS_HEADER_TIMEOUT", "4s").start(backing);
    broker.mint("demo", "first");
    let mut slow = Stream::open(&broker, "");
    let mut quick = Stream::open(&broker, "");
    slow.shrink();
    broker.complete("demo", "first").expect(204);
    quick.until("the first end is told", |stream| stream.rules.len() == 1);
    slow.until("the first end is told", |stream| stream.rules.len() == 1);
    // It takes nothing from now on. What is told fills what the system holds for it.
    let ends = fill(&broker, &mut quick, || metric(&broker, "jitney_feed_subscribers") < 2);
    let mut slow = slow.resume(&broker, "");
    slow.until("all ends are told", |stream| stream.rules.len() == ends);
    assert_eq!(slow.positions(), quick.positions());
}

/// Ends tasks until `done`, and has the reader follow; how many ends there are in all.
fn fill(broker: &Broker, quick: &mut Stream, done: impl Fn() -> bool) -> usize {
    let mut connection = broker.connect_admin();
    let long = Instant::now() + Duration::from_secs(60);
    let mut slowest = Duration::ZERO;
    let end = Request::json("/admin/v1/revocations", &json!({"workload": "demo", "reason": "a test"}));
    while !done() {
        for _ in 0..100 {
            let answer: Answer = connection.ask(&end).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            let acknowledged = Instant::now();
            let want = quick.rules.len() + 1;
            quick.until("an end is told", |stream| stream.rules.len() >= want);
            slowest = slowest.max(acknowledged.elapsed());
        }
        assert!(Instant::now() < long, "nobody is cut off");
    }
    assert!(slowest < Duration::from_secs(5), "a slow reader kept another waiting for {slowest:?}");
    quick.rules.len()
}

fn streams_are_bounded_by_address_and_in_all(backing: &Backing) {
    let setup = Setup::default().set("JITNEY_LIMITS_FEED_PER_ADDRESS", "3").set("JITNEY_LIMITS_FEED_SUBSCRIBERS", "4");
    let broker = setup.start(backing);
    let mut streams: Vec<Stream> = (0..3).map(|_| Stream::open(&broker, "")).collect();
    let refused = broker.get("/v1/revocations").expect(503);
    assert!(refused.header("retry-after").is_some() && refused.field("error_description").contains("one address"));
    broker.get("/v1/revocations?once=1").expect(503);
    // Others are served as ever.
    broker.mint("demo", "t");
    broker.complete("demo", "t").expect(204);
    for stream in &mut streams {
        stream.until("the end is told", |stream| stream.rules.len() == 1);
    }
    let status = broker.admin(&Request::get("/admin/v1/status")).expect(200).json();
    assert_eq!(status["feed"]["subscribers"], 3, "{status}");
    let froms: BTreeSet<&str> =
        status["feed"]["each"].as_array().unwrap().iter().map(|each| each["from"].as_str().unwrap()).collect();
    assert_eq!(froms, BTreeSet::from(["127.0.0.1"]));
    drop(streams.pop());
    within(Duration::from_secs(20), "a place is free again", || Stream::connect(&broker, "", None).ok());
}
