//! Time as the protocol knows it: whole Unix seconds, and the one clock that tells them.
//!
//! Owns the only reading of the wall clock in the crate. Everything else is handed a [`Clock`] or a [`UnixTime`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::steady::Steady;

/// A moment in whole seconds since 1970-01-01T00:00:00Z: a `NumericDate` (RFC 7519 §2) without its fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The moment `secs` seconds after the Unix epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// Seconds since the Unix epoch.
    pub const fn secs(self) -> u64 {
        self.0
    }

    /// This moment and `span` more, whole seconds, saturating.
    #[must_use]
    pub const fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_secs()))
    }

    /// This moment less `span`, whole seconds, saturating at the Unix epoch.
    #[must_use]
    pub const fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.as_secs()))
    }

    /// How long from `earlier` to this moment; zero where `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339, UTC, to the second; a moment beyond year 9999 prints as its number.
    pub fn rfc3339(self) -> String {
        i64::try_from(self.0)
            .ok()
            .and_then(|secs| time::OffsetDateTime::from_unix_timestamp(secs).ok())
            .and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok())
            .unwrap_or_else(|| self.0.to_string())
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The one source of "now". Cheap to clone; clones of a manual clock share its hand.
#[derive(Clone, Debug)]
pub struct Clock(Hand);

#[derive(Clone, Debug)]
enum Hand {
    System,
    /// The system's clock, held at the latest moment it ever told.
    NeverBack(Arc<AtomicU64>),
    /// The system's clock, not believed at once when it jumps.
    Steady(Arc<Doubting>),
    /// The same or the system's, whichever is later.
    Later(Arc<Doubting>),
    Manual(Arc<AtomicU64>),
}

/// What a steady clock believes, and the clock that it holds the system's against.
struct Doubting {
    believed: Mutex<Steady>,
    /// How far the system's clock was ahead of the other when it was last believed; [`IN_DOUBT`] while it is not.
    ahead_ms: AtomicU64,
    since_boot: fn() -> Duration,
}

/// No distance between two clocks.
const IN_DOUBT: u64 = u64::MAX;
/// A clock that is where it was but for so much is believed without another look, and without the lock.
const CLOSE_MS: u64 = 1000;

impl Doubting {
    fn new(since_boot: fn() -> Duration) -> Self {
        let believed = Mutex::new(Steady::new(system_ms(), since_boot()));
        Self { believed, ahead_ms: AtomicU64::new(IN_DOUBT), since_boot }
    }

    fn tell(&self, wall_ms: u64) -> u64 {
        let at = (self.since_boot)();
        let ahead = wall_ms.wrapping_sub(millis(at));
        let known = self.ahead_ms.load(Ordering::Acquire);
        if known != IN_DOUBT && ahead.abs_diff(known) <= CLOSE_MS {
            return wall_ms;
        }
        // Whole between any two statements, so a panic elsewhere spoils nothing.
        let mut believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        let told = believed.tell(wall_ms, at);
        let next = if told == wall_ms && !believed.doubts() { ahead } else { IN_DOUBT };
        self.ahead_ms.store(next, Ordering::Release);
        told
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Doubting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.believed.fmt(f)
    }
}

impl Clock {
    /// The system's wall clock.
    pub const fn system() -> Self {
        Self(Hand::System)
    }

    /// The system's wall clock, except that it never runs back: a step backwards holds it still.
    pub fn never_back() -> Self {
        Self(Hand::NeverBack(Arc::new(AtomicU64::new(0))))
    }

    /// The system's wall clock, except that a jump by more than 30 s is followed only when it has lasted for 30 s.
    /// `since_boot` is a clock that only ever goes on, while the machine sleeps too.
    pub fn steady(since_boot: fn() -> Duration) -> Self {
        Self(Hand::Steady(Arc::new(Doubting::new(since_boot))))
    }

    /// The same, held against the clock of [`Instant`], which stands still while the machine sleeps: what time it is when it
    /// wakes is then followed after 30 s only. [`Clock::later`] of it follows at once.
    pub fn steady_while_awake() -> Self {
        static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
        Self::steady(|| STARTED.elapsed())
    }

    /// Of a steady clock, the one that is never behind the system's: for judging by what is over already. Any other
    /// clock is its own.
    pub fn later(&self) -> Self {
        match &self.0 {
            Hand::Steady(doubting) => Self(Hand::Later(Arc::clone(doubting))),
            _ => self.clone(),
        }
    }

    /// A clock that stands at `at` until [`Clock::set`] moves it: for tests and benches.
    pub fn manual(at: UnixTime) -> Self {
        Self(Hand::Manual(Arc::new(AtomicU64::new(at.secs().saturating_mul(1000)))))
    }

    /// Moves a manual clock. Any other clock is not moved.
    pub fn set(&self, at: UnixTime) {
        if let Hand::Manual(ms) = &self.0 {
            ms.store(at.secs().saturating_mul(1000), Ordering::SeqCst);
        }
    }

