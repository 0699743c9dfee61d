//! How long things stay: in memory, in the log, in the file.

use std::sync::Arc;
use std::time::Duration;

use super::fixture::InAFile;
use crate::model::{Clock, Epoch, KeyId, LeaseId, Position, Selector, UnixTime};
use crate::policy::grant_for_tests;
use crate::store::suite::{AUDIENCE, KEY, WORKLOAD, audience, fresh_id, kid, published, quarantine, task, workload};
use crate::store::{End, EndTarget, Ended, LeaseDraft, LeaseStore, RecordError, Spent};

const START: u64 = 1_800_000_000;

/// A broker on a clock of its own.
struct Broker {
    store: Arc<dyn LeaseStore>,
    clock: Clock,
    epoch: Epoch,
}

impl Broker {
    async fn open(fixture: &InAFile, now: u64) -> Self {
        let (store, clock) = fixture.at(now);
        let epoch = store.head().await.unwrap().epoch;
        let mut key = published(KEY);
        key.published_until = UnixTime::from_secs(START + 1_000_000);
        store.publish(key, epoch).await.unwrap();
        Self { store, clock, epoch }
    }

    fn draft(&self, name: &str, ttl: u64, renews: Option<LeaseId>) -> LeaseDraft {
        let (now, ttl) = (self.clock.now(), Duration::from_secs(ttl));
        let mut grant = grant_for_tests(WORKLOAD, AUDIENCE, "orders:read", name, now, ttl);
        if let Some(id) = renews {
            grant = grant.renewing(id);
        }
        LeaseDraft::new(&grant, fresh_id(WORKLOAD), KeyId::parse(KEY).unwrap(), self.epoch)
    }

    async fn mint(&self, name: &str, ttl: u64) -> LeaseId {
        let draft = self.draft(name, ttl, None);
        self.store.record(draft).await.unwrap().lease().id
    }

    async fn end(&self, target: EndTarget) -> Ended {
        self.store.end(End { target, at: self.clock.now(), spent: None }).await.unwrap()
    }

    fn wait(&self, secs: u64) {
        self.clock.set(self.clock.now().plus(Duration::from_secs(secs)));
    }

    /// Until everything past has been dropped: each call is a batch, and each batch drops a slice.
    async fn settle(&self) {
        for turn in 0..50 {
            self.store
                .spend(Spent::new("settle", &format!("{}.{turn}", self.clock.now()), UnixTime::default()))
                .await
                .ok();
        }
    }
}

fn completion(name: &str, closed_until: u64) -> EndTarget {
    let closed_until = UnixTime::from_secs(closed_until);
    EndTarget::Task { workload: workload(WORKLOAD), task: task(name), closed_until }
}

#[tokio::test]
async fn a_lease_stands_for_a_minute_behind_its_exp_and_is_then_gone() {
    let fixture = InAFile::fresh().await;
    let broker = Broker::open(&fixture, START).await;
    let id = broker.mint("t", 300).await;
    broker.wait(355);
    broker.settle().await;
    assert!(broker.store.lease(id).await.unwrap().is_some());
    assert_eq!(broker.store.stats(broker.clock.now()).await.unwrap().live_leases, 0);
    broker.wait(10);
    broker.settle().await;
    assert_eq!(broker.store.lease(id).await.unwrap(), None);
    assert_eq!(broker.end(EndTarget::All).await, Ended::default(), "nothing is left that could be ended");
}

#[tokio::test]
async fn an_assertion_is_remembered_until_it_can_count_no_more() {
    let fixture = InAFile::fresh().await;
    let broker = Broker::open(&fixture, START).await;
    // One that outlives the record of its lease by far, and one that does not.
    let spent = |jti: &str, secs| Spent::new(WORKLOAD, jti, UnixTime::from_secs(START + secs));
    for (jti, secs) in [("long", 600), ("short", 20)] {
        let draft = broker.draft("t", 1, None).spending(Some(spent(jti, secs)));
        let _ = broker.store.record(draft).await.unwrap();
    }
    for _ in 0..5 {
        broker.wait(119);
        broker.settle().await;
        let replayed = broker.store.spend(spent("long", 600)).await;
        assert!(matches!(replayed, Err(RecordError::Replayed)), "at {}: {replayed:?}", broker.clock.now());
    }
    broker.wait(119);
    broker.settle().await;
    broker.store.spend(spent("long", 600)).await.expect("forgotten, once it is past");
    broker.store.spend(spent("short", 20)).await.expect("forgotten, once it is past");
}

