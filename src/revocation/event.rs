//! The feed's events as the contract names them, both ways: written in one piece, read chunk by chunk within bounds.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Cursor;
use crate::model::{KeyId, Position, Rule};

pub use super::sse::{Event, EventError, MAX_LINE, Reader};

/// The events of the feed by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A compact JWS over [`super::snapshot::SnapshotClaims`].
    Snapshot,
    /// A [`super::snapshot::Part`], whose hash the snapshot names.
    Part,
    /// [`Revoke`].
    Revoke,
    /// [`Keys`].
    Keys,
    /// [`Heartbeat`].
    Heartbeat,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Snapshot, Self::Part, Self::Revoke, Self::Keys, Self::Heartbeat];

    /// The word after `event:`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Part => "part",
            Self::Revoke => "revoke",
            Self::Keys => "keys",
            Self::Heartbeat => "heartbeat",
        }
    }

    /// From the word after `event:`; none for one that is not known, as a later broker may say more.
    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == raw)
    }
}

/// One event as bytes, ready to be shared by all who hear it. `data` holds no line break, as JSON and JWS do not.
pub fn write(kind: Kind, id: &Cursor, data: &str) -> Bytes {
    format!("event: {}\nid: {id}\ndata: {data}\n\n", kind.as_str()).into()
}

/// What stands before and behind the data of an event, where that is too large to be copied.
pub fn around(kind: Kind, id: &Cursor) -> (Bytes, Bytes) {
    (format!("event: {}\nid: {id}\ndata: ", kind.as_str()).into(), Bytes::from_static(b"\n\n"))
}

/// New rules as an event: written by hand, as a snapshot's parts are.
pub fn write_revoke(id: &Cursor, after: Position, rules: &[Rule]) -> Bytes {
    let mut text = String::with_capacity(128 + rules.len() * 72);
    // Writing to a string never fails.
    let _ = write!(text, "event: revoke\nid: {id}\ndata: {{\"after\":{after},");
    super::snapshot::write_rules(&mut text, rules);
    text.push_str("\n\n");
    text.into()
}

/// New rules, and the place of the last one before them on this feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoke {
    /// The position of the last rule sent before these; right behind a snapshot, its position.
    pub after: Position,
    /// The rules, by position.
    pub rules: Vec<Rule>,
}

/// The keys whose tokens count from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// All of them.
    pub kids: Vec<KeyId>,
}

/// Sent at least once a second while the broker can read the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The log's head.
    pub position: Position,
    /// How many rules this connection has been sent, those in parts included.
    pub count: u64,
    /// When the broker began its last successful read of the head, in milliseconds since the Unix epoch.
    pub now: u64,
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::model::{Epoch, RuleDigest, RuleKind, UnixTime};

    fn told<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(kind: Kind, data: &T, wire: &str) {
        let cursor = Cursor::new(Epoch::from_bits(1), Position::new(9), None);
        let text = serde_json::to_string(data).unwrap();
        assert_eq!(text, wire);
        let bytes = write(kind, &cursor, &text);
        let (before, behind) = around(kind, &cursor);
        assert_eq!(bytes, [&before, text.as_bytes(), &behind].concat());
        assert_eq!(bytes, format!("event: {}\nid: {cursor}\ndata: {text}\n\n", kind.as_str()));
        let [event] = Reader::default().push(&bytes).unwrap().try_into().unwrap();
        assert_eq!((event.kind, Cursor::parse(&event.id)), (Some(kind), Some(cursor)));
        assert_eq!(&serde_json::from_str::<T>(&event.data).unwrap(), data);
    }

    #[test]
    fn every_event_is_the_contracts_and_reads_back() {
        let digest = RuleDigest::from_bytes([7; 16]);
        let until = Some(UnixTime::from_secs(11));
        let rule = Rule { kind: RuleKind::Task, digest, position: Position::new(9), until };
        let rules = vec![rule, Rule { kind: RuleKind::Key, until: None, ..rule }];
        let wire = r#"[["task","BwcHBwcHBwcHBwcHBwcHBw",9,11],["key","BwcHBwcHBwcHBwcHBwcHBw",9,null]]"#;
        let revoke = Revoke { after: Position::new(8), rules };
        told(Kind::Revoke, &revoke, &format!(r#"{{"after":8,"rules":{wire}}}"#));
        let cursor = Cursor::new(Epoch::from_bits(1), Position::new(9), None);
        let by_hand = write_revoke(&cursor, revoke.after, &revoke.rules);
        assert_eq!(by_hand, write(Kind::Revoke, &cursor, &serde_json::to_string(&revoke).unwrap()));
        let keys = Keys { kids: vec![KeyId::parse("k").unwrap()] };
        told(Kind::Keys, &keys, r#"{"kids":["k"]}"#);
        let heartbeat = Heartbeat { position: Position::new(9), count: 2, now: 1_790_000_000_123 };
        told(Kind::Heartbeat, &heartbeat, r#"{"position":9,"count":2,"now":1790000000123}"#);
    }

    #[test]
    fn data_that_is_not_what_its_name_promises_is_refused() {
        for bad in [r#"{"rules":[]}"#, r#"{"after":1,"after":2,"rules":[]}"#, "[]", ""] {
            assert!(serde_json::from_str::<Revoke>(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Heartbeat>(r#"{"position":1,"count":1,"now":-1}"#).is_err());
    }
}
