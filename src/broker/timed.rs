//! A store whose every call is timed for the metrics, failed ones too, and whose failures are written into the log, with
//! measure. It adds nothing else and passes everything on.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::model::{Epoch, KeyId, LeaseId, LeaseRecord, Position, Selector, UnixTime, WorkloadId};
use crate::store::{
    End, Ended, Head, LeaseDraft, LeaseFilter, LeasePage, LeaseStore, LogPage, Pending, PublishedKey, Quarantines,
    RecordError, Recorded, Safety, Spent, StoreError, StoreStats,
};
use crate::telemetry::{Metrics, StoreOp};

use super::away::{Away, Outcome};

/// A timed store.
pub struct Timed {
    store: Arc<dyn LeaseStore>,
    metrics: Arc<Metrics>,
    away: Away,
}

impl Timed {
    /// Times the calls to `store`.
    pub fn new(store: Arc<dyn LeaseStore>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics, away: Away::default() }
    }

    fn time<'a, T: Outcome + 'a>(&'a self, operation: StoreOp, call: Pending<'a, T>) -> Pending<'a, T> {
        Box::pin(async move {
            let begun = Instant::now();
            let outcome = call.await;
            self.metrics.store(operation, begun.elapsed());
            self.away.hear(outcome.failure());
            outcome
        })
    }
}

impl LeaseStore for Timed {
    fn head(&self) -> Pending<'_, Result<Head, StoreError>> {
        self.time(StoreOp::Head, self.store.head())
    }
    fn head_of_primary(&self) -> Pending<'_, Result<Head, StoreError>> {
        self.time(StoreOp::Head, self.store.head_of_primary())
    }
    fn record(&self, draft: LeaseDraft) -> Pending<'_, Result<Recorded, RecordError>> {
        self.time(StoreOp::Record, self.store.record(draft))
    }
    fn spend(&self, spent: Spent) -> Pending<'_, Result<Head, RecordError>> {
        self.time(StoreOp::Spend, self.store.spend(spent))
    }
    fn end(&self, end: End) -> Pending<'_, Result<Ended, RecordError>> {
        self.time(StoreOp::End, self.store.end(end))
    }
    fn settle(&self) -> Pending<'_, Result<(), StoreError>> {
        self.time(StoreOp::Settle, self.store.settle())
    }
    fn count(&self, selector: Selector, now: UnixTime) -> Pending<'_, Result<u64, StoreError>> {
        self.time(StoreOp::Count, self.store.count(selector, now))
    }
    fn release(&self, workload: WorkloadId) -> Pending<'_, Result<bool, StoreError>> {
        self.time(StoreOp::Release, self.store.release(workload))
    }
    fn quarantines(&self) -> Pending<'_, Result<Quarantines, StoreError>> {
        self.time(StoreOp::Quarantines, self.store.quarantines())
    }
    fn lease(&self, id: LeaseId) -> Pending<'_, Result<Option<LeaseRecord>, StoreError>> {
        self.time(StoreOp::Lease, self.store.lease(id))
    }
    fn leases(
        &self,
        filter: LeaseFilter,
        cursor: Option<String>,
        limit: usize,
    ) -> Pending<'_, Result<LeasePage, StoreError>> {
        self.time(StoreOp::Leases, self.store.leases(filter, cursor, limit))
    }
    fn log(&self, after: Position, limit: usize) -> Pending<'_, Result<LogPage, StoreError>> {
        self.time(StoreOp::Log, self.store.log(after, limit))
    }
    fn moved(&self) -> watch::Receiver<u64> {
        self.store.moved()
    }
    fn keys(&self) -> Pending<'_, Result<Vec<PublishedKey>, StoreError>> {
        self.time(StoreOp::Keys, self.store.keys())
    }
    fn publish(&self, key: PublishedKey, epoch: Epoch) -> Pending<'_, Result<(), RecordError>> {
        self.time(StoreOp::Publish, self.store.publish(key, epoch))
    }
    fn withdraw(&self, kid: KeyId) -> Pending<'_, Result<(), StoreError>> {
        self.time(StoreOp::Withdraw, self.store.withdraw(kid))
    }
    fn forget(&self, at: UnixTime) -> Pending<'_, Result<(), StoreError>> {
        self.store.forget(at)
    }
    fn safety(&self) -> Pending<'_, Result<Vec<Safety>, StoreError>> {
        self.time(StoreOp::Safety, self.store.safety())
    }
    fn writable(&self) -> Result<(), StoreError> {
        self.store.writable()
    }
    fn stats(&self, now: UnixTime) -> Pending<'_, Result<StoreStats, StoreError>> {
        self.time(StoreOp::Stats, self.store.stats(now))
    }
}
