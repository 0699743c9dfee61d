//! Refusals to callers nobody knows: a few a second are written, the others counted, so that a flood fills no disk.

use std::time::{Duration, Instant};

use crate::model::Reason;

/// How many refusals to unknown callers are written one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloodRate {
    /// In the long run, a second.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

impl Default for FloodRate {
    fn default() -> Self {
        Self { per_second: 5, burst: 20 }
    }
}

/// Refusals of one reason that were counted instead of written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) reason: Reason,
    pub(super) count: u64,
    pub(super) since_ms: u64,
}

/// A bucket of tokens, and the counts of what found it empty.
#[derive(Debug)]
pub(super) struct Flood {
    rate: FloodRate,
    /// Thousandths of a line, so that whole numbers do.
    level: u64,
    filled_at: Instant,
    counted: Vec<Counted>,
    due: Option<Instant>,
}

impl Flood {
    const EVERY: Duration = Duration::from_secs(1);

    pub(super) fn new(rate: FloodRate, now: Instant) -> Self {
        Self { rate, level: u64::from(rate.burst) * 1000, filled_at: now, counted: Vec::new(), due: None }
    }

    /// Whether this refusal may have a line of its own. If not, it is counted.
    pub(super) fn admit(&mut self, reason: Reason, now: Instant, now_ms: u64) -> bool {
        let passed = u64::try_from(now.saturating_duration_since(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        // Only whole milliseconds are used up, or a flood would keep the bucket from ever filling.
        self.filled_at += Duration::from_millis(passed);
        let gained = passed.saturating_mul(u64::from(self.rate.per_second));
        self.level = self.level.saturating_add(gained).min(u64::from(self.rate.burst) * 1000);
        if self.level >= 1000 {
            self.level -= 1000;
            return true;
        }
        match self.counted.iter_mut().find(|row| row.reason == reason) {
            Some(row) => row.count += 1,
            None => self.counted.push(Counted { reason, count: 1, since_ms: now_ms }),
        }
        self.due.get_or_insert(now + Self::EVERY);
        false
    }

    /// When the next summary is due, if one is.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The counts, once they are due, or at once where the log closes.
    pub(super) fn take(&mut self, now: Instant, closing: bool) -> Vec<Counted> {
        if !closing && self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.due = None;
        std::mem::take(&mut self.counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_twenty_are_written_and_the_rest_of_the_second_counted_by_reason() {
        let start = Instant::now();
        let mut flood = Flood::new(FloodRate::default(), start);
        let admitted = (0..100).filter(|_| flood.admit(Reason::InvalidClient, start, 7)).count();
        assert_eq!(admitted, 20);
        assert!(!flood.admit(Reason::InvalidToken, start, 8));
        assert!(flood.take(start, false).is_empty(), "not due yet");
        let counted = flood.take(start + Flood::EVERY, false);
        let row = |reason, count, since_ms| Counted { reason, count, since_ms };
        assert_eq!(counted, [row(Reason::InvalidClient, 80, 7), row(Reason::InvalidToken, 1, 8)]);
        assert_eq!(flood.due(), None);
    }

    #[test]
    fn five_a_second_go_through_in_the_long_run() {
        let start = Instant::now();
        let mut flood = Flood::new(FloodRate::default(), start);
        let mut admitted = 0;
        for ms in (0..60_000).step_by(10) {
            admitted += u32::from(flood.admit(Reason::InvalidClient, start + Duration::from_millis(ms), ms));
        }
        assert!((300..=320).contains(&admitted), "{admitted}");
    }
}
