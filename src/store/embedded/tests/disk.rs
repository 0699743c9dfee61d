//! A disk that fails, dawdles, or belongs to someone else.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::fixture::{FAULTS, InAFile, ONE_AT_A_TIME, faulty};
use crate::store::embedded::{EmbeddedStore, Options};
use crate::store::suite::{Ask, Fixture as _, KEY, assertion, complete, fresh_id, now, published, ready};
use crate::store::{LeaseStore, RecordError, StoreError};

/// A store on the faulty disk with the usual key.
async fn on_a_faulty_disk(fixture: &InAFile, options: Options) -> Arc<dyn LeaseStore> {
    let store: Arc<dyn LeaseStore> = Arc::new(EmbeddedStore::open_with(&fixture.path(), options, faulty).unwrap());
    store.publish(published(KEY), store.head().await.unwrap().epoch).await.unwrap();
    store
}

fn is_unavailable<T: std::fmt::Debug>(got: &Result<T, RecordError>) -> bool {
    matches!(got, Err(RecordError::Store(StoreError::Unavailable(_))))
}

#[tokio::test]
async fn what_a_failed_sync_carried_does_not_stand_and_the_store_recovers_by_itself() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let fixture = InAFile::fresh().await;
    let store = on_a_faulty_disk(&fixture, Options::default()).await;
    let head = store.head().await.unwrap();
    let kept = Ask::task("t", head.epoch).record(&store).await.unwrap();
    let lost = fresh_id("nightly-report");
    FAULTS.failing.store(true, Ordering::SeqCst);
    let ask = Ask::task("t", head.epoch).id(lost).spending(assertion("one"));
    let got = ask.clone().record(&store).await;
    assert!(is_unavailable(&got), "{got:?}");
    assert!(store.head().await.is_err() && store.lease(kept.id).await.is_err(), "nothing is told meanwhile");
    FAULTS.failing.store(false, Ordering::SeqCst);
    let mut moved = store.moved();
    moved.borrow_and_update();
    while store.head().await.is_err() {
        tokio::time::timeout(Duration::from_secs(10), moved.changed()).await.expect("it recovers").unwrap();
    }
    assert_eq!(store.head().await.unwrap(), head, "it is the same log still");
    assert_eq!(store.lease(kept.id).await.unwrap().unwrap().lease, kept);
    assert_eq!(store.lease(lost).await.unwrap(), None);
    ask.record(&store).await.expect("neither id nor assertion was used up");
    assert_eq!(complete(&store, "t").await.rules[0].position.get(), 1);
}

#[tokio::test]
async fn a_file_that_is_lost_while_the_store_runs_takes_its_memory_of_assertions_with_it() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let fixture = InAFile::fresh().await;
    let store = on_a_faulty_disk(&fixture, Options::default()).await;
    let old = store.head().await.unwrap().epoch;
    store.spend(assertion("one")).await.unwrap();
    FAULTS.failing.store(true, Ordering::SeqCst);
    assert!(store.spend(assertion("two")).await.is_err());
    std::fs::remove_file(fixture.path()).unwrap();
    let mut moved = store.moved();
    moved.borrow_and_update();
    FAULTS.failing.store(false, Ordering::SeqCst);
    while store.head().await.is_err() {
        tokio::time::timeout(Duration::from_secs(10), moved.changed()).await.expect("it recovers").unwrap();
    }
    let epoch = store.head().await.unwrap().epoch;
    assert_ne!(epoch, old);
    store.publish(published(KEY), epoch).await.unwrap();
    let before = || assertion("one").usable_from(now().minus(Duration::from_secs(30)));
    for refused in [
        store.spend(before()).await.map(drop),
        store.spend(before().unless("a")).await.map(drop),
        Ask::task("t", epoch).spending(before()).record(&store).await.map(drop),
    ] {
        assert!(matches!(refused, Err(RecordError::Forgotten { .. })), "{refused:?}");
    }
    let since = || assertion("one").usable_from(now().plus(Duration::from_secs(5)));
    store.spend(since()).await.expect("what was made since counts");
    assert!(matches!(store.spend(since()).await, Err(RecordError::Replayed)));
    let bound = |purpose: &str| assertion("two").usable_from(now().plus(Duration::from_secs(5))).unless(purpose);
    for _ in 0..2 {
        store.spend(bound("a")).await.expect("the purpose it is bound to since");
    }
    assert!(matches!(store.spend(bound("b")).await, Err(RecordError::Replayed)));
}