#[tokio::test]
async fn past_rules_leave_the_log_and_its_head_stays() {
    let fixture = InAFile::fresh().await;
    let broker = Broker::open(&fixture, START).await;
    for (name, ttl) in [("a", 100), ("b", 1000), ("c", 100)] {
        broker.mint(name, ttl).await;
        broker.end(completion(name, START + 10)).await;
    }
    broker.end(EndTarget::Key(kid("stolen"))).await;
    broker.wait(200);
    broker.settle().await;
    let told = |page: crate::store::LogPage| -> Vec<u64> {
        assert_eq!((page.head.position.get(), page.upto.get()), (4, 4));
        page.entries.iter().map(|entry| entry.rule.position.get()).collect()
    };
    assert_eq!(told(broker.store.log(Position::START, 10).await.unwrap()), [2, 4], "a key's rule has no end");
    broker.wait(1000);
    broker.settle().await;
    assert_eq!(told(broker.store.log(Position::START, 10).await.unwrap()), [4]);
    let now = broker.clock.now().secs();
    drop(broker);
    let broker = Broker::open(&fixture, now).await;
    assert_eq!(told(broker.store.log(Position::START, 10).await.unwrap()), [4]);
    broker.mint("d", 100).await;
    assert_eq!(broker.end(EndTarget::All).await.rules[0].position.get(), 5);
}

#[tokio::test]
async fn a_key_that_nobody_withdrew_goes_when_its_time_is_past() {
    let fixture = InAFile::fresh().await;
    let broker = Broker::open(&fixture, START).await;
    let mut key = published("orphan");
    key.published_until = UnixTime::from_secs(START + 100);
    broker.store.publish(key.clone(), broker.epoch).await.unwrap();
    key.published_until = UnixTime::from_secs(START + 50);
    broker.store.publish(key, broker.epoch).await.expect("published again, and not cut short");
    broker.wait(150);
    broker.settle().await;
    assert_eq!(broker.store.keys().await.unwrap().len(), 2);
    broker.wait(100);
    broker.settle().await;
    assert_eq!(broker.store.keys().await.unwrap().len(), 1);
}

/// Between a broker's judgement of a lease and the record of its successor an end may slip in: the store looks too.
#[tokio::test]
async fn a_lease_that_any_rule_has_ended_is_not_renewed() {
    let fixture = InAFile::fresh().await;
    let mut broker = Broker::open(&fixture, START).await;
    let targets = [
        EndTarget::Workload(workload(WORKLOAD)),
        EndTarget::Quarantine(quarantine(WORKLOAD)),
        EndTarget::Audience(audience(AUDIENCE)),
        EndTarget::All,
        completion("t", START),
    ];
    for target in targets {
        let id = broker.mint("t/child", 300).await;
        assert_eq!(broker.end(target.clone()).await.rules.len(), 1, "{target:?}");
        assert_eq!(broker.end(target.clone()).await.rules, [], "{target:?} covers all there is");
        broker.store.release(workload(WORKLOAD)).await.unwrap();
        drop(broker);
        broker = Broker::open(&fixture, START).await;
        let draft = broker.draft("t/child", 300, Some(id));
        let refused = broker.store.record(draft).await.unwrap_err();
        assert!(matches!(refused, RecordError::Predecessor("has ended")), "{target:?}: {refused:?}");
    }
    let id = broker.mint("t/child", 300).await;
    broker.wait(300);
    let draft = broker.draft("t/child", 300, Some(id));
    let refused = broker.store.record(draft).await.unwrap_err();
    assert!(matches!(refused, RecordError::Predecessor("has expired")), "{refused:?}");
}

