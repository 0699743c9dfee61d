//! A store in a temporary folder, and a disk that can be told to fail or to dawdle.

use std::fs::File;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{BackendError, Database, DatabaseError, StorageBackend};
use tempfile::TempDir;

use crate::model::{Clock, UnixTime};
use crate::store::LeaseStore;
use crate::store::embedded::{EmbeddedStore, Options, table};
use crate::store::suite::Fixture;

/// The fixture of the suite.
pub(super) struct InAFile {
    folder: TempDir,
    open: Mutex<Option<Arc<EmbeddedStore>>>,
}

impl InAFile {
    pub(super) async fn fresh() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), open: Mutex::new(None) }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("leases.redb")
    }

    /// The store with a clock of the test's own.
    pub(super) fn at(&self, now: u64) -> (Arc<dyn LeaseStore>, Clock) {
        let clock = Clock::manual(UnixTime::from_secs(now));
        let options = Options { clock: clock.clone(), ..Options::default() };
        (Arc::new(EmbeddedStore::open(&self.path(), options).unwrap()), clock)
    }
}

impl Fixture for InAFile {
    async fn open(&self) -> Arc<dyn LeaseStore> {
        let mut open = self.open.lock().unwrap();
        let store =
            open.get_or_insert_with(|| Arc::new(EmbeddedStore::open(&self.path(), Options::default()).unwrap()));
        Arc::clone(store) as Arc<dyn LeaseStore>
    }

    async fn restart(&self) {
        let store = self.open.lock().unwrap().take();
        let store = Arc::into_inner(store.expect("opened before")).expect("all handles were dropped");
        drop(store);
    }
}

/// What the disk under [`faulty`] does; one test at a time tells it, so that file names need not be told apart.
pub(super) struct Faults {
    pub failing: AtomicBool,
    pub sync_ms: AtomicU64,
    /// Told when a sync begins that will be slow.
    pub dawdling: tokio::sync::Notify,
}

pub(super) static FAULTS: Faults =
    Faults { failing: AtomicBool::new(false), sync_ms: AtomicU64::new(0), dawdling: tokio::sync::Notify::const_new() };

/// Held by the test that uses [`FAULTS`].
pub(super) static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Opens a file on the faulty disk.
pub(super) fn faulty(file: File) -> Result<Database, DatabaseError> {
    table::builder().create_with_backend(Faulty(FileBackend::new(file)?))
}

#[derive(Debug)]
struct Faulty(FileBackend);

fn whether_it_fails() -> std::io::Result<()> {
    if FAULTS.failing.load(Ordering::SeqCst) { Err(std::io::Error::other("the disk is on fire")) } else { Ok(()) }
}

impl StorageBackend for Faulty {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        whether_it_fails()?;
        self.0.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        whether_it_fails()?;
        let dawdle = FAULTS.sync_ms.load(Ordering::SeqCst);
        if dawdle > 0 {
            FAULTS.dawdling.notify_one();
            std::thread::sleep(Duration::from_millis(dawdle));
        }
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        whether_it_fails()?;
        self.0.write(offset, data)
    }
    fn close(&self) -> std::io::Result<()> {
        self.0.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }
}
