//! The store on Redis: every mint one script and one round trip, every end mark and rule in one step.
//!
//! Owns the key space `jitney:*`, its connections and the judgement whether the log's tail was lost. Never decides who
//! may do what, never signs. Where things lie: `layout`; what is atomic: `lua/`; what Redis must promise: `safety`.

mod begun;
mod connect;
mod driver;
pub(crate) mod end;
mod keeper;
mod layout;
mod line;
mod list;
pub(crate) mod log;
mod mint;
pub(crate) mod packed;
mod primary;
pub(crate) mod safety;
pub(crate) mod script;
mod shared;
pub(crate) mod shelves;
#[cfg(test)]
mod tests;
pub(crate) mod walk;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::line::unavailable;
use self::script::{Call, Seen};
use self::shared::{CALL, Shared};
use super::{
    End, Ended, Head, LeaseDraft, LeaseFilter, LeasePage, LeaseStore, LogPage, Pending, PublishedKey, Quarantines,
    RecordError, Recorded, Safety, Spent, StoreError, StoreStats,
};
use crate::model::{Clock, Epoch, KeyId, LeaseId, LeaseRecord, Position, Secret, Selector, UnixTime, WorkloadId};

/// How a Redis is reached and used.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// `redis://user:password@host:port/db`, or `rediss://…` for TLS. Holds a password, so it is never shown.
    pub url: Secret<String>,
    /// The certificates to trust for `rediss://`, PEM; without them the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// So many replicas must hold an end before it is acknowledged. 0 where there are none.
    pub min_replicas: u32,
    /// So many calls may be under way at once, for mints and reads, and as many for ends; more are refused.
    pub max_in_flight: usize,
    /// The broker's clock.
    pub clock: Clock,
}

impl RedisOptions {
    /// The usual settings for a URL.
    pub fn new(url: impl Into<String>) -> Self {
        let url = Secret::new(url.into());
        Self { url, ca_pem: None, min_replicas: 0, max_in_flight: 1024, clock: Clock::system() }
    }
}

/// A store of leases on one Redis, as one broker holds it. Stops its background task when dropped.
pub struct RedisStore {
    shared: Arc<Shared>,
    keeper: JoinHandle<()>,
}

impl RedisStore {
    /// Connects, begins the log's first epoch where there is none, and keeps the connections up from then on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the URL is none, or nothing answers there within a second.
    pub async fn open(options: &RedisOptions) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::new(options)?);
        connect::connect(&shared, &shared.main, false).await?;
        connect::connect(&shared, &shared.ends, false).await?;
        connect::connect(&shared, &shared.watch, true).await?;
        let keeper = tokio::spawn(keeper::keep(Arc::clone(&shared)));
        Ok(Self { shared, keeper })
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").field("seen", &self.shared.seen()).finish_non_exhaustive()
    }
}

/// Bounds calls that are made of several round trips.
async fn in_time<T, E: From<StoreError>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    match tokio::time::timeout(CALL, work).await {
        Ok(done) => done,
        Err(_) => Err(unavailable("no answer in time").into()),
    }
}

impl LeaseStore for RedisStore {
    fn head(&self) -> Pending<'_, Result<Head, StoreError>> {
        Box::pin(async {
            let build = |seen: &Seen| Call::new(&script::CHECK, 0).seen(seen);
            Ok(self.shared.call(&self.shared.main, build).await?.seen.head())
        })
    }

    fn head_of_primary(&self) -> Pending<'_, Result<Head, StoreError>> {
        Box::pin(in_time(primary::head(&self.shared)))
    }

    fn record(&self, draft: LeaseDraft) -> Pending<'_, Result<Recorded, RecordError>> {
        Box::pin(mint::record(&self.shared, draft))
    }

    fn spend(&self, spent: Spent) -> Pending<'_, Result<Head, RecordError>> {
        Box::pin(mint::spend(&self.shared, spent))
    }

    fn end(&self, end: End) -> Pending<'_, Result<Ended, RecordError>> {
        Box::pin(end::end(&self.shared, end))
    }

    fn settle(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(end::settle(&self.shared))
    }

    fn count(&self, selector: Selector, now: UnixTime) -> Pending<'_, Result<u64, StoreError>> {
        Box::pin(in_time(async move { list::count(&self.shared, &selector, now).await }))
    }

    fn release(&self, workload: WorkloadId) -> Pending<'_, Result<bool, StoreError>> {
        Box::pin(async move { shelves::release(&self.shared, &workload).await })
    }

    fn quarantines(&self) -> Pending<'_, Result<Quarantines, StoreError>> {
        Box::pin(shelves::quarantines(&self.shared))
    }

    fn lease(&self, id: LeaseId) -> Pending<'_, Result<Option<LeaseRecord>, StoreError>> {
        Box::pin(list::one(&self.shared, id))
    }

    fn leases(
        &self,
        filter: LeaseFilter,
        cursor: Option<String>,
        limit: usize,
    ) -> Pending<'_, Result<LeasePage, StoreError>> {
        Box::pin(in_time(async move { list::page(&self.shared, &filter, cursor.as_deref(), limit).await }))
    }

    fn log(&self, after: Position, limit: usize) -> Pending<'_, Result<LogPage, StoreError>> {
        Box::pin(log::page(&self.shared, after, limit))
    }

    fn moved(&self) -> watch::Receiver<u64> {
        self.shared.moved.subscribe()
    }

    fn keys(&self) -> Pending<'_, Result<Vec<PublishedKey>, StoreError>> {
        Box::pin(shelves::keys(&self.shared))
    }

    fn publish(&self, key: PublishedKey, epoch: Epoch) -> Pending<'_, Result<(), RecordError>> {
        Box::pin(shelves::publish(&self.shared, key, epoch))
    }

    fn withdraw(&self, kid: KeyId) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(shelves::withdraw(&self.shared, kid))
    }

    fn forget(&self, _: UnixTime) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn safety(&self) -> Pending<'_, Result<Vec<Safety>, StoreError>> {
        Box::pin(in_time(safety::read(&self.shared)))
    }

    fn writable(&self) -> Result<(), StoreError> {
        self.shared.writable()
    }

    fn stats(&self, now: UnixTime) -> Pending<'_, Result<StoreStats, StoreError>> {
        Box::pin(in_time(list::stats(&self.shared, now)))
    }
}
