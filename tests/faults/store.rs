//! The embedded store's file is taken away under a running broker; and what a broker does not trouble its store with.

use std::fs;

use std::time::Duration;

use serde_json::json;

use crate::common::{API, Ask, Assertion, Backing, Broker, Feed, Jwks, Redis, Request, Token, eventually, now, within};

fn minted_within_seconds(broker: &Broker) -> Token {
    within(std::time::Duration::from_secs(15), "it mints again", || {
        let answer = broker.ask(&crate::common::Ask::of("demo"));
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
        (answer.status == 200).then(|| Token::of(&answer))
    })
}

#[test]
fn nothing_is_acknowledged_that_is_in_no_file() {
    let broker = Broker::start(&Backing::Embedded);
    let (token, ended) = (broker.mint("demo", "live"), broker.mint("demo", "ended"));
    broker.complete("demo", "ended").expect(204);
    let epoch = Feed::fetch(&broker).claims["epoch"].clone();
    let (folder, aside) = (broker.data().join("store"), broker.data().join("aside"));
    fs::rename(&folder, &aside).unwrap();
    for _ in 0..3 {
        let answer = broker.ask(&crate::common::Ask::of("demo"));
        assert_eq!(answer.outcome(), (503, "temporarily_unavailable".into()), "{}", answer.text());
        assert_eq!(broker.complete("demo", "live").outcome(), (503, "temporarily_unavailable".into()));
    }
    let readiness = eventually("it is not ready", || Some(broker.get("/readyz")).filter(|answer| answer.status == 503));
    assert_eq!(
        readiness.json()["missing"],
        json!(["store: it does not answer"]),
        "anybody may ask: no path of this machine"
    );
    let status = broker.operator_sees("/admin/v1/status");
    assert!(status["store"]["away"]["why"].as_str().unwrap().contains("leases.redb"), "{status}");
    fs::rename(&aside, &folder).unwrap();
    minted_within_seconds(&broker);
    assert!(broker.stands(&token) && !broker.stands(&ended), "it goes on where it was left");
    assert_eq!(Feed::fetch(&broker).claims["epoch"], epoch);
}

#[test]
fn a_store_that_is_removed_is_a_new_epoch_before_and_after_a_restart() {
    let mut broker = Broker::start(&Backing::Embedded);
    let old = broker.mint("demo", "live");
    let epoch = Feed::fetch(&broker).claims["epoch"].clone();
    fs::remove_file(broker.data().join("store/leases.redb")).unwrap();
    let fresh = within(std::time::Duration::from_secs(20), "there is a new epoch", || {
        let token = minted_within_seconds(&broker);
        (token.kid() != old.kid()).then_some(token)
    });
    assert_ne!(Feed::fetch(&broker).claims["epoch"], epoch);
    assert_eq!(broker.introspect(API, &old.text)["active"], false, "what was lost may have ended it");
    eventually("the old keys are gone", || (!Jwks::fetch(&broker).kids().contains(&old.kid())).then_some(()));
    broker.complete("demo", "live").expect(204);
    broker.audited(&[("event", "epoch.start")]);
    assert!(broker.stop().success());
    broker.start_again();
    assert!(broker.stands(&fresh), "what was acknowledged since is there");
    assert_eq!(broker.ask(&crate::common::Ask::of("demo").task("live")).outcome(), (400, "invalid_grant".into()));
}

#[test]
fn a_folder_that_is_removed_with_the_store_is_made_again() {
    let broker = Broker::start(&Backing::Embedded);
    let old = broker.mint("demo", "live");
    fs::remove_dir_all(broker.data().join("store")).unwrap();
    let fresh = within(std::time::Duration::from_secs(20), "there is a new epoch", || {
        let token = minted_within_seconds(&broker);
        (token.kid() != old.kid()).then_some(token)
    });
    assert_eq!([&old, &fresh].map(|token| broker.stands(token)), [false, true]);
}

/// The new file knows nothing of the one before it; the ledger of the keys does.
#[test]
fn a_store_that_is_lost_while_the_broker_is_down_takes_no_assertion_of_before() {
    let mut broker = Broker::start(&Backing::Embedded);
    let at = now() - 20;
    let made = |n: u64| Assertion::of("demo").claim("iat", at).claim("jti", format!("made-{n}")).text();
    let used = made(1);
    broker.granted(&Ask::of("demo").assertion(&used));
    assert!(broker.stop().success());
    broker.start_again();
    assert_eq!(broker.ask(&Ask::of("demo").assertion(&used)).status, 401, "it was used");
    broker.granted(&Ask::of("demo").assertion(made(2)));
    assert!(broker.stop().success());
    fs::remove_dir_all(broker.data().join("store")).unwrap();
    broker.start_again();
    for assertion in [used, made(3)] {
        assert_eq!(broker.ask(&Ask::of("demo").assertion(assertion)).outcome(), (401, "invalid_client".into()));
    }
    minted_within_seconds(&broker);
}

fn redis_of(backing: &Backing) -> &Redis {
    let Backing::Redis(redis) = backing else { unreachable!() };
    redis
}

