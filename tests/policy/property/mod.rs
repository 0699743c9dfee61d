//! Random sets, each held against each of its changes, and random requests that plain Cedar decides under all of them: what
//! `policy diff` calls "not wider" must never be seen to widen, and an invariant that it calls kept never to be broken.
//!
//! `JITNEY_TEST_PAIRS=100000` compares so many pairs; `JITNEY_TEST_SEED=N` plays a failed run again.

mod brute;
mod condition;
mod identity;
mod random;
#[cfg(feature = "prove")]
mod solver;

use std::collections::BTreeMap;
use std::time::Duration;

use jitney::governance::diff::{Access, Effort, Report, Tree, diff};
use jitney::model::UnixTime;

use crate::common::Chance;
use brute::{Brute, Request, Used};
use identity::Proof;
use random::World;

/// So many pairs of sets are compared.
const PAIRS: usize = 2000;
/// So many sets are compared with each other: each is loaded once, and is in many pairs.
const FAMILY: usize = 6;
/// What the pairs that nobody has to look for are made from: what this test meets at least must not hang on chance.
const SEED: u64 = 2;
/// So many requests are decided under each set of a family.
const REQUESTS: usize = 32;
/// So many requests jitney tries itself for one question: more make it sure of more, not more right.
const TRIES: usize = 6;
/// 2026-11-28T12:00:00Z.
const NOW: UnixTime = UnixTime::from_secs(1_795_867_200);

type Files = BTreeMap<String, String>;

fn tree(name: &str, world: &World) -> Option<Tree> {
    Tree::of_files(name, "policies", world.files(), NOW).ok()
}

fn pairs() -> usize {
    std::env::var("JITNEY_TEST_PAIRS").ok().and_then(|pairs| pairs.parse().ok()).unwrap_or(PAIRS)
}

/// A set and its changes, those that load.
fn family(chance: &mut Chance) -> Vec<World> {
    let mut all: Vec<World> = Vec::new();
    while all.len() < FAMILY {
        let next = match all.is_empty() {
            true => World::random(chance),
            false => chance.pick(&all).changed(chance),
        };
        if tree("", &next).is_some() {
            all.push(next);
        }
    }
    all
}

/// Somebody who shows this and asks for that.
struct Try {
    request: Request,
    proof: Proof,
}

impl Try {
    /// By a proof that one of these sets may take.
    fn random(worlds: &[World], chance: &mut Chance) -> Self {
        let request = Request::random(chance);
        let identities = chance.pick(worlds).identities(&request.workload);
        let proof = match identities {
            [] => Proof::random(chance),
            all if chance.below(8) > 0 => Proof::fitting(chance.pick(all), chance),
            _ => Proof::random(chance),
        };
        Self { request, proof }
    }
}

#[derive(Debug, Default)]
struct Counts {
    pairs: usize,
    wider: usize,
    called_wider: usize,
    not_wider: usize,
    in_doubt: usize,
    /// Requests shown, each tried.
    surely: usize,
    /// Requests that are more than before by a grant, by another proof, by a later end.
    gains: [usize; 3],
    invariants: usize,
    breaches: usize,
    kept: usize,
}

/// One set as it is told and as it is.
struct One<'a> {
    tree: Tree,
    brute: Brute<'a>,
}

/// Two sets and what is said of the change from the first to the second.
struct Pair<'a> {
    base: &'a One<'a>,
    head: &'a One<'a>,
    report: Report,
}

