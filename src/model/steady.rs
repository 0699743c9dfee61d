//! A wall clock that is not believed at once when it jumps.
//!
//! Owns the judgement; both clocks are read by others. A jump by more than clocks may differ at all is followed only when
//! it has lasted: for a clock that is wrong for a moment must not make a broker forget what it was told to end.

use std::time::Duration;

/// How far the wall clock may be from where it should be by now: what brokers, callers and stores may differ by.
const TOLERANCE_MS: u64 = 30_000;
/// How long a jump must last before it is followed.
const LASTS: Duration = Duration::from_secs(30);

/// What was believed last.
#[derive(Debug)]
pub(super) struct Steady {
    wall_ms: u64,
    /// On a clock that only ever goes on, when that was.
    at: Duration,
    doubt: Option<Doubt>,
}

/// The wall clock is somewhere else.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    since: Duration,
    /// Where it should be, and where it was when it jumped.
    expected: u64,
    found: u64,
}

impl Steady {
    pub(super) const fn new(wall_ms: u64, at: Duration) -> Self {
        Self { wall_ms, at, doubt: None }
    }

    /// Whether the wall clock is somewhere else than it should be.
    pub(super) const fn doubts(&self) -> bool {
        self.doubt.is_some()
    }

    /// What time it is, where the wall clock says `wall_ms`.
    pub(super) fn tell(&mut self, wall_ms: u64, at: Duration) -> u64 {
        let passed = |since: Duration| u64::try_from(at.saturating_sub(since).as_millis()).unwrap_or(u64::MAX);
        let expected = self.wall_ms.saturating_add(passed(self.at));
        if wall_ms.abs_diff(expected) <= TOLERANCE_MS {
            if self.doubt.is_some() {
                tracing::warn!("the system's clock is back where it was");
            }
            *self = Self::new(wall_ms, at);
            return wall_ms;
        }
        match self.doubt {
            Some(doubt) if wall_ms.abs_diff(doubt.found.saturating_add(passed(doubt.since))) <= TOLERANCE_MS => {
                if at.saturating_sub(doubt.since) >= LASTS {
                    tracing::warn!(
                        from = doubt.expected,
                        to = doubt.found,
                        "the system's clock stays there: it is followed"
                    );
                    *self = Self::new(wall_ms, at);
                    return wall_ms;
                }
            }
            _ => {
                tracing::warn!(from = expected, to = wall_ms, "the system's clock jumped: it is not followed yet");
                self.doubt = Some(Doubt { since: at, expected, found: wall_ms });
            }
        }
        expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_790_000_000_000;

    /// A clock that is off by `off` milliseconds from each of these seconds on.
    fn told(steps: &[(u64, i64)], seconds: u64) -> Vec<i64> {
        let mut steady = Steady::new(START, Duration::ZERO);
        let tell = |second: u64| {
            let off = steps.iter().rev().find(|(from, _)| *from <= second).map_or(0, |(_, off)| *off);
            let right = START + second * 1000;
            let told = steady.tell(right.saturating_add_signed(off), Duration::from_secs(second));
            i64::try_from(told).unwrap() - i64::try_from(right).unwrap()
        };
        (0..seconds).map(tell).collect()
    }

    #[test]
    fn a_step_of_seconds_is_followed_at_once() {
        assert_eq!(told(&[(1, 20_000), (3, -5000), (4, 0)], 5), [0, 20_000, 20_000, -5000, 0]);
    }

    #[test]
    fn a_jump_that_is_taken_back_was_never_there() {
        for off in [3_600_000, -3_600_000, 86_400_000 * 365] {
            assert_eq!(told(&[(2, off), (31, 0)], 40), [0; 40]);
        }
    }

    #[test]
    fn a_jump_that_lasts_is_followed_in_the_end() {
        let told = told(&[(2, 3_600_000)], 40);
        assert_eq!(told[..32], [0; 32]);
        assert_eq!(told[32..], [3_600_000; 8]);
    }

    #[test]
    fn a_clock_that_jumps_about_is_followed_nowhere() {
        let steps: Vec<(u64, i64)> = (1..100).map(|n| (n * 7, 3_600_000 * i64::try_from(n).unwrap())).collect();
        assert!(told(&steps, 600).iter().all(|off| *off == 0));
    }

    #[test]
    fn a_clock_before_its_own_start_is_no_panic() {
        let mut steady = Steady::new(START, Duration::from_secs(9));
        assert_eq!(steady.tell(START, Duration::ZERO), START);
        assert_eq!(steady.tell(0, Duration::ZERO), START);
    }
}
