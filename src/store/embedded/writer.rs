//! The one thread that writes: takes what waits, carries it out in one transaction, syncs, and only then answers.
//!
//! Owns the group commit and what follows a failed one: nothing of the batch is answered for, the memory is thrown away,
//! and the file is opened and read again until that succeeds. Never answers before the sync, nor for a file that is not
//! at its path any more.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use redb::{Database, Durability};

use super::expire::is_due;
use super::index::Index;
use super::same::{Identity, Shown, misses_nothing_in};
use super::step::Step;
use super::table::{Make, Opener, Tables, open};
use super::view::{Effects, Shared};
use crate::model::Clock;
use crate::store::StoreError;

/// One request: carried out in a step, it gives what is to be answered once the step is durable. One that is dropped
/// without being carried out, or whose answer is, has failed, and its caller is told so.
pub(super) type Job = Box<dyn FnOnce(&mut Step<'_>) -> Result<Answer, StoreError> + Send>;

/// Tells a caller what came of its request; none where the caller has gone.
pub(super) type Answer = Option<Box<dyn FnOnce() + Send>>;

/// The most requests that share a sync: beyond it the sync is cheap already and the first would wait for the last.
const LARGEST_BATCH: usize = 512;
/// Past records dropped in a batch, besides two for each request in it.
const SLICE: usize = 64;
/// The same while nobody waits.
const IDLE_SLICE: usize = 512;
/// How often past records are looked for while nothing happens.
const IDLE: Duration = Duration::from_secs(1);
/// How long the first attempt to open the file again waits, doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A file that has been missing from its folder for so long is not waited for: a new one is made.
const GONE: Duration = Duration::from_secs(5);

/// What an open file consists of.
pub(super) struct Open {
    database: Arc<Database>,
    identity: Identity,
    index: Index,
    /// What readers were shown last.
    shown: Shown,
}

impl Open {
    pub(super) fn new(database: Arc<Database>, identity: Identity, index: Index) -> Self {
        Self { database, identity, shown: Shown::of(&index), index }
    }
}

/// The thread's belongings.
pub(super) struct Writer {
    pub path: PathBuf,
    pub opener: Opener,
    pub clock: Clock,
    pub shared: Arc<Shared>,
}

/// Closed after a failure: when the next attempt is due, how long the pause after that, what was shown last, and since
/// when there is no file.
struct Closed {
    next: Instant,
    pause: Duration,
    shown: Shown,
    missing: Option<Instant>,
}

impl Writer {
    /// Runs until the last sender is dropped.
    pub(super) fn run(self, first: Open, queue: &Receiver<Job>) {
        let _told = ToldIfItPanics(&self.shared);
        let mut state = Ok(first);
        loop {
            let batch = match self.gather(queue, &state) {
                Ok(batch) => batch,
                Err(()) => return,
            };
            state = match state {
                Ok(open) => self.turn(open, batch),
                Err(closed) => {
                    // Dropping a request answers it.
                    drop(batch);
                    self.reopen(closed)
                }
            };
        }
    }

    /// What waits, or after a while nothing; an error where nobody can ask any more.
    fn gather(&self, queue: &Receiver<Job>, state: &Result<Open, Closed>) -> Result<Vec<Job>, ()> {
        let wait = match state {
            Ok(open) if is_due(&open.index, self.clock.now()) => Duration::ZERO,
            Ok(_) => IDLE,
            Err(closed) => closed.next.saturating_duration_since(Instant::now()),
        };
        let mut batch = Vec::new();
        match queue.recv_timeout(wait) {
            Ok(job) => batch.push(job),
            Err(RecvTimeoutError::Timeout) => return Ok(batch),
            Err(RecvTimeoutError::Disconnected) => return Err(()),
        }
        batch.extend(queue.try_iter().take(LARGEST_BATCH - 1));
        Ok(batch)
    }

    fn turn(&self, mut open: Open, batch: Vec<Job>) -> Result<Open, Closed> {
        if open.index.gone.is_missed(self.clock.now()) {
            return Err(self.close(&open, &clock_was_ahead()));
        }
        if batch.is_empty() && !is_due(&open.index, self.clock.now()) {
            return match open.identity.is_at(&self.path) {
                Ok(()) => Ok(open),
                Err(why) => Err(self.close(&open, &why)),
            };
        }
        // Who is answered by being dropped hears of it only once the store is closed.
        let (mut waiting, mut answers) = (batch.into_iter(), Vec::new());
        match self.commit(&mut open, &mut waiting, &mut answers) {
            Ok(()) => {
                for answer in answers {
                    answer();
                }
                Ok(open)
            }
            Err(why) => Err(self.close(&open, &why)),
        }
    }

    fn close(&self, open: &Open, why: &StoreError) -> Closed {
        tracing::error!(error = %why, "the store is closed, and its file opened again");
        self.shared.close(why.to_string());
        Closed { next: Instant::now() + FIRST_PAUSE, pause: FIRST_PAUSE, shown: open.shown, missing: None }
    }

    /// One batch: carry out, commit, show. After an error the memory is ahead of the file and must go.
    fn commit(
        &self,
        open: &mut Open,
        batch: &mut std::vec::IntoIter<Job>,
        answers: &mut Vec<Box<dyn FnOnce() + Send>>,
    ) -> Result<(), StoreError> {
        let slice = if batch.len() == 0 { IDLE_SLICE } else { SLICE + 2 * batch.len() };
        let mut effects = Effects::default();
        let mut txn = open.database.begin_write()?;
        txn.set_durability(Durability::Immediate).map_err(|why| StoreError::Unavailable(why.to_string()))?;
        let written = {
            let tables = Tables::open(&txn)?;
            let mut step = Step { tables, index: &mut open.index, effects: &mut effects, written: false };
            for job in batch {
                answers.extend(job(&mut step)?);
            }
            step.expire(self.clock.now(), slice)?;
            step.finish()?
        };
        if written {
            txn.commit()?;
            open.identity.is_at(&self.path)?;
            open.shown = Shown::of(&open.index);
            self.shared.show(&open.index, &effects);
        } else {
            txn.abort()?;
        }
        Ok(())
    }

    fn reopen(&self, closed: Closed) -> Result<Open, Closed> {
        if Instant::now() < closed.next {
            return Err(closed);
        }
        let missing = if self.is_missing() { closed.missing.or_else(|| Some(Instant::now())) } else { None };
        let is_lost = missing.is_some_and(|since| since.elapsed() >= GONE);
        let make = if is_lost { Make::Anew(self.clock.now()) } else { Make::Nothing };
        let again = self.make_folder(is_lost).and_then(|()| open(&self.path, self.opener, make)).and_then(
            |(database, identity)| {
                if !is_lost {
                    closed.shown.goes_on_in(&database, self.clock.now())?;
                }
                misses_nothing_in(&database, self.clock.now())?;
                let (index, view) = Index::load(&database)?;
                Ok((Open::new(Arc::new(database), identity, index), view))
            },
        );
        match again {
            Ok((open, view)) => {
                tracing::info!("the store's file is open again");
                self.shared.reopen(view, Arc::clone(&open.database));
                Ok(open)
            }
            Err(why) => {
                self.shared.close(why.to_string());
                let pause = (closed.pause * 2).min(LONGEST_PAUSE);
                Err(Closed { next: Instant::now() + pause, pause, missing, ..closed })
            }
        }
    }

    /// Whether there is no file, be it that its folder is gone as well.
    fn is_missing(&self) -> bool {
        matches!(self.path.try_exists(), Ok(false))
    }

    /// Makes the file's folder anew (mode 0700) where it went with the file. Not the one that it is in: where that is gone
    /// too, a disk may be away.
    fn make_folder(&self, is_lost: bool) -> Result<(), StoreError> {
        let folder = self.path.parent().filter(|folder| is_lost && !folder.as_os_str().is_empty() && !folder.exists());
        let Some(folder) = folder else { return Ok(()) };
        let made = DirBuilder::new().mode(0o700).create(folder);
        made.map_err(|why| StoreError::Unavailable(format!("cannot make {} again: {why}", folder.display())))
    }
}

/// Why a store is closed whose clock went back behind what was dropped by it.
pub(super) fn clock_was_ahead() -> StoreError {
    StoreError::Unavailable("the clock was ahead and is back: what was dropped by it is made good".into())
}

/// Closes the store to readers when its writer dies, for nothing would ever change in it again.
struct ToldIfItPanics<'a>(&'a Shared);

impl Drop for ToldIfItPanics<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the store's writer has panicked; the broker must be started again");
            self.0.close("its writer has stopped".into());
        }
    }
}
