//! A path with one meaning: what one server would read as another path than the next is refused, not guessed at.
//!
//! What is percent-encoded without need counts as written out (RFC 3986 §6.2.2). Upper and lower case differ.

use std::borrow::Cow;

/// Why a target has no one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ambiguous {
    /// It does not begin with `/`.
    #[error("the target is no path: it does not begin with /")]
    NoPath,
    /// A character that no path holds.
    #[error("the path holds a character that belongs in none")]
    Character,
    /// `%` without two hex digits, or bytes that are no UTF-8.
    #[error("the path is wrongly percent-encoded")]
    Encoding,
    /// A delimiter, a control character or a `%` is hidden by percent-encoding.
    #[error("the path hides a delimiter, a control character or an escape by percent-encoding")]
    Hidden,
    /// `.` or `..`
    #[error("the path holds a . or .. segment")]
    Dots,
    /// `//`
    #[error("the path holds an empty segment")]
    Empty,
    /// `;`
    #[error("the path holds a ;, behind which some servers see parameters")]
    Parameter,
}

/// The path of a target (path and query), decoded; without a `/` at its end, unless that is all of it.
pub(super) fn plain(target: &str) -> Result<Cow<'_, str>, Ambiguous> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if !path.starts_with('/') {
        return Err(Ambiguous::NoPath);
    }
    let path = decoded(path)?;
    let inner = path.strip_suffix('/').unwrap_or(&path).len();
    if inner == 0 {
        return Ok(Cow::Borrowed("/"));
    }
    for segment in path[1..inner].split('/') {
        match segment {
            "" => return Err(Ambiguous::Empty),
            "." | ".." => return Err(Ambiguous::Dots),
            _ => {}
        }
    }
    Ok(match path {
        Cow::Borrowed(path) => Cow::Borrowed(&path[..inner]),
        Cow::Owned(mut path) => {
            path.truncate(inner);
            Cow::Owned(path)
        }
    })
}

fn decoded(path: &str) -> Result<Cow<'_, str>, Ambiguous> {
    let bytes = path.as_bytes();
    if let Some(wrong) = bytes.iter().find(|byte| !is_of_path(**byte) && **byte != b'%') {
        return Err(if *wrong == b';' { Ambiguous::Parameter } else { Ambiguous::Character });
    }
    if !bytes.contains(&b'%') {
        return Ok(Cow::Borrowed(path));
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let [high, low, after @ ..] = rest else { return Err(Ambiguous::Encoding) };
        let byte = (hex(*high)? << 4) | hex(*low)?;
        rest = after;
        match byte {
            b'/' | b'\\' | b'?' | b'#' | b';' | 0..=0x1f | 0x7f => return Err(Ambiguous::Hidden),
            _ => out.push(byte),
        }
    }
    // Decoded twice it would be another path.
    if out.windows(3).any(|each| each[0] == b'%' && hex(each[1]).is_ok() && hex(each[2]).is_ok()) {
        return Err(Ambiguous::Hidden);
    }
    // Overlong forms of `/` and `.` are no UTF-8 either. C1 control characters are.
    let text = String::from_utf8(out).map_err(|_| Ambiguous::Encoding)?;
    if text.chars().any(char::is_control) {
        return Err(Ambiguous::Hidden);
    }
    Ok(Cow::Owned(text))
}

/// The characters of RFC 3986's `pchar`, and `/`; but for `%` and `;`.
const fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'/' | b'-'
                | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b'='
                | b':'
                | b'@'
        )
}

const fn hex(digit: u8) -> Result<u8, Ambiguous> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(Ambiguous::Encoding),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_is_read_as_every_server_reads_it() {
        for (target, path) in [
            ("/", "/"),
            ("/?a=//..;", "/"),
            ("/orders", "/orders"),
            ("/orders/", "/orders"),
            ("/orders/7?x=%2F", "/orders/7"),
            ("/%6frders/%37", "/orders/7"),
            ("/a:b@c/~x/(1)'*'", "/a:b@c/~x/(1)'*'"),
            ("/caf%C3%A9", "/caf\u{e9}"),
            ("/100%25", "/100%"),
            ("/100%25/x", "/100%/x"),
            ("/a%20b", "/a b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a..b/...", "/a..b/..."),
        ] {
            assert_eq!(plain(target).as_deref(), Ok(path), "{target}");
        }
    }

    #[test]
    fn what_servers_read_differently_is_refused() {
        use Ambiguous::{Character, Dots, Empty, Encoding, Hidden, NoPath, Parameter};
        for (target, why) in [
            ("", NoPath),
            ("*", NoPath),
            ("http://a/b", NoPath),
            ("//a", Empty),
            ("/a//b", Empty),
            ("/a//", Empty),
            ("//", Empty),
            ("/a/../b", Dots),
            ("/a/..", Dots),
            ("/./a", Dots),
            ("/a/%2e%2E/b", Dots),
            ("/a/.%2e", Dots),
            ("/a;b/c", Parameter),
            ("/a/..;/b", Parameter),
            ("/a%3bb", Hidden),
            ("/a%2fb", Hidden),
            ("/a%5c..%5cb", Hidden),
            ("/a\\b", Character),
            ("/a%00", Hidden),
            ("/a%0d%0ab", Hidden),
            ("/a%7f", Hidden),
            ("/a%C2%85", Hidden),
            ("/a%252fb", Hidden),
            ("/a%25%32%66", Hidden),
            ("/a%3Fb", Hidden),
            ("/a%23b", Hidden),
            ("/a#b", Character),
            ("/a b", Character),
            ("/a\tb", Character),
            ("/caf\u{e9}", Character),
            ("/a%", Encoding),
            ("/a%2", Encoding),
            ("/a%zz", Encoding),
            ("/a%u002f", Encoding),
            ("/a%c0%af", Encoding),
            ("/a%c0%ae%c0%ae/b", Encoding),
            ("/a%ff", Encoding),
        ] {
            assert_eq!(plain(target), Err(why), "{target}");
        }
    }

    proptest! {
        /// Whatever is let through names the same path once it is decoded again, and has no segment that moves.
        #[test]
        fn what_is_read_stands_still(target in "/[a-c.%0-9A-Fa-f/;\\\\?#é ]{0,12}") {
            if let Ok(path) = plain(&target) {
                prop_assert!(path.starts_with('/') && !path.contains("//") && !path.contains(';'), "{}", path);
                prop_assert!(path[1..].split('/').all(|segment| !matches!(segment, "." | "..")), "{}", path);
                prop_assert!(path.len() == 1 || !path.ends_with('/'), "{}", path);
                let twice = path.as_bytes().windows(3).any(|each| each[0] == b'%' && hex(each[1]).is_ok() && hex(each[2]).is_ok());
                prop_assert!(!twice, "{}", path);
            }
        }
    }
}
