//! The store of a single broker: one file (redb), one writer thread, group commit.
//!
//! Owns the file, its memory, and the order in which things become durable and visible: carried out, synced, shown,
//! answered. `step` and its neighbours are the rules, `writer` the thread, `view` what readers see. Never two processes.

mod end;
mod expire;
mod index;
mod load;
mod mint;
pub(crate) mod packed;
mod read;
mod same;
mod step;
mod table;
mod view;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::Database;
use tokio::sync::{oneshot, watch};

use super::{
    End, Ended, Head, LeaseDraft, LeaseFilter, LeasePage, LeaseStore, LogPage, Pending, PublishedKey, Quarantines,
    RecordError, Recorded, Safety, Spent, StoreError, StoreStats,
};
use crate::model::{Clock, Epoch, KeyId, LeaseId, LeaseRecord, Position, Selector, UnixTime, WorkloadId};
use index::Index;
use step::Step;
use table::{Make, Opener};
use view::Shared;
use writer::{Job, Open, Writer};

/// How an embedded store is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// By which past records are dropped.
    pub clock: Clock,
    /// How many requests may wait for the writer; one more is refused at once.
    pub queue: usize,
    /// How long a request may take, its wait included, before its caller is told that the store is unavailable.
    pub timeout: Duration,
}

impl Default for Options {
    /// The system's clock, 4096 requests, a second and a half.
    fn default() -> Self {
        Self { clock: Clock::system(), queue: 4096, timeout: Duration::from_millis(1500) }
    }
}

/// A store in one file, for one broker.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    /// Taken when the store is dropped, which ends the writer.
    queue: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
    timeout: Duration,
}

impl EmbeddedStore {
    /// Opens the file at `path`, or makes it (mode 0600; its folder must exist), and reads it. Blocks meanwhile: about
    /// half a second for a million leases. A file that is made has a fresh random epoch.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the file cannot be opened or another process has it open,
    /// [`StoreError::Corrupt`] where it is damaged, of another format or no store at all.
    pub fn open(path: &Path, options: Options) -> Result<Self, StoreError> {
        Self::open_with(path, options, table::on_disk)
    }

    fn open_with(path: &Path, options: Options, opener: Opener) -> Result<Self, StoreError> {
        let (database, identity) = table::open(path, opener, Make::IfMissing)?;
        let database = Arc::new(database);
        same::misses_nothing_in(&database, options.clock.now())?;
        let (index, view) = Index::load(&database)?;
        let shared = Arc::new(Shared::new(view, Arc::clone(&database), options.clock.clone()));
        let (queue, requests) = sync_channel(options.queue.max(1));
        let writer = Writer { path: path.to_owned(), opener, clock: options.clock, shared: Arc::clone(&shared) };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(Open::new(database, identity, index), &requests))
            .map_err(|why| StoreError::Unavailable(format!("cannot start the writer: {why}")))?;
        Ok(Self { shared, queue: Some(queue), writer: Some(thread), timeout: options.timeout })
    }

    /// Has the writer carry `work` out, and waits until that is durable. A mint whose caller has given up is not
    /// carried out any more; an end (`lasting`) is.
    fn write<T: Send + 'static>(
        &self,
        lasting: bool,
        work: impl FnOnce(&mut Step<'_>) -> Result<T, RecordError> + Send + 'static,
    ) -> Pending<'_, Result<T, RecordError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let job: Job = Box::new(move |step| {
                if !lasting && reply.is_closed() {
                    return Ok(None);
                }
                match work(step) {
                    Err(RecordError::Store(why)) => Err(why),
                    got => Ok(Some(Box::new(move || drop(reply.send(got))))),
                }
            });
            let queue = self.queue.as_ref().ok_or_else(|| unavailable("it is closing"))?;
            queue.try_send(job).map_err(|why| match why {
                TrySendError::Full(_) => unavailable("too many requests wait for its disk"),
                TrySendError::Disconnected(_) => unavailable("its writer has stopped"),
            })?;
            match tokio::time::timeout(self.timeout, answer).await {
                Ok(Ok(got)) => got,
                Ok(Err(_)) => Err(self.shared.trouble().into()),
                Err(_) => Err(unavailable("its disk did not answer in time").into()),
            }
        })
    }

    /// The same for calls that nothing but the store itself refuses.
    fn write_plainly<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Step<'_>) -> Result<T, RecordError> + Send + 'static,
    ) -> Pending<'_, Result<T, StoreError>> {
        let written = self.write(true, work);
        Box::pin(async move {
            written.await.map_err(|why| match why {
                RecordError::Store(why) => why,
                other => StoreError::Unavailable(other.to_string()),
            })
        })
    }

    /// Reads the file's last snapshot on a thread that may block.
    fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<'_, Result<T, StoreError>> {
        Box::pin(async move {
            let database = self.shared.see(|_, database| Arc::clone(database))?;
            let looking = tokio::task::spawn_blocking(move || look(&database));
            match tokio::time::timeout(self.timeout, looking).await {
                Ok(Ok(got)) => got,
                Ok(Err(_)) => Err(unavailable("the read was broken off")),
                Err(_) => Err(unavailable("its disk did not answer in time")),
            }
        })
    }
}

