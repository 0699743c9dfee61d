//! The live rules in the order of the log, as the feed tells them: forty bytes each, for there may be a million.
//!
//! Owns how they are kept. Which of them are live, its owner says.

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::{AudienceUri, Position, Rule, RuleDigest, RuleKind, UnixTime};
use crate::store::LogEntry;

/// So many lie together: a list that grows by doubling would hold as much again in reserve.
const CHUNK: usize = 4096;
/// The `until` of a rule that has none, and the latest that 61 bits hold.
const FOREVER: u64 = (1 << 61) - 1;

type Audiences = Arc<Vec<AudienceUri>>;

/// Rules by position, each with the audiences that it concerns.
#[derive(Default)]
pub(super) struct LiveRules {
    chunks: Vec<Vec<Entry>>,
    /// Each list of audiences once: most rules share a few.
    audiences: HashSet<Audiences>,
}

struct Entry {
    digest: RuleDigest,
    position: Position,
    until_and_kind: u64,
    /// None: any.
    audiences: Option<Audiences>,
}

impl Entry {
    fn rule(&self) -> Rule {
        let until = self.until_and_kind >> 3;
        Rule {
            // It was written from a kind; `All` would be the widest reading of anything else.
            kind: RuleKind::from_byte((self.until_and_kind & 7) as u8).unwrap_or(RuleKind::All),
            digest: self.digest,
            position: self.position,
            until: (until < FOREVER).then(|| UnixTime::from_secs(until)),
        }
    }

    fn audiences(&self) -> &[AudienceUri] {
        self.audiences.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl LiveRules {
    /// Adds the rule behind all others.
    pub(super) fn push(&mut self, LogEntry { rule, audiences }: LogEntry) {
        let until = rule.until.map_or(FOREVER, UnixTime::secs).min(FOREVER);
        let entry = Entry {
            digest: rule.digest,
            position: rule.position,
            until_and_kind: until << 3 | rule.kind as u64,
            audiences: (!audiences.is_empty()).then(|| self.shared(audiences)),
        };
        match self.chunks.last_mut().filter(|chunk| chunk.len() < chunk.capacity()) {
            Some(chunk) => chunk.push(entry),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(entry);
                self.chunks.push(chunk);
            }
        }
    }

    fn shared(&mut self, audiences: Vec<AudienceUri>) -> Audiences {
        if let Some(known) = self.audiences.get(&audiences) {
            return known.clone();
        }
        let new = Arc::new(audiences);
        self.audiences.insert(new.clone());
        new
    }

    /// All of them in order, with the audiences of each; none means any.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Rule, &[AudienceUri])> {
        self.chunks.iter().flatten().map(|entry| (entry.rule(), entry.audiences()))
    }

    /// Those behind a place.
    pub(super) fn behind(&self, place: Position) -> impl Iterator<Item = (Rule, &[AudienceUri])> {
        let is_before = |chunk: &Vec<Entry>| chunk.last().is_some_and(|entry| entry.position <= place);
        let chunks = &self.chunks[self.chunks.partition_point(is_before)..];
        let first = chunks.first().map_or(0, |chunk| chunk.partition_point(|entry| entry.position <= place));
        chunks.iter().flatten().skip(first).map(|entry| (entry.rule(), entry.audiences()))
    }

    /// Keeps those that `is_live` says.
    pub(super) fn retain(&mut self, mut is_live: impl FnMut(&Rule) -> bool) {
        for chunk in &mut self.chunks {
            let before = chunk.len();
            chunk.retain(|entry| is_live(&entry.rule()));
            if chunk.len() < before && chunk.len() < CHUNK / 2 {
                chunk.shrink_to_fit();
            }
        }
        self.chunks.retain(|chunk| !chunk.is_empty());
        self.audiences.retain(|audiences| Arc::strong_count(audiences) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u64) -> LogEntry {
        let names = (0..n % 3).map(|name| AudienceUri::parse(&format!("https://a{name}.example.com")).unwrap());
        let kind = [RuleKind::Lease, RuleKind::Task, RuleKind::Key][usize::try_from(n % 3).unwrap()];
        let until = (kind != RuleKind::Key).then(|| UnixTime::from_secs(1_800_000_000 + n));
        let digest = RuleDigest::from_bytes(u128::from(n).to_be_bytes());
        LogEntry { rule: Rule { kind, digest, position: Position::new(n + 1), until }, audiences: names.collect() }
    }

    fn told(rules: &LiveRules) -> Vec<(Rule, Vec<AudienceUri>)> {
        rules.iter().map(|(rule, audiences)| (rule, audiences.to_vec())).collect()
    }

    #[test]
    fn what_goes_in_comes_out_in_order_and_is_small() {
        let mut rules = LiveRules::default();
        let count = 3 * CHUNK as u64 + 7;
        (0..count).for_each(|n| rules.push(entry(n)));
        let all: Vec<_> = (0..count).map(entry).map(|LogEntry { rule, audiences }| (rule, audiences)).collect();
        assert_eq!(told(&rules), all);
        for place in [0, 1, 77, CHUNK as u64, CHUNK as u64 + 1, count - 1, count, count + 5] {
            let behind = rules.behind(Position::new(place)).next().map(|(rule, _)| rule.position.get());
            assert_eq!(behind, (place < count).then_some(place + 1));
        }
        assert_eq!((rules.audiences.len(), size_of::<Entry>()), (2, 40));
    }

    #[test]
    fn what_is_dropped_is_gone_and_what_comes_goes_behind() {
        let mut rules = LiveRules::default();
        (0..2 * CHUNK as u64).for_each(|n| rules.push(entry(n)));
        rules.retain(|rule| rule.position.get() % 100 == 1 && rule.kind == RuleKind::Key);
        let kept = told(&rules);
        assert!(kept.len() < 40 && kept.iter().all(|(rule, _)| rule.position.get() % 100 == 1), "{}", kept.len());
        assert_eq!(rules.audiences.len(), 1, "nobody has the other list any more");
        rules.push(entry(2 * CHUNK as u64));
        assert_eq!(told(&rules).last().unwrap().0, entry(2 * CHUNK as u64).rule);
        rules.retain(|_| false);
        assert!(told(&rules).is_empty() && rules.chunks.is_empty() && rules.audiences.is_empty());
    }
}
