//! What a store keeps besides the log: keys, lists of leases, figures.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::model::Selector;
use crate::store::{LeaseFilter, SAFETY_NAMES, StoreError};

pub(crate) async fn keys_are_published_extended_and_withdrawn<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let other = fixture.open().await;
    let mut next = published("key-2");
    next.broker = "b2".to_owned();
    other.publish(next.clone(), epoch).await.unwrap();
    let kids = |keys: Vec<PublishedKey>| keys.into_iter().map(|key| key.kid).collect::<BTreeSet<_>>();
    assert_eq!(kids(store.keys().await.unwrap()), BTreeSet::from([kid(KEY), kid("key-2")]));
    next.published_until = next.published_until.plus(Duration::from_secs(3600));
    next.retired_at = Some(now());
    other.publish(next.clone(), epoch).await.unwrap();
    let found = store.keys().await.unwrap().into_iter().find(|key| key.kid == next.kid);
    assert_eq!(found, Some(next.clone()));
    store.withdraw(next.kid.clone()).await.unwrap();
    store.withdraw(next.kid.clone()).await.expect("a second time is no error");
    assert_eq!(kids(other.keys().await.unwrap()), BTreeSet::from([kid(KEY)]));
    store.publish(next, epoch).await.expect("withdrawn is not revoked");
}

pub(crate) async fn a_key_of_another_epoch_is_not_published<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let refused = store.publish(published("key-2"), Epoch::from_bits(epoch.bits() ^ 1)).await.unwrap_err();
    assert!(matches!(refused, RecordError::Epoch(real) if real == epoch), "{refused:?}");
    assert_eq!(store.keys().await.unwrap().len(), 1);
}

/// Eight leases: two workloads, two audiences, a task and its child.
async fn eight(store: &Arc<dyn LeaseStore>, epoch: Epoch) -> Vec<Lease> {
    let mut leases = Vec::new();
    for of in ["w0", "w1"] {
        for to in ["https://a.example", "https://b.example"] {
            for name in ["t", "t/child"] {
                leases.push(Ask::task(name, epoch).workload(of).audience(to).record(store).await.unwrap());
            }
        }
    }
    leases
}

pub(crate) async fn leases_are_filtered<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let leases = eight(&store, epoch).await;
    Ask::task("t", epoch).workload("w0").audience("https://a.example").ttl(1).record(&store).await.unwrap();
    let all = LeaseFilter { now: now().plus(Duration::from_secs(30)), ..LeaseFilter::default() };
    let w0 = LeaseFilter { workload: Some(workload("w0")), ..all.clone() };
    let filters = [
        (all.clone(), 8),
        (w0.clone(), 4),
        (LeaseFilter { audience: Some(audience("https://a.example")), ..all.clone() }, 4),
        (LeaseFilter { task: Some(task("t")), ..w0.clone() }, 4),
        (LeaseFilter { task: Some(task("t/child")), audience: Some(audience("https://b.example")), ..w0 }, 1),
        (LeaseFilter { workload: Some(workload("nobody")), ..all.clone() }, 0),
        (LeaseFilter { now: now().plus(Duration::from_secs(7200)), ..all }, 0),
    ];
    for (filter, expected) in filters {
        let (mut found, mut cursor) = (BTreeSet::new(), None);
        loop {
            let page = store.leases(filter.clone(), cursor, 100).await.unwrap();
            for record in page.leases {
                assert!(filter.selects(&record) && leases.contains(&record.lease), "{filter:?}: {record:?}");
                assert!(found.insert(record.lease.id));
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found.len(), expected, "{filter:?}");
    }
}

pub(crate) async fn paging_shows_each_lease_once<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let mut expected = BTreeSet::new();
    for turn in 0..60 {
        let ask = Ask::task("t", epoch).workload(&format!("w{}", turn % 5));
        expected.insert(ask.record(&store).await.unwrap().id);
    }
    for limit in [1, 7, 60] {
        let (mut found, mut cursor) = (BTreeSet::new(), None);
        let filter = LeaseFilter { now: now(), ..LeaseFilter::default() };
        loop {
            let page = store.leases(filter.clone(), cursor, limit).await.unwrap();
            assert!(page.leases.len() <= limit, "{} of {limit}", page.leases.len());
            for record in page.leases {
                assert!(found.insert(record.lease.id), "{} a second time", record.lease.id);
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "pages of {limit}");
    }
}

