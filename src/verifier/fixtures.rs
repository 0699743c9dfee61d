//! What a broker says, for tests: snapshots, rules and tokens under keys of the test's own.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde::Serialize;
use serde_json::{Value, json};

use crate::jose::es256::SigningKey;
use crate::model::{AudienceUri, Epoch, KeyId, Position, Rule, RuleKind, Selector, TaskId, UnixTime, WorkloadId};
use crate::revocation::Cursor;
use crate::revocation::event::{Heartbeat, Keys, Kind, Revoke, write};
use crate::revocation::snapshot::{SnapshotClaims, TYP, part_hash, parts};

pub(super) const NOW: u64 = 1_790_000_000;

/// A snapshot to be, with the usual claims and one rule at each position.
pub(super) struct Snapshot<'a> {
    pub(super) key: &'a SigningKey,
    pub(super) header: Value,
    pub(super) claims: SnapshotClaims,
    pub(super) parts: Vec<String>,
}

impl<'a> Snapshot<'a> {
    pub(super) fn new(key: &'a SigningKey, position: u64, rules: &[Rule]) -> Self {
        let parts = parts(rules);
        let claims = SnapshotClaims {
            iss: "https://broker".into(),
            iat: UnixTime::from_secs(NOW),
            epoch: Epoch::from_bits(1),
            position: Position::new(position),
            audience: None,
            kids: vec![key.kid().clone()],
            count: rules.len() as u64,
            parts: parts.iter().map(|data| part_hash(data)).collect(),
        };
        Self { key, header: json!({ "alg": "ES256", "typ": TYP, "kid": key.kid().as_str() }), claims, parts }
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut SnapshotClaims)) -> Self {
        change(&mut self.claims);
        self
    }

    pub(super) fn with_header(mut self, name: &str, value: Value) -> Self {
        self.header[name] = value;
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let jws = sign(self.key, &self.header, &serde_json::to_value(&self.claims).unwrap());
        let cursor = Cursor::new(self.claims.epoch, self.claims.position, None);
        let mut bytes = write(Kind::Snapshot, &cursor, &jws).to_vec();
        for part in &self.parts {
            bytes.extend_from_slice(&write(Kind::Part, &cursor, part));
        }
        bytes
    }
}

pub(super) fn sign(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let input = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
    format!("{input}.{}", B64.encode(key.sign(input.as_bytes()).unwrap()))
}

pub(super) fn token(key: &SigningKey, task: &str) -> String {
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": key.kid().as_str() });
    let claims = json!({
        "iss": "https://broker", "sub": "w", "client_id": "w", "aud": "https://orders",
        "iat": NOW, "nbf": NOW, "exp": NOW + 300, "jti": "0190163d-8694-839b-aea5-966c26f8ad91",
        "scope": "orders:read", "txn": task, "rev": 0,
    });
    sign(key, &header, &claims)
}

pub(super) fn rule(task: &str, position: u64) -> Rule {
    let selector = Selector::Task(WorkloadId::parse("w").unwrap(), TaskId::parse(task).unwrap());
    let until = Some(UnixTime::from_secs(NOW + 300));
    Rule { kind: RuleKind::Task, digest: selector.digest(), position: Position::new(position), until }
}

/// A heartbeat at [`NOW`] on the feed of another epoch or filter.
pub(super) fn heartbeat_in(epoch: u64, audience: Option<&str>, position: u64, count: u64) -> Vec<u8> {
    let position = Position::new(position);
    let audience = audience.map(|uri| AudienceUri::parse(uri).unwrap());
    let cursor = Cursor::new(Epoch::from_bits(epoch), position, audience.as_ref());
    let beat = Heartbeat { position, count, now: NOW * 1000 };
    write(Kind::Heartbeat, &cursor, &serde_json::to_string(&beat).unwrap()).to_vec()
}

/// A heartbeat at [`NOW`] whose cursor names another place than it tells.
pub(super) fn heartbeat_at(place: u64, position: u64, count: u64) -> Vec<u8> {
    let cursor = Cursor::new(Epoch::from_bits(1), Position::new(place), None);
    let beat = Heartbeat { position: Position::new(position), count, now: NOW * 1000 };
    write(Kind::Heartbeat, &cursor, &serde_json::to_string(&beat).unwrap()).to_vec()
}

/// An event of the unfiltered feed of epoch 1, whose cursor names no rule as the last.
fn event(kind: Kind, data: &impl Serialize) -> Vec<u8> {
    event_at(kind, Position::START, data)
}

/// The same, whose cursor names the rule at `last` as the last.
fn event_at(kind: Kind, last: Position, data: &impl Serialize) -> Vec<u8> {
    let cursor = Cursor::new(Epoch::from_bits(1), last, None);
    write(kind, &cursor, &serde_json::to_string(data).unwrap()).to_vec()
}

pub(super) fn revoke(after: u64, rules: &[Rule]) -> Vec<u8> {
    revoke_at(rules.last().map_or(after, |rule| rule.position.get()), after, rules)
}

/// Rules whose cursor names another one as the last.
pub(super) fn revoke_at(last: u64, after: u64, rules: &[Rule]) -> Vec<u8> {
    let data = Revoke { after: Position::new(after), rules: rules.to_vec() };
    event_at(Kind::Revoke, Position::new(last), &data)
}

pub(super) fn heartbeat(position: u64, count: u64, now: u64) -> Vec<u8> {
    event(Kind::Heartbeat, &Heartbeat { position: Position::new(position), count, now })
}

pub(super) fn keys(kids: &[&KeyId]) -> Vec<u8> {
    event(Kind::Keys, &Keys { kids: kids.iter().map(|kid| (*kid).clone()).collect() })
}

pub(super) fn key() -> SigningKey {
    SigningKey::generate().unwrap().0
}
