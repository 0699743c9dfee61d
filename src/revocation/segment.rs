//! A sealed stretch of the log: rules sorted by digest, found through an index of digest prefixes.
//!
//! Never changes once built, so readers share it without a lock; it is merged with its neighbour or dropped whole.

use crate::model::{Position, Rule, RuleDigest, RuleKind, UnixTime};

/// The `until` of a rule that has none, and the latest that 61 bits hold.
const FOREVER: u64 = (1 << 61) - 1;
/// Rules a slot of the index leads to, on average: one slot is then two or three cache lines.
const PER_SLOT: usize = 8;

/// One rule in 32 bytes: `until` and kind share a word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    digest: [u8; 16],
    position: u64,
    until_and_kind: u64,
}

impl Entry {
    pub(super) fn new(rule: &Rule) -> Self {
        let until = rule.until.map_or(FOREVER, UnixTime::secs).min(FOREVER);
        let until_and_kind = until << 3 | rule.kind as u64;
        Self { digest: rule.digest.to_bytes(), position: rule.position.get(), until_and_kind }
    }

    const fn until(&self) -> u64 {
        self.until_and_kind >> 3
    }

    fn rule(&self) -> Rule {
        // The kind was written from a `RuleKind`; `All` would be the widest reading of anything else.
        let kind = RuleKind::from_byte((self.until_and_kind & 7) as u8).unwrap_or(RuleKind::All);
        let until = (self.until() < FOREVER).then(|| UnixTime::from_secs(self.until()));
        let position = Position::new(self.position);
        Rule { kind, digest: RuleDigest::from_bytes(self.digest), position, until }
    }

    /// Takes in another rule on the same digest: the greater position counts, for as long as either may matter.
    fn absorb(&mut self, other: &Self) {
        self.position = self.position.max(other.position);
        let until = self.until().max(other.until());
        self.until_and_kind = until << 3 | (self.until_and_kind & 7);
    }
}

/// Sorted, immutable rules of any kind but `key` and `all`, each digest once.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    entries: Box<[Entry]>,
    /// For each prefix of a digest the first entry that has it; one slot more than there are prefixes.
    starts: Box<[u32]>,
    prefix_bits: u32,
    greatest: u64,
    newest: u64,
    first_until: u64,
    half_until: u64,
    last_until: u64,
}

impl Segment {
    /// Seals `entries`, in any order, the last of which arrived with `generation`. None where there are none.
    pub(super) fn seal(mut entries: Vec<Entry>, generation: u64) -> Option<Self> {
        entries.sort_unstable_by_key(|entry| entry.digest);
        entries.dedup_by(|later, kept| {
            let same = later.digest == kept.digest;
            if same {
                kept.absorb(later);
            }
            same
        });
        Self::index(entries, generation)
    }

    /// One segment that says what both say, but for what is past at `horizon`. Linear: both are sorted.
    pub(super) fn merge(&self, other: &Self, horizon: UnixTime) -> Option<Self> {
        let mut merged = Vec::with_capacity(self.len() + other.len());
        let (mut left, mut right) = (self.entries.iter().peekable(), other.entries.iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if a.digest == b.digest => {
                    let mut both = **a;
                    both.absorb(b);
                    left.next();
                    right.next();
                    both
                }
                (Some(a), Some(b)) if a.digest > b.digest => {
                    let b = **b;
                    right.next();
                    b
                }
                (Some(a), _) => {
                    let a = **a;
                    left.next();
                    a
                }
                (None, Some(b)) => {
                    let b = **b;
                    right.next();
                    b
                }
                (None, None) => break,
            };
            if next.until() >= horizon.secs() {
                merged.push(next);
            }
        }
        Self::index(merged, self.newest.max(other.newest))
    }

    fn index(entries: Vec<Entry>, newest: u64) -> Option<Self> {
        let greatest = entries.iter().map(|entry| entry.position).max()?;
        let mut untils: Vec<u64> = entries.iter().map(Entry::until).collect();
        let first_until = untils.iter().copied().min()?;
        let last_until = untils.iter().copied().max()?;
        let middle = untils.len() / 2;
        let half_until = *untils.select_nth_unstable(middle).1;
        let prefix_bits = (entries.len() / PER_SLOT).checked_ilog2().unwrap_or(0);
        let mut starts = Vec::with_capacity((1 << prefix_bits) + 1);
        for (at, entry) in entries.iter().enumerate() {
            while starts.len() <= prefix(&entry.digest, prefix_bits) {
                starts.push(at as u32);
            }
        }
        starts.resize((1 << prefix_bits) + 1, entries.len() as u32);
        let (entries, starts) = (entries.into(), starts.into());
        Some(Self { entries, starts, prefix_bits, greatest, newest, first_until, half_until, last_until })
    }

    /// Where the last rule on `digest` stands.
    pub(super) fn position_of(&self, digest: RuleDigest) -> Option<Position> {
        self.find(digest).map(|entry| Position::new(entry.position))
    }

    /// Whether it says all that `rule` says: its digest, as far into the log and for as long.
    pub(super) fn covers(&self, rule: &Rule) -> bool {
        let new = Entry::new(rule);
        self.find(rule.digest).is_some_and(|own| own.position >= new.position && own.until() >= new.until())
    }

    fn find(&self, digest: RuleDigest) -> Option<&Entry> {
        let digest = digest.to_bytes();
        let slot = prefix(&digest, self.prefix_bits);
        let range = *self.starts.get(slot)? as usize..*self.starts.get(slot + 1)? as usize;
        let slot = self.entries.get(range)?;
        // Whoever names tasks can aim digests at one slot: the search within it stays logarithmic.
        let at = slot.binary_search_by(|entry| entry.digest.cmp(&digest)).ok()?;
        slot.get(at)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The greatest position of its rules.
    pub(super) const fn greatest(&self) -> Position {
        Position::new(self.greatest)
    }

    /// The generation that its youngest rule arrived with.
    pub(super) const fn newest(&self) -> u64 {
        self.newest
    }

    /// Dates it anew, before anybody has seen it.
    pub(super) const fn arrive(&mut self, generation: u64) {
        self.newest = generation;
    }

    /// Whether every rule's `until` lies before `horizon`.
    pub(super) const fn is_past(&self, horizon: UnixTime) -> bool {
        self.last_until < horizon.secs()
    }

    /// The latest `until` before `horizon`: how far it tells less without its past rules. 0 where it has none.
    pub(super) fn last_past(&self, horizon: UnixTime) -> u64 {
        if self.first_until >= horizon.secs() {
            return 0;
        }
        let past = self.entries.iter().map(Entry::until).filter(|until| *until < horizon.secs());
        past.max().unwrap_or(0)
    }

    /// Whether half of the rules' `until` lie before `horizon`, so that writing it anew halves it at least.
    pub(super) const fn is_half_past(&self, horizon: UnixTime) -> bool {
        self.half_until < horizon.secs()
    }

    /// The same without the rules whose `until` lies before `horizon`.
    pub(super) fn without_past(&self, horizon: UnixTime) -> Option<Self> {
        let live = self.entries.iter().filter(|entry| entry.until() >= horizon.secs()).copied().collect();
        Self::index(live, self.newest)
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = Rule> + '_ {
        self.entries.iter().map(Entry::rule)
    }
}

