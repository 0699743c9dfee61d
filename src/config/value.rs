//! Reads one value: from text to a type, or a sentence that says what would have been right.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::IntoConnectionInfo as _;

use super::StoreUrl;
use crate::fetch::foreign::Origin;
use crate::model::time::parse_span;
use crate::model::{AudienceUri, Secret};
use crate::policy::closest;

/// The longest span of time that is taken for anything.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A value as it was given, and the folder that a relative path in it starts from.
pub(super) struct Given<'a> {
    pub(super) text: &'a str,
    pub(super) base: &'a Path,
}

/// Puts a value in its slot, where it is one.
pub(super) fn put<T>(slot: &mut T, value: Result<T, String>) -> Result<(), String> {
    *slot = value?;
    Ok(())
}

pub(super) fn address(given: &Given<'_>) -> Result<SocketAddr, String> {
    let wrong = |_| "no address to listen on: write an IP address and a port, like `127.0.0.1:8180` or `[::1]:8180`";
    given.text.parse().map_err(wrong).map_err(str::to_owned)
}

pub(super) fn flag(given: &Given<'_>) -> Result<bool, String> {
    match given.text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("write `true` or `false`".into()),
    }
}

pub(super) fn span(given: &Given<'_>) -> Result<Duration, String> {
    let span = parse_span(given.text)?;
    if span > LONGEST { Err("longer than 366 days".into()) } else { Ok(span) }
}

pub(super) fn number<T: TryFrom<u64>>(given: &Given<'_>, range: RangeInclusive<u64>) -> Result<T, String> {
    let read = given.text.parse().ok().filter(|number| range.contains(number));
    read.and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("write a whole number from {} to {}", range.start(), range.end()))
}

/// Bytes: a whole number, alone or with `KiB` or `MiB`.
pub(super) fn size(given: &Given<'_>, range: RangeInclusive<u64>) -> Result<usize, String> {
    let (digits, unit) = match given.text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => given.text.split_at(at),
        None => (given.text, ""),
    };
    let unit: Option<u64> = match unit.trim_start() {
        "" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let bytes = digits.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    bytes
        .filter(|bytes| range.contains(bytes))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| format!("write a size from {} to {} bytes, like `65536` or `64KiB`", range.start(), range.end()))
}

pub(super) fn path(given: &Given<'_>) -> Result<PathBuf, String> {
    if given.text.is_empty() { Err("write a path".into()) } else { Ok(given.base.join(given.text)) }
}

/// A value that may be left out: nothing given is none.
pub(super) fn optional<T>(
    given: &Given<'_>,
    read: impl FnOnce(&Given<'_>) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if given.text.is_empty() { Ok(None) } else { read(given).map(Some) }
}

/// Names, separated by commas, each one of `known`: a misspelt one would look accepted and change nothing.
pub(super) fn names(given: &Given<'_>, known: &[&str]) -> Result<Vec<String>, String> {
    let names: Vec<_> = given.text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    match names.iter().find(|name| !known.contains(name)) {
        None => Ok(names.into_iter().map(str::to_owned).collect()),
        Some(stranger) => {
            let meant = closest(stranger, known.iter().copied());
            let meant = meant.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            Err(format!("nothing is named `{stranger}`: {meant}There are {}", known.join(", ")))
        }
    }
}

/// Origins of URLs, separated by commas.
pub(super) fn origins(given: &Given<'_>) -> Result<Vec<Origin>, String> {
    let read = |name| Origin::parse(name).map_err(|why| format!("{why}; write it like `https://issuer.internal:8443`"));
    given.text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(read).collect()
}

/// URIs of resource servers, separated by commas.
pub(super) fn audiences(given: &Given<'_>) -> Result<Vec<AudienceUri>, String> {
    let read = |name| AudienceUri::parse(name).map_err(|why| why.to_string());
    given.text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(read).collect()
}

/// One of a few words.
pub(super) fn word<T: Copy>(given: &Given<'_>, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == given.text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        format!("write {}", known.join(" or "))
    })
}

