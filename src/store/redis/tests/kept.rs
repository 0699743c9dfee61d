//! How long what a mint writes is kept, also where a broker's clock is ahead, or a key was taken away in between.

use std::sync::Arc;
use std::time::Duration;

use super::server::Server;
use crate::model::{Clock, LeaseId, UnixTime};
use crate::store::redis::{RedisOptions, RedisStore};
use crate::store::suite::{Ask, WORKLOAD, assertion, completion, now, ready, task, workload};
use crate::store::{End, EndTarget, LeaseStore, RecordError, Spent, StoreError};

/// Seconds until a key of this pattern goes; -1 where it stays. There is one.
async fn ttl(server: &Server, pattern: &str) -> i64 {
    let script =
        "local k = redis.call('KEYS', ARGV[1]); return #k == 1 and redis.call('TTL', k[1]) or error(#k .. ' keys')";
    match server.say(&["EVAL", script, "0", pattern]).await {
        redis::Value::Int(seconds) => seconds,
        other => panic!("{pattern}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_taken_away_within_its_minute_does_not_come_back_for_ever() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    // Of one minute each, whenever this runs.
    let (at, until) = (now(), now().plus(Duration::from_secs(120)));
    let mint = async |jti: &str| {
        let spent = Spent { until, ..assertion(jti) };
        Ask::task("t", epoch).at(at).spending(spent).record(&store).await.unwrap();
    };
    let corner = u32::from_be_bytes(LeaseId::shard_of(&workload(WORKLOAD)));
    for (turn, kind) in ["l:*", "r:*", "m:[0-9]*"].into_iter().enumerate() {
        let pattern = &format!("jitney:{{{corner:08x}}}:{kind}");
        mint(&format!("{kind} first")).await;
        // The last writes are looked for, and missed: these are not.
        for n in 0..20 {
            Ask::task(&format!("{turn}-{n}"), epoch).workload("another").record(&store).await.unwrap();
        }
        let before = ttl(&server, pattern).await;
        let delete = "return redis.call('DEL', unpack(redis.call('KEYS', ARGV[1])))";
        server.say(&["EVAL", delete, "0", pattern]).await;
        mint(&format!("{kind} again")).await;
        let after = ttl(&server, pattern).await;
        assert!((before - 5..=before + 60).contains(&after), "{pattern}: {before} {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_remembered_as_long_as_others_take_it_also_by_a_broker_whose_clock_is_ahead() {
    const AHEAD: Duration = Duration::from_secs(240);
    let (until, ahead) = (now().plus(Duration::from_secs(330)), now().plus(AHEAD));
    let spent = || Spent { until, ..assertion("shown to two") };
    type Use = fn(Arc<dyn LeaseStore>, crate::model::Epoch, Spent, UnixTime) -> tokio::task::JoinHandle<()>;
    let uses: [Use; 3] = [
        |store, epoch, spent, at| {
            tokio::spawn(async move {
                Ask::task("t", epoch).at(at).spending(spent).record(&store).await.unwrap();
            })
        },
        |store, _, spent, _| tokio::spawn(async move { assert!(store.spend(spent).await.is_ok()) }),
        |store, _, spent, at| {
            tokio::spawn(async move {
                store.end(End { target: completion("t"), at, spent: Some(spent) }).await.unwrap();
            })
        },
    ];
    for (n, uses) in uses.into_iter().enumerate() {
        let server = Server::safe().await;
        let (_, epoch) = ready(&server).await;
        let options = RedisOptions { clock: Clock::manual(ahead), ..RedisOptions::new(server.url()) };
        let store: Arc<dyn LeaseStore> = Arc::new(RedisStore::open(&options).await.unwrap());
        uses(store, epoch, spent(), ahead).await.unwrap();
        let seconds = ttl(&server, "jitney:{*}:r:*").await;
        assert!(seconds >= 330, "{n}: {seconds}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_none_takes_no_lease_and_no_assertion() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    let at = now();
    let ask = Ask::task("t", epoch).at(at).spending(assertion("one"));
    // Of the minute in which it is made, and of the next one, where that begins in between.
    for minute in [at.secs() / 60, at.secs() / 60 + 1] {
        server.say(&["SET", &format!("jitney:{{dir}}:{minute}"), "x"]).await;
    }
    let error = ask.clone().record(&store).await.unwrap_err();
    assert!(matches!(error, RecordError::Store(StoreError::Corrupt(_))), "{error:?}");
    for pattern in ["jitney:{*}:l:*", "jitney:{*}:r:*", "jitney:{*}:m:*"] {
        assert!(server.list(&["KEYS", pattern]).await.is_empty(), "{pattern}");
    }
    for minute in [at.secs() / 60, at.secs() / 60 + 1] {
        server.say(&["DEL", &format!("jitney:{{dir}}:{minute}")]).await;
    }
    let lease = ask.record(&store).await.expect("the assertion is unused");
    let ended = store.end(End { target: EndTarget::Lease(lease.id), at, spent: None }).await.unwrap();
    assert_eq!((ended.leases, lease.task), (vec![lease.id], task("t")));
}
