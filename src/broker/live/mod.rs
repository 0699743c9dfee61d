//! The live rules in the order of the log, as the feed tells them: 32 bytes each, for there may be a million.
//!
//! Owns how they are kept. Which of them are live, its owner says.

mod chunk;

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::{AudienceUri, Position, Rule, UnixTime};
use crate::store::LogEntry;

pub(super) use chunk::Chunk;

use chunk::Audiences;

/// Rules by position, each with the audiences that it concerns.
#[derive(Default)]
pub(super) struct LiveRules {
    /// Whoever holds one sees it as it is: it is copied before anything is added to it.
    chunks: Vec<Held>,
    /// Each list of audiences once: most rules share a few.
    audiences: HashSet<Audiences>,
}

struct Held {
    chunk: Arc<Chunk>,
    /// When half of it is past, once nothing is added any more.
    half_life: Option<UnixTime>,
}

impl Held {
    fn seal(&mut self) {
        self.half_life = Some(self.chunk.half_life());
        if let Some(chunk) = Arc::get_mut(&mut self.chunk) {
            chunk.fit();
        }
    }
}

impl LiveRules {
    /// Adds the rule behind all others.
    pub(super) fn push(&mut self, LogEntry { rule, audiences }: LogEntry) {
        let audiences = (!audiences.is_empty()).then(|| self.shared(audiences));
        push(&mut self.chunks, &rule, audiences);
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
        self.behind(Position::START)
    }

    /// Those behind a place.
    pub(super) fn behind(&self, place: Position) -> impl Iterator<Item = (Rule, &[AudienceUri])> {
        let is_before = |held: &Held| held.chunk.last().is_some_and(|last| last <= place);
        let chunks = &self.chunks[self.chunks.partition_point(is_before)..];
        chunks.iter().flat_map(move |held| held.chunk.behind(place))
    }

    /// All of them as they are now, whatever becomes of this list.
    pub(super) fn chunks(&self) -> Vec<Arc<Chunk>> {
        self.chunks.iter().map(|held| held.chunk.clone()).collect()
    }

    /// Drops those that are past at `horizon`, and tells of each. By and by: where most of many that lie together still
    /// count, none of them is dropped.
    pub(super) fn expire(&mut self, horizon: UnixTime, mut dropped: impl FnMut(&Rule)) {
        let is_due = |held: &Held| held.half_life.is_none_or(|half| half < horizon);
        if !self.chunks.iter().any(is_due) {
            return;
        }
        let mut kept: Vec<Held> = Vec::with_capacity(self.chunks.len());
        for held in std::mem::take(&mut self.chunks) {
            if !is_due(&held) || !held.chunk.has_past(horizon) {
                kept.push(held);
                continue;
            }
            for (rule, audiences) in held.chunk.shared() {
                match rule.until.is_some_and(|until| until < horizon) {
                    true => dropped(&rule),
                    false => push(&mut kept, &rule, audiences),
                }
            }
        }
        // What is left of one goes together with what is left of the next; nothing more comes to those in between.
        if let Some((_, between)) = kept.split_last_mut() {
            between.iter_mut().filter(|held| held.half_life.is_none()).for_each(Held::seal);
        }
        self.chunks = kept;
        self.audiences.retain(|audiences| Arc::strong_count(audiences) > 1);
    }
}

