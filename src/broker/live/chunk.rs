//! Up to 4096 live rules that lie together: they become one part of each snapshot that they are in.
//!
//! A chunk that others hold is never changed. What is written of it is kept while somebody reads it, its hash for good.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

use crate::model::{AudienceUri, Position, Rule, RuleDigest, RuleKind, UnixTime};
use crate::revocation::snapshot::{MAX_PART, part_hash, write_part};

use super::super::follow::concerns;

/// The `until` of a rule that has none, and the latest that 48 bits hold.
const FOREVER: u64 = (1 << 48) - 1;
/// For so many filters the hashes of a chunk's parts are kept.
const FILTERS: usize = 256;

/// A list of audiences, shared by all rules that concern just these.
pub(super) type Audiences = Arc<Vec<AudienceUri>>;

/// Rules by position, each with the audiences that it concerns.
pub(in crate::broker) struct Chunk {
    entries: Vec<Entry>,
    /// The lists of audiences that its rules name, by number.
    lists: Vec<Audiences>,
    made: Mutex<Vec<Made>>,
}

/// A rule in 32 bytes: there may be a million.
#[derive(Clone, Copy)]
struct Entry {
    digest: RuleDigest,
    position_and_kind: u64,
    /// The number of its list counts from one; nought: it concerns any audience.
    until_and_list: u64,
}

/// What has been made of a chunk for one filter.
struct Made {
    audience: Option<AudienceUri>,
    head: PartHead,
    data: Weak<String>,
}

/// What a snapshot says of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct PartHead {
    /// How many rules it holds; one that would hold none is no part.
    pub(in crate::broker) count: usize,
    /// The hash of its data.
    pub(in crate::broker) hash: Arc<str>,
}

/// A part's data as bytes that keep it.
struct Data(Arc<String>);

impl AsRef<[u8]> for Data {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Entry {
    const fn position(&self) -> Position {
        Position::new(self.position_and_kind >> 3)
    }

    const fn until(&self) -> u64 {
        self.until_and_list >> 16
    }

    fn rule(&self) -> Rule {
        let until = self.until();
        Rule {
            // It was written from a kind; `All` would be the widest reading of anything else.
            kind: RuleKind::from_byte((self.position_and_kind & 7) as u8).unwrap_or(RuleKind::All),
            digest: self.digest,
            position: self.position(),
            until: (until < FOREVER).then(|| UnixTime::from_secs(until)),
        }
    }
}

impl Chunk {
    /// An empty one, with room for all that go in.
    pub(super) fn new() -> Self {
        Self { entries: Vec::with_capacity(MAX_PART), lists: Vec::new(), made: Mutex::default() }
    }

    /// The same rules in a chunk that nobody else holds.
    pub(super) fn copy(&self) -> Self {
        let mut copy = Self::new();
        copy.entries.extend_from_slice(&self.entries);
        copy.lists.clone_from(&self.lists);
        copy
    }

