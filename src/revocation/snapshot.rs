//! A whole view on its way: parts of at most 4096 rules, and the claims that name them, which the broker signs.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::model::{AudienceUri, Epoch, KeyId, Position, Rule, UnixTime};

/// The `typ` of the JWS that carries [`SnapshotClaims`].
pub const TYP: &str = "revocations+jwt";
/// Rules in a part, at most.
pub const MAX_PART: usize = 4096;
/// Parts that a reader takes, at most: some sixteen million rules.
pub const MAX_PARTS: usize = 4096;

/// What the signed event says about the parts that follow it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotClaims {
    /// The broker.
    pub iss: String,
    /// When the broker read the log's head.
    pub iat: UnixTime,
    /// The log's life.
    pub epoch: Epoch,
    /// The log's head: every rule up to here that may matter is in the parts.
    pub position: Position,
    /// Only rules that can concern tokens for this audience are here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<AudienceUri>,
    /// Every key whose tokens count in this epoch.
    pub kids: Vec<KeyId>,
    /// How many rules the parts hold.
    pub count: u64,
    /// Base64url SHA-256 of each part's data, in the order they are sent.
    pub parts: Vec<String>,
}

/// A part's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// At most [`MAX_PART`] rules.
    pub rules: Vec<Rule>,
}

/// Cuts rules into parts: the data of each. Made once a position and shared by all readers.
pub fn parts(rules: &[Rule]) -> Vec<String> {
    rules.chunks(MAX_PART).map(write_part).collect()
}

/// The hash of a part's data, as the claims carry it.
pub fn part_hash(data: &str) -> String {
    B64.encode(digest(&SHA256, data.as_bytes()))
}

/// Why a received snapshot is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The claims name more parts than a reader takes.
    #[error("a snapshot of {0} parts")]
    Parts(usize),
    /// A part that the claims do not name, or not at this place.
    #[error("part {0} does not have the hash that the snapshot names")]
    Hash(usize),
    /// More parts than the claims name.
    #[error("a part beyond the {0} that the snapshot names")]
    Beyond(usize),
    /// A part that is no list of rules.
    #[error("part {0}: {1}")]
    Form(usize, String),
    /// A rule behind the head that the snapshot names.
    #[error("part {0} holds a rule behind the position of its snapshot")]
    Ahead(usize),
    /// The stream ended before the last part.
    #[error("{got} of {want} parts came")]
    Short {
        /// Parts that came.
        got: usize,
        /// Parts that are named.
        want: usize,
    },
    /// Another number of rules than the claims say.
    #[error("{got} rules came where the snapshot counts {want}")]
    Count {
        /// Rules that came.
        got: u64,
        /// Rules that are named.
        want: u64,
    },
}

/// A snapshot as it comes in. The claims' own signature, issuer and audience are checked before it is begun.
#[derive(Debug)]
pub struct Incoming {
    claims: SnapshotClaims,
    next: usize,
    count: u64,
}

impl Incoming {
    /// Begins to receive the parts that `claims` name.
    ///
    /// # Errors
    /// [`SnapshotError::Parts`] where they are more than a reader takes.
    pub fn new(claims: SnapshotClaims) -> Result<Self, SnapshotError> {
        if claims.parts.len() > MAX_PARTS {
            return Err(SnapshotError::Parts(claims.parts.len()));
        }
        Ok(Self { claims, next: 0, count: 0 })
    }

    /// The claims.
    pub const fn claims(&self) -> &SnapshotClaims {
        &self.claims
    }

    /// Whether all parts have come.
    pub fn is_complete(&self) -> bool {
        self.next == self.claims.parts.len()
    }

    /// Takes the next part and gives its rules.
    ///
    /// # Errors
    /// [`SnapshotError`] where it is not the part that the claims name here.
    pub fn part(&mut self, data: &str) -> Result<Vec<Rule>, SnapshotError> {
        let at = self.next;
        let named = self.claims.parts.get(at).ok_or(SnapshotError::Beyond(self.claims.parts.len()))?;
        if part_hash(data) != *named {
            return Err(SnapshotError::Hash(at));
        }
        let form = |why: String| SnapshotError::Form(at, why);
        let Part { rules } = serde_json::from_str(data).map_err(|error| form(error.to_string()))?;
        if rules.len() > MAX_PART {
            return Err(form(format!("{} rules", rules.len())));
        }
        if rules.iter().any(|rule| rule.position > self.claims.position) {
            return Err(SnapshotError::Ahead(at));
        }
        self.next += 1;
        self.count += rules.len() as u64;
        Ok(rules)
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`SnapshotError`] where parts or rules are missing.
    pub fn finish(self) -> Result<SnapshotClaims, SnapshotError> {
        if !self.is_complete() {
            return Err(SnapshotError::Short { got: self.next, want: self.claims.parts.len() });
        }
        if self.count != self.claims.count {
            return Err(SnapshotError::Count { got: self.count, want: self.claims.count });
        }
        Ok(self.claims)
    }
}

