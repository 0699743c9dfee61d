//! Free text as a line may hold it: bounded, without control characters, without what looks like a token or a key.

use std::borrow::Cow;
use std::fmt;

use crate::model::{is_hidden, without_credentials};

/// Text of at most a given number of characters, safe to print on a terminal.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Text(Box<str>);

impl Text {
    /// Takes `raw`: control and direction-changing characters are written as `\u{…}`, what looks like a compact JWS or a
    /// PEM block is replaced by `[redacted]`, and what is longer than `max` characters is cut and ends in `…`.
    pub(super) fn new(raw: &str, max: usize) -> Self {
        Self(told(raw, max).into())
    }

    /// The text.
    pub(super) const fn as_str(&self) -> &str {
        &self.0
    }
}

/// The same of a text that is not kept; nothing is copied where it may stand as it is.
pub(super) fn told(raw: &str, max: usize) -> Cow<'_, str> {
    let raw = without_credentials(raw);
    if raw.len() <= max && raw.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return raw;
    }
    let mut text = String::with_capacity(raw.len().min(max * 4));
    for (length, c) in raw.chars().enumerate() {
        if length == max {
            text.push('…');
            break;
        }
        if is_hidden(c) { text.extend(c.escape_unicode()) } else { text.push(c) }
    }
    text.into()
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_as_it_is() {
        assert_eq!(&*Text::new("leaked in a build log, ticket 4711", 64).0, "leaked in a build log, ticket 4711");
        assert_eq!(&*Text::new("Schlüssel verloren", 64).0, "Schlüssel verloren");
    }

    #[test]
    fn what_could_forge_a_line_or_a_screen_is_escaped() {
        assert_eq!(&*Text::new("a\nb\u{1b}[2J\u{202e}c\u{7f}", 64).0, "a\\u{a}b\\u{1b}[2J\\u{202e}c\\u{7f}");
    }

    #[test]
    fn what_is_too_long_is_cut_visibly() {
        assert_eq!(&*Text::new("abcdef", 3).0, "abc…");
        assert_eq!(&*Text::new("ääää", 3).0, "äää…");
    }

    #[test]
    fn what_looks_like_a_token_or_a_key_is_not_kept() {
        let text = Text::new("the token eyJhbGciOiJFUzI1NiJ9.e30.AAAA was shown", 200);
        assert_eq!(&*text.0, "the token [redacted] was shown");
        assert!(!Text::new("-----BEGIN EC PRIVATE KEY-----\nMHc A", 200).0.contains("MHc"));
    }
}