impl Pair<'_> {
    /// Whether some row of this kind says that this may be more than before.
    fn is_told(&self, access: Access, request: &Request) -> bool {
        self.report.rows.iter().any(|row| {
            let is_scope = row.scope.as_deref().is_some_and(|scope| is_of(scope, &request.scope));
            let is_place = row.audience.as_ref() == Some(&request.audience) && is_scope;
            row.access == access
                && row.widens()
                && row.workloads.contains(&request.workload)
                && (access != Access::Grant || is_place)
        })
    }

    /// What somebody gains: by which kind of change.
    fn gained(&self, Try { request, proof }: &Try) -> Option<Access> {
        let (old, new) = (&self.base.brute, &self.head.brute);
        let is_alive = |brute: &Brute<'_>| brute.is_governed(&request.workload, Some(request.now));
        let who = new.proves(request, proof).filter(|_| is_alive(new))?;
        let used: Used = (who.kind, who.claims.clone());
        let now = new.decide(request, &used);
        if !now.allowed {
            return None;
        }
        // As they were, but for who asks and how long.
        if now.is_more_than(&old.decide(request, &used)) {
            return Some(Access::Grant);
        }
        if !is_alive(old) {
            return Some(Access::Expiry);
        }
        let mut before = proof.alike().into_iter().filter_map(|proof| old.proves(request, &proof));
        let had_as_much = before.any(|who| !now.is_more_than(&old.decide(request, &(who.kind, who.claims))));
        (!had_as_much).then_some(Access::Identity)
    }

    fn hold_against(&self, tries: &[Try], counts: &mut Counts) {
        let mut is_wider = false;
        for each in tries {
            let Some(access) = self.gained(each) else { continue };
            is_wider = true;
            counts.gains
                [[Access::Grant, Access::Identity, Access::Expiry].iter().position(|a| *a == access).unwrap()] += 1;
            let Try { request, proof } = each;
            assert!(
                self.is_told(access, request),
                "called not wider ({access:?}): {request:?} by {proof:?}\n{}",
                self.told()
            );
        }
        for row in &self.report.rows {
            let Some(shown) = &row.request else { continue };
            let (request, used) = Request::of(shown);
            let gains = self.head.brute.gives(&request, &used).is_more_than(&self.base.brute.gives(&request, &used));
            let is_of_row = row.workloads.contains(&request.workload)
                && row.audience.as_ref() == Some(&request.audience)
                && row.scope.as_deref().is_some_and(|scope| is_of(scope, &request.scope));
            assert!(is_of_row, "it is of another row: {request:?}\n{}", self.told());
            assert!(gains, "it gains nothing: {request:?} {used:?}\n{}", self.told());
            counts.surely += 1;
        }
        counts.pairs += 1;
        counts.wider += usize::from(is_wider);
        let widens = !self.report.passes();
        counts.called_wider += usize::from(widens);
        counts.not_wider += usize::from(!widens);
        let rows = self.report.rows.iter();
        let mut doubt = rows.filter(|row| row.widens() && row.request.is_none() && row.access == Access::Grant);
        counts.in_doubt += usize::from(doubt.next().is_some());
        self.hold_invariants_against(tries, counts);
    }

    /// What is granted and an invariant speaks of is told as a breach of it.
    fn hold_invariants_against(&self, tries: &[Try], counts: &mut Counts) {
        let brute = &self.head.brute;
        let mut broken = vec![false; brute.world.invariants.len()];
        for Try { request, proof } in tries {
            let Some(who) = brute.proves(request, proof) else { continue };
            let used: Used = (who.kind, who.claims);
            if !brute.gives(request, &used).allowed {
                continue;
            }
            for (at, broken) in broken.iter_mut().enumerate().filter(|(at, _)| brute.meets(*at, request, &used)) {
                *broken = true;
                assert!(self.is_breach(at, request), "called kept: i{at}: {request:?} {used:?}\n{}", self.told());
            }
        }
        counts.invariants += broken.len();
        counts.breaches += broken.iter().filter(|broken| **broken).count();
        let is_kept = |at: &usize| !self.report.breaches.iter().any(|each| each.invariant == format!("i{at}"));
        counts.kept += (0..broken.len()).filter(is_kept).count();
        for breach in self.report.breaches.iter().filter(|breach| !breach.is_of_base) {
            let Some(shown) = &breach.request else { continue };
            let (request, used) = Request::of(shown);
            let at: usize = breach.invariant[1..].parse().unwrap();
            let is_one = brute.gives(&request, &used).allowed && brute.meets(at, &request, &used);
            assert!(is_one, "it breaks nothing: i{at}: {request:?} {used:?}\n{}", self.told());
        }
    }

    fn is_breach(&self, at: usize, request: &Request) -> bool {
        self.report.breaches.iter().any(|breach| {
            breach.invariant == format!("i{at}")
                && !breach.is_of_base
                && breach.workloads.contains(&request.workload)
                && breach.audience == request.audience
                && is_of(&breach.scope, &request.scope)
        })
    }

    fn told(&self) -> String {
        let (base, head) = (self.base.brute.world.told(), self.head.brute.world.told());
        format!("before:\n{base}\nafter:\n{head}\n{:#}", self.report.json())
    }
}

