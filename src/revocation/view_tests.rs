//! The view against a naive model: every rule ever told, in one vector, scanned.

use proptest::prelude::*;

use super::*;
use crate::model::{AccessClaims, AudienceUri, KeyId, LeaseId, ScopeSet, Selector, TaskId, WorkloadId};

const TASKS: [&str; 5] = ["a", "a/b", "a/b/c", "ab", "d"];
const WORKLOADS: [&str; 3] = ["alice", "bob", "carol"];
const AUDIENCES: [&str; 2] = ["https://orders", "https://bills"];
const KEYS: [&str; 2] = ["k1", "k2"];
const NOW: UnixTime = UnixTime::from_secs(0);

fn lease(n: usize) -> LeaseId {
    LeaseId::new(n as u64, [0; 4], 0)
}

fn workload(n: usize) -> WorkloadId {
    WorkloadId::parse(WORKLOADS[n % WORKLOADS.len()]).unwrap()
}

fn audience(n: usize) -> AudienceUri {
    AudienceUri::parse(AUDIENCES[n % AUDIENCES.len()]).unwrap()
}

fn task(n: usize) -> TaskId {
    TaskId::parse(TASKS[n % TASKS.len()]).unwrap()
}

fn key(n: usize) -> KeyId {
    KeyId::parse(KEYS[n % KEYS.len()]).unwrap()
}

#[derive(Debug, Clone)]
struct Token {
    claims: AccessClaims,
    kid: KeyId,
}

impl Token {
    fn selected_by(&self, selector: &Selector) -> bool {
        let claims = &self.claims;
        match selector {
            Selector::Lease(id) => *id == claims.jti,
            Selector::Task(workload, task) => *workload == claims.sub && claims.txn.is_within(task),
            Selector::Workload(id) => *id == claims.sub || claims.actors().any(|actor| actor == id),
            Selector::Audience(uri) => *uri == claims.aud,
            Selector::Key(kid) => *kid == self.kid,
            Selector::All => true,
        }
    }
}

fn tokens() -> impl Strategy<Value = Token> {
    (0..6usize, 0..5usize, 0..3usize, prop::option::of(0..3usize), 0..2usize, 0..2usize, 0..30u64).prop_map(
        |(id, name, who, actor, to, under, rev)| Token {
            claims: AccessClaims {
                iss: "https://broker".into(),
                sub: workload(who),
                client_id: workload(who),
                aud: audience(to),
                iat: UnixTime::from_secs(0),
                nbf: UnixTime::from_secs(0),
                exp: UnixTime::from_secs(u64::MAX),
                jti: lease(id),
                scope: ScopeSet::parse("s").unwrap(),
                txn: task(name),
                rev: Position::new(rev),
                act: actor.map(|n| crate::model::ActClaim { sub: workload(n), act: None }),
            },
            kid: key(under),
        },
    )
}

fn selectors() -> impl Strategy<Value = Selector> {
    prop_oneof![
        4 => (0..6usize).prop_map(|n| Selector::Lease(lease(n))),
        4 => (0..3usize, 0..5usize).prop_map(|(who, name)| Selector::Task(workload(who), task(name))),
        2 => (0..3usize).prop_map(|n| Selector::Workload(workload(n))),
        1 => (0..2usize).prop_map(|n| Selector::Audience(audience(n))),
        1 => (0..2usize).prop_map(|n| Selector::Key(key(n))),
        1 => Just(Selector::All),
    ]
}

fn rule(selector: &Selector, position: u64, until: u64) -> Rule {
    let until = (selector.kind() != RuleKind::Key).then(|| UnixTime::from_secs(until));
    Rule { kind: selector.kind(), digest: selector.digest(), position: Position::new(position), until }
}

#[derive(Debug, Clone)]
enum Step {
    Apply(Vec<(Selector, u64, u64)>),
    Snapshot,
    Expire(u64),
    Ask(Token),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rules = prop::collection::vec((selectors(), 1..40u64, 0..400u64), 1..20);
    let step = prop_oneof![
        3 => rules.prop_map(Step::Apply),
        1 => Just(Step::Snapshot),
        1 => (0..400u64).prop_map(Step::Expire),
        6 => tokens().prop_map(Step::Ask),
    ];
    prop::collection::vec(step, 1..60)
}

