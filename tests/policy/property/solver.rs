//! The same with a solver: what it proves is never seen to widen, what it shows gains something, and what trials surely show it
//! never calls proven. So it is of invariants.
//!
//! Only pairs of which form alone leaves something open are put to it, with a single trial before that: the answers are the
//! solver's own.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use jitney::governance::diff::{Access, Effort, Report, Tree, diff};

use super::brute::Brute;
use super::random::World;
use super::{Counts, NOW, One, Pair, Try, tree};
use crate::common::Chance;
use crate::proofs;

/// So many pairs are put to the solver, after those that everybody tries.
const PAIRS: usize = 8;
/// What those are made from, and how many: each kind of answer is among theirs, whatever chance brings besides.
const KNOWN: (u64, usize) = (1_795_915_772_502, 24);
/// So many requests are decided under both sets of a pair.
const REQUESTS: usize = 300;
/// So long the solver is asked about one pair.
const BUDGET: Duration = Duration::from_secs(3);
/// By this setting a run of this test knows that it is the one with a solver.
const INSIDE: &str = "JITNEY_TEST_INSIDE";

/// Who may do what: a workload, an audience and a scope; of an invariant with its name before them.
type Spot = Vec<String>;

/// What a report says of each spot.
#[derive(Default)]
struct Said {
    sure: BTreeSet<Spot>,
    in_doubt: BTreeSet<Spot>,
}

impl Said {
    fn of_grants(report: &Report) -> Self {
        let mut said = Self::default();
        for row in report.rows.iter().filter(|row| row.access == Access::Grant && row.widens()) {
            let place = [row.audience.clone().unwrap(), row.scope.clone().unwrap()];
            said.add(&row.workloads, &place, row.request.is_some());
        }
        said
    }

    fn of_invariants(report: &Report) -> Self {
        let mut said = Self::default();
        for breach in &report.breaches {
            let which = format!("{} of {}", breach.invariant, if breach.is_of_base { "base" } else { "head" });
            said.add(
                &breach.workloads,
                &[which, breach.audience.clone(), breach.scope.clone()],
                breach.request.is_some(),
            );
        }
        said
    }

    fn add(&mut self, workloads: &[String], place: &[String], is_sure: bool) {
        let to = if is_sure { &mut self.sure } else { &mut self.in_doubt };
        to.extend(workloads.iter().map(|workload| [std::slice::from_ref(workload), place].concat()));
    }

    fn has(&self, spot: &Spot) -> bool {
        self.sure.contains(spot) || self.in_doubt.contains(spot)
    }
}

/// What a solver made of what was open: proven, shown by a request, or still open.
#[derive(Debug, Default)]
struct Settled {
    proven: usize,
    shown: usize,
    open: usize,
    /// Shown by many trials, and by the solver's run too.
    agreed: usize,
}

impl Settled {
    /// `open` is by form alone, `tried` by many trials, `solved` by the solver.
    fn add(&mut self, open: &Said, tried: &Said, solved: &Said, told: impl Fn() -> String) {
        for spot in &open.in_doubt {
            match (solved.sure.contains(spot), solved.in_doubt.contains(spot)) {
                (true, _) => self.shown += 1,
                (_, true) => self.open += 1,
                _ => self.proven += 1,
            }
        }
        for spot in &tried.sure {
            assert!(solved.has(spot), "called proven, and a request shows it: {spot:?}\n{}", told());
            self.agreed += 1;
        }
    }
}

/// What `policy diff` says with so many trials, and a solver for so long.
fn report(base: &Tree, head: &Tree, tries: usize, budget: Duration) -> Report {
    diff(base, head, NOW, Effort { tries, ..Effort::within(budget, None) }).unwrap()
}

/// A random set and a change of it, which both load.
fn change(chance: &mut Chance) -> [World; 2] {
    loop {
        let base = World::random(chance);
        let head = base.changed(chance);
        if tree("", &base).is_some() && tree("", &head).is_some() {
            return [base, head];
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    pairs: usize,
    grants: Settled,
    invariants: Settled,
    counts: Counts,
    /// Without a solver.
    by_trial: Counts,
}

impl Tally {
    /// Whether each answer that a solver can give was seen.
    fn has_seen_all(&self) -> bool {
        self.grants.proven > 0 && self.grants.shown > 0 && self.grants.agreed > 0 && self.invariants.proven > 0
    }

    /// Puts one pair to the solver, where form alone leaves something open.
    fn put(&mut self, chance: &mut Chance) {
        let worlds = change(chance);
        let [base, head] =
            worlds.each_ref().map(|world| One { tree: tree("one", world).unwrap(), brute: Brute::of(world) });
        let open = report(&base.tree, &head.tree, 1, Duration::ZERO);
        let (grants, invariants) = (Said::of_grants(&open), Said::of_invariants(&open));
        if grants.in_doubt.is_empty() && invariants.in_doubt.is_empty() {
            return;
        }
        let tries: Vec<Try> = (0..REQUESTS).map(|_| Try::random(&worlds, chance)).collect();
        let tried = report(&base.tree, &head.tree, 1000, Duration::ZERO);
        let (by_grants, by_invariants) = (Said::of_grants(&tried), Said::of_invariants(&tried));
        Pair { base: &base, head: &head, report: tried }.hold_against(&tries, &mut self.by_trial);
        let solved = report(&base.tree, &head.tree, 1, BUDGET);
        let pair = Pair { base: &base, head: &head, report: solved };
        pair.hold_against(&tries, &mut self.counts);
        let told = || pair.told();
        self.grants.add(&grants, &by_grants, &Said::of_grants(&pair.report), told);
        self.invariants.add(&invariants, &by_invariants, &Said::of_invariants(&pair.report), told);
        self.pairs += 1;
    }
}

/// The solver's program is named by the environment, which this process shares with the other tests: the work is done in one of
/// its own.
#[test]
#[allow(
    clippy::disallowed_macros,
    reason = "how much was put to the solver is what a reader of the test's output wants"
)]
fn what_a_solver_proves_is_never_seen_to_widen() {
    if std::env::var_os(INSIDE).is_none() {
        return in_a_process_of_its_own("property::solver::what_a_solver_proves_is_never_seen_to_widen");
    }
    let mut chance = Chance::new();
    let mut tally = Tally::default();
    let mut known = Chance::seeded(KNOWN.0);
    while tally.pairs < KNOWN.1 {
        tally.put(&mut known.fork());
    }
    while tally.pairs < KNOWN.1 + PAIRS {
        tally.put(&mut chance.fork());
    }
    println!("{tally:?}");
    assert!(tally.has_seen_all(), "{tally:?}");
    assert!(tally.counts.surely > 0 && tally.counts.kept > 0, "{tally:?}");
}

#[allow(clippy::disallowed_macros, reason = "a failed test shows what it printed")]
fn in_a_process_of_its_own(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").env("JITNEY_CVC5", proofs::solver(dir.path()));
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let told = text(&output.stdout) + &text(&output.stderr);
    println!("{told}");
    assert!(output.status.success() && told.contains("1 passed"), "it failed, as shown above");
}
