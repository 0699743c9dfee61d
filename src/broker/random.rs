//! Random bytes for names: of leases, decisions, tasks. Asked of the system for several names at once, since asking costs more
//! than the bytes; no byte is given twice. Never for keys or signatures: what makes those asks for itself.

use std::sync::{Mutex, PoisonError};

use ring::error::Unspecified;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Enough for some ten names.
const AT_ONCE: usize = 256;

/// A store of random bytes.
pub(super) struct Randomness {
    rng: SystemRandom,
    drawn: Mutex<Drawn>,
}

struct Drawn {
    bytes: [u8; AT_ONCE],
    /// From here on they have not been given.
    next: usize,
}

impl Randomness {
    pub(super) const fn new(rng: SystemRandom) -> Self {
        Self { rng, drawn: Mutex::new(Drawn { bytes: [0; AT_ONCE], next: AT_ONCE }) }
    }

    /// So many bytes that nobody had before.
    ///
    /// # Errors
    /// The system has none to give.
    pub(super) fn take<const N: usize>(&self) -> Result<[u8; N], Unspecified> {
        const { assert!(N <= AT_ONCE) };
        // Whoever panicked with the lock held has changed nothing between two statements that counts.
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if AT_ONCE - drawn.next < N {
            // Spent first: where the system fails half-way, nothing of it is given.
            drawn.next = AT_ONCE;
            self.rng.fill(&mut drawn.bytes)?;
            drawn.next = 0;
        }
        let from = drawn.next;
        drawn.next += N;
        let mut taken = [0; N];
        taken.copy_from_slice(&drawn.bytes[from..from + N]);
        drawn.bytes[from..from + N].fill(0);
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_byte_is_given_twice_and_none_is_left_behind() {
        let random = Randomness::new(SystemRandom::new());
        let names: HashSet<[u8; 24]> = (0..1000).map(|_| random.take().unwrap()).collect();
        assert_eq!(names.len(), 1000);
        // Parts of two draws would show as zeros.
        assert!(names.iter().all(|name| name[..12] != [0; 12] && name[12..] != [0; 12]));
        let drawn = random.drawn.lock().unwrap();
        assert!(drawn.bytes[..drawn.next].iter().all(|byte| *byte == 0));
        assert!(drawn.bytes[drawn.next..].iter().any(|byte| *byte != 0));
    }
}
