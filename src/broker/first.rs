//! Which rule ended each of many leases first: one pass over the live rules, however many the leases are.
//!
//! Of several rules on one name the view knows the last, the list of live rules all. Never says whether a lease has ended:
//! the view does.

use std::collections::HashMap;

use crate::model::{LeaseRecord, Position, Rule, RuleDigest, RuleKind};
use crate::revocation::TokenDigests;

use super::Broker;
use super::inventory::A_FEW;

/// A rule that ends a lease: its kind and its place.
pub(super) type ByRule = (RuleKind, Position);

impl Broker {
    /// The first rule that ends each lease; where that comes before it, the end that the store notes with it may stand for it.
    pub(super) async fn first_ends(&self, records: &[LeaseRecord]) -> Vec<Option<ByRule>> {
        let mut search = Search::default();
        for (at, record) in (1..).zip(records) {
            let (lease, digests) = (&record.lease, TokenDigests::of_lease(&record.lease));
            let known = self.follower.view().first_end(&digests, lease.position);
            search.add(lease.position, &digests, known, record.ended.as_ref().map(|end| end.position));
            if at % A_FEW == 0 {
                tokio::task::yield_now().await;
            }
        }
        let Some((from, upto)) = search.begin() else { return search.ends };
        // Those of a place and before it are of no use: a chunk before all of them, or behind, costs nothing.
        let chunks = self.follower.with_rules(|rules| rules.live.chunks());
        let rules =
            chunks.iter().map(|chunk| chunk.behind(from).map(|(rule, _)| rule).take_while(|rule| rule.position < upto));
        for some in rules {
            some.for_each(|rule| search.see(&rule));
            // A chunk is some thousand rules: who goes through millions holds up no mint.
            tokio::task::yield_now().await;
        }
        search.ends
    }
}

/// Leases that have ended, and the names on which an earlier rule than the known one may be found.
#[derive(Default)]
struct Search {
    /// The first rule of each lease, as far as is known.
    ends: Vec<Option<ByRule>>,
    named: HashMap<(RuleKind, RuleDigest), Waiting>,
    all: Waiting,
    marks: Marks,
    /// Only rules behind the one place and before the other matter.
    between: Option<(Position, Position)>,
}

impl Search {
    /// Adds a lease recorded at `place`; `known` is what the view says, `own` where the end is that the store notes with it.
    fn add(&mut self, place: Position, digests: &TokenDigests, known: Option<ByRule>, own: Option<Position>) {
        let number = self.ends.len();
        self.ends.push(known);
        let Some((_, last)) = known else { return };
        let before = own.map_or(last, |own| own.min(last));
        if before <= place.next() {
            // Nothing fits between.
            return;
        }
        let (from, upto) = self.between.unwrap_or((place, before));
        self.between = Some((from.min(place), upto.max(before)));
        for name in digests.names() {
            self.named.entry(*name).or_default().0.push((place, number));
            self.marks.set(name.1);
        }
        self.all.0.push((place, number));
    }

    /// Between which places rules are to be seen, in their order.
    fn begin(&mut self) -> Option<(Position, Position)> {
        self.named.values_mut().chain([&mut self.all]).for_each(Waiting::sort);
        self.between
    }

    fn see(&mut self, rule: &Rule) {
        let waiting = match rule.kind {
            RuleKind::All => Some(&mut self.all),
            // The view keeps the first on each key, whatever the place of the lease.
            RuleKind::Key => None,
            kind if self.marks.may_have(rule.digest) => self.named.get_mut(&(kind, rule.digest)),
            _ => None,
        };
        let Some(waiting) = waiting else { return };
        for number in waiting.ended_by(rule.position) {
            if let Some(end) = self.ends.get_mut(number)
                && end.is_none_or(|(_, known)| rule.position < known)
            {
                *end = Some((rule.kind, rule.position));
            }
        }
    }
}

/// Leases with one name, those that were recorded last in front: each waits for the first rule on it.
#[derive(Default)]
struct Waiting(Vec<(Position, usize)>);

impl Waiting {
    fn sort(&mut self) {
        self.0.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Those that a rule at this place ends. As rules come in their order, none of them has to wait any more.
    fn ended_by(&mut self, place: Position) -> impl Iterator<Item = usize> {
        let behind = self.0.partition_point(|(recorded, _)| *recorded >= place);
        self.0.drain(behind..).map(|(_, number)| number)
    }
}

/// The beginnings of digests: nearly every rule is on none of the names, and is passed over for the price of a bit.
#[derive(Default)]
struct Marks(Vec<u64>);

impl Marks {
    fn place(digest: RuleDigest) -> (usize, u64) {
        let [high, low, ..] = digest.to_bytes();
        (usize::from(high) << 2 | usize::from(low >> 6), 1 << (low & 63))
    }

