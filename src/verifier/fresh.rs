//! What a verifier holds for true, and since when: the keys of the JWKS, the feed's `kids`, the view's age.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Checker;
use crate::jose::es256::VerifyingKey;
use crate::model::KeyId;

/// The keys that are accepted: those of the JWKS that the feed names too. Two tasks write them, each its half.
#[derive(Debug, Default)]
pub(super) struct Trust {
    /// A std mutex: a few pointers are moved under it and nothing is awaited.
    halves: Mutex<Halves>,
}

#[derive(Debug, Default)]
struct Halves {
    jwks: Vec<(KeyId, VerifyingKey)>,
    kids: Vec<KeyId>,
}

impl Trust {
    /// The keys of the JWKS, from now on.
    pub(super) fn set_jwks(&self, jwks: Vec<(KeyId, VerifyingKey)>, checker: &Checker) {
        let mut halves = self.lock();
        halves.jwks = jwks;
        halves.publish(checker);
    }

    /// The keys whose tokens count, from now on.
    pub(super) fn set_kids(&self, kids: &[KeyId], checker: &Checker) {
        let mut halves = self.lock();
        if halves.kids != kids {
            halves.kids = kids.to_vec();
            halves.publish(checker);
        }
    }

    pub(super) fn jwks(&self) -> Vec<(KeyId, VerifyingKey)> {
        self.lock().jwks.clone()
    }

    /// Whether the feed names a key that the JWKS, as it was last fetched, does not hold.
    pub(super) fn lacks_a_key(&self) -> bool {
        let halves = self.lock();
        halves.kids.iter().any(|kid| !halves.jwks.iter().any(|(own, _)| own == kid))
    }

    fn lock(&self) -> MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn publish(&self, checker: &Checker) {
        let counts = |(kid, _): &&(KeyId, VerifyingKey)| self.kids.contains(kid);
        checker.set_keys(self.jwks.iter().filter(counts).cloned().collect());
    }
}

/// How old the view is: the time since the feed was last heard, or since what it said was true, whichever is longer.
#[derive(Debug)]
pub(super) struct Age {
    started: Instant,
    /// Milliseconds from `started` to when the feed was last heard, plus one; 0 before the first time.
    heard: AtomicU64,
    /// The latest moment that it told, Unix milliseconds.
    told: AtomicU64,
}

impl Age {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), heard: AtomicU64::new(0), told: AtomicU64::new(0) }
    }

    /// All was told up to where the log ended at `told_ms`, Unix milliseconds; this was heard at `at`.
    pub(super) fn heard(&self, at: Instant, told_ms: u64) {
        self.told.fetch_max(told_ms, Ordering::AcqRel);
        self.heard.fetch_max(millis(at.saturating_duration_since(self.started)) + 1, Ordering::AcqRel);
    }

    /// The latest moment that the feed told, Unix milliseconds; 0 before the first.
    pub(super) fn told_ms(&self) -> u64 {
        self.told.load(Ordering::Acquire)
    }

    /// The age by a wall clock that tells `now_ms`; none before the first view.
    pub(super) fn at(&self, now_ms: u64) -> Option<Duration> {
        let heard = self.heard.load(Ordering::Acquire).checked_sub(1)?;
        let silent = millis(self.started.elapsed()).saturating_sub(heard);
        Some(Duration::from_millis(silent.max(now_ms.saturating_sub(self.told_ms()))))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX - 1)
}