/// An issuer (RFC 8414 §2), as strings are compared: scheme, host and port, and nothing behind them.
pub(super) fn issuer(given: &Given<'_>) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("no issuer: {why}; write it like `https://jitney.example.com`"));
    let text = given.text;
    let Ok(uri) = text.parse::<http::Uri>() else { return wrong("it is no URL") };
    if !matches!(uri.scheme_str(), Some("https" | "http")) || uri.host().is_none_or(str::is_empty) {
        return wrong("it is no https URL with a host");
    }
    if text.contains(['?', '#', '@']) {
        return wrong("a user, a query or a fragment has no place in it");
    }
    if text.ends_with('/') {
        return wrong("a `/` at its end would make it another one");
    }
    if uri.path() != "/" {
        return wrong("a path in it is not built yet");
    }
    Ok(text.to_owned())
}

/// A store's URL. What is wrong is said without the URL: it may hold a password.
pub(super) fn store(given: &Given<'_>) -> Result<StoreUrl, String> {
    const KNOWN: &str = "write `embedded:PATH`, `redis://HOST:PORT` or `rediss://HOST:PORT`";
    let text = given.text;
    if let Some(path) = text.strip_prefix("embedded:") {
        return match path {
            "" => Err("the embedded store needs a folder: write `embedded:PATH`".into()),
            path => Ok(StoreUrl::Embedded(given.base.join(path))),
        };
    }
    match text.split_once("://").map(|(scheme, _)| scheme) {
        Some("redis" | "rediss") => match text.into_connection_info() {
            Ok(_) => Ok(StoreUrl::Redis(Secret::new(text.to_owned()))),
            Err(_) => Err("no usable Redis URL: write it like `redis://user:password@host:6379/0`".into()),
        },
        Some(later @ ("redis-sentinel" | "redis-cluster")) => Err(format!("`{later}://` is not built yet: {KNOWN}")),
        _ => Err(format!("no store is named so: {KNOWN}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Given<'_> {
        Given { text, base: Path::new("/etc/jitney") }
    }

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        for (text, bytes) in [("1024", 1024), ("64KiB", 65_536), ("2 MiB", 2 << 20), ("3GiB", 3 << 30)] {
            assert_eq!(size(&given(text), 0..=u64::MAX), Ok(bytes), "{text}");
        }
        for text in ["", "64kb", "-1", "1.5MiB", "KiB", "99999999999999999999", "18446744073709551615MiB"] {
            assert!(size(&given(text), 0..=u64::MAX).unwrap_err().contains("64KiB"), "{text}");
        }
        assert!(size(&given("1"), 2..=3).unwrap_err().contains("from 2 to 3"));
    }

    #[test]
    fn paths_start_at_their_folder() {
        assert_eq!(path(&given("a/b")), Ok("/etc/jitney/a/b".into()));
        assert_eq!(path(&given("/a")), Ok("/a".into()));
        assert!(path(&given("")).is_err());
        let url = store(&given("embedded:data")).unwrap();
        assert!(matches!(url, StoreUrl::Embedded(path) if path == Path::new("/etc/jitney/data")));
    }

    #[test]
    fn an_issuer_is_scheme_and_host() {
        for text in ["https://jitney.example.com", "http://127.0.0.1:8180", "https://a:444", "http://[::1]:1"] {
            assert_eq!(issuer(&given(text)).as_deref(), Ok(text));
        }
        for text in ["jitney.example.com", "https://", "https://a/", "https://a/b", "https://a?b", "https://a#b"] {
            assert!(issuer(&given(text)).is_err(), "{text}");
        }
        assert!(issuer(&given("https://u:p@a")).is_err());
        assert!(issuer(&given("ftp://a")).is_err());
    }

    #[test]
    fn a_store_is_known_by_its_scheme_and_its_password_never_shown() {
        let url = store(&given("rediss://user:hunter2@redis.example:6380/1")).unwrap();
        assert!(matches!(&url, StoreUrl::Redis(url) if url.expose().contains("hunter2")));
        assert!(!format!("{url:?}").contains("hunter2"));
        let texts =
            ["redis://:hunter2@", "redis://:hunter2@h:99999", "postgres://hunter2@h", "hunter2", "embedded:", ""];
        for text in texts {
            assert!(!store(&given(text)).unwrap_err().contains("hunter2"), "{text}");
        }
        for text in ["redis-sentinel://a,b/m", "redis-cluster://a"] {
            assert!(store(&given(text)).unwrap_err().contains("not built yet"), "{text}");
        }
    }
}
