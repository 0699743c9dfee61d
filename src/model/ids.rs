//! The names of things: workloads, audiences, leases, keys, decisions, epochs.
//!
//! Each is parsed once at the edge and carried as its own type from there on.

use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hex;

/// Why a name was refused: what it is, and the rule it broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {rule}")]
pub struct InvalidName {
    /// What was being named, in the words of the protocol (`task`, `scope`, `client_id` …).
    pub what: &'static str,
    /// The rule, as a sentence without a full stop.
    pub rule: &'static str,
}

/// Reads a text by `parse` where it stands, without a copy of its own in between.
pub(super) fn read_text<'de, D: Deserializer<'de>, T, E: fmt::Display>(
    d: D,
    parse: fn(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    struct Text<T, E>(fn(&str) -> Result<T, E>);
    impl<T, E: fmt::Display> Visitor<'_> for Text<T, E> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_str<F: serde::de::Error>(self, text: &str) -> Result<T, F> {
            (self.0)(text).map_err(F::custom)
        }
    }
    d.deserialize_str(Text(parse))
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $good:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                read_text(d, Self::parse)
            }
        }

        impl $name {
            /// Parses the name.
            ///
            /// # Errors
            /// [`InvalidName`] with the rule that was broken.
            pub fn parse(raw: &str) -> Result<Self, InvalidName> {
                let good: fn(&str) -> bool = $good;
                if good(raw) { Ok(Self(raw.into())) } else { Err(InvalidName { what: $what, rule: $rule }) }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(raw: String) -> Result<Self, InvalidName> {
                Self::parse(&raw)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
    };
}

text_id!(
    /// A governed non-human identity; the name of its file in `policies/workloads/`, the `sub` of its tokens.
    WorkloadId,
    "workload",
    "1 to 64 characters of A-Z a-z 0-9 . _ -, the first a letter or digit",
    |raw| (1..=64).contains(&raw.len())
        && raw.as_bytes()[0].is_ascii_alphanumeric()
        && raw.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
);

text_id!(
    /// The URI of a governed resource server, exactly as its file declares it; the `aud` of tokens for it.
    AudienceUri,
    "audience",
    "an absolute URI of at most 255 visible ASCII characters, without a fragment, a space or one of \" \\ < > ^ ` { | }",
    |raw| raw.len() <= 255
        && raw.split_once(':').is_some_and(|(scheme, rest)| {
            !rest.is_empty()
                && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        })
        && raw.bytes().all(|b| b.is_ascii_graphic()
            && !matches!(b, b'#' | b'"' | b'\\' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}'))
);

impl AudienceUri {
    /// Whether two spellings mean one resource server: a path of `/` equals none (RFC 3986 §6.2.3); all else is exact.
    pub fn matches(&self, other: &str) -> bool {
        fn bare(uri: &str) -> &str {
            match uri.strip_suffix('/') {
                // Only a path that is `/` alone is dropped: the authority may not be followed by anything else.
                Some(rest)
                    if rest
                        .split_once("://")
                        .is_some_and(|(_, authority)| !authority.is_empty() && !authority.contains(['/', '?'])) =>
                {
                    rest
                }
                _ => uri,
            }
        }
        bare(&self.0) == bare(other)
    }
}

text_id!(
    /// The `kid` of a signing key (RFC 7517 §4.5).
    KeyId,
    "kid",
    "1 to 128 visible ASCII characters",
    |raw| (1..=128).contains(&raw.len()) && raw.bytes().all(|b| b.is_ascii_graphic())
);

text_id!(
    /// Finds one decision's whole explanation in the audit log: `<broker>.<random>`, so it names its broker.
    DecisionId,
    "decision_id",
    "a broker's name, a dot and 22 characters of base64url",
    |raw| raw.split_once('.').is_some_and(|(broker, random)| {
        is_broker_name(broker) && random.len() == 22 && random.bytes().all(is_of_name)
    })
);

/// Whether a broker may be called so: 1 to 64 characters of `A-Z a-z 0-9 _ -`.
pub(crate) fn is_broker_name(raw: &str) -> bool {
    (1..=64).contains(&raw.len()) && raw.bytes().all(is_of_name)
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

impl DecisionId {
    /// The id of the broker called `broker` with these random bytes, never to be used again.
    ///
    /// # Errors
    /// [`InvalidName`] where `broker` is no name.
    pub fn of(broker: &str, random: [u8; 16]) -> Result<Self, InvalidName> {
        use base64::Engine as _;
        if !is_broker_name(broker) {
            return Self::parse("");
        }
        let mut text = String::with_capacity(broker.len() + 23);
        text.push_str(broker);
        text.push('.');
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_string(random, &mut text);
        Ok(Self(text.into()))
    }

    /// The broker that decided.
    pub fn broker(&self) -> &str {
        self.0.split_once('.').map_or("", |(broker, _)| broker)
    }
}

/// The name of one life of a store's log. It changes when the log or its tail was lost, and signing keys with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(u64);

impl Epoch {
    /// An epoch by its number.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its number.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Its text, 16 lower-case hex digits.
    pub fn digits(self) -> [u8; 16] {
        hex::digits(self.0)
    }

    /// Reads what [`Epoch`]'s `Display` writes: 16 lower-case hex digits.
    pub fn parse(raw: &str) -> Option<Self> {
        let lower = raw.len() == 16 && raw.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        lower.then(|| u64::from_str_radix(raw, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

impl Serialize for Epoch {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = std::borrow::Cow::<str>::deserialize(d)?;
        Self::parse(&raw).ok_or_else(|| serde::de::Error::custom("an epoch is 16 lower-case hex digits"))
    }
}

/// A lease's name, the `jti` of its token: a UUID of version 8 (RFC 9562 §5.8).
///
/// 48 bits of milliseconds, 32 bits of [`LeaseId::shard`], 42 random bits. The shard lets a store find the workload's
/// corner of its key space from the lease's name alone; it says no more than `sub` beside it does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(u128);

impl LeaseId {
    /// The first four bytes of SHA-256 of the workload's name.
    pub fn shard_of(workload: &WorkloadId) -> [u8; 4] {
        let hash = digest(&SHA256, workload.as_str().as_bytes());
        let mut shard = [0; 4];
        shard.copy_from_slice(&hash.as_ref()[..4]);
        shard
    }

    /// Builds the name of a lease made at `now_ms` for the workload of `shard`, from 42 of the `random` bits.
    pub const fn new(now_ms: u64, shard: [u8; 4], random: u64) -> Self {
        let time = (now_ms as u128 & 0xffff_ffff_ffff) << 80;
        let version = 0x8 << 76;
        let high = (random as u128 & 0xfff) << 64;
        let variant = 0b10 << 62;
        let shard = (u32::from_be_bytes(shard) as u128) << 30;
        let low = (random >> 12) as u128 & 0x3fff_ffff;
        Self(time | version | high | variant | shard | low)
    }

    /// The shard that was built in.
    pub const fn shard(self) -> [u8; 4] {
        (((self.0 >> 30) & 0xffff_ffff) as u32).to_be_bytes()
    }

    /// The moment that was built in, in milliseconds.
    pub const fn millis(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// Reads the usual form, `xxxxxxxx-xxxx-8xxx-xxxx-xxxxxxxxxxxx`, lower case, and no other.
    pub fn parse(raw: &str) -> Option<Self> {
        if raw.len() != 36 || raw.bytes().any(|b| b.is_ascii_uppercase()) {
            return None;
        }
        let uuid = uuid::Uuid::try_parse(raw).ok()?;
        (uuid.get_version_num() == 8).then(|| Self(uuid.as_u128()))
    }

    /// As 16 bytes, in an order that is the order of time to the millisecond.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From what [`LeaseId::to_bytes`] gave.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl LeaseId {
    /// Writes what `Display` writes into `room`.
    pub(crate) fn write_into(self, room: &mut [u8; 36]) -> &str {
        uuid::Uuid::from_u128(self.0).as_hyphenated().encode_lower(room)
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_u128(self.0).as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseId({self})")
    }
}

impl Serialize for LeaseId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.write_into(&mut [0; 36]))
    }
}

impl<'de> Deserialize<'de> for LeaseId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        read_text(d, |raw| Self::parse(raw).ok_or("a lease id is a version 8 UUID in lower case"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_id_carries_its_time_and_shard_and_reads_back() {
        let workload = WorkloadId::parse("nightly-report").unwrap();
        let shard = LeaseId::shard_of(&workload);
        let id = LeaseId::new(1_790_000_000_123, shard, u64::MAX);
        assert_eq!((id.millis(), id.shard()), (1_790_000_000_123, shard));
        assert_eq!(LeaseId::parse(&id.to_string()), Some(id));
        assert_eq!(LeaseId::from_bytes(id.to_bytes()), id);
        assert!(LeaseId::new(1_790_000_000_124, shard, 0) > id);
        assert_eq!(uuid::Uuid::parse_str(&id.to_string()).unwrap().get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn other_spellings_of_a_lease_id_are_refused() {
        let id = LeaseId::new(1, [1, 2, 3, 4], 5).to_string();
        for raw in [
            id.to_uppercase().as_str(),
            &id.replace('-', ""),
            &format!("{{{id}}}"),
            "",
            "0190163d-8694-739b-aea5-966c26f8ad91",
        ] {
            assert_eq!(LeaseId::parse(raw), None, "{raw}");
        }
    }

    #[test]
    fn an_audience_with_a_path_of_one_slash_equals_one_with_none() {
        let uri = AudienceUri::parse("https://api.example.com").unwrap();
        assert!(uri.matches("https://api.example.com/"));
        assert!(!uri.matches("https://api.example.com/v1"));
        assert!(!uri.matches("https://api.example.com//"));
        let uri = AudienceUri::parse("https://api.example.com/v1/").unwrap();
        assert!(!uri.matches("https://api.example.com/v1"));
    }

    #[test]
    fn names_that_could_confuse_are_refused() {
        for raw in ["", "-a", "a b", "a/b", "ä", "a\0"] {
            assert!(WorkloadId::parse(raw).is_err(), "{raw:?}");
        }
        for raw in ["", "api", "https://a b", "https://a#f", ":x", "https:"] {
            assert!(AudienceUri::parse(raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn a_decision_names_its_broker() {
        for broker in ["", "b.1", "b 1", "ü", &"b".repeat(65)] {
            assert!(DecisionId::of(broker, [7; 16]).is_err(), "{broker}");
        }
        for (broker, random) in [("b1f4", [7; 16]), ("-_Z9", [255; 16]), (&"b".repeat(64), [0; 16])] {
            let id = DecisionId::of(broker, random).unwrap();
            assert_eq!((DecisionId::parse(id.as_str()).as_ref(), id.broker()), (Ok(&id), broker));
        }
    }
}
