//! A place in one filtered feed, as the `id:` of its events and the `Last-Event-ID` of a reader that comes back.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::digest::{SHA256, digest};

use crate::model::{AudienceUri, Epoch, Position};

const LEN: usize = 25;
/// First byte of a cursor from which the feed can go on.
const WHOLE: u8 = 1;
/// First byte of one given within a snapshot: it names a place and resumes nothing.
const PARTIAL: u8 = 2;

/// Epoch, position and filter. Opaque to readers: base64url of 25 bytes, 34 characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The log's life.
    pub epoch: Epoch,
    /// Up to where it has been heard.
    pub position: Position,
    filter: [u8; 8],
    whole: bool,
}

impl Cursor {
    /// The place right behind `position` on the feed for `audience`, or on the unfiltered one.
    pub fn new(epoch: Epoch, position: Position, audience: Option<&AudienceUri>) -> Self {
        Self { epoch, position, filter: filter_of(audience), whole: true }
    }

    /// The same place before a snapshot's last part: a reader that has only this starts anew.
    #[must_use]
    pub const fn within_snapshot(self) -> Self {
        Self { whole: false, ..self }
    }

    /// Reads what `Display` writes, and no other spelling of it.
    pub fn parse(raw: &str) -> Option<Self> {
        if raw.len() != (LEN * 4).div_ceil(3) {
            return None;
        }
        let bytes: [u8; LEN] = B64.decode(raw).ok()?.try_into().ok()?;
        let whole = match bytes[0] {
            WHOLE => true,
            PARTIAL => false,
            _ => return None,
        };
        let word = |at: usize| -> Option<[u8; 8]> { bytes.get(at..at + 8)?.try_into().ok() };
        let (epoch, position) = (u64::from_be_bytes(word(1)?), u64::from_be_bytes(word(9)?));
        Some(Self { epoch: Epoch::from_bits(epoch), position: Position::new(position), filter: word(17)?, whole })
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
        bytes[17..].copy_from_slice(&self.filter);
        f.write_str(&B64.encode(bytes))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({} at {}{})", self.epoch, self.position, if self.whole { "" } else { ", within a snapshot" })
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
    }

    #[test]
    fn other_spellings_are_refused() {
        let text = Cursor::new(Epoch::from_bits(7), Position::new(3), None).to_string();
        let last = format!("{}B", &text[..33]);
        for raw in
            ["", "AQ", &text[1..], &format!("{text}="), &format!("B{}", &text[1..]), &last, &text.replace('A', "+")]
        {
            assert_eq!(Cursor::parse(raw), None, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back(epoch: u64, position: u64, filtered: bool, within: bool) {
            let audience = filtered.then(|| AudienceUri::parse("https://orders").unwrap());
            let cursor = Cursor::new(Epoch::from_bits(epoch), Position::new(position), audience.as_ref());
            let cursor = if within { cursor.within_snapshot() } else { cursor };
            prop_assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }

        #[test]
        fn whatever_parses_prints_the_same(raw in "[A-Za-z0-9_-]{34}") {
            if let Some(cursor) = Cursor::parse(&raw) {
                prop_assert_eq!(cursor.to_string(), raw);
            }
        }
    }
}