/// The first `bits` bits of a digest, as a number. A digest is the head of a hash, so its prefixes are spread evenly.
fn prefix(digest: &[u8; 16], bits: u32) -> usize {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    let head = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    // Two shifts, as one by 64 would overflow where there are no bits.
    ((head >> 1) >> (63 - bits)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, position: u64, until: Option<u64>) -> Entry {
        let digest = RuleDigest::of(RuleKind::Lease, &[name]);
        let until = until.map(UnixTime::from_secs);
        Entry::new(&Rule { kind: RuleKind::Lease, digest, position: Position::new(position), until })
    }

    fn find(segment: &Segment, name: &str) -> Option<u64> {
        segment.position_of(RuleDigest::of(RuleKind::Lease, &[name])).map(Position::get)
    }

    #[test]
    fn every_rule_is_found_and_no_other_at_every_size() {
        for size in [1, 2, 7, 8, 9, 63, 64, 1000] {
            let entries = (0..size).map(|n| entry(&n.to_string(), n, Some(n))).collect();
            let segment = Segment::seal(entries, 1).unwrap();
            for n in 0..size {
                assert_eq!(find(&segment, &n.to_string()), Some(n), "{n} of {size}");
            }
            assert_eq!(find(&segment, "absent"), None);
            assert_eq!(segment.len() as u64, size);
        }
    }

    #[test]
    fn of_several_rules_on_one_digest_the_greatest_position_counts_for_the_longest() {
        let first = Segment::seal(vec![entry("a", 5, Some(90)), entry("a", 3, Some(10))], 1).unwrap();
        assert_eq!((find(&first, "a"), first.len()), (Some(5), 1));
        let second = Segment::seal(vec![entry("a", 7, Some(20)), entry("b", 6, None)], 2).unwrap();
        let both = first.merge(&second, UnixTime::from_secs(0)).unwrap();
        assert_eq!((find(&both, "a"), find(&both, "b"), both.len()), (Some(7), Some(6), 2));
        assert_eq!((both.newest(), both.greatest().get()), (2, 7));
        let untils: Vec<_> = both.rules().filter(|rule| rule.position.get() == 7).map(|rule| rule.until).collect();
        assert_eq!(untils, [Some(UnixTime::from_secs(90))]);
        assert!(!both.is_past(UnixTime::from_secs(u64::MAX >> 4)), "a rule without an end is never past");
    }

    #[test]
    fn past_rules_leave_and_live_ones_stay() {
        let segment = Segment::seal(vec![entry("a", 1, Some(10)), entry("b", 2, Some(20))], 1).unwrap();
        let horizon = UnixTime::from_secs(11);
        assert!(!segment.is_past(horizon) && segment.without_past(horizon).unwrap().len() == 1);
        assert!(segment.is_past(UnixTime::from_secs(21)) && segment.without_past(UnixTime::from_secs(21)).is_none());
    }
}