    /// Adds a rule behind all others.
    pub(super) fn push(&mut self, rule: &Rule, audiences: Option<Audiences>) {
        let until = rule.until.map_or(FOREVER, UnixTime::secs).min(FOREVER);
        let list = audiences.map_or(0, |audiences| self.number(audiences));
        self.entries.push(Entry {
            digest: rule.digest,
            position_and_kind: rule.position.get() << 3 | rule.kind as u64,
            until_and_list: until << 16 | list as u64,
        });
        self.made.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The number of a list, from one; most often it is that of a rule just before.
    fn number(&mut self, audiences: Audiences) -> usize {
        match self.lists.iter().rposition(|list| Arc::ptr_eq(list, &audiences)) {
            Some(at) => at + 1,
            None => {
                self.lists.push(audiences);
                self.lists.len()
            }
        }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.entries.len() >= MAX_PART
    }

    pub(super) fn last(&self) -> Option<Position> {
        self.entries.last().map(Entry::position)
    }

    /// Gives back the room that nothing more comes into.
    pub(super) fn fit(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// Whether a rule of it is past at `horizon`.
    pub(super) fn has_past(&self, horizon: UnixTime) -> bool {
        self.entries.iter().any(|entry| entry.until() < horizon.secs())
    }

    /// The moment at which half of its rules are past.
    pub(super) fn half_life(&self) -> UnixTime {
        let mut all: Vec<u64> = self.entries.iter().map(Entry::until).collect();
        let middle = all.len() / 2;
        UnixTime::from_secs(if all.is_empty() { 0 } else { *all.select_nth_unstable(middle).1 })
    }

    /// Its rules behind a place, with the audiences of each; none means any.
    pub(in crate::broker) fn behind(&self, place: Position) -> impl Iterator<Item = (Rule, &[AudienceUri])> {
        let first = self.entries.partition_point(|entry| entry.position() <= place);
        self.entries[first..].iter().map(|entry| (entry.rule(), self.audiences(entry)))
    }

    /// Its rules, with their lists of audiences as they are shared.
    pub(super) fn shared(&self) -> impl Iterator<Item = (Rule, Option<Audiences>)> {
        self.entries.iter().map(|entry| (entry.rule(), self.list(entry).cloned()))
    }

    fn list(&self, entry: &Entry) -> Option<&Audiences> {
        let number = usize::try_from(entry.until_and_list & 0xffff).unwrap_or(0);
        self.lists.get(number.checked_sub(1)?)
    }

    fn audiences(&self, entry: &Entry) -> &[AudienceUri] {
        self.list(entry).map_or(&[], |list| list.as_slice())
    }

    /// What a snapshot says of the part for this filter; made once.
    pub(in crate::broker) fn head(&self, audience: Option<&AudienceUri>) -> PartHead {
        let mut made = self.lock();
        if let Some(made) = made.iter().find(|made| made.audience.as_ref() == audience) {
            return made.head.clone();
        }
        self.make(&mut made, audience).0
    }

    /// The part for this filter; shared by all who read it at the same time.
    pub(in crate::broker) fn data(&self, audience: Option<&AudienceUri>) -> Bytes {
        let mut made = self.lock();
        let known = made.iter().find(|made| made.audience.as_ref() == audience).and_then(|made| made.data.upgrade());
        Bytes::from_owner(Data(known.unwrap_or_else(|| self.make(&mut made, audience).1)))
    }

    /// Writes a part. The lock is held, so that others who want the same wait for it instead of writing it too.
    fn make(&self, made: &mut Vec<Made>, audience: Option<&AudienceUri>) -> (PartHead, Arc<String>) {
        let all = self.behind(Position::START);
        let mine = all.filter(|(rule, of)| concerns(rule.kind, of, audience)).map(|(rule, _)| rule);
        let rules: Vec<Rule> = mine.collect();
        let data = Arc::new(write_part(&rules));
        let before = made.iter_mut().find(|made| made.audience.as_ref() == audience);
        if let Some(before) = before {
            before.data = Arc::downgrade(&data);
            return (before.head.clone(), data);
        }
        if made.len() >= FILTERS {
            made.clear();
        }
        let head = PartHead { count: rules.len(), hash: part_hash(&data).into() };
        made.push(Made { audience: audience.cloned(), head: head.clone(), data: Arc::downgrade(&data) });
        (head, data)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::entry;
    use super::*;
    use crate::store::LogEntry;

    #[test]
    fn a_rule_takes_32_bytes() {
        assert_eq!(size_of::<Entry>(), 32);
    }

    #[test]
    fn the_latest_and_the_largest_come_back() {
        let digest = RuleDigest::from_bytes([255; 16]);
        let mut chunk = Chunk::new();
        let all = [RuleKind::All, RuleKind::Key, RuleKind::Lease].map(|kind| Rule {
            kind,
            digest,
            position: Position::new((1 << 61) - 1),
            until: Some(UnixTime::from_secs(FOREVER - 1)),
        });
        let list: Audiences = Arc::new(vec![AudienceUri::parse("https://a").unwrap()]);
        all.iter().for_each(|rule| chunk.push(rule, Some(list.clone())));
        let told: Vec<_> = chunk.behind(Position::START).collect();
        assert_eq!(told, all.map(|rule| (rule, list.as_slice())));
    }

    #[test]
    fn a_part_is_shared_while_it_is_read_and_its_hash_kept() {
        let mut chunk = Chunk::new();
        for LogEntry { rule, audiences } in (0..90).map(entry) {
            chunk.push(&rule, (!audiences.is_empty()).then(|| Arc::new(audiences)));
        }
        let audience = AudienceUri::parse("https://a1.example.com").unwrap();
        for filter in [None, Some(&audience)] {
            let (head, one, other) = (chunk.head(filter), chunk.data(filter), chunk.data(filter));
            assert_eq!(one.as_ptr(), other.as_ptr(), "one text");
            assert_eq!(part_hash(std::str::from_utf8(&one).unwrap()), &*head.hash);
            let rules = chunk.behind(Position::START).filter(|(rule, of)| concerns(rule.kind, of, filter)).count();
            assert!(head.count == rules && (rules < 90) == filter.is_some(), "{rules}");
            drop((one, other));
            assert!(chunk.lock().iter().all(|made| made.data.strong_count() == 0));
            assert_eq!(part_hash(std::str::from_utf8(&chunk.data(filter)).unwrap()), &*head.hash);
        }
        let (before, last) = (chunk.head(None), entry(90).rule);
        chunk.push(&last, None);
        assert_ne!(chunk.head(None), before, "what was kept is no longer true");
    }
}
