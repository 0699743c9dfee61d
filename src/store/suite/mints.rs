//! What `record` and `spend` promise.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::{LeaseRecord, Position};

pub(crate) async fn a_recorded_lease_reads_back_as_it_was_written<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let id = fresh_id(WORKLOAD);
    let lease = Ask::task("t/child", epoch).id(id).ttl(120).record(&store).await.unwrap();
    assert_eq!((lease.id, lease.workload.as_str(), lease.task.as_str()), (id, WORKLOAD, "t/child"));
    assert_eq!((lease.audience.as_str(), lease.kid.as_str(), lease.epoch), (AUDIENCE, KEY, epoch));
    assert_eq!(lease.scopes.to_string(), "orders:read");
    assert_eq!(lease.expires_at, lease.issued_at.plus(Duration::from_secs(120)));
    let read = fixture.open().await.lease(id).await.unwrap();
    assert_eq!(read, Some(LeaseRecord { lease, successor: None, ended: None }));
    assert_eq!(store.lease(fresh_id(WORKLOAD)).await.unwrap(), None);
}

pub(crate) async fn a_lease_carries_the_head_that_was_read<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    assert_eq!(store.head().await.unwrap().position, Position::START);
    assert_eq!(Ask::task("a", epoch).record(&store).await.unwrap().position, Position::START);
    let rule = complete(&store, "a").await.rules[0];
    assert_eq!(rule.position, Position::new(1));
    assert_eq!(Ask::task("b", epoch).record(&store).await.unwrap().position, rule.position);
    assert_eq!(store.head().await.unwrap().position, rule.position);
}

pub(crate) async fn a_lease_judged_at_an_older_head_takes_that_one<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let judged = store.head().await.unwrap().position;
    Ask::task("a", epoch).record(&store).await.unwrap();
    let rule = complete(&store, "a").await.rules[0];
    for (head, expected) in [(judged, judged), (rule.position, rule.position), (Position::new(99), rule.position)] {
        let recorded = store.record(Ask::task("b", epoch).draft().judged_at(head)).await.unwrap();
        assert_eq!(recorded.lease().position, expected);
    }
}

pub(crate) async fn another_epoch_is_refused<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let other = Epoch::from_bits(epoch.bits() ^ 1);
    let refused = Ask::task("t", other).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::Epoch(real) if real == epoch), "{refused:?}");
}

pub(crate) async fn a_key_that_is_not_published_is_refused<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let refused = Ask::task("t", epoch).kid("nobody").record(&store).await.unwrap_err();
    assert!(matches!(&refused, RecordError::KeyRefused(key) if key.as_str() == "nobody"), "{refused:?}");
    store.withdraw(kid(KEY)).await.unwrap();
    let refused = Ask::task("t", epoch).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::KeyRefused(_)), "{refused:?}");
}

pub(crate) async fn a_quarantined_workload_gets_no_lease_until_it_is_released<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    end(&store, EndTarget::Quarantine(quarantine(WORKLOAD))).await;
    let refused = Ask::task("t", epoch).record(&store).await.unwrap_err();
    assert!(matches!(&refused, RecordError::Quarantined(id) if id.as_str() == WORKLOAD), "{refused:?}");
    Ask::task("t", epoch).workload("other").record(&store).await.expect("another workload is not concerned");
    assert!(store.release(workload(WORKLOAD)).await.unwrap());
    assert!(!store.release(workload(WORKLOAD)).await.unwrap());
    Ask::task("t", epoch).record(&store).await.expect("released");
}

pub(crate) async fn an_ended_task_and_its_children_take_no_lease<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    complete(&store, "deploy/a").await;
    for name in ["deploy/a", "deploy/a/b", "deploy/a/b/c"] {
        let refused = Ask::task(name, epoch).record(&store).await.unwrap_err();
        assert!(matches!(&refused, RecordError::TaskEnded { task, .. } if task == "deploy/a"), "{refused:?}");
    }
    for name in ["deploy", "deploy/aa", "deploy/b", "x/deploy/a"] {
        Ask::task(name, epoch).record(&store).await.expect(name);
    }
    Ask::task("deploy/a", epoch).workload("other").record(&store).await.expect("another workload's task of that name");
}

pub(crate) async fn an_ended_task_takes_leases_again_after_its_time<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let closed_until = now().plus(Duration::from_secs(2));
    end(&store, EndTarget::Task { workload: workload(WORKLOAD), task: task("t"), closed_until }).await;
    let refused = Ask::task("t", epoch).record(&store).await.unwrap_err();
    assert!(matches!(&refused, RecordError::TaskEnded { until, .. } if *until == closed_until), "{refused:?}");
    // Time itself is waited for: a server's clock cannot be set.
    while Ask::task("t", epoch).record(&store).await.is_err() {
        assert!(now() < closed_until.plus(Duration::from_secs(5)), "closed for longer than was asked");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(now() >= closed_until);
}

pub(crate) async fn an_assertion_counts_once<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let other = fixture.open().await;
    let spent = assertion("one");
    Ask::task("t", epoch).spending(spent.clone()).record(&store).await.expect("the first time");
    for store in [&store, &other] {
        let refused = Ask::task("t", epoch).spending(spent.clone()).record(store).await.unwrap_err();
        assert!(matches!(refused, RecordError::Replayed), "{refused:?}");
        assert!(matches!(store.spend(spent.clone()).await, Err(RecordError::Replayed)));
    }
    Ask::task("t", epoch).spending(assertion("two")).record(&store).await.expect("another assertion");
}