#[tokio::test]
async fn a_slow_disk_makes_callers_hear_of_it_in_time() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let fixture = InAFile::fresh().await;
    let timeout = Duration::from_millis(200);
    let store = on_a_faulty_disk(&fixture, Options { timeout, queue: 2, ..Options::default() }).await;
    let head = store.head().await.unwrap();
    FAULTS.sync_ms.store(3000, Ordering::SeqCst);
    let begun = Instant::now();
    let mint = || {
        let (store, ask) = (Arc::clone(&store), Ask::task("t", head.epoch));
        tokio::spawn(async move { ask.record(&store).await })
    };
    let mut mints = vec![mint()];
    FAULTS.dawdling.notified().await;
    mints.extend((0..7).map(|_| mint()));
    let mut full = 0;
    for mint in mints {
        let got = mint.await.unwrap();
        assert!(is_unavailable(&got), "{got:?}");
        full += usize::from(format!("{got:?}").contains("too many"));
    }
    assert_eq!(full, 5, "one is with the writer, two wait, the others are turned away at once");
    assert!(begun.elapsed() < Duration::from_millis(2500), "they waited for the sync: {:?}", begun.elapsed());
    assert_eq!(store.head().await.unwrap(), head, "reads of memory go on");
    FAULTS.sync_ms.store(0, Ordering::SeqCst);
}

