//! What the log says of a store that does not answer: at once when it goes away, then once in a while, with a count of what
//! was left out; and when it is back. Never says what a caller is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::{RecordError, StoreError};

/// While it is away it is told of so often.
const TELL: Duration = Duration::from_secs(30);
/// A store that answered for so long in between went away anew.
const STEADY: Duration = Duration::from_secs(2);

/// Whether the store answers, as far as was seen. A store that answers costs one look at a flag.
#[derive(Default)]
pub(super) struct Away {
    is_away: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    told: Option<Instant>,
    back: Option<Instant>,
    left_out: u64,
}

impl Away {
    /// Takes note of how a call ended, and writes it down where it is news.
    pub(super) fn hear(&self, outcome: Option<&StoreError>) {
        match outcome {
            // Whoever gave a cursor that is none was answered.
            None | Some(StoreError::Cursor) => {
                if self.is_away.load(Ordering::Relaxed) && self.answered(Instant::now()) {
                    tracing::info!("the store answers again");
                }
            }
            Some(error) => {
                if let Some(left_out) = self.failed(Instant::now()) {
                    tracing::warn!(%error, left_out, "the store cannot be asked");
                }
            }
        }
    }

    /// How many failures were left out before this one, where it is to be told.
    fn failed(&self, now: Instant) -> Option<u64> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_away.store(true, Ordering::Relaxed);
        let was_back = seen.back.take().is_some_and(|back| now.saturating_duration_since(back) >= STEADY);
        let is_due = seen.told.is_none_or(|told| now.saturating_duration_since(told) >= TELL);
        if !was_back && !is_due {
            seen.left_out += 1;
            return None;
        }
        seen.told = Some(now);
        Some(std::mem::take(&mut seen.left_out))
    }

    /// Whether the store was away until now, as far as it was told.
    fn answered(&self, now: Instant) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.back {
            // It is back for good.
            Some(back) if now.saturating_duration_since(back) >= STEADY => {
                self.is_away.store(false, Ordering::Relaxed);
                true
            }
            Some(_) => false,
            None => {
                seen.back = Some(now);
                false
            }
        }
    }
}

/// What a call to the store can end with.
pub(super) trait Outcome {
    /// The store's own failure, if it is one.
    fn failure(&self) -> Option<&StoreError>;
}

impl<T> Outcome for Result<T, StoreError> {
    fn failure(&self) -> Option<&StoreError> {
        self.as_ref().err()
    }
}

impl<T> Outcome for Result<T, RecordError> {
    fn failure(&self) -> Option<&StoreError> {
        match self {
            Err(RecordError::Store(error)) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_is_told_of_at_once_and_then_once_in_a_while() {
        let (away, start) = (Away::default(), Instant::now());
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        assert_eq!(away.failed(at(0.0)), Some(0));
        let told: Vec<_> = (1..=70).filter_map(|second| away.failed(at(f64::from(second)))).collect();
        assert_eq!(told, [29, 29], "at 30 s and at 60 s");
        // One answer is no return, and what comes and goes is told no oftener.
        for tenth in 0..20 {
            assert!(!away.answered(at(71.0 + f64::from(tenth) / 10.0)));
            assert_eq!(away.failed(at(71.05 + f64::from(tenth) / 10.0)), None);
        }
        assert!(!away.answered(at(73.0)) && away.answered(at(75.0)), "once it has answered for a while");
        assert!(!away.is_away.load(Ordering::Relaxed));
        assert_eq!(away.failed(at(75.5)), Some(10 + 20), "it went away anew, within 30 s of the last word");
        assert_eq!(away.failed(at(75.6)), None);
    }
}
