//! Random pairs of sets, and random requests that plain Cedar decides under both: what `policy diff` calls "not wider" must
//! never be seen to widen.

mod brute;
mod random;

use std::collections::BTreeMap;
use std::time::Duration;

use jitney::governance::diff::{Access, Report, Tree, diff};
use jitney::model::UnixTime;

use crate::common::Chance;
use brute::{Brute, Request};
use random::World;

/// So many pairs of sets are compared.
const PAIRS: usize = 400;
/// So many requests are decided under each pair.
const REQUESTS: usize = 40;
/// 2026-11-28T12:00:00Z.
const NOW: UnixTime = UnixTime::from_secs(1_795_867_200);

fn tree(name: &str, world: &World) -> Option<Tree> {
    Tree::of_files(name, "policies", world.files(), NOW).ok()
}

/// Whether some row says that this may be more than before.
fn is_told(report: &Report, request: &Request) -> bool {
    report.rows.iter().any(|row| {
        let is_scope = row.scope.as_deref().is_some_and(|scope| {
            scope == request.scope || scope.strip_suffix('*').is_some_and(|head| request.scope.starts_with(head))
        });
        row.access == Access::Grant
            && row.widens()
            && row.workloads.contains(&request.workload)
            && row.audience.as_ref() == Some(&request.audience)
            && is_scope
    })
}

#[derive(Debug, Default)]
struct Counts {
    pairs: usize,
    wider: usize,
    called_wider: usize,
    not_wider: usize,
    in_doubt: usize,
    surely: usize,
}

#[test]
#[allow(clippy::disallowed_macros, reason = "how much was tried is what a reader of the test's output wants")]
fn what_is_called_not_wider_is_never_seen_to_widen() {
    let mut chance = Chance::new();
    let mut counts = Counts::default();
    while counts.pairs < PAIRS {
        let mut own = chance.fork();
        let base = World::random(&mut own);
        let head = base.changed(&mut own);
        let (Some(before), Some(after)) = (tree("base", &base), tree("head", &head)) else { continue };
        counts.pairs += 1;
        let report = diff(&before, &after, NOW, (Duration::ZERO, None)).unwrap();
        let (old, new) = (Brute::of(&base), Brute::of(&head));
        let mut is_wider = false;
        for _ in 0..REQUESTS {
            let request = Request::random(&mut own);
            if new.decide(&request).is_more_than(&old.decide(&request)) {
                is_wider = true;
                assert!(
                    is_told(&report, &request),
                    "called not wider: {request:?}\nbefore:\n{}\nafter:\n{}\n{:#}",
                    base.told(),
                    head.told(),
                    report.json()
                );
            }
        }
        // What is shown as a request that gains is one.
        for row in &report.rows {
            let Some(shown) = &row.request else { continue };
            let request = Request::of(shown);
            assert!(
                new.decide(&request).is_more_than(&old.decide(&request)),
                "it gains nothing: {request:?}\nbefore:\n{}\nafter:\n{}",
                base.told(),
                head.told()
            );
            counts.surely += 1;
        }
        counts.wider += usize::from(is_wider);
        let widens = !report.passes();
        counts.called_wider += usize::from(widens);
        counts.not_wider += usize::from(!widens);
        let doubt = report.rows.iter().any(|row| row.widens() && row.request.is_none() && row.access == Access::Grant);
        counts.in_doubt += usize::from(doubt);
    }
    println!("{counts:?}");
    // It says something: not everything is in doubt, and what is called not wider is not only what nobody touched.
    assert!(counts.wider > PAIRS / 10, "{counts:?}");
    assert!(counts.not_wider > PAIRS / 10, "{counts:?}");
    assert!(counts.in_doubt < PAIRS / 5, "{counts:?}");
}

/// The two halves of this test must mean the same: what plain Cedar permits is what a broker grants.
#[test]
fn plain_cedar_and_a_broker_decide_alike() {
    let mut chance = Chance::new();
    let (mut tried, mut granted) = (0, 0);
    while tried < 200 {
        let mut own = chance.fork();
        let world = World::random(&mut own);
        let Some(tree) = tree("one", &world) else { continue };
        tried += 1;
        let brute = Brute::of(&world);
        for _ in 0..20 {
            let request = Request::random(&mut own);
            let by_cedar = brute.decide(&request).allowed;
            let by_broker = request.decided_by(&tree.set);
            assert_eq!(by_cedar, by_broker, "{request:?}\n{}", world.told());
            granted += usize::from(by_broker);
        }
    }
    assert!(granted > 100, "{granted} were granted");
}

type Files = BTreeMap<String, String>;
