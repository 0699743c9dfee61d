//! A toy of the orders that mint and end keep, run through every interleaving.
//!
//! One task, one log whose every rule selects that task, any number of brokers. The right orders leave no survivor; each
//! wrong one does, so these tests can fail. What the orders are: `docs/decisions.md`, "Before and after are positions".

use std::collections::HashSet;

/// What a broker does without being interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    /// Mint: reads the head of the log, which the lease will carry as `rev`.
    ReadHead,
    /// Mint: gives up where the task is closed.
    CheckMark,
    /// Mint: writes the lease.
    Record,
    /// Mint: the last two in one step, as where mark and lease share a slot. A lease makes the mark uncovered again.
    CheckAndRecord,
    /// The same, but the mark stays covered by a rule that is older than the lease.
    CheckAndRecordKeepingCover,
    /// Mint, wrong: gives the lease, written before, the head as it is now.
    ReadHeadLate,
    /// End: closes the task. Where the mark says that a rule covers all its leases, no rule is needed.
    SetMark,
    /// End, wrong: takes a closed task for an ended one.
    SetMarkOrTrustIt,
    /// End: appends the rule, where one is needed.
    Append,
    /// End: the same, and none is needed where setting the mark found no live lease.
    AppendIfLive,
    /// End of a workload without quarantine: a rule and no mark. What begins later is meant to live.
    AppendAlone,
    /// End: notes at the mark that the rule covers all leases, unless a lease came since the mark was set.
    CoverIfUnchanged,
    /// The same without looking.
    Cover,
    /// End: tells the caller that it is done.
    Acknowledge,
    /// Time: the task's name may be used again.
    Reopen,
}

use Step::*;

/// Mint and end where nothing shares a slot: every step stands alone.
const MINT: &[Step] = &[ReadHead, CheckMark, Record];
const END: &[Step] = &[SetMark, Append, Cover, Acknowledge];