/// A part's data: `{"rules":[…]}`.
pub fn write_part(rules: &[Rule]) -> String {
    let mut text = String::with_capacity(16 + rules.len() * 72);
    text.push('{');
    write_rules(&mut text, rules);
    text
}

/// `"rules":[…]}` of plain numbers and base64url: written by hand, as it cannot fail and is done by the million.
pub(super) fn write_rules(text: &mut String, rules: &[Rule]) {
    text.push_str("\"rules\":[");
    for (at, rule) in rules.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let (kind, digest, position) = (rule.kind.as_str(), rule.digest.to_base64(), rule.position);
        // Writing to a string never fails.
        let _ = write!(text, "{comma}[\"{kind}\",\"{digest}\",{position},");
        let _ = match rule.until {
            Some(until) => write!(text, "{until}]"),
            None => write!(text, "null]"),
        };
    }
    text.push_str("]}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RuleDigest, RuleKind};

    fn rules(count: u64) -> Vec<Rule> {
        let of = |n: u64| {
            let kind = if n.is_multiple_of(7) { RuleKind::Key } else { RuleKind::Task };
            let until = (kind != RuleKind::Key).then(|| UnixTime::from_secs(n + 300));
            Rule { kind, digest: RuleDigest::of(kind, &[&n.to_string()]), position: Position::new(n), until }
        };
        (1..=count).map(of).collect()
    }

    fn claims(parts: &[String], count: u64, position: u64) -> SnapshotClaims {
        SnapshotClaims {
            iss: "https://broker".into(),
            iat: UnixTime::from_secs(1),
            epoch: Epoch::from_bits(7),
            position: Position::new(position),
            audience: None,
            kids: vec![KeyId::parse("k").unwrap()],
            count,
            parts: parts.iter().map(|part| part_hash(part)).collect(),
        }
    }

    #[test]
    fn what_was_cut_into_parts_comes_out_whole() {
        for count in [0, 1, 4096, 4097, 9000] {
            let rules = rules(count);
            let parts = parts(&rules);
            assert_eq!(parts.len() as u64, count.div_ceil(4096));
            let mut incoming = Incoming::new(claims(&parts, count, count)).unwrap();
            let mut got = Vec::new();
            for part in &parts {
                assert!(!incoming.is_complete());
                got.extend(incoming.part(part).unwrap());
            }
            assert_eq!(got, rules);
            assert_eq!(incoming.finish().unwrap().count, count);
        }
    }

    #[test]
    fn a_part_is_written_as_serde_would() {
        let rules = rules(8);
        let expected = serde_json::json!({ "rules": rules }).to_string();
        assert_eq!(parts(&rules)[0], expected);
    }

    #[test]
    fn parts_that_are_changed_missing_added_or_swapped_are_refused() {
        let parts = parts(&rules(5000));
        let (first, second) = (parts[0].as_str(), parts[1].as_str());
        let incoming = || Incoming::new(claims(&parts, 5000, 5000)).unwrap();
        assert_eq!(incoming().part(second), Err(SnapshotError::Hash(0)));
        assert_eq!(incoming().part(&first.replacen("1", "2", 1)), Err(SnapshotError::Hash(0)));
        let mut short = incoming();
        short.part(first).unwrap();
        assert_eq!(short.finish(), Err(SnapshotError::Short { got: 1, want: 2 }));
        let mut long = incoming();
        long.part(first).unwrap();
        long.part(second).unwrap();
        assert_eq!(long.part(second), Err(SnapshotError::Beyond(2)));
    }

    #[test]
    fn a_snapshot_that_contradicts_itself_is_refused() {
        let parts = parts(&rules(3));
        let mut ahead = Incoming::new(claims(&parts, 3, 2)).unwrap();
        assert_eq!(ahead.part(&parts[0]), Err(SnapshotError::Ahead(0)));
        let mut miscounted = Incoming::new(SnapshotClaims { count: 4, ..claims(&parts, 3, 3) }).unwrap();
        miscounted.part(&parts[0]).unwrap();
        assert_eq!(miscounted.finish(), Err(SnapshotError::Count { got: 3, want: 4 }));
        let many = SnapshotClaims { parts: vec![String::new(); MAX_PARTS + 1], ..claims(&parts, 3, 3) };
        assert_eq!(Incoming::new(many).unwrap_err(), SnapshotError::Parts(MAX_PARTS + 1));
        let wrong = "{\"rules\":[[\"task\"]]}";
        let hashes = vec![part_hash(wrong)];
        let mut formless = Incoming::new(SnapshotClaims { parts: hashes, ..claims(&parts, 3, 3) }).unwrap();
        assert!(matches!(formless.part(wrong), Err(SnapshotError::Form(0, _))));
    }
}
