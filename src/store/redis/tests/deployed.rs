//! What `deploy/` ships: its settings are safe, its user can do what jitney does and no more, and TLS is rustls on ring.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::server::{Server, repository};
use crate::model::{Position, Selector};
use crate::store::redis::{RedisOptions, RedisStore};
use crate::store::suite::{Ask, assertion, complete, end, kid, now, published, quarantine, workload};
use crate::store::{EndTarget, LeaseFilter, LeaseStore, RecordError};

/// A server with `deploy/redis.conf` and `deploy/redis.acl`, but for the paths.
fn deployed() -> Server {
    deployed_with(|acl| acl)
}

/// The same with other rights.
fn deployed_with(change: impl FnOnce(String) -> String) -> Server {
    let dir = tempfile::tempdir().expect("tempdir");
    let users = dir.path().join("users.acl");
    let acl = std::fs::read_to_string(repository("deploy/redis.acl")).expect("read");
    std::fs::write(&users, change(acl)).expect("write");
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
    let advised: Vec<&str> =
        rows.iter().filter(|row| row.safe && !row.mend.is_empty()).map(|row| row.setting.as_str()).collect();
    assert_eq!(advised, ["lazyfree-lazy-expire"]);
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
    let (advice, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.setting == "lazyfree-lazy-expire");
    assert!(advice.len() == 1 && advice[0].safe && advice[0].mend.is_empty(), "{advice:?}");
    assert_eq!(rows.len(), 8);
    assert!(rows.iter().all(|row| !row.safe && row.value == "unknown" && !row.mend.is_empty()), "{rows:?}");
}

/// Redis replays its file as `default`, not as who wrote it.
#[tokio::test(flavor = "multi_thread")]
async fn all_that_was_acknowledged_is_there_after_a_restart() {
    let server = deployed();
    for (round, signal) in [Signal::TERM, Signal::KILL].into_iter().enumerate() {
        let store = as_jitney(&server).await;
        let epoch = store.head().await.unwrap().epoch;
        store.publish(published("key-1"), epoch).await.unwrap();
        let task = |name: &str| format!("{name}{round}");
        let used = [assertion(&task("one")), assertion(&task("two"))];
        let kept = Ask::task(&task("kept"), epoch).spending(used[0].clone()).record(&store).await.unwrap().id;
        let ended = Ask::task(&task("ended"), epoch).record(&store).await.unwrap().id;
        store.spend(used[1].clone()).await.unwrap();
        end(&store, EndTarget::Lease(ended)).await;
        Ask::task(&task("closed"), epoch).record(&store).await.unwrap();
        complete(&store, &task("closed")).await;
        end(&store, EndTarget::Quarantine(quarantine(&task("w")))).await;
        let before = store.head().await.unwrap();
        let rules = store.log(Position::START, 100).await.unwrap().entries;

        // With no broker that could tell what is missing.
        drop(store);
        server.stop(signal);
        server.start();
        let store = as_jitney(&server).await;
        assert_eq!(store.head().await.unwrap(), before, "{signal:?}");
        assert_eq!(store.log(Position::START, 100).await.unwrap().entries, rules, "{signal:?}");
        assert!(store.lease(kept).await.unwrap().unwrap().ended.is_none(), "{signal:?}");
        assert!(store.lease(ended).await.unwrap().unwrap().ended.is_some(), "{signal:?}");
        assert_eq!(store.quarantines().await.unwrap().all.len(), round + 1, "{signal:?}");
        for used in used {
            let error = store.spend(used).await.unwrap_err();
            assert!(matches!(error, RecordError::Replayed), "{signal:?}: {error:?}");
        }
        let error = Ask::task(&task("closed"), epoch).record(&store).await.unwrap_err();
        assert!(matches!(error, RecordError::TaskEnded { .. }), "{signal:?}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaying_user_without_rights_is_unsafe() {
    let named = async |server: &Server| {
        let rows = as_jitney(server).await.safety().await.unwrap();
        let unsafe_ones: Vec<_> = rows.into_iter().filter(|row| !row.safe).collect();
        assert_eq!(unsafe_ones.iter().map(|row| row.setting.as_str()).collect::<Vec<_>>(), ["default_user"]);
        assert!(unsafe_ones[0].mend.contains("user default off nopass sanitize-payload ~* &* +@all"));
        unsafe_ones[0].value.clone()
    };
    let full = "~* &* +@all";
    let without = |rights: &'static str| {
        deployed_with(move |acl| {
            assert!(acl.starts_with("user default off nopass sanitize-payload ~* &* +@all\n"));
            acl.replacen(full, rights, 1)
        })
    };
    let nothing = named(&without("resetchannels -@all")).await;
    assert!(nothing.starts_with("may not set, append, del, unlink, pexpireat, hset"), "{nothing}");
    assert_eq!(named(&without("~* &* +@all -unlink -zadd")).await, "may not unlink, zadd");
    assert!(named(&without("~other:* &* +@all")).await.starts_with("may not set"));
    // And where jitney may not ask.
    assert_eq!(named(&deployed_with(|acl| acl.replace(" +acl|dryrun", ""))).await, "unknown");
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
        &["ACL", "GETUSER", "jitney"],
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
    let error = RedisStore::open(&RedisOptions::new(nobody)).await.expect_err("the default user is off");
    assert!(error.to_string().contains("the store wants a user and a password"), "{error}");
    for who in ["jitney:hunter2", "default:hunter2", ":hunter2", "replica:change-this-replica-password"] {
        let url = format!("redis://{who}@127.0.0.1:{}", server.port);
        let error = RedisStore::open(&RedisOptions::new(url)).await.expect_err(who).to_string();
        assert!(error.contains("no such user, or another password") && !error.contains("hunter2"), "{who}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_syncs_as_its_own_user() {
    let on = |acl: String| acl.replace("user replica off", "user replica on");
    let server = deployed_with(on);
    let store = as_jitney(&server).await;
    let login = ["--masteruser", "replica", "--masterauth", "change-this-replica-password"];
    let from = format!("127.0.0.1 {}", server.port);
    let _replica = Server::with(&[&["--replicaof", from.as_str()][..], &login].concat());
    let options = |who: &str| RedisOptions {
        min_replicas: 1,
        ..RedisOptions::new(format!("redis://{who}@127.0.0.1:{}", server.port))
    };
    let waiting = RedisStore::open(&options("jitney:change-this-password")).await.expect("open");
    let begun = Instant::now();
    while waiting.settle().await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not replicate");
    }
    assert_eq!(store.safety().await.unwrap().iter().find(|row| row.setting == "min_replicas").unwrap().value, "0 of 1");
    RedisStore::open(&options("replica:change-this-replica-password")).await.expect_err("it may read no key");
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

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_user_may_try_whether_redis_takes_writes() {
    let server = deployed();
    let store = as_jitney(&server).await;
    let url = format!("redis://jitney:change-this-password@127.0.0.1:{}", server.port);
    let mut connection =
        redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.expect("connection");
    let begun = Instant::now();
    loop {
        let left: i64 = redis::cmd("TTL").arg("jitney:{log}:probe").query_async(&mut connection).await.unwrap();
        if (1..=60).contains(&left) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{left}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(store.writable().is_ok());
}
