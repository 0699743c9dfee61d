//! What brokers left that kept the log's head in three fields and each task's mark in a key of its own.

use std::sync::Arc;
use std::time::Duration;

use super::server::Server;
use crate::model::{Epoch, LeaseId, RuleDigest, UnixTime};
use crate::store::suite::{Ask, KEY, WORKLOAD, complete, now, published, ready, workload};
use crate::store::{LeaseStore, RecordError};

/// Puts the head back as it lay then, and gives it as a broker of then was told it.
const HEAD_OF_BEFORE: &str = "
    local key = 'jitney:{log}:head'
    local now = redis.call('HGET', key, 'now')
    redis.call('HDEL', key, 'now')
    redis.call('HSET', key, 'life', string.sub(now, 15, 34) .. string.sub(now, 1, 14),
        'tag', string.sub(now, 35, 46), 'pos', string.sub(now, 47))
    return string.sub(now, 15)";

/// How every script of then began.
const SCRIPT_OF_BEFORE: &str = "
    local h = redis.call('HMGET', KEYS[1], 'life', 'pos', 'tag')
    local life, pos, tag = h[1] or string.rep('\\0', 34), h[2] or '0', h[3] or ''
    local current = string.sub(life, 1, 20) .. tag .. pos == ARGV[1]
    local epoch, gen, memory, maxexp, span = struct.unpack('>c16I4I5I5I4', life)
    return current";

/// Writes the mark of a task as it lay then: its last exp, and where it was closed the rule's place and until when.
async fn mark(server: &Server, task: &str, exp: UnixTime, closed: Option<(u64, UnixTime)>) {
    let key = super::super::layout::ended(LeaseId::shard_of(&workload(WORKLOAD)), &workload(WORKLOAD), task);
    let exp = &exp.secs().to_be_bytes()[3..];
    let value = match closed {
        None => [&[0], exp, b"https://api.example.com"].concat(),
        Some((rule, until)) => {
            [&[1], exp, &rule.to_be_bytes()[2..], &until.secs().to_be_bytes()[3..], b"https://api.example.com"].concat()
        }
    };
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut set = redis::cmd("SET");
    set.arg(key).arg(value).arg("EX").arg(600);
    let _: () = set.query_async(&mut connection).await.unwrap();
}

/// A store as it was left, with a lease in it, and its epoch.
async fn left(server: &Server) -> Epoch {
    let (store, epoch) = ready(server).await;
    Ask::task("other", epoch).record(&store).await.unwrap();
    complete(&store, "other").await;
    drop(store);
    server.say(&["EVAL", HEAD_OF_BEFORE, "0"]).await;
    epoch
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_before_goes_on_and_its_marks_count() {
    let server = Server::safe().await;
    let epoch = left(&server).await;
    let (exp, closed) = (now().plus(Duration::from_secs(250)), now().plus(Duration::from_secs(600)));
    mark(&server, "t", exp, None).await;
    mark(&server, "u", exp, Some((1, closed))).await;
    mark(&server, "v", exp, None).await;
    let store: Arc<dyn LeaseStore> = server.store().await;
    let head = store.head().await.unwrap();
    assert_eq!((head.epoch, head.position.get()), (epoch, 1), "the log of before");
    let refused = Ask::task("u/x", epoch).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::TaskEnded { .. }), "{refused:?}");
    let later = Ask::task("v", epoch).ttl(900).record(&store).await.expect("v was never ended");
    for (name, until) in [("t", exp), ("v", later.expires_at)] {
        let ended = complete(&store, name).await;
        let [rule] = ended.rules[..] else { panic!("{name}: {ended:?}") };
        assert_eq!((rule.digest, rule.until), (RuleDigest::task(&workload(WORKLOAD), name), Some(until)));
        assert_eq!(complete(&store, name).await.rules, [], "{name} once");
    }
    assert_eq!(complete(&store, "u").await.rules, [], "it was ended then");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_of_before_can_do_nothing_from_then_on() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut old = redis::cmd("EVAL");
    old.arg(SCRIPT_OF_BEFORE).arg(1).arg("jitney:{log}:head").arg("whatever");
    let fresh = old.query_async::<Option<i64>>(&mut connection).await;
    assert!(fresh.unwrap_err().to_string().contains("too short"), "where it was never there");
    drop(store);
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let told: Vec<u8> =
        redis::cmd("EVAL").arg(HEAD_OF_BEFORE).arg(0).query_async(&mut connection).await.expect("the head of before");
    let mut current = redis::cmd("EVAL");
    current.arg(SCRIPT_OF_BEFORE).arg(1).arg("jitney:{log}:head").arg(told);
    assert_eq!(current.query_async::<Option<i64>>(&mut connection).await.unwrap(), Some(1), "until then");
    let store = server.store().await;
    store.publish(published(KEY), epoch).await.unwrap();
    Ask::task("t", epoch).record(&store).await.unwrap();
    let taken_over = current.query_async::<Option<i64>>(&mut connection).await;
    assert!(taken_over.unwrap_err().to_string().contains("too short"));
}
