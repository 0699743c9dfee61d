//! Redis away, slow, full, read-only or filled with nonsense: an error in time, no panic, and recovery by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::server::{Server, free_port};
use crate::store::redis::{RedisOptions, RedisStore};
use crate::store::suite::{Ask, assertion, complete, completion, now, ready};
use crate::store::{End, LeaseStore, RecordError, StoreError};

/// What a mint answers, and how long that took at most.
async fn fails_in_time(store: &Arc<dyn LeaseStore>, ask: Ask) -> StoreError {
    let begun = Instant::now();
    let error = ask.record(store).await.expect_err("no lease without a store");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    match error {
        RecordError::Store(error) => error,
        other => panic!("{other:?}"),
    }
}

/// Waits until mints work again.
async fn recovers(store: &Arc<dyn LeaseStore>, ask: &Ask) {
    let begun = Instant::now();
    while ask.clone().record(store).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(5), "it does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_dies_is_an_error_in_time_and_nothing_acknowledged_is_lost() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    let lease = Ask::task("t", epoch).record(&store).await.unwrap();
    complete(&store, "t").await;
    server.stop(Signal::KILL);
    for _ in 0..3 {
        let error = fails_in_time(&store, Ask::task("u", epoch)).await;
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
    server.start();
    recovers(&store, &Ask::task("u", epoch)).await;
    assert_eq!(store.head().await.unwrap().epoch, epoch, "nothing was lost");
    assert!(store.lease(lease.id).await.unwrap().is_some());
    let refused = Ask::task("t", epoch).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::TaskEnded { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_is_an_error_in_time() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    server.signal(Signal::STOP);
    for _ in 0..2 {
        fails_in_time(&store, Ask::task("t", epoch)).await;
    }
    let begun = Instant::now();
    let end = End { target: completion("t"), at: now(), spent: None };
    store.end(end).await.expect_err("no end without a store");
    assert!(begun.elapsed() < Duration::from_secs(2));
    server.signal(Signal::CONT);
    recovers(&store, &Ask::task("u", epoch)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_bound_are_refused_at_once() {
    let server = Server::safe().await;
    let options = RedisOptions { max_in_flight: 1, ..RedisOptions::new(server.url()) };
    let store = RedisStore::open(&options).await.unwrap();
    server.signal(Signal::STOP);
    let (first, second) = tokio::join!(store.head(), async {
        tokio::task::yield_now().await;
        let begun = Instant::now();
        (store.head().await, begun.elapsed())
    });
    server.signal(Signal::CONT);
    let text = format!("{:?}", second.0.expect_err("one at a time"));
    assert!(text.contains("too many"), "{text}");
    assert!(second.1 < Duration::from_millis(200));
    first.expect_err("it hung");
}

#[tokio::test]
async fn nobody_there_and_no_url_are_one_clear_error_each_and_no_secret_is_told() {
    let nowhere = format!("redis://jitney:hunter2@127.0.0.1:{}", free_port());
    for url in [
        nowhere.as_str(),
        "postgres://jitney:hunter2@host",
        "redis://jitney:hunter2@[::1",
        "rediss://u:hunter2@h/#insecure",
    ] {
        let options = RedisOptions::new(url);
        let begun = Instant::now();
        let error = RedisStore::open(&options).await.expect_err(url);
        assert!(begun.elapsed() < Duration::from_secs(2));
        let told = format!("{error} {error:?} {options:?}");
        assert!(matches!(error, StoreError::Unavailable(_)) && !told.contains("hunter2"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_mints_nothing_and_uses_nothing_up() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    server.say(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let ask = Ask::task("t", epoch).spending(assertion("one"));
    let error = fails_in_time(&store, ask.clone()).await;
    assert!(error.to_string().contains("OOM"), "{error}");
    assert!(store.writable().unwrap_err().to_string().contains("OOM"), "known at once");
    assert_eq!(server.list(&["KEYS", "jitney:{*}:l:*"]).await.len(), 0);
    server.say(&["CONFIG", "SET", "maxmemory", "0"]).await;
    ask.record(&store).await.expect("the assertion is unused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_became_a_replica_takes_no_mint_until_it_is_one_again() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    server.say(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]).await;
    let error = fails_in_time(&store, Ask::task("t", epoch)).await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    server.say(&["REPLICAOF", "NO", "ONE"]).await;
    recovers(&store, &Ask::task("t", epoch)).await;
}

/// Waits until the store says that it takes writes, or that it does not.
async fn says(store: &Arc<dyn LeaseStore>, writable: bool) -> String {
    let begun = Instant::now();
    while store.writable().is_ok() != writable {
        assert!(begun.elapsed() < Duration::from_secs(20), "{writable}: {:?}", store.writable());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    store.writable().err().map_or_else(String::new, |error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_takes_no_writes_is_known_from_the_first_refusal_to_the_first_that_it_takes() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    assert!(store.writable().is_ok());
    let nobody = free_port().to_string();
    // A folder in the place of the snapshot: it cannot be saved.
    std::fs::create_dir(server.dir.path().join("dump.rdb")).unwrap();
    for (code, refuse, take) in [
        ("OOM", &["CONFIG", "SET", "maxmemory", "1"][..], &["CONFIG", "SET", "maxmemory", "0"][..]),
        (
            "NOREPLICAS",
            &["CONFIG", "SET", "min-replicas-to-write", "1"],
            &["CONFIG", "SET", "min-replicas-to-write", "0"],
        ),
        ("READONLY", &["REPLICAOF", "127.0.0.1", &nobody], &["REPLICAOF", "NO", "ONE"]),
        ("MISCONF", &["CONFIG", "SET", "save", "3600 100000"], &["CONFIG", "SET", "save", ""]),
    ] {
        server.say(refuse).await;
        if code == "MISCONF" {
            server.say(&["BGSAVE"]).await;
        }
        // By a mint, or by the look that the keeper takes: whichever comes first.
        let told = says(&store, false).await;
        assert!(told.to_uppercase().contains(code), "{code}: {told}");
        fails_in_time(&store, Ask::task("t", epoch)).await;
        server.say(take).await;
        says(&store, true).await;
        recovers(&store, &Ask::task("t", epoch)).await;
        assert!(store.writable().is_ok(), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_redis_forgot_are_taught_again() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    Ask::task("t", epoch).record(&store).await.unwrap();
    server.say(&["SCRIPT", "FLUSH"]).await;
    Ask::task("t", epoch).record(&store).await.expect("the first try teaches it");
    assert_eq!(complete(&store, "t").await.rules.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_connection_is_made_anew() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    for kind in ["normal", "pubsub"] {
        server.say(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await;
        recovers(&store, &Ask::task("t", epoch)).await;
    }
    let mut moved = store.moved();
    moved.borrow_and_update();
    let other = server.store().await;
    complete(&other, "t").await;
    tokio::time::timeout(Duration::from_secs(5), moved.changed()).await.expect("it hears again").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_under_our_names_is_an_error_and_no_panic() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    let lease = Ask::task("t", epoch).record(&store).await.unwrap();
    for nonsense in [
        "for _, key in ipairs(redis.call('KEYS', 'jitney:{*}:l:*')) do redis.call('SET', key, 'nonsense') end",
        "for _, key in ipairs(redis.call('KEYS', 'jitney:{*}:m:[0-9]*')) do
            for _, name in ipairs(redis.call('HKEYS', key)) do redis.call('HSET', key, name, 'nonsense') end
        end",
        "redis.call('SET', 'jitney:{keys}:k:bad', string.rep('0', 16) .. '{')",
    ] {
        server.say(&["EVAL", nonsense, "0"]).await;
    }
    let error = store.lease(lease.id).await.expect_err("not a lease");
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    let ask = Ask::task("t", epoch).spending(assertion("one"));
    let error = ask.clone().record(&store).await.expect_err("not a mark");
    assert!(matches!(error, RecordError::Store(StoreError::Corrupt(_))), "{error:?}");
    let error = store.end(End { target: completion("t"), at: now(), spent: None }).await.expect_err("not a mark");
    assert!(matches!(error, RecordError::Store(StoreError::Corrupt(_))), "{error:?}");
    Ask::task("u", epoch).renews(lease.id).record(&store).await.expect_err("not a lease");
    let end = End { target: crate::store::EndTarget::Lease(lease.id), at: now(), spent: None };
    store.end(end).await.expect_err("not a lease");
    Ask::task("u", epoch).spending(assertion("one")).record(&store).await.expect("what is whole still works");
    let nonsense =
        "for _, key in ipairs(redis.call('KEYS', 'jitney:{*}:m:[0-9]*')) do redis.call('SET', key, 'nonsense') end";
    server.say(&["EVAL", nonsense, "0"]).await;
    let error = Ask::task("v", epoch).spending(assertion("two")).record(&store).await.expect_err("no marks");
    assert!(matches!(error, RecordError::Store(StoreError::Corrupt(_))), "{error:?}");
    store.spend(assertion("two")).await.expect("it used nothing up");
}