/// The narrowest kind among `told` that ends the token, those past at `now` left out.
fn naive(told: &[(Selector, u64, u64)], token: &Token, now: u64) -> Option<RuleKind> {
    let rev = token.claims.rev.get();
    told.iter()
        .filter(|(selector, _, until)| selector.kind() == RuleKind::Key || until + View::MARGIN.as_secs() >= now)
        .filter(|(selector, position, _)| selector.kind() == RuleKind::Key || *position > rev)
        .filter(|(selector, ..)| token.selected_by(selector))
        .map(|(selector, ..)| selector.kind())
        .min()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_view_says_what_a_scan_of_all_rules_says(steps in steps(), largest in 1..64usize) {
        let view = View::with_largest(largest);
        let epoch = Epoch::from_bits(1);
        view.replace(epoch, Position::START, &[], NOW).unwrap();
        let mut told: Vec<(Selector, u64, u64)> = Vec::new();
        let mut passed: Vec<(Token, u64)> = Vec::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Apply(rules) => {
                    let batch: Vec<Rule> = rules.iter().map(|(s, at, until)| rule(s, *at, *until)).collect();
                    view.apply(&batch, view.position(), UnixTime::from_secs(now));
                    told.extend(rules);
                }
                Step::Snapshot => {
                    let batch: Vec<Rule> = told.iter().map(|(s, at, until)| rule(s, *at, *until)).collect();
                    view.replace(epoch, view.position(), &batch, UnixTime::from_secs(now)).unwrap();
                }
                Step::Expire(at) => {
                    now = now.max(at);
                    view.expire(UnixTime::from_secs(now));
                }
                Step::Ask(token) => {
                    let digests = TokenDigests::of_claims(&token.claims, &token.kid);
                    let (must, may) = (naive(&told, &token, now), naive(&told, &token, 0));
                    let found = view.ends(&digests, token.claims.rev);
                    if let Some(kind) = must {
                        prop_assert!(found.is_some_and(|found| found <= kind), "{kind:?} missed: {found:?}");
                    }
                    // A past rule may still be there, and then tells the truth about the past.
                    prop_assert!(found.is_none() == may.is_none() || must.is_none(), "{found:?} of {may:?}");
                    prop_assert!(found.is_none_or(|kind| may.is_some_and(|may| may <= kind)));
                    if let Ok(generation) = view.judge(&digests, token.claims.rev, 0) {
                        passed.push((token, generation));
                    }
                }
            }
            // Whoever passed once and asks only what is new is told the same as who asks everything.
            for (token, since) in &passed {
                let digests = TokenDigests::of_claims(&token.claims, &token.kid);
                let (new, all) = (view.judge(&digests, token.claims.rev, *since), view.ends(&digests, token.claims.rev));
                prop_assert_eq!(new.err().is_some(), all.is_some());
                if view.generation() == *since {
                    prop_assert_eq!(all, None);
                }
            }
        }
    }
}

fn token_of(name: usize, rev: u64) -> (TokenDigests, Position) {
    let digests = TokenDigests::build(
        lease(1),
        &workload(0),
        [].iter(),
        &task(name),
        &audience(0),
        Selector::Key(key(0)).digest(),
    );
    (digests, Position::new(rev))
}

#[test]
fn a_rule_ends_what_was_recorded_before_it_and_nothing_after() {
    let view = View::new();
    view.apply(&[rule(&Selector::Workload(workload(0)), 5, 100)], Position::new(5), NOW);
    let (digests, _) = token_of(0, 0);
    assert_eq!(view.ends(&digests, Position::new(4)), Some(RuleKind::Workload));
    assert_eq!(view.ends(&digests, Position::new(5)), None);
}

#[test]
fn a_rule_on_a_task_ends_its_children_and_not_its_parent() {
    let view = View::new();
    view.apply(&[rule(&Selector::Task(workload(0), task(1)), 1, 100)], Position::new(1), NOW);
    let ended = |name| view.ends(&token_of(name, 0).0, Position::START);
    assert_eq!([ended(0), ended(1), ended(2), ended(3)], [None, Some(RuleKind::Task), Some(RuleKind::Task), None]);
}

