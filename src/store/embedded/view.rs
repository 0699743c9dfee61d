//! What readers see: the log, the head and the shelves, as last committed.
//!
//! Owns the only lock between the writer and its readers; it is held for memory alone, never across a sync or an await.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::Database;
use tokio::sync::watch;

use super::expire::Gone;
use super::index::{AudienceSet, Index, named};
use super::writer::clock_was_ahead;
use crate::model::{AudienceUri, Clock, Position, Rule, RuleDigest, RuleKind, UnixTime};
use crate::store::{Head, LogEntry, LogPage, PublishedKey, Quarantine, Quarantines, StoreError};

/// A rule of the log, packed: there may be millions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    digest: RuleDigest,
    until: Option<UnixTime>,
    audiences: AudienceSet,
    kind: RuleKind,
}

impl Row {
    pub(super) fn new(rule: &Rule, audiences: AudienceSet) -> Self {
        Self { digest: rule.digest, until: rule.until, audiences, kind: rule.kind }
    }

    fn entry(&self, position: u64, names: &[AudienceUri]) -> LogEntry {
        let position = Position::new(position);
        LogEntry {
            rule: Rule { kind: self.kind, digest: self.digest, position, until: self.until },
            audiences: named(self.audiences, names),
        }
    }
}

/// The committed state, as far as it is kept in memory.
pub(super) struct View {
    head: Head,
    gone: Gone,
    log: BTreeMap<u64, Row>,
    names: Vec<AudienceUri>,
    keys: Vec<PublishedKey>,
    quarantines: Vec<Quarantine>,
    /// How many leases expire at each second.
    expiring: BTreeMap<UnixTime, u64>,
}

impl View {
    /// The view of a file that was just read.
    pub(super) fn of(index: &Index, log: BTreeMap<u64, Row>) -> Self {
        Self {
            head: index.head,
            gone: index.gone,
            log,
            names: index.names.clone(),
            keys: index.keys.values().cloned().collect(),
            quarantines: index.quarantines.values().cloned().collect(),
            expiring: index.expiring.iter().map(|(at, leases)| (*at, leases.len() as u64)).collect(),
        }
    }

    pub(super) const fn head(&self) -> Head {
        self.head
    }

    pub(super) fn keys(&self) -> &[PublishedKey] {
        &self.keys
    }

    pub(super) fn quarantines(&self) -> Quarantines {
        Quarantines { epoch: self.head.epoch, all: self.quarantines.clone() }
    }

    pub(super) fn rules(&self) -> u64 {
        self.log.len() as u64
    }

    pub(super) fn leases(&self, now: UnixTime) -> u64 {
        self.expiring.range(now.plus(std::time::Duration::from_secs(1))..).map(|(_, count)| count).sum()
    }

    /// The entries behind `after`, at most `limit`.
    pub(super) fn page(&self, after: Position, limit: usize) -> LogPage {
        let mut rows = self.log.range(after.next().get()..);
        let entries: Vec<_> = rows.by_ref().take(limit).map(|(at, row)| row.entry(*at, &self.names)).collect();
        let upto = match (rows.next(), entries.last()) {
            (Some(_), Some(last)) => last.rule.position,
            (Some(_), None) => after,
            // A reader ahead of this log is not sent back.
            (None, _) => self.head.position.max(after),
        };
        LogPage { head: self.head, entries, upto }
    }
}

/// What one batch changed, to be shown once it is durable.
#[derive(Default)]
pub(super) struct Effects {
    pub appended: Vec<(u64, Row)>,
    pub faded: Vec<u64>,
    pub recorded: Vec<UnixTime>,
    pub dropped: Vec<UnixTime>,
    pub shelves: bool,
}

enum State {
    Open(View, Arc<Database>),
    /// Why nothing is served.
    Closed(String),
}

/// The meeting place of the writer and its readers.
pub(super) struct Shared {
    state: Mutex<State>,
    clock: Clock,
    moved: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new(view: View, database: Arc<Database>, clock: Clock) -> Self {
        Self { state: Mutex::new(State::Open(view, database)), clock, moved: watch::Sender::new(0) }
    }

    /// Reads the committed state under the lock: `read` does no I/O.
    pub(super) fn see<T>(&self, read: impl FnOnce(&View, &Arc<Database>) -> T) -> Result<T, StoreError> {
        match &*self.lock() {
            // The writer, which sees it within a second, begins a new epoch: until then nothing is told of this one.
            State::Open(view, _) if view.gone.is_missed(self.clock.now()) => Err(clock_was_ahead()),
            State::Open(view, database) => Ok(read(view, database)),
            State::Closed(why) => Err(StoreError::Unavailable(why.clone())),
        }
    }

    /// Why a request went unanswered.
    pub(super) fn trouble(&self) -> StoreError {
        self.see(|_, _| ()).err().unwrap_or_else(|| StoreError::Unavailable("the write failed".into()))
    }

    /// Shows what a commit made durable.
    pub(super) fn show(&self, index: &Index, effects: &Effects) {
        if let State::Open(view, _) = &mut *self.lock() {
            view.head = index.head;
            view.gone = index.gone;
            view.log.extend(effects.appended.iter().copied());
            for position in &effects.faded {
                view.log.remove(position);
            }
            for at in &effects.recorded {
                *view.expiring.entry(*at).or_default() += 1;
            }
            for at in &effects.dropped {
                match view.expiring.get_mut(at) {
                    Some(count) if *count > 1 => *count -= 1,
                    _ => drop(view.expiring.remove(at)),
                }
            }
            if view.names.len() < index.names.len() {
                view.names.clone_from(&index.names);
            }
            if effects.shelves {
                view.keys = index.keys.values().cloned().collect();
                view.quarantines = index.quarantines.values().cloned().collect();
            }
        }
        if !effects.appended.is_empty() {
            self.tell();
        }
    }

    /// Nothing is served until the file was read again.
    pub(super) fn close(&self, why: String) {
        *self.lock() = State::Closed(why);
    }

    /// The file was read again.
    pub(super) fn reopen(&self, view: View, database: Arc<Database>) {
        *self.lock() = State::Open(view, database);
        self.tell();
    }

    pub(super) fn moved(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    fn tell(&self) {
        self.moved.send_modify(|turn| *turn = turn.wrapping_add(1));
    }

    /// No code panics while it holds the lock halfway through a change, so a poisoned one is as good as another.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