    fn set(&mut self, digest: RuleDigest) {
        self.0.resize(1 << 10, 0);
        let (word, bit) = Self::place(digest);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    fn may_have(&self, digest: RuleDigest) -> bool {
        let (word, bit) = Self::place(digest);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{AudienceUri, Epoch, Lease, ScopeSet, TaskId, UnixTime, WorkloadId};
    use crate::revocation::View;
    use crate::store::suite::{KEY, fresh_id, kid};

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
    const UNTIL: UnixTime = NOW.plus(Duration::from_secs(900));

    /// A lease by small numbers: few names, so that many rules are on each.
    fn lease((workload, task, audience, place): (u8, u8, u8, u64)) -> Lease {
        let workload = format!("w{workload}");
        let task = ["a", "a/b", "c"][usize::from(task)];
        Lease {
            id: fresh_id(&workload),
            workload: WorkloadId::parse(&workload).unwrap(),
            audience: AudienceUri::parse(&format!("https://a{audience}.example.com")).unwrap(),
            scopes: ScopeSet::parse("orders:read").unwrap(),
            task: TaskId::parse(task).unwrap(),
            issued_at: NOW,
            expires_at: UNTIL,
            chain_limit: UNTIL,
            predecessor: None,
            actors: Vec::new(),
            kid: kid(KEY),
            epoch: Epoch::from_bits(7),
            position: Position::new(place),
        }
    }

    fn rule((kind, workload, name): (u8, u8, u8), place: u64, leases: &[Lease]) -> Rule {
        let named = &leases[usize::from(workload) % leases.len()];
        let kind =
            [RuleKind::Lease, RuleKind::Task, RuleKind::Workload, RuleKind::Audience, RuleKind::Key, RuleKind::All]
                [usize::from(kind)];
        let digest = match kind {
            RuleKind::Lease => RuleDigest::lease(named.id),
            RuleKind::Task => RuleDigest::task(&named.workload, ["a", "a/b", "c"][usize::from(name)]),
            RuleKind::Workload => RuleDigest::of(kind, &[named.workload.as_str()]),
            RuleKind::Audience => RuleDigest::of(kind, &[named.audience.as_str()]),
            RuleKind::Key => RuleDigest::of(kind, &[if name == 0 { named.kid.as_str() } else { "another" }]),
            RuleKind::All => RuleDigest::of(kind, &[]),
        };
        let until = (kind != RuleKind::Key).then_some(UNTIL);
        Rule { kind, digest, position: Position::new(place), until }
    }

    /// The same by the letter: of the rules behind a lease, and of those on its key, the first that selects it.
    fn by_hand(lease: &Lease, rules: &[Rule]) -> Option<ByRule> {
        let digests = TokenDigests::of_lease(lease);
        let counts = |rule: &&Rule| match rule.kind {
            RuleKind::All => rule.position > lease.position,
            RuleKind::Key => rule.digest == digests.key(),
            kind => rule.position > lease.position && digests.names().contains(&(kind, rule.digest)),
        };
        rules.iter().find(counts).map(|rule| (rule.kind, rule.position))
    }

    proptest! {
        #[test]
        fn each_of_many_leases_has_the_first_of_all_rules_on_it(
            leases in prop::collection::vec((0u8..3, 0u8..3, 0u8..2, 0u64..40), 1..20),
            rules in prop::collection::vec((0u8..6, any::<u8>(), 0u8..3), 0..40),
        ) {
            let leases: Vec<Lease> = leases.into_iter().map(lease).collect();
            let rules: Vec<Rule> = (1..).zip(rules).map(|(place, told)| rule(told, place, &leases)).collect();
            let view = View::new();
            view.apply(&rules, Position::new(40), NOW);
            let mut search = Search::default();
            for lease in &leases {
                let digests = TokenDigests::of_lease(lease);
                search.add(lease.position, &digests, view.first_end(&digests, lease.position), None);
            }
            if let Some((from, upto)) = search.begin() {
                let between = rules.iter().filter(|rule| from < rule.position && rule.position < upto);
                between.for_each(|rule| search.see(rule));
            }
            let by_hand: Vec<_> = leases.iter().map(|lease| by_hand(lease, &rules)).collect();
            prop_assert_eq!(search.ends, by_hand);
        }
    }
}
