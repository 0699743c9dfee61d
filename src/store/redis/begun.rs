//! Which minutes this broker has begun: a script sets a key's time to live, and names it where lists look, only when it is
//! told to, and that is once a minute for each workload rather than at each mint.
//!
//! Never the truth, only what may be left out: what is not known here is begun once more, which does no harm. What was begun
//! in another epoch says nothing, for it may be among what was lost.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::layout::Shard;

/// Beyond so many all are forgotten, and begun once more.
const MOST: usize = 65_536;

/// A minute of a shard, and what is kept in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kept {
    /// Leases made in it.
    Leases(Shard, u64),
    /// Assertions that cannot be used after it.
    Assertions(Shard, u64),
    /// Marks of leases that expire before it.
    Marks(Shard, u64),
}

/// By what was begun: the minute up to which it is kept.
#[derive(Default)]
pub(super) struct Begun(Mutex<(u64, HashMap<Kept, u64>)>);

impl Begun {
    /// Whether all of these were begun in this generation of the log, and are kept up to these minutes at least.
    pub(super) fn knows(&self, generation: u64, all: impl Iterator<Item = (Kept, u64)>) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = all;
        known.0 == generation && all.all(|(kept, upto)| known.1.get(&kept).is_some_and(|known| *known >= upto))
    }

    /// Takes note that these were begun.
    pub(super) fn note(&self, generation: u64, all: impl Iterator<Item = (Kept, u64)>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != generation || known.1.len() >= MOST {
            *known = (generation, HashMap::new());
        }
        for (kept, upto) in all {
            let known = known.1.entry(kept).or_default();
            *known = upto.max(*known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_known_up_to_its_minute_and_in_its_generation() {
        let (begun, leases) = (Begun::default(), Kept::Leases([1, 2, 3, 4], 7));
        let knows = |generation, upto| begun.knows(generation, [(leases, upto)].into_iter());
        assert!(!knows(1, 9));
        begun.note(1, [(leases, 9)].into_iter());
        begun.note(1, [(leases, 8)].into_iter());
        assert!(knows(1, 9) && knows(1, 8) && !knows(1, 10) && !knows(2, 9));
        assert!(!begun.knows(1, [(leases, 9), (Kept::Assertions([1, 2, 3, 4], 7), 7)].into_iter()));
        begun.note(2, [(Kept::Leases([0; 4], 1), 1)].into_iter());
        assert!(!knows(1, 9) && !knows(2, 9), "another epoch's say nothing");
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let begun = Begun::default();
        for minute in 0..=MOST as u64 {
            begun.note(1, [(Kept::Leases([0; 4], minute), minute)].into_iter());
        }
        assert!(begun.0.lock().unwrap().1.len() <= MOST);
        assert!(begun.knows(1, [(Kept::Leases([0; 4], MOST as u64), 0)].into_iter()));
    }
}