#[test]
fn a_rule_on_a_key_ends_every_token_under_it_for_good() {
    let view = View::new();
    view.apply(&[rule(&Selector::Key(key(0)), 1, 0)], Position::new(1), NOW);
    view.expire(UnixTime::from_secs(u64::MAX));
    assert_eq!(view.ends(&token_of(0, 0).0, Position::new(u64::MAX)), Some(RuleKind::Key));
    assert!(view.ends_key("k1") && !view.ends_key("k2"));
}

#[test]
fn within_an_epoch_a_view_never_goes_back_and_a_left_epoch_is_not_entered_again() {
    let (view, first, second) = (View::new(), Epoch::from_bits(9), Epoch::from_bits(2));
    view.replace(first, Position::new(7), &[rule(&Selector::All, 7, 100)], NOW).unwrap();
    let back = ReplaceError::Backwards { have: Position::new(7), got: Position::new(6) };
    assert_eq!(view.replace(first, Position::new(6), &[], NOW), Err(back));
    assert_eq!((view.position(), view.len()), (Position::new(7), 1));
    let before = view.generation();
    view.replace(second, Position::START, &[], NOW).unwrap();
    assert_eq!((view.epoch(), view.position(), view.len()), (Some(second), Position::START, 0));
    assert!(view.generation() > before, "what was judged in another epoch is judged again");
    assert_eq!(view.replace(first, Position::new(99), &[], NOW), Err(ReplaceError::Left(first)));
}

#[test]
fn an_end_told_out_of_turn_hides_none_of_those_before_it() {
    let view = View::new();
    view.replace(Epoch::from_bits(1), Position::new(7), &[], NOW).unwrap();
    view.apply(&[rule(&Selector::Lease(lease(1)), 10, 100)], view.position(), NOW);
    assert_eq!(view.position(), Position::new(7));
    view.apply(&[rule(&Selector::Workload(workload(0)), 8, 100)], Position::new(10), NOW);
    assert_eq!(view.ends(&token_of(0, 0).0, Position::new(7)), Some(RuleKind::Lease));
    assert_eq!(view.position(), Position::new(10));
    assert_eq!(view.rules().len(), 2);
}

#[test]
fn the_generation_stands_still_where_nothing_new_is_said() {
    let view = View::new();
    let rules = [rule(&Selector::Lease(lease(1)), 1, 100), rule(&Selector::Key(key(0)), 2, 0)];
    view.apply(&rules, Position::new(2), NOW);
    let generation = view.generation();
    view.apply(&rules, Position::new(2), NOW);
    view.apply(&[], Position::new(3), NOW);
    assert_eq!((view.generation(), view.position()), (generation, Position::new(3)));
}

#[test]
fn memory_is_bounded_by_what_lives() {
    let view = View::with_largest(4096);
    for minute in 0..60u64 {
        let now = UnixTime::from_secs(minute * 60);
        let rules: Vec<Rule> = (0..1000u64)
            .map(|n| {
                let id = LeaseId::new(minute * 1000 + n, [0; 4], n);
                rule(&Selector::Lease(id), minute * 1000 + n + 1, now.secs() + 300)
            })
            .collect();
        for batch in rules.chunks(10) {
            view.apply(batch, batch[batch.len() - 1].position, now);
        }
        view.expire(now);
        assert!(view.len() <= 2 * 7 * 1000, "{} rules in minute {minute}", view.len());
        assert!(view.state.load().segments.len() <= 24);
    }
}

/// Or a token that passed before the rule would pass once more, by whoever has seen that the view holds the rule.
#[test]
fn who_sees_a_place_sees_its_generation_too() {
    const LAST: u64 = 3000;
    let view = View::new();
    view.replace(Epoch::from_bits(1), Position::START, &[], NOW).unwrap();
    let before = view.generation();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=LAST {
                let digest = RuleDigest::of(RuleKind::Lease, &[&n.to_string()]);
                let rule = Rule { kind: RuleKind::Lease, digest, position: Position::new(n), until: None };
                view.apply(&[rule], rule.position, NOW);
            }
        });
        loop {
            let (position, generation) = (view.position().get(), view.generation() - before);
            assert!(generation >= position, "at {position} the generation is still {generation}");
            if position == LAST {
                break;
            }
        }
    });
}
