//! Names that nobody has taken.

use ring::rand::{SecureRandom as _, SystemRandom};

/// Twelve random hex digits.
pub fn name() -> String {
    let mut random = [0; 6];
    // Where there is no randomness whoever uses the name meets one that is taken, and nothing else depends on it.
    let _ = SystemRandom::new().fill(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