/// Whether it is that scope, or an instance of it.
fn is_of(scope: &str, asked: &str) -> bool {
    scope == asked || scope.strip_suffix('*').is_some_and(|head| asked.starts_with(head))
}

/// Compares at least so many pairs.
fn compare(pairs: usize, chance: &mut Chance, effort: Effort<'_>) -> Counts {
    let mut counts = Counts::default();
    while counts.pairs < pairs {
        let mut own = chance.fork();
        let worlds = family(&mut own);
        let one = |world| One { tree: tree("one", world).unwrap(), brute: Brute::of(world) };
        let all: Vec<One<'_>> = worlds.iter().map(one).collect();
        let tries: Vec<Try> = (0..REQUESTS).map(|_| Try::random(&worlds, &mut own)).collect();
        for (at, base) in all.iter().enumerate() {
            for head in all.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, head)| head) {
                let report = diff(&base.tree, &head.tree, NOW, effort).unwrap();
                Pair { base, head, report }.hold_against(&tries, &mut counts);
            }
        }
    }
    counts
}

fn without_a_solver() -> Effort<'static> {
    Effort { tries: TRIES, ..Effort::within(Duration::ZERO, None) }
}

/// It says something: not everything is in doubt, and what is called not wider is not only what nobody touched.
#[test]
#[allow(clippy::disallowed_macros, reason = "how much was tried is what a reader of the test's output wants")]
fn what_is_called_not_wider_is_not_seen_to_widen_in_known_pairs_of_all_kinds() {
    let counts = compare(pairs() / 2, &mut Chance::seeded(SEED), without_a_solver());
    println!("{counts:?}");
    assert!(counts.wider > counts.pairs / 25, "{counts:?}");
    assert!(counts.not_wider > counts.pairs / 10, "{counts:?}");
    assert!(counts.in_doubt < counts.pairs / 2, "{counts:?}");
    assert!(counts.gains.iter().all(|of_kind| *of_kind > 0), "each kind of gain is met: {counts:?}");
    assert!(counts.breaches > 0 && counts.kept > counts.invariants / 10, "{counts:?}");
}

#[test]
#[allow(clippy::disallowed_macros, reason = "how much was tried is what a reader of the test's output wants")]
fn what_is_called_not_wider_is_never_seen_to_widen() {
    println!("{:?}", compare(pairs() / 2, &mut Chance::new(), without_a_solver()));
}

/// The two halves of this test must mean the same: what plain Cedar permits is what a broker grants.
#[test]
fn plain_cedar_and_a_broker_decide_alike() {
    let mut chance = Chance::new();
    let (mut tried, mut granted) = (0, 0);
    while tried < 300 {
        let mut own = chance.fork();
        let world = World::random(&mut own);
        let Some(tree) = tree("one", &world) else { continue };
        tried += 1;
        let worlds = [world];
        let world = &worlds[0];
        let brute = Brute::of(world);
        for _ in 0..40 {
            let Try { request, proof } = Try::random(&worlds, &mut own);
            let Some(who) = brute.proves(&request, &proof) else { continue };
            let used: Used = (who.kind, who.claims);
            let by_broker = request.decided_by(&tree.set, &used);
            assert_eq!(brute.gives(&request, &used).allowed, by_broker, "{request:?} {used:?}\n{}", world.told());
            granted += usize::from(by_broker);
        }
    }
    assert!(granted > 100, "{granted} were granted");
}
