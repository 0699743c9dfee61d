//! What waits to be written: records somebody waits for, bounded and refused beyond it, and records nobody waits for,
//! bounded too, the oldest dropped and counted beyond it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::Reason;

use super::answer::Answer;
use super::error::AuditError;
use super::flood::{Counted, Flood};
use super::record::AuditRecord;

/// A record with the moment it was handed over, and who waits for it.
pub(super) struct Entry {
    pub(super) at_ms: u64,
    pub(super) record: AuditRecord,
    pub(super) answer: Option<Answer>,
}

/// How many records nobody waits for are kept while the file cannot be written.
pub(super) const MAX_POSTED: usize = 100_000;

/// How often a file that could not be written is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// What the writer takes in one go.
pub(super) struct Batch {
    pub(super) entries: VecDeque<Entry>,
    pub(super) counted: Vec<Counted>,
    pub(super) lost: Lost,
    /// Nothing comes after it.
    pub(super) is_last: bool,
}

/// Records that were dropped, and since when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) count: u64,
    pub(super) since_ms: u64,
}

pub(super) struct Queue {
    state: Mutex<State>,
    moved: Condvar,
    max_asked: usize,
    max_posted: usize,
}

struct State {
    waiting: VecDeque<Entry>,
    asked: usize,
    lost: Lost,
    flood: Flood,
    closed: bool,
    /// Whether the writer waits, and whether somebody has taken it upon himself to wake it.
    asleep: bool,
    woken: bool,
}

/// Wakes the writer when it is dropped.
#[must_use = "nobody else wakes the writer"]
pub(super) struct Wake<'a>(&'a Condvar);

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl State {
    /// Whether the writer has to be woken, by whoever asks first.
    const fn must_wake(&mut self) -> bool {
        let must = self.asleep && !self.woken;
        self.woken = true;
        must
    }

    fn make_room(&mut self, max_posted: usize) {
        while self.waiting.len() - self.asked > max_posted {
            let Some(oldest) = self.waiting.iter().position(|entry| entry.answer.is_none()) else { break };
            if let Some(entry) = self.waiting.remove(oldest) {
                if self.lost.count == 0 {
                    self.lost.since_ms = entry.at_ms;
                }
                self.lost.count += 1;
            }
        }
    }
}

impl Queue {
    pub(super) fn new(max_asked: usize, max_posted: usize, flood: Flood) -> Self {
        let (waiting, lost) = (VecDeque::new(), Lost::default());
        let state = State { waiting, asked: 0, lost, flood, closed: false, asleep: false, woken: false };
        Self { state: Mutex::new(state), moved: Condvar::new(), max_asked, max_posted }
    }

