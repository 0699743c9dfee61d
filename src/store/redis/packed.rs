//! How a lease and a rule are packed into bytes. The scripts read and write the same bytes (`lua/head.lua`).
//!
//! Lease: version 1 · position 6 · epoch 8 · exp 5 · length of body 2 · body; then, as it happens to it, `S` with the
//! successor's name 16 and its rule's digest 16, and `E` with the end's time 5 and position 6. All numbers big-endian.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

use crate::model::{
    AudienceUri, Epoch, KeyId, Lease, LeaseEnd, LeaseId, LeaseRecord, Position, Rule, RuleDigest, RuleKind, ScopeSet,
    TaskId, UnixTime, WorkloadId,
};
use crate::store::bytes::Bytes;
use crate::store::{LogEntry, StoreError};

const VERSION: u64 = 1;
/// Before a `kid` that is the base64url of 32 bytes, as a thumbprint is: it is kept as those.
const RAW_KID: u8 = 0;
/// Into less, those 32 bytes are not decoded; what is longer is no such `kid`.
const RAW_KID_ROOM: usize = 33;

/// Appends a lease's record as it is written at this head. Only the script knows the head: where that is another one, it writes it.
pub(super) fn at(record: &mut Vec<u8>, lease: &Lease, position: Position) {
    number(record, VERSION, 1);
    number(record, position.get(), 6);
    behind_position(record, lease);
}

/// Appends all of a lease's record behind its position.
pub(crate) fn behind_position(record: &mut Vec<u8>, lease: &Lease) {
    number(record, lease.epoch.bits(), 8);
    number(record, lease.expires_at.secs(), 5);
    // The lengths of the body and, within, of the scopes are known when they are written.
    let body = held(record);
    short(record, lease.audience.as_str());
    short(record, lease.workload.as_str());
    short(record, lease.task.as_str());
    let scopes = held(record);
    for (at, scope) in lease.scopes.iter().enumerate() {
        record.extend_from_slice(if at > 0 { b" " } else { b"" });
        record.extend_from_slice(scope.as_str().as_bytes());
    }
    fill(record, scopes);
    let mut raw = [0; RAW_KID_ROOM];
    match B64.decode_slice(lease.kid.as_str(), &mut raw) {
        Ok(32) => {
            record.push(RAW_KID);
            record.extend_from_slice(&raw[..32]);
        }
        _ => short(record, lease.kid.as_str()),
    }
    number(record, lease.issued_at.secs(), 5);
    number(record, lease.chain_limit.secs(), 5);
    record.push(u8::from(lease.predecessor.is_some()));
    record.extend(lease.predecessor.iter().flat_map(|id| id.to_bytes()));
    for actor in &lease.actors {
        short(record, actor.as_str());
    }
    fill(record, body);
}

/// Holds a place for the length, of two bytes, of what follows.
fn held(record: &mut Vec<u8>) -> usize {
    record.extend([0, 0]);
    record.len()
}

/// Writes it where it was held: the length of all since then.
fn fill(record: &mut [u8], since: usize) {
    let length = u16::try_from(record.len() - since).unwrap_or(u16::MAX);
    record[since - 2..since].copy_from_slice(&length.to_be_bytes());
}

/// Appends the mark of a task by one lease, as the scripts write it: 0, the lease's exp 5, its audience.
pub(super) fn mark(mark: &mut Vec<u8>, lease: &Lease) {
    mark.push(0);
    number(mark, lease.expires_at.secs(), 5);
    mark.extend_from_slice(lease.audience.as_str().as_bytes());
}

/// Reads a lease's record.
///
/// # Errors
/// [`StoreError::Corrupt`] where jitney never wrote these bytes.
pub(crate) fn record(id: LeaseId, bytes: &[u8]) -> Result<LeaseRecord, StoreError> {
    parse_record(id, &mut Bytes(bytes)).ok_or_else(|| StoreError::Corrupt(format!("the record of lease {id}")))
}

fn parse_record(id: LeaseId, from: &mut Bytes<'_>) -> Option<LeaseRecord> {
    if from.number(1)? != VERSION {
        return None;
    }
    let position = Position::new(from.number(6)?);
    let epoch = Epoch::from_bits(from.number(8)?);
    let expires_at = UnixTime::from_secs(from.number(5)?);
    let length = usize::try_from(from.number(2)?).ok()?;
    let mut body = Bytes(from.take(length)?);
    let audience = AudienceUri::parse(short_of(&mut body)?).ok()?;
    let workload = WorkloadId::parse(short_of(&mut body)?).ok()?;
    let task = TaskId::parse(short_of(&mut body)?).ok()?;
    let scopes = usize::try_from(body.number(2)?).ok()?;
    let scopes = ScopeSet::parse(body.text(scopes)?).ok()?;
    let kid = match body.number(1)? {
        0 => KeyId::parse(&B64.encode(body.take(32)?)),
        length => KeyId::parse(body.text(usize::try_from(length).ok()?)?),
    };
    let issued_at = UnixTime::from_secs(body.number(5)?);
    let chain_limit = UnixTime::from_secs(body.number(5)?);
    let predecessor = match body.number(1)? {
        0 => None,
        _ => Some(body.id()?),
    };
    let mut actors = Vec::new();
    while !body.is_empty() {
        actors.push(WorkloadId::parse(short_of(&mut body)?).ok()?);
    }
    let kid = kid.ok()?;
    let lease = Lease {
        id,
        workload,
        audience,
        scopes,
        task,
        issued_at,
        expires_at,
        chain_limit,
        predecessor,
        actors,
        kid,
        epoch,
        position,
    };
    let mut record = LeaseRecord { lease, successor: None, ended: None };
    while !from.is_empty() {
        match from.take(1)? {
            b"S" => {
                record.successor = Some(from.id()?);
                from.take(16)?;
            }
            b"E" => {
                let at = UnixTime::from_secs(from.number(5)?);
                record.ended = Some(LeaseEnd { at, position: Position::new(from.number(6)?) });
            }
            _ => return None,
        }
    }
    Some(record)
}

