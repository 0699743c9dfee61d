//! What waits for one subscriber: a bounded queue of events that are shared with others.
//!
//! Never waits itself: what does not fit cuts its subscriber off, and nobody else.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::model::Position;

/// The bytes of all that waits for a subscriber, at most; one event alone may be larger.
const MOST_BYTES: usize = 4 << 20;
/// How long nothing may be taken of what waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// The queue of one subscriber: the hub puts in, the subscriber's stream takes out.
pub(super) struct Queue(Mutex<Inner>);

struct Inner {
    /// Events that may wait.
    room: usize,
    events: VecDeque<Waiting>,
    bytes: usize,
    /// When something was last taken, or began to wait where nothing did before.
    moved: Instant,
    /// Up to where the log has been taken.
    taken: Position,
    fate: Fate,
    waker: Option<Waker>,
}

/// An event that waits.
struct Waiting {
    event: Bytes,
    /// How far it tells the log, and how many rules it holds.
    position: Position,
    rules: u64,
}

/// Whether events still come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    /// Another life of the log, or another reading of it: a new snapshot is due.
    Renewed,
    /// Nothing more is sent: the subscriber was too slow, or the broker ends.
    Ended,
    /// The stream is gone.
    Left,
}

/// What a stream gets of its queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next event, and how many rules it holds.
    Event(Bytes, u64),
    /// A new snapshot is due.
    Renewed,
    /// Nothing more.
    Ended,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// It waits, or is taken.
    Done,
    /// The subscriber was too slow, and is cut off.
    Cut,
    /// The subscriber is gone.
    Gone,
}

impl Queue {
    pub(super) fn new(room: usize, taken: Position, now: Instant) -> Self {
        let (events, fate) = (VecDeque::new(), Fate::Open);
        Self(Mutex::new(Inner { room, events, bytes: 0, moved: now, taken, fate, waker: None }))
    }

    /// Puts an event behind all others; it tells the log up to `position`, by so many rules.
    pub(super) fn put(&self, event: Bytes, position: Position, rules: u64, now: Instant) -> Put {
        let mut inner = self.lock();
        if inner.fate != Fate::Open {
            return Put::Gone;
        }
        let is_empty = inner.events.is_empty();
        let is_full = inner.events.len() >= inner.room || inner.bytes + event.len() > MOST_BYTES;
        if !is_empty && (is_full || now.saturating_duration_since(inner.moved) > PATIENCE) {
            inner.end(Fate::Ended);
            return Put::Cut;
        }
        if is_empty {
            inner.moved = now;
        }
        inner.bytes += event.len();
        inner.events.push_back(Waiting { event, position, rules });
        inner.wake();
        Put::Done
    }

    /// Drops what waits: the stream goes on with a new snapshot.
    pub(super) fn renew(&self) {
        self.lock().end(Fate::Renewed);
    }

    /// Drops what waits, and ends the stream.
    pub(super) fn end(&self) {
        self.lock().end(Fate::Ended);
    }

    /// The stream takes nothing more.
    pub(super) fn leave(&self) {
        self.lock().end(Fate::Left);
    }

    /// The next event, where there is one; else `cx` is woken when there is.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut inner = self.lock();
        if let Some(Waiting { event, position, rules }) = inner.events.pop_front() {
            inner.bytes -= event.len();
            inner.taken = position;
            inner.moved = Instant::now();
            return Poll::Ready(Next::Event(event, rules));
        }
        match inner.fate {
            Fate::Open => {
                if inner.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                    inner.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            Fate::Renewed => Poll::Ready(Next::Renewed),
            Fate::Ended | Fate::Left => Poll::Ready(Next::Ended),
        }
    }

    /// How many events wait, and up to where the log has been taken.
    pub(super) fn figures(&self) -> (usize, Position) {
        let inner = self.lock();
        (inner.events.len(), inner.taken)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn end(&mut self, fate: Fate) {
        if self.fate == Fate::Open {
            self.fate = fate;
            self.events = VecDeque::new();
            self.bytes = 0;
        }
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(queue: &Queue) -> Option<Next> {
        match queue.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(next) => Some(next),
            Poll::Pending => None,
        }
    }

    const MOST: usize = 64;
    const AT: Position = Position::new(1);

    #[test]
    fn events_come_in_order_and_tell_how_far_the_log_was_taken() {
        let now = Instant::now();
        let queue = Queue::new(MOST, Position::START, now);
        assert_eq!(next(&queue), None);
        for n in 1..=3 {
            assert_eq!(queue.put(Bytes::from(n.to_string()), Position::new(n), n, now), Put::Done);
        }
        assert_eq!(queue.figures(), (3, Position::START));
        assert_eq!(next(&queue), Some(Next::Event("1".into(), 1)));
        assert_eq!(queue.figures(), (2, AT));
    }

    #[test]
    fn who_takes_too_little_is_cut_off_and_what_waited_is_dropped() {
        let now = Instant::now();
        let large = || Bytes::from(vec![0; MOST_BYTES / 2 + 1]);
        let (many, much, long) = (Queue::new(MOST, AT, now), Queue::new(MOST, AT, now), Queue::new(MOST, AT, now));
        assert!((0..MOST).all(|_| many.put("x".into(), AT, 1, now) == Put::Done));
        assert_eq!((much.put(large(), AT, 1, now), long.put("x".into(), AT, 1, now)), (Put::Done, Put::Done));
        let later = now + PATIENCE + Duration::from_millis(1);
        assert_eq!(many.put("x".into(), AT, 1, now), Put::Cut);
        assert_eq!(much.put(large(), AT, 1, now), Put::Cut);
        assert_eq!(long.put("x".into(), AT, 1, later), Put::Cut);
        for queue in [many, much, long] {
            assert_eq!((next(&queue), queue.put("x".into(), AT, 1, now)), (Some(Next::Ended), Put::Gone));
        }
    }

    #[test]
    fn one_event_of_any_size_has_room_and_a_pause_with_nothing_to_take_is_none() {
        let now = Instant::now();
        let queue = Queue::new(MOST, AT, now);
        let later = now + 3 * PATIENCE;
        assert_eq!(queue.put(Bytes::from(vec![0; MOST_BYTES + 1]), AT, 1, later), Put::Done);
    }

    #[test]
    fn a_queue_is_renewed_ended_or_left_once() {
        let queue = Queue::new(MOST, AT, Instant::now());
        queue.put("x".into(), AT, 1, Instant::now());
        queue.renew();
        queue.end();
        assert_eq!(next(&queue), Some(Next::Renewed));
        queue.leave();
        assert_eq!(queue.put("x".into(), AT, 1, Instant::now()), Put::Gone);
    }
}