impl Drop for EmbeddedStore {
    /// Waits for the writer, so that the file is closed when the store is gone.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has answered nobody; there is nothing left to do about it here.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").finish_non_exhaustive()
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}

impl LeaseStore for EmbeddedStore {
    fn head(&self) -> Pending<'_, Result<Head, StoreError>> {
        Box::pin(async { self.shared.see(|view, _| view.head()) })
    }

    fn record(&self, draft: LeaseDraft) -> Pending<'_, Result<Recorded, RecordError>> {
        self.write(false, move |step| step.record(draft))
    }

    fn spend(&self, spent: Spent) -> Pending<'_, Result<Head, RecordError>> {
        self.write(false, move |step| step.spend(&spent))
    }

    fn end(&self, end: End) -> Pending<'_, Result<Ended, RecordError>> {
        self.write(true, move |step| step.end(&end))
    }

    fn settle(&self) -> Pending<'_, Result<(), StoreError>> {
        // The writer's turn comes behind all that waited before, and what it has carried out is synced.
        self.write_plainly(|_| Ok(()))
    }

    fn count(&self, selector: Selector, now: UnixTime) -> Pending<'_, Result<u64, StoreError>> {
        self.read(move |database| read::count(database, &selector, now))
    }

    fn release(&self, workload: WorkloadId) -> Pending<'_, Result<bool, StoreError>> {
        self.write_plainly(move |step| step.release(&workload))
    }

    fn quarantines(&self) -> Pending<'_, Result<Quarantines, StoreError>> {
        Box::pin(async { self.shared.see(|view, _| view.quarantines()) })
    }

    fn lease(&self, id: LeaseId) -> Pending<'_, Result<Option<LeaseRecord>, StoreError>> {
        self.read(move |database| read::lease(database, id))
    }

    fn leases(
        &self,
        filter: LeaseFilter,
        cursor: Option<String>,
        limit: usize,
    ) -> Pending<'_, Result<LeasePage, StoreError>> {
        self.read(move |database| read::page(database, &filter, cursor.as_deref(), limit.max(1)))
    }

    fn log(&self, after: Position, limit: usize) -> Pending<'_, Result<LogPage, StoreError>> {
        Box::pin(async move { self.shared.see(|view, _| view.page(after, limit)) })
    }

    fn moved(&self) -> watch::Receiver<u64> {
        self.shared.moved()
    }

    fn keys(&self) -> Pending<'_, Result<Vec<PublishedKey>, StoreError>> {
        Box::pin(async { self.shared.see(|view, _| view.keys().to_vec()) })
    }

    fn publish(&self, key: PublishedKey, epoch: Epoch) -> Pending<'_, Result<(), RecordError>> {
        self.write(true, move |step| step.publish(key, epoch))
    }

    fn withdraw(&self, kid: KeyId) -> Pending<'_, Result<(), StoreError>> {
        self.write_plainly(move |step| step.withdraw(&kid))
    }

    fn forget(&self, at: UnixTime) -> Pending<'_, Result<(), StoreError>> {
        self.write_plainly(move |step| step.forget(at))
    }

    fn safety(&self) -> Pending<'_, Result<Vec<Safety>, StoreError>> {
        let sync = Safety {
            setting: "sync".into(),
            value: "before each acknowledgement".into(),
            safe: true,
            mend: String::new(),
        };
        Box::pin(async move { Ok(vec![sync]) })
    }

    fn writable(&self) -> Result<(), StoreError> {
        // A file that takes no writes closes the store.
        self.shared.see(|_, _| ())
    }

    fn stats(&self, now: UnixTime) -> Pending<'_, Result<StoreStats, StoreError>> {
        Box::pin(async move {
            self.shared.see(|view, _| StoreStats {
                kind: "embedded".into(),
                live_leases: view.leases(now),
                live_rules: view.rules(),
                epoch: Some(view.head().epoch),
                position: view.head().position,
            })
        })
    }
}
