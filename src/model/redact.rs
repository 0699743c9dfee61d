//! Text without what looks like a credential: the last door, not the first. Callers hand in names and rules; what was
//! sent in the wrong place, or pasted into a reason, must not come back by way of an answer, a log or a store.

use std::borrow::Cow;

/// How a PEM block begins.
const PEM: &str = "-----BEGIN";
/// How a JOSE header begins in base64url: `{"`.
const JWS: &str = "eyJ";
/// A part of a JWS is at least so long: a signature has 86 characters.
const LONG: usize = 40;
const REDACTED: &str = "[redacted]";

/// `text` with each word that looks like a compact JWS, and everything from a PEM block on, replaced by `[redacted]`.
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    if is_short_and_plain(text) || (!text.contains(PEM) && !text.split(' ').any(is_jws)) {
        return Cow::Borrowed(text);
    }
    let (before, hidden) = text.split_once(PEM).map_or((text, ""), |(before, _)| (before, REDACTED));
    let words: Vec<&str> = before.split(' ').map(|word| if is_jws(word) { REDACTED } else { word }).collect();
    Cow::Owned(words.join(" ") + hidden)
}

/// Whether a text is too short for parts as long as a JWS', and has the beginning of nothing else: nearly all names are such,
/// and are looked at with every request.
fn is_short_and_plain(text: &str) -> bool {
    text.len() < 2 * LONG && !text.as_bytes().windows(3).any(|three| three == JWS.as_bytes() || three == b"---")
}

/// Whether a word has a JOSE header in it, or parts as long as a JWS': headers may begin with white space too.
fn is_jws(word: &str) -> bool {
    let is_long =
        |part: &str| part.len() >= LONG && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let parts = || word.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c));
    word.contains(JWS) || (word.matches('.').count() >= 2 && parts().filter(|part| is_long(part)).count() >= 2)
}

/// Whether a character moves a cursor, turns the direction of what follows, or takes no room: what shows it raw can be made to
/// show something else.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_token_or_a_key_is_not_kept() {
        let long = "a-Z_0".repeat(9);
        for (text, expected) in [
            ("the token eyJhbGciOiJFUzI1NiJ9.e30.AAAA was shown", "the token [redacted] was shown"),
            ("task 'eyJhbGciOiJFUzI1NiJ9'", "task [redacted]"),
            (&format!("ewogImFs.{long}.{long}"), "[redacted]"),
            (&format!("scope={long}.{long}.x"), "[redacted]"),
            ("a\n-----BEGIN EC PRIVATE KEY-----\nMHc A", "a\n[redacted]"),
        ] {
            assert_eq!(without_credentials(text), expected);
        }
    }

    #[test]
    fn names_stay_as_they_are() {
        let long = "a".repeat(60);
        for text in
            ["", "a.b.c", "unknown audience: https://api.eu.example.com/v1", &long, &format!("{long}.example.com")]
        {
            assert!(matches!(without_credentials(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
}
