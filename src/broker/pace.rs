//! A bound on how fast a workload may set marks that nothing stands behind: a bucket a workload, refilled by time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::{UnixTime, WorkloadId};

/// Buckets by workload. Their number is bounded by the workloads that exist.
#[derive(Debug)]
pub(super) struct Pace {
    burst: u64,
    per_second: u64,
    spent: Mutex<HashMap<WorkloadId, (u64, UnixTime)>>,
}

impl Pace {
    pub(super) fn new(burst: u64, per_second: u64) -> Self {
        Self { burst, per_second, spent: Mutex::new(HashMap::new()) }
    }

    /// Whether the workload has anything left.
    pub(super) fn may(&self, workload: &WorkloadId, now: UnixTime) -> bool {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.get(workload).is_none_or(|(used, since)| self.left_used(*used, *since, now) < self.burst)
    }

    /// Takes one from the workload's bucket; a bucket that is full again is forgotten.
    pub(super) fn charge(&self, workload: &WorkloadId, now: UnixTime) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let used = spent.get(workload).map_or(0, |(used, since)| self.left_used(*used, *since, now));
        spent.insert(workload.clone(), (used + 1, now));
        if spent.len() > 1024 {
            spent.retain(|_, (used, since)| self.left_used(*used, *since, now) > 0);
        }
    }

    const fn left_used(&self, used: u64, since: UnixTime, now: UnixTime) -> u64 {
        used.saturating_sub(now.secs().saturating_sub(since.secs()).saturating_mul(self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let pace = Pace::new(3, 2);
        let (one, other) = (WorkloadId::parse("one").unwrap(), WorkloadId::parse("other").unwrap());
        let at = UnixTime::from_secs;
        for _ in 0..3 {
            assert!(pace.may(&one, at(10)));
            pace.charge(&one, at(10));
        }
        assert!(!pace.may(&one, at(10)));
        assert!(pace.may(&other, at(10)));
        assert!(pace.may(&one, at(11)));
    }
}