/// Mint and end where mark and leases share a slot and the log has its own, as in a Redis Cluster.
const MINT_CLUSTER: &[Step] = &[ReadHead, CheckAndRecord];
const END_CLUSTER: &[Step] = &[SetMark, AppendIfLive, CoverIfUnchanged, Acknowledge];

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Lease {
    rev: u8,
    /// The life of the task's name in which the mint began, and in which the lease was written.
    begun: u8,
    recorded: u8,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Store {
    /// The position of the last rule.
    head: u8,
    closed: bool,
    /// A rule covers every lease that the mark knows of.
    covered: bool,
    /// Grows with each lease: what the mark looks like to a compare-and-set.
    version: u8,
    life: u8,
    leases: Vec<Lease>,
    /// The lives whose end was acknowledged.
    acknowledged: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Broker {
    steps: &'static [Step],
    at: usize,
    /// Starts only when that one is dead: the caller's retry.
    retries: Option<usize>,
    mortal: bool,
    dead: bool,
    head: u8,
    life: u8,
    version: u8,
    lease: usize,
    needs_rule: bool,
    saw_live: bool,
}

impl Broker {
    fn new(steps: &'static [Step]) -> Self {
        Self {
            steps,
            at: 0,
            retries: None,
            mortal: false,
            dead: false,
            head: 0,
            life: 0,
            version: 0,
            lease: 0,
            needs_rule: true,
            saw_live: true,
        }
    }

    fn mortal(self) -> Self {
        Self { mortal: true, ..self }
    }

    fn retrying(self, other: usize) -> Self {
        Self { retries: Some(other), ..self }
    }

    fn finished(&self) -> bool {
        self.dead || self.at >= self.steps.len()
    }

    fn give_up(&mut self) {
        self.at = self.steps.len();
    }

    fn step(&mut self, store: &mut Store) {
        let step = self.steps[self.at];
        if self.at == 0 {
            self.life = store.life;
        }
        self.at += 1;
        match step {
            ReadHead => self.head = store.head,
            CheckMark if store.closed => self.give_up(),
            CheckMark => {}
            CheckAndRecord | CheckAndRecordKeepingCover if store.closed => self.give_up(),
            Record | CheckAndRecord | CheckAndRecordKeepingCover => {
                self.lease = store.leases.len();
                store.leases.push(Lease { rev: self.head, begun: self.life, recorded: store.life });
                store.version += 1;
                store.covered &= step != CheckAndRecord;
            }
            ReadHeadLate => store.leases[self.lease].rev = store.head,
            SetMark | SetMarkOrTrustIt => {
                self.needs_rule = if step == SetMark { !store.covered } else { !store.closed };
                self.saw_live = store.leases.iter().any(|lease| lease.rev >= store.head);
                self.version = store.version;
                store.closed = true;
            }
            Append if self.needs_rule => store.head += 1,
            AppendIfLive if self.needs_rule && self.saw_live => store.head += 1,
            Append | AppendIfLive => {}
            AppendAlone => {
                store.head += 1;
                store.life += 1;
            }
            Cover => store.covered = true,
            CoverIfUnchanged => store.covered |= self.needs_rule && self.saw_live && store.version == self.version,
            Acknowledge => store.acknowledged.push(self.life),
            Reopen => {
                store.closed = false;
                store.life += 1;
            }
        }
    }
}

/// What all interleavings came to.
#[derive(Debug, Default)]
struct Outcome {
    ends: usize,
    /// Runs with a token that no rule ends, though the end of its life was acknowledged.
    survivors: usize,
    /// Runs with a token that is ended, though it was asked for when the end was over.
    over_ended: usize,
}

fn run(brokers: Vec<Broker>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut seen = HashSet::new();
    let mut open = vec![(Store::default(), brokers)];
    while let Some((store, brokers)) = open.pop() {
        if !seen.insert((store.clone(), brokers.clone())) {
            continue;
        }
        let before = open.len();
        for at in 0..brokers.len() {
            let may_start = brokers[at].retries.is_none_or(|other| brokers[other].dead);
            if brokers[at].finished() || !may_start {
                continue;
            }
            let (mut next_store, mut next) = (store.clone(), brokers.clone());
            next[at].step(&mut next_store);
            open.push((next_store, next));
            if brokers[at].mortal {
                let mut next = brokers.clone();
                next[at].dead = true;
                open.push((store.clone(), next));
            }
        }
        if open.len() == before {
            outcome.ends += 1;
            outcome.survivors += usize::from(store.survives());
            outcome.over_ended += usize::from(store.is_over_ended());
        }
    }
    outcome
}

impl Store {
    /// Every rule selects the task, so the last one decides: it ends what carries a smaller position.
    fn is_ended(&self, lease: &Lease) -> bool {
        lease.rev < self.head
    }

    fn survives(&self) -> bool {
        let stands = |lease: &&Lease| !self.is_ended(lease);
        self.leases.iter().filter(stands).any(|lease| self.acknowledged.iter().any(|life| *life >= lease.recorded))
    }

    fn is_over_ended(&self) -> bool {
        let begun_after = |lease: &Lease| self.acknowledged.iter().all(|life| *life < lease.begun);
        self.leases.iter().any(|lease| begun_after(lease) && self.is_ended(lease))
    }
}

/// Two mints and two ends, each free to run at any time.
fn two_and_two(mint: &'static [Step], end: &'static [Step]) -> Outcome {
    run(vec![Broker::new(mint), Broker::new(mint), Broker::new(end), Broker::new(end)])
}

/// A mint, an end whose broker may die after any step, and the retry of that end.
fn with_a_death(mint: &'static [Step], end: &'static [Step]) -> Outcome {
    run(vec![Broker::new(mint), Broker::new(mint), Broker::new(end).mortal(), Broker::new(end).retrying(2)])
}

/// Two mints and two ends of a task whose name comes free again at any time.
fn with_a_second_life(mint: &'static [Step], end: &'static [Step]) -> Outcome {
    run(vec![Broker::new(mint), Broker::new(mint), Broker::new(end), Broker::new(end), Broker::new(&[Reopen])])
}

fn none_survives(outcome: &Outcome) {
    assert!(outcome.ends > 10, "{outcome:?}: too few runs to mean anything");
    assert_eq!(outcome.survivors, 0, "{outcome:?}");
}

fn some_survive(outcome: &Outcome) {
    assert!(outcome.survivors > 0, "{outcome:?}: a wrong order was not found out");
}

#[test]
fn head_then_mark_then_record_and_mark_then_rule_then_acknowledge_leave_no_survivor() {
    none_survives(&two_and_two(MINT, END));
    none_survives(&two_and_two(MINT_CLUSTER, END_CLUSTER));
}

#[test]
fn a_mark_checked_before_the_head_is_read_leaves_survivors() {
    some_survive(&two_and_two(&[CheckMark, ReadHead, Record], END));
}

#[test]
fn a_rule_appended_before_the_mark_is_set_leaves_survivors() {
    some_survive(&two_and_two(MINT, &[Append, SetMark, Acknowledge]));
}

#[test]
fn an_end_acknowledged_before_its_rule_leaves_survivors_where_its_broker_dies() {
    // Nobody repeats what was acknowledged.
    let end = Broker::new(&[SetMark, Acknowledge, Append, Cover]).mortal();
    some_survive(&run(vec![Broker::new(MINT), Broker::new(MINT), end]));
}

#[test]
fn an_end_whose_broker_died_is_healed_by_the_retry() {
    none_survives(&with_a_death(MINT, END));
    none_survives(&with_a_death(MINT_CLUSTER, END_CLUSTER));
}

#[test]
fn a_retry_that_trusts_the_mark_alone_leaves_survivors() {
    some_survive(&with_a_death(MINT, &[SetMarkOrTrustIt, Append, Acknowledge]));
}

#[test]
fn no_rule_for_no_live_lease_needs_check_and_record_in_one_step() {
    some_survive(&two_and_two(MINT, END_CLUSTER));
}

#[test]
fn a_name_that_comes_free_again_is_ended_again() {
    none_survives(&with_a_second_life(MINT_CLUSTER, END_CLUSTER));
}

#[test]
fn a_lease_that_leaves_its_mark_covered_survives_the_second_end() {
    some_survive(&with_a_second_life(&[ReadHead, CheckAndRecordKeepingCover], END_CLUSTER));
}

#[test]
fn a_cover_noted_without_looking_lets_a_newer_lease_survive() {
    some_survive(&with_a_second_life(MINT_CLUSTER, &[SetMark, AppendIfLive, Cover, Acknowledge]));
}

#[test]
fn a_rule_without_a_mark_divides_before_from_after() {
    let outcome = two_and_two(&[ReadHead, Record], &[AppendAlone, Acknowledge]);
    none_survives(&outcome);
    let outcome = run(vec![Broker::new(&[ReadHead, Record]), Broker::new(&[AppendAlone, Acknowledge])]);
    assert_eq!((outcome.survivors, outcome.over_ended), (0, 0), "{outcome:?}");
}

#[test]
fn a_head_read_after_the_lease_was_written_lets_what_came_before_survive() {
    some_survive(&two_and_two(&[Record, ReadHeadLate], &[AppendAlone, Acknowledge]));
}
