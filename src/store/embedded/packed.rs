//! How leases and rules lie on disk: a version byte, then fixed numbers, then strings with their lengths.
//!
//! Owns the byte layout and nothing else. Whatever does not read back exactly is [`StoreError::Corrupt`].

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{
    AudienceUri, Epoch, KeyId, Lease, LeaseId, Position, Rule, RuleDigest, RuleKind, ScopeSet, TaskId, UnixTime,
    WorkloadId,
};
use crate::store::bytes::Bytes;
use crate::store::{Spent, StoreError};

/// The layout written today.
const VERSION: u8 = 1;
/// The end of a rule on a key, which has none; no other ends in the last second there is.
const NEVER: u64 = u64::MAX;

/// A lease as it lies on disk, with the assertion that it used up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PackedLease {
    pub lease: Lease,
    /// The digest and the end of the assertion's memory; whose it was does not matter on one machine.
    pub spent: Option<([u8; 16], UnixTime)>,
}

/// Packs a lease and the assertion that asked for it.
pub(crate) fn pack_lease(lease: &Lease, spent: Option<&Spent>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.push(VERSION);
    for number in [
        lease.issued_at.secs(),
        lease.expires_at.secs(),
        lease.chain_limit.secs(),
        lease.epoch.bits(),
        lease.position.get(),
    ] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(&lease.id.to_bytes());
    out.push(u8::from(lease.predecessor.is_some()) | u8::from(spent.is_some()) << 1);
    if let Some(id) = lease.predecessor {
        out.extend_from_slice(&id.to_bytes());
    }
    if let Some(spent) = spent {
        out.extend_from_slice(&spent.digest);
        out.extend_from_slice(&spent.until.secs().to_be_bytes());
    }
    for text in [lease.workload.as_str(), lease.audience.as_str(), lease.task.as_str(), lease.kid.as_str()] {
        put_text(&mut out, text);
    }
    put_text(&mut out, &lease.scopes.to_string());
    put_length(&mut out, lease.actors.len());
    for actor in &lease.actors {
        put_text(&mut out, actor.as_str());
    }
    out
}

/// Reads what [`pack_lease`] wrote.
pub(crate) fn unpack_lease(bytes: &[u8]) -> Result<PackedLease, StoreError> {
    unpack_among(bytes, &mut None)
}

/// The same, among many.
pub(super) fn unpack_among(bytes: &[u8], known: &mut Option<Known>) -> Result<PackedLease, StoreError> {
    let mut from = Reader(Bytes(bytes));
    from.version()?;
    let [issued_at, expires_at, chain_limit] = [from.time()?, from.time()?, from.time()?];
    let (epoch, position) = (Epoch::from_bits(from.number()?), Position::new(from.number()?));
    let id = LeaseId::from_bytes(from.array()?);
    let [flags] = from.array()?;
    if flags > 3 {
        return Err(corrupt("a lease with marks that this release does not know"));
    }
    let predecessor = (flags & 1 != 0).then(|| from.array().map(LeaseId::from_bytes)).transpose()?;
    let spent = (flags & 2 != 0).then(|| Ok::<_, StoreError>((from.array()?, from.time()?))).transpose()?;
    let workload = from.known(known.as_mut().map(|known| &mut known.workloads), |raw| WorkloadId::parse(raw).ok())?;
    let audience = from.known(known.as_mut().map(|known| &mut known.audiences), |raw| AudienceUri::parse(raw).ok())?;
    let task = from.name(TaskId::parse)?;
    let kid = from.known(known.as_mut().map(|known| &mut known.kids), |raw| KeyId::parse(raw).ok())?;
    let scopes = from.known(known.as_mut().map(|known| &mut known.scopes), |raw| {
        // A scope that stands there twice is read as one, and was never written so.
        ScopeSet::parse(raw).ok().filter(|scopes| scopes.len() == raw.split(' ').count())
    })?;
    let actors = (0..from.length()?).map(|_| from.name(WorkloadId::parse)).collect::<Result<_, _>>()?;
    from.end()?;
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
    Ok(PackedLease { lease, spent })
}

