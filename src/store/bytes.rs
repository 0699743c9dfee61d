//! What is left to read of a record: the one place where stores cut bytes. It gives what is there, or nothing; it never panics.
//!
//! Owns no layout: what the bytes mean, and what it means that they are missing, each store says itself.

use crate::model::LeaseId;

/// The rest of a record.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(count)?;
        self.0 = left;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A big-endian number of `width` bytes, 8 at most.
    pub(super) fn number(&mut self, width: usize) -> Option<u64> {
        Some(self.take(width)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// Text of `count` bytes.
    pub(super) fn text(&mut self, count: usize) -> Option<&'a str> {
        std::str::from_utf8(self.take(count)?).ok()
    }

    pub(super) fn id(&mut self) -> Option<LeaseId> {
        self.array().map(LeaseId::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_given_and_takes_nothing_away() {
        let mut bytes = Bytes(b"\x01\x02abc\xff");
        assert_eq!(bytes.number(2), Some(0x0102));
        assert_eq!(bytes.take(5), None);
        assert!(bytes.take(usize::MAX).is_none() && bytes.id().is_none() && bytes.number(8).is_none());
        assert_eq!(bytes.text(3), Some("abc"));
        assert_eq!(bytes.text(1), None, "no text");
        assert!(bytes.is_empty());
        assert_eq!((bytes.take(0), bytes.array::<0>(), bytes.take(1)), (Some(&b""[..]), Some([]), None));
    }
}
