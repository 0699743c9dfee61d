//! A place in one filtered feed, as the `id:` of its events and the `Last-Event-ID` of a reader that comes back.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::digest::{SHA256, digest};

use crate::model::{AudienceUri, Epoch, Position};

/// A multiple of three: base64url then has no loose bits, and each cursor one spelling.
const LEN: usize = 33;
/// First byte of a cursor from which the feed can go on.
const WHOLE: u8 = 3;
/// First byte of one given within a snapshot: it names a place and resumes nothing.
const PARTIAL: u8 = 4;

/// Epoch, position, last rule and filter. Opaque to readers: base64url of 33 bytes, 44 characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The log's life.
    pub epoch: Epoch,
    /// Up to where the log has been heard, by this feed's filter.
    pub position: Position,
    /// The place of the last rule that was sent on this feed; right behind a snapshot, the snapshot's.
    pub after: Position,
    filter: [u8; 8],
    whole: bool,
}

impl Cursor {
    /// The place right behind a snapshot at `position` on the feed for `audience`, or on the unfiltered one.
    pub fn new(epoch: Epoch, position: Position, audience: Option<&AudienceUri>) -> Self {
        Self { epoch, position, after: position, filter: filter_of(audience), whole: true }
    }

    /// A place on the same feed: heard up to `position`, the last rule having been the one at `after`.
    #[must_use]
    pub const fn at(self, position: Position, after: Position) -> Self {
        Self { position, after, whole: true, ..self }
    }

    /// The same place before a snapshot's last part: a reader that has only this starts anew.
    #[must_use]
    pub const fn within_snapshot(self) -> Self {
        Self { whole: false, ..self }
    }

    /// Reads what `Display` writes, and no other spelling of it.
    pub fn parse(raw: &str) -> Option<Self> {
        if raw.len() != LEN / 3 * 4 {
            return None;
        }
        let bytes: [u8; LEN] = B64.decode(raw).ok()?.try_into().ok()?;
        let whole = match bytes[0] {
            WHOLE => true,
            PARTIAL => false,
            _ => return None,
        };
        let word = |at: usize| -> Option<[u8; 8]> { bytes.get(at..at + 8)?.try_into().ok() };
        let place = |at: usize| word(at).map(u64::from_be_bytes);
        let (epoch, position, after) =
            (Epoch::from_bits(place(1)?), Position::new(place(9)?), Position::new(place(17)?));
        // What is sent was heard before.
        (after <= position).then_some(Self { epoch, position, after, filter: word(25)?, whole })
    }

    /// Whether the feed with this filter can go on from here, its epoch being the same.
    pub fn is_for(&self, audience: Option<&AudienceUri>) -> bool {
        self.whole && self.filter == filter_of(audience)
    }
}

/// Eight bytes tell filters apart; a reader that fakes one harms only itself.
fn filter_of(audience: Option<&AudienceUri>) -> [u8; 8] {
    let mut filter = [0; 8];
    if let Some(audience) = audience {
        filter.copy_from_slice(&digest(&SHA256, audience.as_str().as_bytes()).as_ref()[..8]);
    }
    filter
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; LEN];
        bytes[0] = if self.whole { WHOLE } else { PARTIAL };
        bytes[1..9].copy_from_slice(&self.epoch.bits().to_be_bytes());
        bytes[9..17].copy_from_slice(&self.position.get().to_be_bytes());
        bytes[17..25].copy_from_slice(&self.after.get().to_be_bytes());
        bytes[25..].copy_from_slice(&self.filter);
        let mut text = [0; LEN / 3 * 4];
        match B64.encode_slice(bytes, &mut text).ok().and_then(|_| std::str::from_utf8(&text).ok()) {
            Some(text) => f.write_str(text),
            None => Err(fmt::Error),
        }
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = if self.whole { "" } else { ", within a snapshot" };
        write!(f, "Cursor({} at {}, last {}{within})", self.epoch, self.position, self.after)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_resumes_its_own_feed_and_no_other() {
        let (orders, bills) = (AudienceUri::parse("https://orders").unwrap(), AudienceUri::parse("https://b").unwrap());
        let epoch = Epoch::from_bits(7);
        let cursor = Cursor::new(epoch, Position::new(3), Some(&orders));
        assert!(cursor.is_for(Some(&orders)) && !cursor.is_for(None) && !cursor.is_for(Some(&bills)));
        assert!(!cursor.within_snapshot().is_for(Some(&orders)));
        assert!(cursor.within_snapshot().at(Position::new(9), Position::new(4)).is_for(Some(&orders)));
    }

    #[test]
    fn other_spellings_are_refused() {
        let cursor = Cursor::new(Epoch::from_bits(7), Position::new(3), None);
        let text = cursor.to_string();
        let ahead = cursor.at(Position::new(3), Position::new(4)).to_string();
        let older = "AQAAAAAAAAAHAAAAAAAAAAMAAAAAAAAAAA";
        for raw in [
            "",
            "AQ",
            &text[1..],
            &format!("{text}="),
            &format!("B{}", &text[1..]),
            &text.replace('A', "+"),
            &ahead,
            older,
        ] {
            assert_eq!(Cursor::parse(raw), None, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back(epoch: u64, position: u64, back: u64, filtered: bool, within: bool) {
            let audience = filtered.then(|| AudienceUri::parse("https://orders").unwrap());
            let (position, after) = (Position::new(position), Position::new(position.saturating_sub(back)));
            let cursor = Cursor::new(Epoch::from_bits(epoch), position, audience.as_ref()).at(position, after);
            let cursor = if within { cursor.within_snapshot() } else { cursor };
            prop_assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }

        #[test]
        fn whatever_parses_prints_the_same(tail in "[A-Za-z0-9_-]{42}", first in "A[wx]|B[AP]|[A-Za-z0-9_-]{2}") {
            let raw = format!("{first}{tail}");
            if let Some(cursor) = Cursor::parse(&raw) {
                prop_assert_eq!(cursor.to_string(), raw);
            }
        }
    }
}