    /// Now, in whole seconds.
    pub fn now(&self) -> UnixTime {
        UnixTime(self.now_ms() / 1000)
    }

    /// Now, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Hand::System => system_ms(),
            Hand::NeverBack(latest) => {
                let now = system_ms();
                latest.fetch_max(now, Ordering::AcqRel).max(now)
            }
            Hand::Steady(doubting) => doubting.tell(system_ms()),
            Hand::Later(doubting) => {
                let now = system_ms();
                doubting.tell(now).max(now)
            }
            Hand::Manual(ms) => ms.load(Ordering::SeqCst),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

#[allow(clippy::disallowed_methods, reason = "the one reading of the wall clock")]
fn system_ms() -> u64 {
    // A clock before 1970 reads as 1970: every token is then "not yet valid", which fails closed.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Reads a span as people write it: `90`, `90s`, `5m`, `8h`, `30d`. Zero, signs, fractions and mixtures are refused.
///
/// # Errors
/// A sentence that names what was read and what would have been right.
pub fn parse_span(raw: &str) -> Result<Duration, String> {
    let wrong = || format!("`{raw}` is no span of time: write a whole number with s, m, h or d, like `5m`");
    let (digits, unit) = match raw.char_indices().find(|(_, c)| !c.is_ascii_digit()) {
        Some((at, _)) => raw.split_at(at),
        None => (raw, "s"),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    match number.checked_mul(unit) {
        Some(0) => Err(format!("`{raw}` is no time at all: the least is `1s`; longer ones are written like `5m`")),
        Some(secs) => Ok(Duration::from_secs(secs)),
        None => Err(wrong()),
    }
}

/// Writes a span the way [`parse_span`] reads it, in the largest unit that fits exactly.
pub fn format_span(span: Duration) -> String {
    let secs = span.as_secs();
    match secs {
        0 => "0s".into(),
        _ if secs.is_multiple_of(86_400) => format!("{}d", secs / 86_400),
        _ if secs.is_multiple_of(3600) => format!("{}h", secs / 3600),
        _ if secs.is_multiple_of(60) => format!("{}m", secs / 60),
        _ => format!("{secs}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_back_as_they_are_written() {
        for secs in [1, 59, 60, 90, 300, 3600, 5400, 86_400, 2_592_000] {
            let span = Duration::from_secs(secs);
            assert_eq!(parse_span(&format_span(span)), Ok(span));
        }
        assert_eq!(parse_span("90"), Ok(Duration::from_secs(90)));
    }

    #[test]
    fn a_span_that_is_not_one_is_refused_by_name() {
        for raw in
            ["", "0", "0s", "-5m", "1.5h", "5 m", "5M", "1h30m", "m", "99999999999999999999s", "18446744073709551615d"]
        {
            let error = parse_span(raw).expect_err(raw);
            assert!(error.contains("5m"), "{error}");
        }
    }

    #[test]
    fn a_clock_that_never_runs_back_holds_still_instead() {
        let clock = Clock::never_back();
        let first = clock.now_ms();
        assert!(clock.now_ms() >= first);
    }

    #[test]
    fn a_steady_clock_tells_what_the_system_s_tells_while_that_goes_on_as_it_should() {
        let (system, steady) = (Clock::system(), Clock::steady_while_awake());
        for _ in 0..1000 {
            let (before, told, after) = (system.now_ms(), steady.now_ms(), system.now_ms());
            assert!((before..=after).contains(&told) && steady.later().now_ms() >= told);
        }
    }

    #[test]
    fn a_steady_clock_that_jumped_is_doubted_by_every_look_until_it_is_back() {
        static BOOT_MS: AtomicU64 = AtomicU64::new(100_000);
        let doubting = Doubting::new(|| Duration::from_millis(BOOT_MS.load(Ordering::SeqCst)));
        let start = doubting.tell(system_ms());
        let at = |passed: u64, off: u64| {
            BOOT_MS.store(100_000 + passed, Ordering::SeqCst);
            doubting.tell(start + passed + off) - start - passed
        };
        // Drift by drift it is followed, a jump is not; back again it is believed at once.
        assert_eq!([at(10, 0), at(20, 900), at(30, 1500), at(40, 2900), at(50, 31_000)], [0, 900, 1500, 2900, 31_000]);
        assert_eq!([at(60, 99_000), at(70, 99_000), at(80, 99_500), at(90, 31_100)], [31_000, 31_000, 31_000, 31_100]);
        assert_eq!([at(100, 99_000), at(30_099, 99_000), at(30_100, 99_000)], [31_100, 31_100, 99_000]);
    }

    #[test]
    fn a_moment_prints_as_people_read_it() {
        assert_eq!(UnixTime::from_secs(1_790_000_000).rfc3339(), "2026-09-21T14:13:20Z");
    }
}