/// Adds a rule to the last chunk, or to a new one where that is full.
fn push(chunks: &mut Vec<Held>, rule: &Rule, audiences: Option<Audiences>) {
    if chunks.last().is_none_or(|held| held.chunk.is_full()) {
        chunks.push(Held { chunk: Arc::new(Chunk::new()), half_life: None });
    }
    let Some(last) = chunks.last_mut() else { return };
    if Arc::get_mut(&mut last.chunk).is_none() {
        last.chunk = Arc::new(last.chunk.copy());
    }
    if let Some(chunk) = Arc::get_mut(&mut last.chunk) {
        chunk.push(rule, audiences);
        last.half_life = None;
        if chunk.is_full() {
            last.seal();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{RuleDigest, RuleKind};
    use crate::revocation::snapshot::MAX_PART;

    use super::*;

    const START: u64 = 1_800_000_000;

    pub(super) fn entry(n: u64) -> LogEntry {
        let names = (0..n % 3).map(|name| AudienceUri::parse(&format!("https://a{name}.example.com")).unwrap());
        let kind = [RuleKind::Lease, RuleKind::Task, RuleKind::Key][usize::try_from(n % 3).unwrap()];
        let until = (kind != RuleKind::Key).then(|| UnixTime::from_secs(START + n));
        let digest = RuleDigest::from_bytes(u128::from(n).to_be_bytes());
        LogEntry { rule: Rule { kind, digest, position: Position::new(n + 1), until }, audiences: names.collect() }
    }

    fn told(rules: &LiveRules) -> Vec<(Rule, Vec<AudienceUri>)> {
        rules.iter().map(|(rule, audiences)| (rule, audiences.to_vec())).collect()
    }

    fn places(chunks: &[Arc<Chunk>]) -> Vec<u64> {
        chunks.iter().flat_map(|chunk| chunk.behind(Position::START)).map(|(rule, _)| rule.position.get()).collect()
    }

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let mut rules = LiveRules::default();
        let count = 3 * MAX_PART as u64 + 7;
        (0..count).for_each(|n| rules.push(entry(n)));
        let all: Vec<_> = (0..count).map(entry).map(|LogEntry { rule, audiences }| (rule, audiences)).collect();
        assert_eq!(told(&rules), all);
        for place in [0, 1, 77, MAX_PART as u64, MAX_PART as u64 + 1, count - 1, count, count + 5] {
            let behind = rules.behind(Position::new(place)).next().map(|(rule, _)| rule.position.get());
            assert_eq!(behind, (place < count).then_some(place + 1));
        }
        assert_eq!(rules.audiences.len(), 2);
    }

    #[test]
    fn what_is_past_goes_and_what_comes_goes_behind() {
        let mut rules = LiveRules::default();
        let count = 2 * MAX_PART as u64 + 100;
        (0..count).for_each(|n| rules.push(entry(n)));
        let mut dropped = Vec::new();
        rules.expire(UnixTime::from_secs(START + count), |rule| dropped.push(rule.position.get()));
        let keys: Vec<u64> = (0..count).filter(|n| n % 3 == 2).map(|n| n + 1).collect();
        assert_eq!((places(&rules.chunks()), rules.chunks.len()), (keys.clone(), 1), "one chunk holds what is left");
        assert_eq!(dropped.len() + keys.len(), usize::try_from(count).unwrap());
        assert_eq!(rules.audiences.len(), 1, "nobody has the other list any more");
        rules.push(entry(count));
        assert_eq!(told(&rules).last().unwrap().0, entry(count).rule);
    }

    #[test]
    fn of_many_that_lie_together_none_goes_before_half_are_past_and_of_the_last_few_each() {
        let mut rules = LiveRules::default();
        let whole = MAX_PART as u64;
        (0..whole + 10).filter(|n| n % 3 != 2).for_each(|n| rules.push(entry(n)));
        let many = rules.iter().count();
        assert_eq!(rules.chunks.len(), 1);
        rules.expire(UnixTime::from_secs(START + 4), |_| ());
        assert_eq!(rules.iter().count(), many - 3, "the chunk is not full: each goes by itself");

        let mut rules = LiveRules::default();
        (0..2 * whole)
            .map(|n| LogEntry { rule: Rule { kind: RuleKind::Task, ..entry(3 * n).rule }, audiences: vec![] })
            .for_each(|each| rules.push(each));
        let before = rules.chunks();
        rules.expire(UnixTime::from_secs(START + 100), |_| ());
        assert!(rules.chunks().iter().zip(&before).all(|(now, then)| Arc::ptr_eq(now, then)));
        rules.expire(UnixTime::from_secs(START + 3 * (whole / 2) + 2), |_| ());
        assert_eq!(rules.iter().count() as u64, 2 * whole - whole / 2 - 1);
        assert!(Arc::ptr_eq(&rules.chunks()[1], &before[1]));
    }

    #[test]
    fn who_holds_chunks_sees_them_as_they_were() {
        let mut rules = LiveRules::default();
        let count = MAX_PART as u64 + 10;
        (0..count).for_each(|n| rules.push(entry(n)));
        let held = rules.chunks();
        let before = places(&held);
        (count..count + 10).for_each(|n| rules.push(entry(n)));
        rules.expire(UnixTime::from_secs(START + 2 * count), |_| ());
        rules.push(entry(count + 10));
        assert_eq!(places(&held), before);
        assert_eq!(rules.iter().count() as u64, (0..count + 10).filter(|n| n % 3 == 2).count() as u64 + 1);
    }
}