fn settings_of(broker: &Broker) -> u64 {
    let metrics = broker.admin(&Request::get("/metrics")).text();
    let value = metrics.lines().find_map(|line| line.strip_prefix("jitney_store_unsafe_settings "));
    value.expect("the gauge is there").parse().unwrap()
}

/// It answers all that it is asked, and takes no write: no balancer should send anybody here.
#[test]
fn a_broker_whose_redis_takes_no_writes_is_not_ready_until_it_does() {
    let backing = Backing::Redis(Redis::start());
    let broker = Broker::start(&backing);
    broker.mint("demo", "before");
    broker.get("/readyz").expect(200);
    for (code, refuse, take) in [
        ("OOM", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("NOREPLICAS", "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
    ] {
        assert_eq!(redis_of(&backing).say(refuse), "+OK");
        // Without a mint that would tell it.
        let unready =
            eventually("it is not ready", || Some(broker.get("/readyz")).filter(|answer| answer.status == 503));
        assert_eq!(unready.json()["missing"], json!(["store: it takes no writes"]));
        assert_eq!(broker.ask(&Ask::of("demo")).outcome(), (503, "temporarily_unavailable".into()));
        let store = broker.operator_sees("/admin/v1/status")["store"].clone();
        assert!(store["available"] == true && store["refuses_writes"].as_str().unwrap().contains(code), "{store}");
        let told = broker.cli("demo", &["status"]);
        assert!(told.status.success());
        assert!(String::from_utf8_lossy(&told.stderr).contains("takes no writes"), "{told:?}");

        assert_eq!(redis_of(&backing).say(take), "+OK");
        eventually("it is ready again", || (broker.get("/readyz").status == 200).then_some(()));
        broker.mint("demo", "after");
        assert!(broker.operator_sees("/admin/v1/status")["store"].get("refuses_writes").is_none());
    }
}

#[test]
fn a_redis_that_is_made_unsafe_under_a_running_broker_is_told_of_once() {
    let backing = Backing::Redis(Redis::start());
    let broker = Broker::start(&backing);
    // It is looked at twice a minute.
    let look = Duration::from_secs(90);
    let warnings = || broker.stderr().matches("the store was made unsafe while it runs").count();
    assert_eq!((settings_of(&broker), warnings()), (0, 0));
    assert_eq!(redis_of(&backing).say("CONFIG SET maxmemory-policy allkeys-lru"), "+OK");
    within(look, "it is counted", || (settings_of(&broker) == 1).then_some(()));
    within(look, "it is told", || (warnings() == 1).then_some(()));
    assert!(broker.stderr().contains("maxmemory-policy noeviction"), "with the mend: {}", broker.stderr());
    assert_eq!(redis_of(&backing).say("CONFIG SET maxmemory-policy noeviction"), "+OK");
    within(look, "it is safe again", || (settings_of(&broker) == 0).then_some(()));
    assert_eq!(warnings(), 1);
}

/// Somebody, or an eviction, took the lease's record alone: the log is whole, and no broker can tell by it.
#[test]
fn a_token_whose_lease_the_store_has_lost_is_not_told_to_be_revoked() {
    let backing = Backing::Redis(Redis::start());
    let broker = Broker::start(&backing);
    let redis = redis_of(&backing);
    let token = broker.mint("demo", "t");
    redis.say("EVAL \"redis.call('SET', 'taken', redis.call('KEYS', 'jitney:{*}:l:*')[1])\" 0");
    // The last writes are looked for, and missed.
    for n in 0..20 {
        broker.mint("other", &format!("t-{n}"));
    }
    assert_eq!(redis.say("EVAL \"return redis.call('DEL', redis.call('GET', 'taken'))\" 0"), ":1");
    let answer = broker.revoke("demo", &token.text);
    assert_eq!(answer.outcome(), (503, "temporarily_unavailable".into()));
    assert!(answer.text().contains("complete its task"), "{}", answer.text());
    assert!(broker.stands(&token), "nothing ended it");
    broker.complete("demo", "t").expect(204);
    assert!(!broker.stands(&token));
    broker.revoke("demo", &token.text).expect(200);
}

#[test]
fn a_made_up_token_is_refused_without_a_word_to_the_store() {
    let backing = Backing::Redis(Redis::start());
    let broker = Broker::start(&backing);
    let token = broker.mint("demo", "t");
    let cut = token.text.rfind('.').unwrap();
    let forged = format!("{}.{}", &token.text[..cut], "A".repeat(86));
    let Backing::Redis(redis) = &backing else { unreachable!() };
    redis.pause();
    let answers = [forged.as_str(), "a.b.c", token.text.as_str()].map(|token| broker.complete_by(token, "t").status);
    redis.resume();
    assert_eq!(answers, [401, 401, 503]);
    within(std::time::Duration::from_secs(10), "the store answers again", || {
        (broker.complete_by(&token.text, "t").status == 204).then_some(())
    });
    assert!(!broker.stands(&token));
}