/// Packs a rule with the audiences it concerns and the tag chained up to it; its position is its key.
pub(crate) fn pack_rule(rule: &Rule, audiences: &[AudienceUri]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.push(VERSION);
    out.push(rule.kind as u8);
    out.extend_from_slice(&rule.digest.to_bytes());
    out.extend_from_slice(&rule.until.map_or(NEVER, UnixTime::secs).to_be_bytes());
    put_length(&mut out, audiences.len());
    for audience in audiences {
        put_text(&mut out, audience.as_str());
    }
    out
}

/// Reads what [`pack_rule`] wrote for the rule at `position`.
pub(crate) fn unpack_rule(position: u64, bytes: &[u8]) -> Result<(Rule, Vec<AudienceUri>), StoreError> {
    let mut from = Reader(Bytes(bytes));
    from.version()?;
    let [kind] = from.array()?;
    let kind = RuleKind::from_byte(kind).ok_or_else(|| corrupt("a rule of an unknown kind"))?;
    let digest = RuleDigest::from_bytes(from.array()?);
    let until = from.time()?;
    let audiences = (0..from.length()?).map(|_| from.name(AudienceUri::parse)).collect::<Result<_, _>>()?;
    from.end()?;
    let until = match (kind, until.secs()) {
        (RuleKind::Key, NEVER) => None,
        (RuleKind::Key, _) => return Err(corrupt("a rule on a key that has an end")),
        _ => Some(until),
    };
    Ok((Rule { kind, digest, position: Position::new(position), until }, audiences))
}

/// A finding that jitney did not write.
pub(crate) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}

fn cut_short() -> StoreError {
    corrupt("a record that is cut short")
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// A length in groups of seven bits, lowest first: one byte for nearly all there are.
fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// Names that were read before: a million leases have few, and to read one costs more than all else in a record.
#[derive(Default)]
pub(super) struct Known {
    workloads: Names<WorkloadId>,
    audiences: Names<AudienceUri>,
    kids: Names<KeyId>,
    scopes: Names<ScopeSet>,
}

/// Names of one kind by their text, and the last one.
struct Names<T> {
    last: Option<(Arc<str>, T)>,
    all: HashMap<Arc<str>, T>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { last: None, all: HashMap::new() }
    }
}

impl<T: Clone> Names<T> {
    fn read(&mut self, text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        if let Some((known, name)) = &self.last
            && **known == *text
        {
            return Some(name.clone());
        }
        if let Some((known, name)) = self.all.get_key_value(text) {
            self.last = Some((Arc::clone(known), name.clone()));
            return Some(name.clone());
        }
        let name = parse(text)?;
        // Beyond so many they are not few.
        if self.all.len() < 16_384 {
            self.all.insert(text.into(), name.clone());
        }
        Some(name)
    }
}

/// The rest of a record; whatever is not there is damage, and said as such.
struct Reader<'a>(Bytes<'a>);

