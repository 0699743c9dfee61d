//! Where leases, ends and published keys are recorded: the one trait, and what goes in and comes out.
//!
//! Owns the order "mark, rule, acknowledge" of an end and "head, marks, record" of a mint, each as one atomic step.
//! Never decides who may do what. Two stores: `redis` and `embedded`; one behavioural suite, `suite`.

mod bytes;
mod draft;
pub mod embedded;
mod end;
mod error;
mod page;
mod recorded;
pub mod redis;
#[cfg(test)]
pub(crate) mod suite;

use std::future::Future;
use std::pin::Pin;

use tokio::sync::watch;

use crate::model::{Epoch, KeyId, LeaseId, LeaseRecord, Position, Selector, UnixTime, WorkloadId};

pub use draft::{LeaseDraft, Spent};
pub use end::{End, EndTarget, Ended, Quarantine, Quarantines};
pub use error::{RecordError, StoreError};
pub use page::{LeaseFilter, LeasePage, LogEntry, LogPage, PublishedKey, SAFETY_NAMES, Safety, StoreStats};
pub use recorded::Recorded;

/// A boxed future: one allocation a call, the price of choosing the store at start-up.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The end of the log: which life of it, and the place of its last rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The log's life.
    pub epoch: Epoch,
    /// The last rule's place, [`Position::START`] where there is none.
    pub position: Position,
}

/// A store of leases, ends and published keys, shared by all brokers of an issuer.
///
/// Every call answers within the store's own time limit (2 s at most) or fails with [`StoreError::Unavailable`]; a call
/// that failed may have been carried out, so an end is repeated and a mint is not.
pub trait LeaseStore: Send + Sync + 'static {
    /// The log's head, read from the store now.
    fn head(&self) -> Pending<'_, Result<Head, StoreError>>;

    /// The same from a store that has proved since to be the one that takes the writes: what it says is the whole log.
    fn head_of_primary(&self) -> Pending<'_, Result<Head, StoreError>> {
        self.head()
    }

    /// Records a lease in one atomic step: reads the head; then checks the epoch, the signing key, the quarantine of
    /// workload and actors, the end marks of the task's lineage, the assertion's replay memory, and for a renewal its
    /// predecessor; then writes lease, index and replay memory. Durable, as the store promises, when it returns.
    fn record(&self, draft: LeaseDraft) -> Pending<'_, Result<Recorded, RecordError>>;

    /// Remembers an assertion that was used elsewhere than for a lease; gives the head as read before.
    fn spend(&self, spent: Spent) -> Pending<'_, Result<Head, RecordError>>;

    /// Ends what the target says: sets its mark, appends its rule or rules, and returns once both are durable.
    fn end(&self, end: End) -> Pending<'_, Result<Ended, RecordError>>;

    /// Returns once all that was written before is held as an end must be, by whomever it was written: for an answer that
    /// rests on an end made earlier, whose own call may have failed. Writes nothing that means anything.
    fn settle(&self) -> Pending<'_, Result<(), StoreError>>;

    /// How many live leases an end with this selector would select now, without ending any.
    fn count(&self, selector: Selector, now: UnixTime) -> Pending<'_, Result<u64, StoreError>>;

    /// Lifts a quarantine, and keeps one of before this epoch from being restored in it. False where there was none.
    fn release(&self, workload: WorkloadId) -> Pending<'_, Result<bool, StoreError>>;

    /// All quarantines. They are few.
    fn quarantines(&self) -> Pending<'_, Result<Quarantines, StoreError>>;

    /// One lease, while its record stands (until its `exp` plus a grace of a minute at least).
    fn lease(&self, id: LeaseId) -> Pending<'_, Result<Option<LeaseRecord>, StoreError>>;

    /// A page of live leases, in no promised order, each at most once; resumed by the page's cursor. Any other text is
    /// refused with [`StoreError::Cursor`].
    fn leases(
        &self,
        filter: LeaseFilter,
        cursor: Option<String>,
        limit: usize,
    ) -> Pending<'_, Result<LeasePage, StoreError>>;

    /// The rules behind `after`, in order, at most `limit`, with the head as it was read before them. Rules whose
    /// `until` has passed may be left out.
    fn log(&self, after: Position, limit: usize) -> Pending<'_, Result<LogPage, StoreError>>;

    /// Changes when the log may have moved or its epoch changed: a hint to read it, never the truth.
    fn moved(&self) -> watch::Receiver<u64>;

    /// The keys whose tokens count in this epoch, of all brokers.
    fn keys(&self) -> Pending<'_, Result<Vec<PublishedKey>, StoreError>>;

    /// Publishes a key, or extends how long it is published. Refused where the key was revoked or the epoch is another.
    fn publish(&self, key: PublishedKey, epoch: Epoch) -> Pending<'_, Result<(), RecordError>>;

    /// Takes a key out of the published ones: it was retired and the last token under it has expired.
    fn withdraw(&self, kid: KeyId) -> Pending<'_, Result<(), StoreError>>;

    /// Takes no assertion any more that can have been used before `at`: a broker knows of another life of this store, which
    /// itself may know of none. A store that many brokers share knows by itself, and does nothing here.
    fn forget(&self, at: UnixTime) -> Pending<'_, Result<(), StoreError>>;

    /// What the store's settings promise and what they do not, as read from it.
    fn safety(&self) -> Pending<'_, Result<Vec<Safety>, StoreError>>;

    /// Whether it takes writes, as far as is known at this moment: nothing is asked for it. One that answers every
    /// question may still be full, or have become a replica.
    ///
    /// # Errors
    /// What it said to the last write, where that was refused.
    fn writable(&self) -> Result<(), StoreError>;

    /// Figures for status and metrics.
    fn stats(&self, now: UnixTime) -> Pending<'_, Result<StoreStats, StoreError>>;
}
