//! What must be there again after the store was stopped and started.

use super::*;
use crate::model::Position;

/// Restarts the store and opens it anew.
async fn reopened<F: Fixture>(fixture: &F, old: Arc<dyn LeaseStore>, epoch: Epoch) -> Arc<dyn LeaseStore> {
    drop(old);
    fixture.restart().await;
    let store = fixture.open().await;
    assert_eq!(store.head().await.unwrap().epoch, epoch, "nothing was lost, so it is the same epoch");
    store
}

pub(crate) async fn leases_and_their_ends_survive<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let first = Ask::task("t", epoch).record(&store).await.unwrap();
    let second = Ask::task("t", epoch).renews(first.id).record(&store).await.unwrap();
    let single = Ask::task("u", epoch).record(&store).await.unwrap();
    end(&store, EndTarget::Lease(single.id)).await;
    let ids = [first.id, second.id, single.id];
    let mut before = Vec::new();
    for id in ids {
        before.push(store.lease(id).await.unwrap().unwrap());
    }
    let store = reopened(&fixture, store, epoch).await;
    for (id, before) in ids.into_iter().zip(before) {
        assert_eq!(store.lease(id).await.unwrap(), Some(before));
    }
    let refused = Ask::task("t", epoch).renews(first.id).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::Predecessor(_)), "{refused:?}");
    let rule = complete(&store, "t").await.rules[0];
    assert!(rule.until >= Some(second.expires_at), "the index was rebuilt");
}

pub(crate) async fn marks_survive<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    Ask::task("t", epoch).record(&store).await.unwrap();
    complete(&store, "t").await;
    complete(&store, "nothing-ran").await;
    let store = reopened(&fixture, store, epoch).await;
    for name in ["t", "t/child", "nothing-ran"] {
        let refused = Ask::task(name, epoch).record(&store).await.unwrap_err();
        assert!(matches!(refused, RecordError::TaskEnded { .. }), "{name}: {refused:?}");
    }
    assert_eq!(complete(&store, "t").await.rules, [], "the mark still holds its position");
}

pub(crate) async fn the_log_survives<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    for name in ["a", "b", "c"] {
        Ask::task(name, epoch).record(&store).await.unwrap();
        complete(&store, name).await;
    }
    end(&store, EndTarget::All).await;
    end(&store, EndTarget::Key(kid("stolen"))).await;
    let before = store.log(Position::START, 100).await.unwrap();
    let store = reopened(&fixture, store, epoch).await;
    let after = store.log(Position::START, 100).await.unwrap();
    assert_eq!((&after.entries, after.head, after.upto), (&before.entries, before.head, before.upto));
    assert_eq!(Ask::task("d", epoch).record(&store).await.unwrap().position.get(), 5);
    assert_eq!(complete(&store, "d").await.rules[0].position.get(), 6, "the log goes on behind its last place");
}

pub(crate) async fn keys_and_quarantine_survive<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    store.publish(published("key-2"), epoch).await.unwrap();
    end(&store, EndTarget::Key(kid("key-2"))).await;
    let quarantine = quarantine("w");
    end(&store, EndTarget::Quarantine(quarantine.clone())).await;
    store.release(workload("v")).await.unwrap();
    let before = store.keys().await.unwrap();
    let store = reopened(&fixture, store, epoch).await;
    assert_eq!(store.keys().await.unwrap(), before);
    let refused = store.publish(published("key-2"), epoch).await.unwrap_err();
    assert!(matches!(refused, RecordError::KeyRefused(_)), "{refused:?}");
    assert_eq!(store.quarantines().await.unwrap().all, [quarantine]);
    let released = EndTarget::Restore(crate::store::suite::quarantine("v"), epoch);
    assert!(!end(&store, released).await.imposed, "a release is remembered");
    let refused = Ask::task("t", epoch).workload("w").record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::Quarantined(_)), "{refused:?}");
}

pub(crate) async fn the_replay_memory_survives<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    Ask::task("t", epoch).spending(assertion("lease")).record(&store).await.unwrap();
    store.spend(assertion("spend")).await.unwrap();
    store.end(End { target: completion("u"), at: now(), spent: Some(assertion("end")) }).await.unwrap();
    Ask::task("t", epoch).spending(assertion("bound").unless("a")).record(&store).await.unwrap();
    let store = reopened(&fixture, store, epoch).await;
    Ask::task("v", epoch).spending(assertion("bound").unless("a")).record(&store).await.expect("its own purpose");
    for jti in ["lease", "spend", "end", "bound"] {
        let refused = Ask::task("v", epoch).spending(assertion(jti)).record(&store).await.unwrap_err();
        assert!(matches!(refused, RecordError::Replayed), "{jti}: {refused:?}");
    }
}
