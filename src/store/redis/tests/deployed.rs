//! What `deploy/` ships: its settings are safe, its user can do what jitney does and no more, and TLS is rustls on ring.

use std::sync::Arc;

use rustix::process::Signal;

use super::server::{Server, repository};
use crate::model::{Position, Selector};
use crate::store::redis::{RedisOptions, RedisStore};
use crate::store::suite::{Ask, assertion, complete, end, kid, now, published, quarantine, workload};
use crate::store::{EndTarget, LeaseFilter, LeaseStore};

/// A server with `deploy/redis.conf` and `deploy/redis.acl`, but for the paths.
fn deployed() -> Server {
    let dir = tempfile::tempdir().expect("tempdir");
    let users = dir.path().join("users.acl");
    std::fs::copy(repository("deploy/redis.acl"), &users).expect("copy");
    let shipped = std::fs::read_to_string(repository("deploy/redis.conf")).expect("read");
    let here = shipped.replace("/etc/redis/jitney.acl", users.to_str().expect("path"));
    assert_ne!(here, shipped);
    let file = dir.path().join("redis.conf");
    std::fs::write(&file, here).expect("write");
    let file = file.to_str().expect("path").to_owned();
    Server::in_dir(dir, &[&file])
}

async fn as_jitney(server: &Server) -> Arc<dyn LeaseStore> {
    let url = format!("redis://jitney:change-this-password@127.0.0.1:{}", server.port);
    Arc::new(RedisStore::open(&RedisOptions::new(url)).await.expect("open"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_user_can_do_the_whole_story() {
    let server = deployed();
    let store = as_jitney(&server).await;
    let epoch = store.head().await.unwrap().epoch;
    store.publish(published("key-1"), epoch).await.unwrap();
    store.publish(published("key-2"), epoch).await.unwrap();
    let first = Ask::task("t/a", epoch).spending(assertion("one")).record(&store).await.unwrap();
    let second = Ask::task("t/a", epoch).renews(first.id).record(&store).await.unwrap();
    store.spend(assertion("two")).await.unwrap();
    assert_eq!(store.count(Selector::All, now()).await.unwrap(), 2);
    assert_eq!(
        store.leases(LeaseFilter { now: now(), ..LeaseFilter::default() }, None, 10).await.unwrap().leases.len(),
        2
    );
    assert_eq!(end(&store, EndTarget::Lease(first.id)).await.leases, [first.id, second.id]);
    complete(&store, "t").await;
    end(&store, EndTarget::All).await;
    end(&store, EndTarget::Quarantine(quarantine("w"))).await;
    assert_eq!(store.quarantines().await.unwrap().all.len(), 1);
    assert!(store.release(workload("w")).await.unwrap());
    end(&store, EndTarget::Key(kid("key-1"))).await;
    store.withdraw(kid("key-2")).await.unwrap();
    assert_eq!(store.keys().await.unwrap(), []);
    assert_eq!(store.log(Position::START, 100).await.unwrap().entries.len(), 6);
    assert_eq!(store.stats(now()).await.unwrap().live_leases, 2);
    let again = as_jitney(&server).await;
    assert_eq!(again.head().await.unwrap(), store.head().await.unwrap());
}

/// Redis reads its file as the user `default`: were that one without rights, all of it would be left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_keeps_what_the_shipped_user_wrote() {
    let server = deployed();
    let store = as_jitney(&server).await;
    let head = store.head().await.unwrap();
    store.publish(published("key-1"), head.epoch).await.unwrap();
    let lease = Ask::task("t", head.epoch).spending(assertion("one")).record(&store).await.unwrap();
    complete(&store, "ended").await;
    end(&store, EndTarget::Quarantine(quarantine("w"))).await;
    let head = store.head().await.unwrap();
    drop(store);
    server.stop(Signal::KILL);
    server.start();
    let store = as_jitney(&server).await;
    assert_eq!(store.head().await.unwrap(), head);
    assert!(store.lease(lease.id).await.unwrap().is_some());
    assert_eq!(store.quarantines().await.unwrap().all, [quarantine("w")]);
    assert!(store.spend(assertion("one")).await.is_err(), "it was used");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_settings_are_safe_and_worse_ones_are_told_by_name() {
    let store = as_jitney(&deployed()).await;
    drop(store);
    let server = deployed();
    let store = as_jitney(&server).await;
    let unsafe_ones = store.safety().await.unwrap().into_iter().filter(|row| !row.safe).collect::<Vec<_>>();
    assert_eq!(unsafe_ones, []);

    let careless =
        Server::with(&["--appendonly", "no", "--appendfsync", "everysec", "--maxmemory-policy", "allkeys-lru"]);
    let rows = careless.store().await.safety().await.unwrap();
    let told: Vec<&str> = rows.iter().filter(|row| !row.safe).map(|row| row.setting.as_str()).collect();
    assert_eq!(told, ["appendonly", "appendfsync", "maxmemory-policy"]);
    assert!(rows.iter().all(|row| row.safe || row.mend.contains(&row.setting)), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_redis_will_not_tell_count_as_unsafe() {
    let server = Server::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    server
        .say(&["ACL", "SETUSER", "managed", "on", ">p", "~*", "&*", "+@all", "-config", "-info", "-time", "-acl"])
        .await;
    let url = format!("redis://managed:p@127.0.0.1:{}", server.port);
    let store = RedisStore::open(&RedisOptions::new(url)).await.expect("open");
    let rows = store.safety().await.unwrap();
    assert_eq!(rows.len(), 8);
    assert!(rows.iter().all(|row| !row.safe && row.value == "unknown" && !row.mend.is_empty()), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_user_can_do_nothing_else() {
    let server = deployed();
    let url = format!("redis://jitney:change-this-password@127.0.0.1:{}", server.port);
    let mut connection =
        redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.expect("connection");
    for words in [
        &["FLUSHALL"][..],
        &["KEYS", "*"],
        &["SCAN", "0"],
        &["CONFIG", "SET", "appendonly", "no"],
        &["ACL", "LIST"],
        &["EVAL", "return 1", "0"],
        &["SCRIPT", "FLUSH"],
        &["REPLICAOF", "NO", "ONE"],
        &["SHUTDOWN"],
        &["GET", "other"],
        &["PUBLISH", "other", "x"],
        &["CLIENT", "LIST"],
        &["MONITOR"],
    ] {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let answer: redis::RedisResult<redis::Value> = command.query_async(&mut connection).await;
        assert_eq!(answer.unwrap_err().code(), Some("NOPERM"), "{words:?}");
    }
    let nobody = format!("redis://127.0.0.1:{}", server.port);
    RedisStore::open(&RedisOptions::new(nobody)).await.expect_err("the default user is off");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_trusts_the_given_certificates_and_no_others() {
    let dir = tempfile::tempdir().expect("tempdir");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("certificate");
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| dir.path().join(name).to_str().expect("path").to_owned());
    std::fs::write(&cert, made.cert.pem()).expect("write");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("write");
    let tls_port = super::server::free_port();
    let port = tls_port.to_string();
    let server = Server::in_dir(
        dir,
        &["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"],
    );
    let url = format!("rediss://localhost:{tls_port}");
    let options = RedisOptions { ca_pem: Some(made.cert.pem().into_bytes()), ..RedisOptions::new(url.clone()) };
    let store = RedisStore::open(&options).await.expect("open over TLS");
    assert_eq!(store.head().await.unwrap(), server.store().await.head().await.unwrap());
    RedisStore::open(&RedisOptions::new(url)).await.expect_err("a certificate nobody vouches for");
}

#[test]
fn no_cryptography_but_ring_is_compiled_in() {
    let lock = std::fs::read_to_string(repository("Cargo.lock")).expect("read");
    for other in ["aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls"] {
        assert!(!lock.contains(&format!("name = \"{other}\"")), "{other}");
    }
}
