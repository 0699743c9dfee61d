//! What lies in Redis, for how long, and how much of it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::server::Server;
use crate::model::{LeaseId, Position, Rule};
use crate::store::EndTarget;
use crate::store::suite::{Ask, assertion, complete, end, kid, published, quarantine, ready, workload};

#[tokio::test(flavor = "multi_thread")]
async fn no_key_lives_for_ever_but_the_head_and_quarantines() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    store.publish(published("key-2"), epoch).await.unwrap();
    let lease = Ask::task("t/a", epoch).spending(assertion("one")).record(&store).await.unwrap();
    Ask::task("t/a", epoch).renews(lease.id).record(&store).await.unwrap();
    store.spend(assertion("two")).await.unwrap();
    end(&store, EndTarget::Lease(lease.id)).await;
    complete(&store, "t").await;
    end(&store, EndTarget::Quarantine(quarantine("w"))).await;
    end(&store, EndTarget::Key(kid("key-2"))).await;
    let mut for_ever = BTreeSet::new();
    for key in server.list(&["KEYS", "*"]).await {
        let mut ttl = redis::cmd("TTL");
        ttl.arg(&key);
        let client = redis::Client::open(server.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let seconds: i64 = ttl.query_async(&mut connection).await.unwrap();
        if seconds < 0 {
            for_ever.insert(String::from_utf8(key).unwrap());
        } else {
            assert!(seconds <= 86_400 + 90, "{}", String::from_utf8_lossy(&key));
        }
    }
    let quarantine = crate::store::redis::layout::quarantine(LeaseId::shard_of(&workload("w")), &workload("w"));
    assert_eq!(
        for_ever,
        BTreeSet::from([
            "jitney:{log}:head".to_owned(),
            "jitney:{log}:quarantines".to_owned(),
            String::from_utf8(quarantine.into()).unwrap()
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_many_segments_reads_whole_and_without_those_that_expired() {
    let server = Server::with(&["--appendonly", "no"]);
    let (store, epoch) = ready(&server).await;
    let mut appended: Vec<Rule> = Vec::new();
    Ask::task("t", epoch).record(&store).await.unwrap();
    for turn in 0..2600 {
        let target = match turn % 1000 {
            7 => EndTarget::Key(kid(&format!("stolen-{turn}"))),
            _ => EndTarget::Workload(workload(&format!("w{turn}"))),
        };
        appended.extend(end(&store, target).await.rules);
    }
    assert_eq!(appended.len(), 2600);
    let told = |page: crate::store::LogPage| page.entries.into_iter().map(|entry| entry.rule).collect::<Vec<_>>();
    for (after, limit) in [(0, 4096), (0, 2600), (255, 1), (256, 1), (257, 300), (1007, 100), (2590, 100), (2599, 1)] {
        let page = store.log(Position::new(after), limit).await.unwrap();
        let expected = &appended[usize::try_from(after).unwrap()..];
        let upto = page.upto;
        let rules = told(page);
        assert!(!rules.is_empty() && rules.len() <= limit, "{after}");
        assert_eq!(rules, expected[..rules.len()], "{after}");
        assert_eq!(upto, rules[rules.len() - 1].position);
    }
    // The third and fourth segment expire: all but the rule on a key that stood in the fourth is left out.
    for n in [2, 3] {
        server.say(&["DEL", &format!("jitney:{{log}}:s:{epoch}:{n}")]).await;
    }
    let expected: Vec<Rule> = appended
        .iter()
        .filter(|rule| !(513..=1024).contains(&rule.position.get()) || rule.until.is_none())
        .copied()
        .collect();
    assert_eq!(told(store.log(Position::START, 4096).await.unwrap()), expected);
    assert!(store.stats(crate::store::suite::now()).await.unwrap().live_rules >= 2600 - 512 - 3);
}

/// `cargo test --lib what_a_live_lease_costs -- --ignored --nocapture` prints bytes and CPU time of a lease.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a test"]
async fn what_a_live_lease_costs() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    let figure = |info: &str, name: &str| -> f64 {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.expect("a figure").trim().parse().expect("a number")
    };
    let info = async |section: &str| match server.say(&["INFO", section]).await {
        redis::Value::BulkString(text) => String::from_utf8(text).unwrap(),
        redis::Value::VerbatimString { text, .. } => text,
        other => panic!("{other:?}"),
    };
    for (workloads, tasks) in [(20, 20_000), (20, 200)] {
        let (memory, cpu) = (info("memory").await, info("cpu").await);
        let begun = Instant::now();
        let mut running = tokio::task::JoinSet::new();
        for lane in 0..64 {
            let store = Arc::clone(&store);
            running.spawn(async move {
                for turn in (lane..20_000).step_by(64) {
                    let mut spent = assertion(&format!("{tasks}-{turn}"));
                    spent.subject = format!("w{}", turn % workloads);
                    let ask = Ask::task(&format!("run-{tasks}-{}", turn % tasks), epoch).ttl(300);
                    ask.workload(&spent.subject.clone()).spending(spent).record(&store).await.expect("mint");
                }
            });
        }
        running.join_all().await;
        let elapsed = begun.elapsed();
        let bytes = figure(&info("memory").await, "used_memory") - figure(&memory, "used_memory");
        let main_thread =
            |info: &str| figure(info, "used_cpu_user_main_thread") + figure(info, "used_cpu_sys_main_thread");
        let used = main_thread(&info("cpu").await) - main_thread(&cpu);
        let stats = info("commandstats").await;
        let scripts = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap_or_default();
        let told = format!(
            "{workloads} workloads, {tasks} tasks: {:.0} bytes a lease, {:.1} us of Redis CPU a mint, {:.0} mints/s; {scripts}",
            bytes / 20_000.0,
            used / 20_000.0 * 1e6,
            20_000.0 / Duration::as_secs_f64(&elapsed),
        );
        writeln!(std::io::stderr(), "{told}").expect("stderr");
    }
}