    // A panic elsewhere leaves the queue as whole as it was: every change to it is complete before its lock goes.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record that somebody waits for. Where the writer waits, it is the caller's to wake it, soon: what comes until
    /// then is written in the same go.
    pub(super) fn ask(&self, entry: Entry) -> Result<Option<Wake<'_>>, AuditError> {
        let mut state = self.lock();
        if state.closed {
            return Err(AuditError::Closed);
        }
        if state.asked >= self.max_asked {
            return Err(AuditError::QueueFull);
        }
        state.asked += 1;
        state.waiting.push_back(entry);
        Ok(state.must_wake().then(|| Wake(&self.moved)))
    }

    /// How many records wait that somebody waits for.
    pub(super) fn asked(&self) -> usize {
        self.lock().asked
    }

    /// Adds a record that nobody waits for.
    pub(super) fn post(&self, entry: Entry) {
        let mut state = self.lock();
        state.waiting.push_back(entry);
        state.make_room(self.max_posted);
        let wake = state.must_wake().then(|| Wake(&self.moved));
        drop(state);
        drop(wake);
    }

    /// Whether a refusal to an unknown caller may have its own line; if not, it is counted.
    pub(super) fn admit(&self, reason: Reason, now_ms: u64) -> bool {
        let mut state = self.lock();
        let had_due = state.flood.due().is_some();
        let admitted = state.flood.admit(reason, Instant::now(), now_ms);
        let is_first = !had_due && state.flood.due().is_some();
        drop(state);
        if is_first {
            self.moved.notify_one();
        }
        admitted
    }

    /// Puts back what nobody waits for and could not be written, before all that came since.
    pub(super) fn put_back(&self, entries: VecDeque<Entry>, lost: Lost) {
        let mut state = self.lock();
        for entry in entries.into_iter().rev() {
            state.waiting.push_front(entry);
        }
        if lost.count > 0 {
            state.lost = Lost { count: state.lost.count + lost.count, since_ms: lost.since_ms };
        }
        state.make_room(self.max_posted);
    }

    /// Says that nothing comes any more: the writer ends behind what waits.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.moved.notify_one();
    }

    /// Waits for something to do, and takes all of it. While the file is `failing`, only somebody who waits, or the time
    /// to try again, is something to do.
    pub(super) fn take(&self, failing: bool) -> Batch {
        let retry = failing.then(|| Instant::now() + RETRY);
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let has_work = state.asked > 0 || (!failing && !state.waiting.is_empty());
            let due = retry.or(state.flood.due());
            if state.closed || has_work || due.is_some_and(|due| due <= now) {
                let is_last = state.closed;
                state.asleep = false;
                state.asked = 0;
                return Batch {
                    entries: std::mem::take(&mut state.waiting),
                    counted: state.flood.take(now, is_last),
                    lost: std::mem::take(&mut state.lost),
                    is_last,
                };
            }
            // What it was woken for it has seen.
            (state.asleep, state.woken) = (true, false);
            state = match due {
                Some(due) => self.moved.wait_timeout(state, due - now).map_or_else(|e| e.into_inner().0, |got| got.0),
                None => self.moved.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::awaited;
    use super::super::flood::FloodRate;
    use super::super::record::{Event, Outcome};
    use super::*;

    fn entry(at_ms: u64) -> Entry {
        Entry { at_ms, record: AuditRecord::new(Event::Complete, Outcome::Done), answer: None }
    }

    fn queue(max_asked: usize, max_posted: usize) -> Queue {
        Queue::new(max_asked, max_posted, Flood::new(FloodRate::default(), Instant::now()))
    }

    #[test]
    fn what_does_not_fit_drops_the_oldest_that_nobody_waits_for_and_counts_it() {
        let queue = queue(4, 3);
        let (answer, _kept) = awaited();
        queue.ask(Entry { answer: Some(answer), ..entry(0) }).unwrap();
        for ms in 1..=5 {
            queue.post(entry(ms));
        }
        let batch = queue.take(false);
        assert_eq!(batch.entries.iter().map(|e| e.at_ms).collect::<Vec<_>>(), [0, 3, 4, 5]);
        assert_eq!(batch.lost, Lost { count: 2, since_ms: 1 });
    }

    #[test]
    fn what_is_put_back_stands_before_what_came_since() {
        let queue = queue(4, 3);
        for ms in 1..=2 {
            queue.post(entry(ms));
        }
        let batch = queue.take(false);
        queue.post(entry(3));
        queue.post(entry(4));
        queue.put_back(batch.entries, Lost { count: 7, since_ms: 0 });
        let batch = queue.take(false);
        assert_eq!(batch.entries.iter().map(|e| e.at_ms).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(batch.lost, Lost { count: 8, since_ms: 0 });
    }

    #[test]
    fn whoever_asks_first_wakes_the_writer_and_nobody_else_does() {
        let queue = queue(9, 9);
        let ask = || {
            let (answer, _) = awaited();
            queue.ask(Entry { answer: Some(answer), ..entry(0) }).unwrap()
        };
        assert!(ask().is_none(), "the writer has not come to wait yet");
        queue.take(false);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| [queue.take(false), queue.take(false)].map(|batch| batch.entries.len()));
            let until = |asleep| {
                while queue.lock().asleep != asleep {
                    std::thread::yield_now();
                }
            };
            until(true);
            let wake = ask();
            assert!(wake.is_some() && ask().is_none());
            queue.post(entry(0));
            drop(wake);
            // Asleep again, it needs to be woken again; a record that nobody waits for wakes it at once.
            while !queue.lock().waiting.is_empty() || !queue.lock().asleep {
                std::thread::yield_now();
            }
            queue.post(entry(0));
            assert_eq!(writer.join().unwrap(), [3, 1]);
        });
    }

    #[test]
    fn one_more_than_the_queue_holds_is_refused_at_once() {
        let queue = queue(1, 1);
        let ask = || {
            let (answer, kept) = awaited();
            (queue.ask(Entry { answer: Some(answer), ..entry(0) }), kept)
        };
        assert!(ask().0.is_ok());
        assert!(matches!(ask().0, Err(AuditError::QueueFull)));
    }
}