/// Reads a rule as the log keeps it: kind 1 · digest 16 · position 6 · until 5 · tag 12 · audiences, parted by spaces.
///
/// # Errors
/// [`StoreError::Corrupt`] where jitney never wrote these bytes.
pub(crate) fn entry(bytes: &[u8]) -> Result<LogEntry, StoreError> {
    parse_entry(&mut Bytes(bytes)).ok_or_else(|| StoreError::Corrupt("an entry of the log".into()))
}

fn parse_entry(from: &mut Bytes<'_>) -> Option<LogEntry> {
    let kind = RuleKind::from_byte(u8::try_from(from.number(1)?).ok()?)?;
    let digest = RuleDigest::from_bytes(from.array()?);
    let position = Position::new(from.number(6)?);
    let until = UnixTime::from_secs(from.number(5)?);
    from.take(12)?;
    let audiences = std::str::from_utf8(from.0).ok()?;
    let audiences = audiences.split_terminator(' ').map(AudienceUri::parse).collect::<Result<_, _>>().ok()?;
    let until = (kind != RuleKind::Key).then_some(until);
    Some(LogEntry { rule: Rule { kind, digest, position, until }, audiences })
}

/// Appends the last `width` bytes of a number; one too large for them is written as the largest.
pub(super) fn number(to: &mut Vec<u8>, value: u64, width: usize) {
    let largest = u64::MAX >> (64 - 8 * width);
    to.extend_from_slice(&value.min(largest).to_be_bytes()[8 - width..]);
}

/// Appends a name behind its length; no name is longer than 255 bytes.
fn short(to: &mut Vec<u8>, text: &str) {
    number(to, text.len() as u64, 1);
    to.extend_from_slice(text.as_bytes());
}

/// Reads a name behind its length.
fn short_of<'a>(from: &mut Bytes<'a>) -> Option<&'a str> {
    let count = usize::try_from(from.number(1)?).ok()?;
    from.text(count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(lease: &Lease, trailers: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        at(&mut bytes, lease, lease.position);
        bytes.extend_from_slice(trailers);
        bytes
    }

    fn lease() -> impl Strategy<Value = Lease> {
        let names = ("[a-z0-9]{1,64}", "https://[a-z]{1,200}", "[a-z]{1,40}(/[a-z]{1,40}){0,2}");
        let scopes = proptest::collection::vec("[a-z]{1,60}:[a-z]{1,60}", 1..32);
        let kid = prop_oneof!["[!-~]{1,128}", any::<[u8; 32]>().prop_map(|raw| B64.encode(raw))];
        let numbers = (any::<u64>(), 0..1u64 << 40, 0..1u64 << 40, 0..1u64 << 40, 0..1u64 << 48);
        let others = (any::<Option<[u8; 16]>>(), proptest::collection::vec("[a-z0-9]{1,64}", 0..3), any::<[u8; 16]>());
        (names, scopes, kid, numbers, others).prop_map(|(names, scopes, kid, numbers, others)| Lease {
            id: LeaseId::from_bytes(others.2),
            workload: WorkloadId::parse(&names.0).unwrap(),
            audience: AudienceUri::parse(&names.1).unwrap(),
            scopes: ScopeSet::parse(&scopes.join(" ")).unwrap(),
            task: TaskId::parse(&names.2).unwrap(),
            issued_at: UnixTime::from_secs(numbers.1),
            expires_at: UnixTime::from_secs(numbers.2),
            chain_limit: UnixTime::from_secs(numbers.3),
            predecessor: others.0.map(LeaseId::from_bytes),
            actors: others.1.iter().map(|actor| WorkloadId::parse(actor).unwrap()).collect(),
            kid: KeyId::parse(&kid).unwrap(),
            epoch: Epoch::from_bits(numbers.0),
            position: Position::new(numbers.4),
        })
    }

    proptest! {
        #[test]
        fn a_lease_reads_back_as_it_was_written(lease in lease(), successor: [u8; 16]) {
            let plain = record(lease.id, &written(&lease, &[])).unwrap();
            prop_assert_eq!(&plain, &LeaseRecord { lease: lease.clone(), successor: None, ended: None });
            let mut trailers = vec![b'S'];
            trailers.extend_from_slice(&successor);
            trailers.extend_from_slice(&[9; 16]);
            trailers.extend_from_slice(b"E\0\0\0\0\x07\0\0\0\0\0\x08");
            let marked = record(lease.id, &written(&lease, &trailers)).unwrap();
            prop_assert_eq!(marked.successor, Some(LeaseId::from_bytes(successor)));
            prop_assert_eq!(marked.ended, Some(LeaseEnd { at: UnixTime::from_secs(7), position: Position::new(8) }));
            prop_assert_eq!(marked.lease, lease);
        }

        #[test]
        fn what_jitney_never_wrote_is_an_error_and_no_panic(
            lease in lease(), cut: prop::sample::Index, flip: u8, noise: Vec<u8>,
        ) {
            let _ = record(lease.id, &noise);
            let _ = entry(&noise);
            let mut bytes = written(&lease, &[]);
            let at = cut.index(bytes.len());
            prop_assert!(record(lease.id, &bytes[..at]).is_err());
            bytes[at] ^= flip;
            let _ = record(lease.id, &bytes);
        }
    }
}