/// Such a lease would be ended by a rule that may be dropped before the lease expires, and would live again.
#[tokio::test]
async fn a_lease_judged_before_an_end_that_selects_it_is_not_recorded() {
    let fixture = InAFile::fresh().await;
    let broker = Broker::open(&fixture, START).await;
    broker.mint("t", 60).await;
    let judged = broker.store.head().await.unwrap().position;
    let late = |name: &str| broker.draft(name, 600, None).judged_at(judged);
    broker.end(completion("t", START)).await;
    let _ = broker.store.record(late("u")).await.expect("the end of another task is nothing to it");
    let refused = broker.store.record(late("t/child")).await.unwrap_err();
    assert!(matches!(refused, RecordError::Predecessor(_)), "{refused:?}");
    broker.end(EndTarget::Workload(workload(WORKLOAD))).await;
    let refused = broker.store.record(late("u")).await.unwrap_err();
    assert!(matches!(refused, RecordError::Predecessor(_)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_stops_growing_and_the_memory_empties() {
    let fixture = InAFile::fresh().await;
    let broker = Broker::open(&fixture, START).await;
    let mut sizes = Vec::new();
    for round in 0..16 {
        for second in 0..20 {
            let mut minting = tokio::task::JoinSet::new();
            for at in 0..32 {
                let spent = Spent::new(WORKLOAD, &format!("{round}.{second}.{at}"), broker.clock.now());
                let draft = broker.draft(&format!("t{round}.{second}.{at}"), 100, None).spending(Some(spent));
                let store = Arc::clone(&broker.store);
                minting.spawn(async move { store.record(draft).await.map(|_| ()) });
            }
            for got in minting.join_all().await {
                got.unwrap();
            }
            broker.end(completion(&format!("t{round}.{second}.0"), broker.clock.now().secs() + 30)).await;
            broker.wait(5);
        }
        sizes.push(std::fs::metadata(fixture.path()).unwrap().len());
    }
    let (half, last) = (sizes[7], sizes[15]);
    assert!(last <= half, "it grows on: {sizes:?}");
    let live = broker.store.count(Selector::All, broker.clock.now()).await.unwrap();
    assert_eq!(live, 32 * 19, "the leases of the last 95 seconds");
    broker.wait(10_000);
    broker.settle().await;
    let stats = broker.store.stats(broker.clock.now()).await.unwrap();
    assert_eq!((stats.live_leases, stats.live_rules), (0, 0));
}

/// Waits until the store serves again.
async fn served(store: &dyn LeaseStore) -> crate::store::Head {
    loop {
        match store.head().await {
            Ok(head) => return head,
            Err(why) => assert!(why.to_string().contains("clock"), "{why}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What was dropped then counts again when the clock is back: nobody knows any more what had ended, or was used.
#[tokio::test]
async fn a_clock_that_was_ahead_and_is_back_begins_a_new_epoch_also_after_a_restart() {
    for restarts in [false, true] {
        let fixture = InAFile::fresh().await;
        let mut broker = Broker::open(&fixture, START).await;
        let used =
            Spent::new(WORKLOAD, "used", UnixTime::from_secs(START + 900)).usable_from(UnixTime::from_secs(START));
        broker.mint("t", 1800).await;
        broker.end(completion("t", START + 600)).await;
        broker.store.spend(used.clone()).await.unwrap();
        broker.wait(2700);
        broker.settle().await;
        assert_eq!(broker.store.stats(broker.clock.now()).await.unwrap().live_rules, 0);
        assert_eq!(served(&*broker.store).await.epoch, broker.epoch, "nothing is missed while it is ahead");
        if restarts {
            drop(broker);
            broker = Broker::open(&fixture, START + 60).await;
        } else {
            broker.clock.set(UnixTime::from_secs(START + 60));
            assert!(broker.store.head().await.is_err(), "nothing is told of the old epoch");
            assert!(broker.store.log(Position::START, 9).await.is_err());
        }
        let head = served(&*broker.store).await;
        assert_eq!((head.epoch == broker.epoch, head.position.get()), (restarts, 1));
        let again = broker.store.spend(used).await;
        assert!(matches!(again, Err(RecordError::Forgotten { .. })), "{again:?}");
        // Until then a name that was closed may be so still: no assertion of before counts.
        let young = |secs: u64| {
            let from = UnixTime::from_secs(START + secs);
            Spent::new(WORKLOAD, &format!("{secs}"), from.plus(Duration::from_secs(900))).usable_from(from)
        };
        assert!(matches!(broker.store.spend(young(899)).await, Err(RecordError::Forgotten { .. })));
        broker.store.spend(young(961)).await.unwrap();
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_a_little_costs_nothing() {
    let fixture = InAFile::fresh().await;
    let broker = Broker::open(&fixture, START).await;
    broker.mint("t", 100).await;
    broker.end(completion("t", START + 100)).await;
    broker.wait(161);
    broker.settle().await;
    assert_eq!(broker.store.stats(broker.clock.now()).await.unwrap().live_rules, 0);
    broker.clock.set(UnixTime::from_secs(START + 131));
    assert_eq!(broker.store.head().await.unwrap().epoch, broker.epoch);
}