pub(crate) async fn what_is_bound_to_a_purpose_counts_for_that_one_alone<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let bound = |purpose: &str| assertion("token").unless(purpose);
    let mint = |spent: Spent| Ask::task("t", epoch).spending(spent);
    mint(bound("a")).ttl(30).record(&store).await.expect("the first binds it");
    mint(bound("a")).record(&fixture.open().await).await.expect("the same purpose again");
    for other in [bound("b"), assertion("token")] {
        assert!(matches!(mint(other.clone()).record(&store).await, Err(RecordError::Replayed)));
        assert!(matches!(store.spend(other).await, Err(RecordError::Replayed)));
    }
    store.spend(assertion("other")).await.unwrap();
    let late = mint(assertion("other").unless("a")).record(&store).await;
    assert!(matches!(late, Err(RecordError::Replayed)), "what was used up for good is bound to nothing");
}

pub(crate) async fn an_assertion_spent_elsewhere_mints_nothing<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let head = store.head().await.unwrap();
    assert_eq!(store.spend(assertion("one")).await.unwrap(), head);
    let refused = Ask::task("t", epoch).spending(assertion("one")).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::Replayed), "{refused:?}");
    let by_an_audience = Spent::new(AUDIENCE, "one", now().plus(Duration::from_secs(60)));
    store.spend(by_an_audience).await.expect("another issuer's jti is another assertion");
}

pub(crate) async fn a_store_that_lost_no_memory_asks_not_how_old_an_assertion_is<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let old = |jti: &str| assertion(jti).usable_from(now().minus(Duration::from_secs(300)));
    Ask::task("t", epoch).spending(old("lease")).record(&store).await.expect("a first start refuses nothing");
    store.spend(old("spend")).await.unwrap();
    store.end(End { target: completion("t"), at: now(), spent: Some(old("end")) }).await.unwrap();
}

pub(crate) async fn of_sixteen_at_once_with_one_assertion_exactly_one_wins<F: Fixture>(fixture: F) {
    let (one, epoch) = ready(&fixture).await;
    let two = fixture.open().await;
    let tries: Vec<_> = (0..16)
        .map(|turn| {
            let store = Arc::clone(if turn % 2 == 0 { &one } else { &two });
            let ask = Ask::task(&format!("t{turn}"), epoch).spending(assertion("one"));
            tokio::spawn(async move { ask.record(&store).await })
        })
        .collect();
    let mut won = 0;
    for each in tries {
        match each.await.unwrap() {
            Ok(_) => won += 1,
            Err(RecordError::Replayed) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(won, 1);
}

pub(crate) async fn a_duplicate_id_is_refused_and_uses_nothing_up<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let first = Ask::task("t", epoch).record(&store).await.unwrap();
    let again = Ask::task("u", epoch).spending(assertion("one"));
    let refused = again.clone().id(first.id).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::Duplicate), "{refused:?}");
    assert_eq!(store.lease(first.id).await.unwrap().unwrap().lease, first);
    again.record(&store).await.expect("another id, the same assertion");
}

pub(crate) async fn a_renewal_names_its_successor_once<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let first = Ask::task("t", epoch).record(&store).await.unwrap();
    let second = Ask::task("t", epoch).renews(first.id).record(&store).await.unwrap();
    assert_eq!(second.predecessor, Some(first.id));
    assert_eq!(store.lease(first.id).await.unwrap().unwrap().successor, Some(second.id));
    assert_eq!(store.lease(second.id).await.unwrap().unwrap().successor, None);
    let refused = Ask::task("t", epoch).renews(first.id).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::Predecessor(_)), "{refused:?}");
    Ask::task("t", epoch).renews(second.id).record(&store).await.expect("the successor renews");
}

pub(crate) async fn a_renewal_of_what_is_unknown_or_ended_is_refused<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let lease = Ask::task("t", epoch).record(&store).await.unwrap();
    end(&store, EndTarget::Lease(lease.id)).await;
    for id in [lease.id, fresh_id(WORKLOAD)] {
        let refused = Ask::task("t", epoch).renews(id).record(&store).await.unwrap_err();
        assert!(matches!(refused, RecordError::Predecessor(_)), "{refused:?}");
    }
}

pub(crate) async fn of_two_renewals_at_once_one_wins<F: Fixture>(fixture: F) {
    let (one, epoch) = ready(&fixture).await;
    let two = fixture.open().await;
    for turn in 0..20 {
        let name = format!("t{turn}");
        let lease = Ask::task(&name, epoch).record(&one).await.unwrap();
        let renewal = || Ask::task(&name, epoch).renews(lease.id);
        let (left, right) = tokio::join!(renewal().record(&one), renewal().record(&two));
        let won = match (left, right) {
            (Ok(won), Err(RecordError::Predecessor(_))) | (Err(RecordError::Predecessor(_)), Ok(won)) => won,
            other => panic!("{other:?}"),
        };
        assert_eq!(one.lease(lease.id).await.unwrap().unwrap().successor, Some(won.id));
    }
}
