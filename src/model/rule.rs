//! A rule of the revocation log: which tokens end, from which position on, and until when that matters.
//!
//! Owns the selectors and their digests (SHA-256 over kind and parts joined by NUL, first 16 bytes). Never says who may
//! end what.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::digest::{Context, SHA256, digest};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeTuple as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{AudienceUri, KeyId, LeaseId, TaskId, UnixTime, WorkloadId};

/// A place in a store's one ordered revocation log. The log begins behind position 0; its first rule stands at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(u64);

impl Position {
    /// Before the first rule.
    pub const START: Self = Self(0);

    /// The place with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The place behind this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum RuleKind {
    /// One lease, by `jti`.
    Lease = 1,
    /// A task of a workload, and its children.
    Task = 2,
    /// A workload, also where it acts for another.
    Workload = 3,
    /// A resource server.
    Audience = 4,
    /// A signing key, whatever the position.
    Key = 5,
    /// Every token.
    All = 6,
}

impl RuleKind {
    /// The word of the feed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Task => "task",
            Self::Workload => "workload",
            Self::Audience => "audience",
            Self::Key => "key",
            Self::All => "all",
        }
    }

    /// From the byte that `as u8` gives.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Lease,
            2 => Self::Task,
            3 => Self::Workload,
            4 => Self::Audience,
            5 => Self::Key,
            6 => Self::All,
            _ => return None,
        })
    }
}

/// Which tokens an end is about, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// One lease.
    Lease(LeaseId),
    /// A task of a workload and all its children.
    Task(WorkloadId, TaskId),
    /// All of a workload.
    Workload(WorkloadId),
    /// All for a resource server.
    Audience(AudienceUri),
    /// All under a signing key.
    Key(KeyId),
    /// Every token.
    All,
}

impl Selector {
    /// Its kind.
    pub const fn kind(&self) -> RuleKind {
        match self {
            Self::Lease(_) => RuleKind::Lease,
            Self::Task(..) => RuleKind::Task,
            Self::Workload(_) => RuleKind::Workload,
            Self::Audience(_) => RuleKind::Audience,
            Self::Key(_) => RuleKind::Key,
            Self::All => RuleKind::All,
        }
    }

    /// Its digest, as the feed carries it.
    pub fn digest(&self) -> RuleDigest {
        match self {
            Self::Lease(id) => RuleDigest::lease(*id),
            Self::Task(workload, task) => RuleDigest::task(workload, task.as_str()),
            Self::Workload(workload) => RuleDigest::of(RuleKind::Workload, &[workload.as_str()]),
            Self::Audience(uri) => RuleDigest::of(RuleKind::Audience, &[uri.as_str()]),
            Self::Key(kid) => RuleDigest::of(RuleKind::Key, &[kid.as_str()]),
            Self::All => RuleDigest::of(RuleKind::All, &[]),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease(id) => write!(f, "lease {id}"),
            Self::Task(workload, task) => write!(f, "task {task} of {workload}"),
            Self::Workload(workload) => write!(f, "workload {workload}"),
            Self::Audience(uri) => write!(f, "audience {uri}"),
            Self::Key(kid) => write!(f, "key {kid}"),
            Self::All => f.write_str("everything"),
        }
    }
}

/// The first 16 bytes of SHA-256 over a rule's kind and parts, joined by NUL bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleDigest([u8; 16]);

impl RuleDigest {
    /// The digest of `kind` and `parts`; parts never hold a NUL byte, as all of them are parsed names.
    pub fn of(kind: RuleKind, parts: &[&str]) -> Self {
        let hash = hash(kind.as_str(), parts);
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.as_ref()[..16]);
        Self(digest)
    }

    /// The digest of one lease.
    pub fn lease(id: LeaseId) -> Self {
        Self::of(RuleKind::Lease, &[id.write_into(&mut [0; 36])])
    }

    /// The digest of a task by its name, for each name of a lineage.
    pub fn task(workload: &WorkloadId, name: &str) -> Self {
        Self::of(RuleKind::Task, &[workload.as_str(), name])
    }

    /// As bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// From what [`RuleDigest::to_bytes`] gave.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As base64url without padding, 22 characters.
    pub fn to_base64(self) -> String {
        B64.encode(self.0)
    }

    /// From base64url without padding, canonical.
    pub fn from_base64(raw: &str) -> Option<Self> {
        let bytes = B64.decode(raw).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

/// SHA-256 over `kind` and `parts`: at one go where they fit on the stack, as all names of leases, tasks and workloads do.
fn hash(kind: &str, parts: &[&str]) -> ring::digest::Digest {
    let mut room = [0; 256];
    let needed = kind.len() + parts.iter().map(|part| 1 + part.len()).sum::<usize>();
    if needed <= room.len() {
        room[..kind.len()].copy_from_slice(kind.as_bytes());
        let mut at = kind.len();
        for part in parts {
            // The NUL byte between them is there already.
            room[at + 1..at + 1 + part.len()].copy_from_slice(part.as_bytes());
            at += 1 + part.len();
        }
        return digest(&SHA256, &room[..needed]);
    }
    let mut context = Context::new(&SHA256);
    context.update(kind.as_bytes());
    for part in parts {
        context.update(&[0]);
        context.update(part.as_bytes());
    }
    context.finish()
}

impl fmt::Debug for RuleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RuleDigest({})", self.to_base64())
    }
}

