//! Ends that replicas must hold: `WAIT` on the connection that wrote, its number checked, also for a repeated end.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::server::Server;
use crate::store::redis::{RedisOptions, RedisStore};
use crate::store::suite::{Ask, completion, now, ready};
use crate::store::{End, EndTarget, LeaseStore as _, RecordError, StoreError};

async fn replicated(server: &Server) -> RedisStore {
    let options = RedisOptions { min_replicas: 1, ..RedisOptions::new(server.url()) };
    RedisStore::open(&options).await.expect("open")
}

/// A replica that has caught up.
async fn replica_of(server: &Server) -> Server {
    let port = server.port.to_string();
    let replica = Server::with(&["--replicaof", &format!("127.0.0.1 {port}"), "--repl-diskless-sync-delay", "0"]);
    let begun = Instant::now();
    // Of what another connection wrote, `WAIT` counts nothing: a write of its own comes first, here on the same connection.
    while server.wait_for_one().await != 1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not replicate");
    }
    replica
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_acknowledged_only_when_a_replica_holds_it() {
    let server = Server::with(&["--appendonly", "yes", "--repl-diskless-sync-delay", "0"]);
    let (plain, epoch) = ready(&server).await;
    Ask::task("t", epoch).record(&plain).await.unwrap();
    let lease = Ask::task("u", epoch).record(&plain).await.unwrap().id;
    let store = replicated(&server).await;
    let end = |target: EndTarget| End { target, at: now(), spent: None };
    let (task, lease) = (completion("t"), EndTarget::Lease(lease));
    let unheard =
        |error: RecordError| assert!(matches!(error, RecordError::Store(StoreError::Unavailable(_))), "{error:?}");
    let begun = Instant::now();
    unheard(store.end(end(task.clone())).await.expect_err("there is no replica"));
    assert!(begun.elapsed() < Duration::from_secs(2));

    let replica = replica_of(&server).await;
    let begun = Instant::now();
    let repeated = loop {
        match store.end(end(task.clone())).await {
            Ok(ended) => break ended,
            Err(_) => assert!(begun.elapsed() < Duration::from_secs(10), "the replica hears"),
        }
    };
    assert_eq!(repeated.rules, [], "it had been carried out");

    replica.signal(Signal::STOP);
    unheard(store.end(end(lease.clone())).await.expect_err("the replica hears nothing"));
    // A repetition has nothing to add, and by another broker it is another connection: it must wait all the same.
    unheard(replicated(&server).await.end(end(lease.clone())).await.expect_err("still nothing"));
    let unsettled = replicated(&server).await.settle().await.expect_err("what another wrote is not held yet");
    assert!(matches!(unsettled, StoreError::Unavailable(_)), "{unsettled:?}");
    replica.signal(Signal::CONT);
    let begun = Instant::now();
    while store.end(end(lease.clone())).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the replica hears again");
    }
    replicated(&server).await.settle().await.expect("all is held");
}