/// One workload with many leases in a minute, that goes on while it is listed: what stood at the beginning is told, all of it
/// and once.
pub(crate) async fn a_list_loses_nothing_while_leases_come<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let mint = async |count: usize| {
        let mut expected = BTreeSet::new();
        for _ in 0..count {
            expected.insert(Ask::task("t", epoch).workload("w0").record(&store).await.unwrap().id);
        }
        expected
    };
    let expected = mint(90).await;
    let expected = &expected | &mint(500).await;
    for (limit, looks) in [(1000, Some(100)), (37, None), (100, Some(7))] {
        let filter = LeaseFilter { now: now(), workload: Some(workload("w0")), looks, ..LeaseFilter::default() };
        let (mut found, mut cursor) = (BTreeSet::new(), None);
        for page_number in 0.. {
            let page = store.leases(filter.clone(), cursor, limit).await.unwrap();
            assert!(page.leases.len() <= limit, "{} of {limit}", page.leases.len());
            for record in page.leases {
                assert!(found.insert(record.lease.id), "{} a second time, pages of {limit}", record.lease.id);
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
            assert!(page_number < 1000, "the list has no end");
            if page_number < 12 {
                mint(30).await;
            }
        }
        assert!(found.is_superset(&expected), "{} of {}, pages of {limit}", found.len(), expected.len());
    }
}

pub(crate) async fn a_cursor_that_no_page_gave_is_refused<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    eight(&store, epoch).await;
    let filter = LeaseFilter { now: now(), ..LeaseFilter::default() };
    let page = |cursor: &str| store.leases(filter.clone(), Some(cursor.to_owned()), 3);
    let given = store.leases(filter.clone(), None, 3).await.unwrap().next.expect("there are more");
    assert!(!page(&given).await.unwrap().leases.is_empty());
    let bent = [format!("{given} "), format!("+{given}"), format!("{given}.1")];
    // What the one store gives the other does not know.
    let others = [fresh_id("w0").to_string(), format!("{}.0000000a.0.0.0", now().secs() / 60)];
    let garbage = ["", "x", "1.2", "\0", "ffffffff.ffffffff.0.0.ffffffff"].map(str::to_owned);
    let foreign = others.iter().filter(|other| other.contains('.') != given.contains('.')).cloned();
    for raw in bent.into_iter().chain(foreign).chain(garbage) {
        let refused = page(&raw).await.map(|page| page.leases.len());
        assert!(matches!(refused, Err(StoreError::Cursor)), "{raw:?}: {refused:?}");
    }
}

pub(crate) async fn a_selector_counts_what_it_would_end<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let leases = eight(&store, epoch).await;
    let selectors = [
        (Selector::Lease(leases[0].id), 1),
        (Selector::Lease(fresh_id("w0")), 0),
        (Selector::Task(workload("w0"), task("t")), 4),
        (Selector::Task(workload("w0"), task("t/child")), 2),
        (Selector::Task(workload("w0"), task("t/child/x")), 0),
        (Selector::Workload(workload("w1")), 4),
        (Selector::Audience(audience("https://b.example")), 4),
        (Selector::Key(kid(KEY)), 8),
        (Selector::Key(kid("nobody")), 0),
        (Selector::All, 8),
    ];
    for (selector, expected) in selectors {
        let later = now().plus(Duration::from_secs(7200));
        assert_eq!(store.count(selector.clone(), now()).await.unwrap(), expected, "{selector}");
        assert_eq!(store.count(selector.clone(), later).await.unwrap(), 0, "{selector}, later");
    }
    assert_eq!(store.head().await.unwrap().position.get(), 0, "counting ends nothing");
    end(&store, EndTarget::Lease(leases[0].id)).await;
    for (selector, expected) in [(Selector::All, 7), (Selector::Lease(leases[0].id), 0)] {
        assert_eq!(store.count(selector.clone(), now()).await.unwrap(), expected, "{selector}: one has ended");
    }
}

pub(crate) async fn figures_and_settings_are_told<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    eight(&store, epoch).await;
    end(&store, EndTarget::Workload(workload("w0"))).await;
    let stats = store.stats(now()).await.unwrap();
    assert!(!stats.kind.is_empty());
    assert_eq!((stats.epoch, stats.position.get()), (Some(epoch), 1));
    assert!((4..=8).contains(&stats.live_leases), "an estimate, but not a bad one: {stats:?}");
    assert_eq!(stats.live_rules, 1);
    for setting in store.safety().await.unwrap() {
        assert!(SAFETY_NAMES.contains(&&*setting.setting) && (setting.safe || !setting.mend.is_empty()), "{setting:?}");
    }
}