/// One rule of the log. On the wire: `[kind, digest, position, until]`, `until` absent-valued (`null`) for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rule {
    /// What it is about.
    pub kind: RuleKind,
    /// Whom it selects.
    pub digest: RuleDigest,
    /// Where it stands: it ends the selected tokens that carry a smaller `rev`. A rule on a key ends all.
    pub position: Position,
    /// After this second no token it selects can live. None for a key: such a rule holds for its epoch.
    pub until: Option<UnixTime>,
}

impl Rule {
    /// Whether no token it selects can still be good at `now` less the `skew` verifiers allow.
    pub fn is_past(&self, now: UnixTime, skew: std::time::Duration) -> bool {
        self.until.is_some_and(|until| until.plus(skew) < now)
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut tuple = s.serialize_tuple(4)?;
        tuple.serialize_element(self.kind.as_str())?;
        tuple.serialize_element(&self.digest.to_base64())?;
        tuple.serialize_element(&self.position)?;
        tuple.serialize_element(&self.until)?;
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Row;
        impl<'de> Visitor<'de> for Row {
            type Value = Rule;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[kind, digest, position, until]")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Rule, A::Error> {
                let short = |at| A::Error::invalid_length(at, &"four elements");
                let kind = seq.next_element()?.ok_or_else(|| short(0))?;
                let raw: std::borrow::Cow<'de, str> = seq.next_element()?.ok_or_else(|| short(1))?;
                let digest = RuleDigest::from_base64(&raw)
                    .ok_or_else(|| A::Error::custom("a digest is 16 bytes in base64url"))?;
                let position = seq.next_element()?.ok_or_else(|| short(2))?;
                let until = seq.next_element()?.ok_or_else(|| short(3))?;
                Ok(Rule { kind, digest, position, until })
            }
        }
        d.deserialize_tuple(4, Row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_the_contract_says() {
        let workload = WorkloadId::parse("w").unwrap();
        let expected = ring::digest::digest(&SHA256, b"task\0w\0a/b");
        assert_eq!(RuleDigest::task(&workload, "a/b").to_bytes(), expected.as_ref()[..16]);
        for len in [0, 1, 246, 247, 248, 300] {
            let long = "a".repeat(len);
            let expected = ring::digest::digest(&SHA256, format!("audience\0{long}").as_bytes());
            let told = RuleDigest::of(RuleKind::Audience, &[long.as_str()]);
            assert_eq!(told.to_bytes(), expected.as_ref()[..16], "{len}");
        }
        assert_eq!(Selector::All.digest().to_bytes(), ring::digest::digest(&SHA256, b"all").as_ref()[..16]);
    }

    #[test]
    fn a_rule_is_four_elements_on_the_wire() {
        let rule = Rule {
            kind: RuleKind::Lease,
            digest: RuleDigest([7; 16]),
            position: Position::new(9),
            until: Some(UnixTime::from_secs(11)),
        };
        let text = serde_json::to_string(&rule).unwrap();
        assert_eq!(text, r#"["lease","BwcHBwcHBwcHBwcHBwcHBw",9,11]"#);
        assert_eq!(serde_json::from_str::<Rule>(&text).unwrap(), rule);
        let key = Rule { kind: RuleKind::Key, until: None, ..rule };
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<Rule>(&text).unwrap(), key);
        for bad in [
            "[]",
            r#"["lease"]"#,
            r#"["lease","x",1,2]"#,
            r#"["nope","BwcHBwcHBwcHBwcHBwcHBw",1,2]"#,
            r#"["lease","BwcHBwcHBwcHBwcHBwcHBw",-1,2]"#,
        ] {
            assert!(serde_json::from_str::<Rule>(bad).is_err(), "{bad}");
        }
    }
}