impl<'a> Reader<'a> {
    fn text(&mut self) -> Result<&'a str, StoreError> {
        let length = self.length()?;
        let text = self.0.take(length).ok_or_else(cut_short)?;
        std::str::from_utf8(text).map_err(|_| corrupt("a name that is no text"))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        self.0.array().ok_or_else(cut_short)
    }

    fn version(&mut self) -> Result<(), StoreError> {
        match self.array()? {
            [VERSION] => Ok(()),
            [other] => {
                Err(StoreError::Corrupt(format!("a record of layout {other}, which this release does not know")))
            }
        }
    }

    fn number(&mut self) -> Result<u64, StoreError> {
        self.array().map(u64::from_be_bytes)
    }

    fn time(&mut self) -> Result<UnixTime, StoreError> {
        self.number().map(UnixTime::from_secs)
    }

    fn length(&mut self) -> Result<usize, StoreError> {
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let [byte] = self.array()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                // A last group of zero says what fewer groups say.
                let is_shortest = byte != 0 || shift == 0;
                return if is_shortest { Ok(length) } else { Err(corrupt("a length in more bytes than it needs")) };
            }
        }
        Err(corrupt("a length beyond all records"))
    }

    fn name<T, E>(&mut self, parse: impl Fn(&str) -> Result<T, E>) -> Result<T, StoreError> {
        parse(self.text()?).map_err(|_| corrupt("a name outside its rule"))
    }

    /// A name that may have been read before.
    fn known<T: Clone>(
        &mut self,
        known: Option<&mut Names<T>>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text = self.text()?;
        let name = match known {
            Some(names) => names.read(text, parse),
            None => parse(text),
        };
        name.ok_or_else(|| corrupt("a name outside its rule"))
    }

    fn end(self) -> Result<(), StoreError> {
        if self.0.is_empty() { Ok(()) } else { Err(corrupt("a record with more behind its end")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn a_lease(task: &str, position: u64, predecessor: Option<u128>, actors: &[&str]) -> Lease {
        Lease {
            id: LeaseId::new(1, [1, 2, 3, 4], position),
            workload: WorkloadId::parse("w").unwrap(),
            audience: AudienceUri::parse(&format!("https://{}.example", "a".repeat(200))).unwrap(),
            scopes: ScopeSet::parse("orders:read orders:write").unwrap(),
            task: TaskId::parse(task).unwrap(),
            issued_at: UnixTime::from_secs(position),
            expires_at: UnixTime::from_secs(u64::MAX),
            chain_limit: UnixTime::from_secs(7),
            predecessor: predecessor.map(|id| LeaseId::from_bytes(id.to_be_bytes())),
            actors: actors.iter().map(|actor| WorkloadId::parse(actor).unwrap()).collect(),
            kid: KeyId::parse("k").unwrap(),
            epoch: Epoch::from_bits(9),
            position: Position::new(position),
        }
    }

    proptest! {
        #[test]
        fn a_lease_reads_back_and_every_cut_is_noticed(
            task in "[a-z]{1,60}(/[a-z]{1,60})?",
            position in any::<u64>(),
            predecessor in any::<Option<u128>>(),
            spent in any::<Option<([u8; 16], u64)>>(),
            acted in any::<bool>(),
        ) {
            let lease = a_lease(&task, position, predecessor, if acted { &["x", "y"] } else { &[] });
            let spent = spent.map(|(digest, until)| Spent {
                unless: None,
                subject: "w".into(),
                digest,
                from: UnixTime::default(),
                until: UnixTime::from_secs(until),
            });
            let bytes = pack_lease(&lease, spent.as_ref());
            let expected = PackedLease { lease, spent: spent.map(|spent| (spent.digest, spent.until)) };
            prop_assert_eq!(unpack_lease(&bytes).unwrap(), expected);
            for cut in 0..bytes.len() {
                prop_assert!(unpack_lease(&bytes[..cut]).is_err());
            }
            let longer = [bytes, vec![0]].concat();
            prop_assert!(unpack_lease(&longer).is_err());
        }
    }

    #[test]
    fn a_lease_that_was_never_written_so_is_corrupt() {
        let bytes = pack_lease(&a_lease("t", 1, None, &[]), None);
        let flags = 1 + 5 * 8 + 16;
        let scopes = bytes.windows(5).position(|part| part == b"write").unwrap();
        let mut marked = bytes.clone();
        marked[flags] = 4;
        let mut twice = bytes.clone();
        // `orders:read orders:read`, in as many bytes.
        twice.splice(scopes - 7..scopes + 5, *b"orders:read");
        twice[scopes - 20] -= 1;
        // The last byte is the number of actors.
        let padded = [&bytes[..bytes.len() - 1], &[0x80, 0]].concat();
        for wrong in [marked, twice, padded] {
            assert!(matches!(unpack_lease(&wrong), Err(StoreError::Corrupt(_))), "{wrong:?}");
        }
        assert!(unpack_lease(&bytes).is_ok());
    }

    #[test]
    fn a_rule_on_a_key_that_ends_is_corrupt() {
        let rule = Rule {
            kind: RuleKind::Key,
            digest: RuleDigest::from_bytes([3; 16]),
            position: Position::new(4),
            until: Some(UnixTime::from_secs(5)),
        };
        assert!(unpack_rule(4, &pack_rule(&rule, &[])).is_err());
        assert!(unpack_rule(4, &pack_rule(&Rule { until: None, ..rule }, &[])).is_ok());
    }

    #[test]
    fn a_rule_reads_back() {
        for (kind, until) in [(RuleKind::Task, Some(UnixTime::from_secs(5))), (RuleKind::Key, None)] {
            let rule = Rule { kind, digest: RuleDigest::from_bytes([3; 16]), position: Position::new(4), until };
            let audiences = vec![AudienceUri::parse("https://a.example").unwrap()];
            assert_eq!(unpack_rule(4, &pack_rule(&rule, &audiences)).unwrap(), (rule, audiences));
        }
    }
}
