//! A log that is closed and goes on in the next file: one chain, whatever is done to the broker between two lines.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;

use super::{audit, closed, lines, restless, verified};
use crate::common::{Ask, Backing, Chance, Redis, Setup, Token, eventually, within};

#[test]
fn many_files_are_one_log_to_every_command() {
    let broker = restless().start(&Backing::Embedded);
    let tokens: Vec<Token> = (0..40).map(|n| broker.mint("demo", &format!("t{n}"))).collect();
    let log = broker.audit_path();
    let files = closed(&log);
    assert!(files.len() > 3, "{files:?}");
    for file in files.iter().chain([&log]) {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(verified(&broker, file, &[]).0, "each by itself too");
    }
    let told = audit(&broker, &["verify"]);
    assert!(told.contains("intact") && told.contains("number 1, "), "{told}");
    let first = audit(&broker, &["tail", "--lease", &tokens[0].lease(), "--output", "json"]);
    assert!(first.contains("\"task\":\"t0\""), "of the first file: {first}");
    let all = audit(&broker, &["tail", "-n", "1000", "--event", "mint", "--output", "json"]);
    assert_eq!(all.lines().count(), 40);
    assert_eq!(audit(&broker, &["export"]).lines().collect::<Vec<_>>(), lines(&log));
}

#[test]
fn killed_again_and_again_a_broker_loses_no_line_of_a_token_it_gave() {
    let redis = Redis::start();
    let mut broker = restless().start_on(Some(redis.url()));
    let mut chance = Chance::new();
    let mut given = Vec::new();
    // On a busy machine a round may give little.
    for round in 0..60 {
        let stop = std::time::Instant::now() + Duration::from_millis(30 + chance.below(120));
        let mut http = broker.connect();
        let mut n = 0;
        std::thread::scope(|scope| {
            let asks = scope.spawn(|| {
                let mut given = Vec::new();
                while let Ok(answer) = http.ask(&Ask::of("demo").task(&format!("t{round}-{n}")).request()) {
                    n += 1;
                    if answer.status == 200 {
                        given.push(Token::of(&answer).lease());
                    }
                }
                given
            });
            std::thread::sleep(stop.saturating_duration_since(std::time::Instant::now()));
            broker.signal(rustix::process::Signal::KILL);
            given.extend(asks.join().unwrap());
        });
        broker.kill();
        broker.start_again();
        if round >= 7 && given.len() > 30 && closed(&broker.audit_path()).len() > 5 {
            break;
        }
    }
    broker.mint("demo", "last");
    let log = broker.audit_path();
    assert!(closed(&log).len() > 5, "{:?}", closed(&log));
    let (is_intact, told) = verified(&broker, &log, &[]);
    assert!(is_intact && told["first"]["seq"] == 1, "{told}");
    let all = lines(&log).join("\n");
    assert!(given.len() > 30, "{}", given.len());
    for lease in &given {
        assert!(all.contains(lease), "no line of {lease}");
    }
}

#[test]
fn a_log_that_cannot_be_closed_grants_nothing_until_it_can() {
    let broker = restless().start(&Backing::Embedded);
    let log = broker.audit_path();
    broker.mint("demo", "t");
    // Every name that it could get is taken.
    let day = jitney::model::Clock::system().now().rfc3339()[..10].to_owned();
    let day_after = jitney::model::UnixTime::from_secs(crate::common::now() + 86_400).rfc3339()[..10].to_owned();
    let taken: Vec<_> = (1..60)
        .flat_map(|seq| [&day, &day_after].map(|day| log.with_file_name(format!("audit-{day}-{seq:012}.jsonl"))))
        .collect();
    taken.iter().for_each(|name| fs::create_dir(name).unwrap());
    let refused = within(Duration::from_secs(20), "it is full", || {
        let answer = broker.ask(&Ask::of("demo"));
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(refused.outcome(), (503, "temporarily_unavailable".into()), "{}", refused.text());
    assert!(
        eventually("it is not ready", || Some(broker.get("/readyz")).filter(|it| it.status == 503))
            .text()
            .contains("audit")
    );
    taken.iter().for_each(|name| fs::remove_dir(name).unwrap());
    within(Duration::from_secs(10), "it mints again", || (broker.ask(&Ask::of("demo")).status == 200).then_some(()));
    assert_eq!(closed(&log).len(), 1);
    assert!(verified(&broker, &log, &[]).0);
    assert!(lines(&log).iter().any(|line| line.contains("\"chain.resume\"")));
}

#[test]
fn what_is_no_more_kept_is_named_and_what_is_left_is_whole() {
    let broker = restless().set("JITNEY_AUDIT_KEEP", "2").start(&Backing::Embedded);
    let log = broker.audit_path();
    let mut n = 0;
    let expired = within(Duration::from_secs(30), "files go", || {
        n += 1;
        broker.mint("demo", &format!("t{n}"));
        let told = audit(&broker, &["tail", "-n", "1000", "--event", "chain.expire", "--output", "json"]);
        told.lines().next().map(str::to_owned)
    });
    assert!(closed(&log).len() <= 2);
    let expired: Value = serde_json::from_str(&expired).unwrap();
    assert!(expired["detail"].as_str().unwrap().contains("audit-"), "{expired}");
    let (is_intact, told) = verified(&broker, &log, &[]);
    assert!(is_intact && told["continues"].is_string() && told["first"]["seq"].as_u64().unwrap() > 1, "{told}");
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    for (name, value, why) in [
        ("JITNEY_AUDIT_ROTATE_SIZE", "17", "from 4096 bytes on"),
        ("JITNEY_AUDIT_ROTATE_SIZE", "big", "write a size"),
        ("JITNEY_AUDIT_ROTATE", "hourly", "`daily` or `never`"),
        ("JITNEY_AUDIT_KEEP", "-1", "a whole number"),
        ("JITNEY_AUDIT_CHECKPOINT", "0s", "`0s` is no"),
    ] {
        let output = Setup::default().set(name, value).stopped(None).fails_to_start();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && stderr.contains(name) && stderr.contains(why), "{name}={value}: {stderr}");
    }
    let broker = Setup::default().set("JITNEY_AUDIT_ROTATE", "daily").start(&Backing::Embedded);
    broker.mint("demo", "t");
    assert!(closed(&broker.audit_path()).is_empty(), "of today alone");
}
