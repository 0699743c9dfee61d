//! Chance that can be repeated: `JITNEY_TEST_SEED=N` plays a failed test again.

/// A splitmix64 generator.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Seeded by the environment, else by the moment. The seed is printed: a test that fails shows it.
    #[allow(clippy::disallowed_macros, reason = "a failed test shows what it printed")]
    pub fn new() -> Self {
        let given = std::env::var("JITNEY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| jitney::model::Clock::system().now_ms());
        println!("JITNEY_TEST_SEED={seed}");
        Self(seed)
    }

    /// The one that this seed gives.
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Another one, seeded by this one.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = self.below(from.len() as u64);
        &from[usize::try_from(at).unwrap()]
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
