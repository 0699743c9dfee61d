//! Something that may happen often and is said seldom: once a second at most, with how often it went unsaid.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two times.
const APART: Duration = Duration::from_secs(1);

/// Says when it is time.
#[derive(Debug)]
pub(super) struct Rarely {
    begun: Instant,
    /// Milliseconds from `begun` to when it may be said again.
    next: AtomicU64,
    unsaid: AtomicU64,
}

impl Rarely {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), next: AtomicU64::new(0), unsaid: AtomicU64::new(0) }
    }

    /// Whether to say it now: how often it happened since it was last said, besides this time.
    pub(super) fn turn(&self) -> Option<u64> {
        self.turn_at(self.begun.elapsed())
    }

    fn turn_at(&self, at: Duration) -> Option<u64> {
        let at = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let next = self.next.load(Ordering::Relaxed);
        let later = at.saturating_add(u64::try_from(APART.as_millis()).unwrap_or(u64::MAX));
        let is_time = at >= next;
        // Of those that come at the same moment one says it.
        if is_time && self.next.compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return Some(self.unsaid.swap(0, Ordering::Relaxed));
        }
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_a_second_and_how_often_it_was_not() {
        let rarely = Rarely::new();
        let at = |ms: u64| rarely.turn_at(Duration::from_millis(ms));
        assert_eq!([at(0), at(0), at(999), at(1000), at(1001)], [Some(0), None, None, Some(2), None]);
        assert_eq!([at(60_000), at(60_001), at(61_000)], [Some(1), None, Some(1)]);
        assert_eq!(Rarely::new().turn(), Some(0));
    }
}
