//! A follower whose clock was ahead for a while, on a store that kept everything.

use std::sync::Arc;
use std::time::Duration;

use super::Follower;
use crate::model::{Clock, Lease, LeaseId, Position, RuleKind, TaskId, UnixTime};
use crate::policy::grant_for_tests;
use crate::revocation::TokenDigests;
use crate::store::embedded::{EmbeddedStore, Options};
use crate::store::suite::{AUDIENCE, KEY, WORKLOAD, fresh_id, kid, published, task, workload};
use crate::store::{End, EndTarget, LeaseDraft, LeaseStore};

const START: UnixTime = UnixTime::from_secs(1_800_000_000);

const fn at(secs: u64) -> UnixTime {
    START.plus(Duration::from_secs(secs))
}

/// A store whose own clock stands, as a Redis drops nothing by the clock of one broker.
async fn store(dir: &tempfile::TempDir) -> Arc<dyn LeaseStore> {
    let options = Options { clock: Clock::manual(START), ..Options::default() };
    let store = EmbeddedStore::open(&dir.path().join("store"), options).unwrap();
    let epoch = store.head().await.unwrap().epoch;
    let mut key = published(KEY);
    key.published_until = at(100_000);
    store.publish(key, epoch).await.unwrap();
    Arc::new(store)
}

async fn mint(store: &dyn LeaseStore, name: &str, ttl: u64) -> Lease {
    let grant = grant_for_tests(WORKLOAD, AUDIENCE, "orders:read", name, START, Duration::from_secs(ttl));
    let epoch = store.head().await.unwrap().epoch;
    let recorded = store.record(LeaseDraft::new(&grant, fresh_id(WORKLOAD), kid(KEY), epoch)).await.unwrap();
    recorded.lease().clone()
}

async fn complete(store: &dyn LeaseStore, task: TaskId) {
    let target = EndTarget::Task { workload: workload(WORKLOAD), task, closed_until: at(10) };
    store.end(End { target, at: START, spent: None }).await.unwrap();
}

async fn revoke(store: &dyn LeaseStore, lease: LeaseId) {
    store.end(End { target: EndTarget::Lease(lease), at: START, spent: None }).await.unwrap();
}

fn rules_of(follower: &Follower) -> usize {
    follower.with_rules(|rules| rules.live.iter().count())
}

#[tokio::test]
async fn what_a_clock_that_was_ahead_has_dropped_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = (store(&dir).await, Clock::manual(START));
    let (completed, revoked) = (mint(&*store, "t", 1800).await, mint(&*store, "u", 1800).await);
    let stands = mint(&*store, "v", 1800).await;
    let follower = Follower::new(Arc::clone(&store), clock.clone());
    complete(&*store, task("t")).await;
    revoke(&*store, revoked.id).await;
    follower.catch_up().await.unwrap();
    let head = store.head().await.unwrap();
    let ends = |lease: &Lease| follower.view().ends(&TokenDigests::of_lease(lease), lease.position);
    let told = || {
        let ended = [&completed, &revoked, &stands].map(ends);
        (ended, rules_of(&follower), follower.has_seen(head))
    };
    let right = ([Some(RuleKind::Task), Some(RuleKind::Lease), None], 2, true);
    assert_eq!(told(), right);

    clock.set(at(2700));
    follower.expire();
    assert_eq!(told(), ([None; 3], 0, true), "all of it is past there");
    clock.set(at(60));
    assert_eq!(told(), ([None; 3], 0, false), "nothing is judged by this");
    assert_eq!(follower.view().lost(), at(1800));
    let before = follower.view().generation();
    follower.catch_up().await.unwrap();
    assert_eq!(told(), right);
    assert!(follower.view().generation() > before, "what passed meanwhile is judged again");
    assert_eq!(follower.view().lost(), UnixTime::default());

    // A broker that starts while its clock is ahead passes over what is past.
    clock.set(at(2700));
    let late = Follower::new(Arc::clone(&store), clock.clone());
    late.catch_up().await.unwrap();
    clock.set(at(60));
    assert!(!late.has_seen(head));
    late.catch_up().await.unwrap();
    assert_eq!(
        (late.has_seen(head), late.with_rules(|rules| rules.upto), rules_of(&late)),
        (true, Position::new(2), 2)
    );
}

/// A clock that comes back by and by: what is read anew while some of it is still past is read again.
#[tokio::test]
async fn what_was_still_past_when_the_log_was_read_anew_is_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = (store(&dir).await, Clock::manual(START));
    let (short, long) = (mint(&*store, "t", 600).await, mint(&*store, "u", 1800).await);
    let follower = Follower::new(Arc::clone(&store), clock.clone());
    complete(&*store, task("t")).await;
    revoke(&*store, short.id).await;
    revoke(&*store, long.id).await;
    follower.catch_up().await.unwrap();
    let ends = |lease: &Lease| follower.view().ends(&TokenDigests::of_lease(lease), lease.position).is_some();
    clock.set(at(2700));
    follower.expire();
    assert_eq!((ends(&short), ends(&long)), (false, false), "all of it is past there");
    clock.set(at(1500));
    follower.catch_up().await.unwrap();
    assert_eq!((ends(&short), ends(&long)), (false, true), "one of them is past still");
    assert!(follower.has_seen(store.head().await.unwrap()));
    clock.set(at(60));
    assert!(!follower.has_seen(store.head().await.unwrap()));
    follower.catch_up().await.unwrap();
    assert_eq!((ends(&short), ends(&long)), (true, true));
    assert!(follower.has_seen(store.head().await.unwrap()));
}

#[tokio::test]
async fn rules_that_are_past_in_truth_are_not_missed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = (store(&dir).await, Clock::manual(START));
    mint(&*store, "t", 100).await;
    complete(&*store, task("t")).await;
    let follower = Follower::new(Arc::clone(&store), clock.clone());
    follower.catch_up().await.unwrap();
    for secs in [100, 131, 140, 135, 5000] {
        clock.set(at(secs));
        follower.expire();
        assert!(follower.has_seen(store.head().await.unwrap()), "{secs}");
    }
}