#[tokio::test]
async fn a_second_opening_is_refused_with_the_reason() {
    let fixture = InAFile::fresh().await;
    let (store, _) = ready(&fixture).await;
    let refused = EmbeddedStore::open(&fixture.path(), Options::default()).unwrap_err();
    assert!(refused.to_string().contains("another process has it open"), "{refused}");
    store.head().await.expect("the first one is not disturbed");
}

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    let fixture = InAFile::fresh().await;
    ready(&fixture).await;
    let mode = std::fs::metadata(fixture.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_alone() {
    let fixture = InAFile::fresh().await;
    std::fs::write(fixture.path(), "[server]\nlisten = \"127.0.0.1:8180\"\n".repeat(1000)).unwrap();
    let before = std::fs::read(fixture.path()).unwrap();
    let refused = EmbeddedStore::open(&fixture.path(), Options::default()).unwrap_err();
    assert!(matches!(&refused, StoreError::Corrupt(why) if why.contains("leases.redb")), "{refused}");
    assert_eq!(std::fs::read(fixture.path()).unwrap(), before);
    let refused = EmbeddedStore::open(&fixture.path().join("nowhere/x"), Options::default()).unwrap_err();
    assert!(refused.to_string().contains("nowhere/x"), "{refused}");
}

#[tokio::test]
async fn a_lost_file_is_another_epoch() {
    let fixture = InAFile::fresh().await;
    let (store, epoch) = ready(&fixture).await;
    drop(store);
    fixture.restart().await;
    std::fs::remove_file(fixture.path()).unwrap();
    assert_ne!(fixture.open().await.head().await.unwrap().epoch, epoch);
}

/// Waits until the store answers again.
async fn answers(store: &Arc<dyn LeaseStore>) -> crate::store::Head {
    let begun = Instant::now();
    loop {
        match store.head().await {
            Ok(head) => return head,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(20), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_not_written_to_and_goes_on_where_it_was_left_when_it_is_back() {
    let fixture = InAFile::fresh().await;
    let (store, epoch) = ready(&fixture).await;
    let kept = Ask::task("t", epoch).record(&store).await.unwrap();
    complete(&store, "ended").await;
    let aside = fixture.path().with_extension("aside");
    std::fs::rename(fixture.path(), &aside).unwrap();
    for _ in 0..3 {
        let got = Ask::task("t", epoch).record(&store).await;
        assert!(is_unavailable(&got), "{got:?}");
    }
    assert!(!fixture.path().exists(), "nothing is put in its place so soon");
    std::fs::rename(&aside, fixture.path()).unwrap();
    assert_eq!(answers(&store).await.epoch, epoch, "the same log");
    assert_eq!(store.lease(kept.id).await.unwrap().unwrap().lease, kept);
    let ended = Ask::task("ended", epoch).record(&store).await;
    assert!(matches!(ended, Err(RecordError::TaskEnded { .. })), "{ended:?}");
    Ask::task("t", epoch).record(&store).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_stays_gone_is_made_again_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("store");
    std::fs::create_dir(&folder).unwrap();
    let store = EmbeddedStore::open(&folder.join("leases.redb"), Options::default()).unwrap();
    let store: Arc<dyn LeaseStore> = Arc::new(store);
    let epoch = store.head().await.unwrap().epoch;
    std::fs::remove_dir_all(&folder).unwrap();
    another_epoch(&store, epoch).await;
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o7777, 0o700);
}

#[tokio::test]
async fn a_file_that_stays_gone_is_another_epoch_without_a_restart() {
    let fixture = InAFile::fresh().await;
    let (store, epoch) = ready(&fixture).await;
    let lost = Ask::task("t", epoch).record(&store).await.unwrap();
    std::fs::remove_file(fixture.path()).unwrap();
    // Nobody asks: it is missed all the same.
    let fresh = another_epoch(&store, epoch).await.epoch;
    assert_ne!(fresh, epoch);
    assert_eq!(store.lease(lost.id).await.unwrap(), None);
    store.publish(published(KEY), fresh).await.unwrap();
    let kept = Ask::task("t", fresh).record(&store).await.unwrap();
    drop(store);
    fixture.restart().await;
    let store = fixture.open().await;
    assert_eq!(store.head().await.unwrap().epoch, fresh, "what is acknowledged is in a file that has a name");
    assert_eq!(store.lease(kept.id).await.unwrap().unwrap().lease, kept);
}

fn copied(fixture: &InAFile) -> std::path::PathBuf {
    let copy = fixture.path().with_extension("copy");
    std::fs::copy(fixture.path(), &copy).unwrap();
    copy
}

async fn another_epoch(store: &Arc<dyn LeaseStore>, than: crate::model::Epoch) -> crate::store::Head {
    while store.head().await.is_ok_and(|head| head.epoch == than) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    answers(store).await
}

#[tokio::test]
async fn a_copy_that_lacks_but_a_lease_is_another_epoch_and_one_that_lacks_nothing_is_not() {
    let fixture = InAFile::fresh().await;
    let (store, epoch) = ready(&fixture).await;
    let kept = Ask::task("t", epoch).record(&store).await.unwrap();
    std::fs::rename(copied(&fixture), fixture.path()).unwrap();
    let again = Ask::task("t", epoch).record(&store).await;
    assert!(is_unavailable(&again), "it is in no file: {again:?}");
    assert_eq!(answers(&store).await.epoch, epoch);
    assert_eq!(store.lease(kept.id).await.unwrap().unwrap().lease, kept);
    let copy = copied(&fixture);
    Ask::task("t", epoch).record(&store).await.unwrap();
    std::fs::rename(copy, fixture.path()).unwrap();
    assert_ne!(another_epoch(&store, epoch).await.epoch, epoch);
}

#[tokio::test]
async fn an_older_copy_in_its_place_is_another_epoch_and_no_place_is_used_twice() {
    let fixture = InAFile::fresh().await;
    let (store, epoch) = ready(&fixture).await;
    let ended = Ask::task("t", epoch).record(&store).await.unwrap();
    let copy = copied(&fixture);
    let position = complete(&store, "t").await.rules[0].position;
    std::fs::rename(&copy, fixture.path()).unwrap();
    let head = another_epoch(&store, epoch).await;
    assert_ne!(head.epoch, epoch, "an end that was acknowledged is not in it");
    assert!(head.position >= position);
    assert_eq!(store.lease(ended.id).await.unwrap().unwrap().lease.epoch, epoch, "so it does not stand");
    assert!(store.keys().await.unwrap().is_empty(), "nor do the keys of the old one");
    let refused = Ask::task("u", epoch).record(&store).await;
    assert!(matches!(refused, Err(RecordError::Epoch(_))), "{refused:?}");
    store.publish(published(KEY), head.epoch).await.unwrap();
    Ask::task("u", head.epoch).record(&store).await.unwrap();
    assert!(complete(&store, "u").await.rules[0].position > position);
}
