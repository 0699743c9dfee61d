//! Figures in their order: how many, the middle one, the slow ones, the slowest.

use serde::Serialize;

/// So many are kept one by one; of more, every second, fourth, … is.
const MOST: usize = 1 << 18;

/// Figures as they come, in microseconds.
#[derive(Debug, Clone)]
pub(super) struct Spread {
    count: u64,
    kept: Vec<u64>,
    every: u64,
    measured: u64,
    longest: u64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { count: 0, kept: Vec::new(), every: 1, measured: 0, longest: 0 }
    }
}

/// What they come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// How many there were.
    pub count: u64,
    /// Of so many it is known how long they took.
    pub measured: u64,
    /// Half of them took no longer, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<u64>,
    /// 95 of 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_us: Option<u64>,
    /// The longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_us: Option<u64>,
}

impl Spread {
    /// One more, of which it may not be known how long it took.
    pub fn add(&mut self, took_us: Option<u64>) {
        self.count += 1;
        let Some(took) = took_us else { return };
        self.longest = self.longest.max(took);
        if self.measured.is_multiple_of(self.every) {
            self.kept.push(took);
        }
        self.measured += 1;
        if self.kept.len() >= MOST {
            let mut at = 0;
            self.kept.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.every *= 2;
        }
    }

    pub fn quantiles(&self) -> Quantiles {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable();
        // The smallest figure that so many of a hundred do not pass.
        let at = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Quantiles {
            count: self.count,
            measured: self.measured,
            p50_us: at(50),
            p95_us: at(95),
            max_us: (self.measured > 0).then_some(self.longest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_few_and_of_many_the_figures_are_those_of_all() {
        let of = |numbers: &mut dyn Iterator<Item = u64>| {
            let mut spread = Spread::default();
            numbers.for_each(|number| spread.add(Some(number)));
            spread.add(None);
            spread.quantiles()
        };
        let few = of(&mut [5, 1, 9].into_iter());
        assert_eq!((few.count, few.measured), (4, 3));
        assert_eq!((few.p50_us, few.p95_us, few.max_us), (Some(5), Some(9), Some(9)));
        let hundred = of(&mut (1..=100));
        assert_eq!((hundred.p50_us, hundred.p95_us, hundred.max_us), (Some(50), Some(95), Some(100)));
        let many = of(&mut (1..=1_000_000));
        let near = |found: Option<u64>, exact: u64| found.unwrap().abs_diff(exact) < 100;
        assert!(near(many.p50_us, 500_000) && near(many.p95_us, 950_000), "{many:?}");
        assert_eq!((many.measured, many.max_us), (1_000_000, Some(1_000_000)));
        let none = of(&mut std::iter::empty());
        assert_eq!((none.count, none.p50_us, none.max_us), (1, None, None));
    }
}
