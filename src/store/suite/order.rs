//! Before and after are positions: mints and ends of two brokers, interleaved at random.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tokio::task::JoinSet;

use super::*;

const ROUNDS: usize = 250;

/// One call among others: when it was begun and when it was answered, in ticks, and what came of it.
struct Seen<T> {
    begun: u64,
    answered: u64,
    got: T,
}

enum Outcome {
    Mint(Seen<Result<Lease, RecordError>>),
    End(Seen<Ended>),
}

/// Runs eight mints and two ends of one round at once, half of them by each broker, each after some turns of waiting.
async fn round(brokers: &[Arc<dyn LeaseStore>; 2], ask: &Ask, target: &EndTarget, waits: &[u8]) -> Vec<Outcome> {
    let ticks = Arc::new(Ticks::default());
    let mut running = JoinSet::new();
    for (at, wait) in waits.iter().copied().enumerate() {
        let (store, ticks) = (Arc::clone(&brokers[at % 2]), Arc::clone(&ticks));
        let (ask, target) = (ask.clone().ttl(60 + at as u64 * 7), target.clone());
        running.spawn(async move {
            for _ in 0..wait {
                // A turn costs about as long as a call takes, so that calls meet in all their stages.
                let _ = store.head().await;
                tokio::task::yield_now().await;
            }
            let begun = ticks.next();
            if at < 8 {
                let got = ask.record(&store).await;
                Outcome::Mint(Seen { begun, answered: ticks.next(), got })
            } else {
                let got = end(&store, target).await;
                Outcome::End(Seen { begun, answered: ticks.next(), got })
            }
        });
    }
    running.join_all().await
}

/// The waits of all rounds: some calls start at once, some late.
fn waits() -> Vec<Vec<u8>> {
    let one = proptest::collection::vec(prop_oneof![Just(0u8), 0..4u8, 0..40u8], 10);
    proptest::collection::vec(one, ROUNDS).new_tree(&mut TestRunner::default()).expect("waits").current()
}

type Split = (Vec<Seen<Result<Lease, RecordError>>>, Vec<Seen<Ended>>);

fn split(outcomes: Vec<Outcome>) -> Split {
    let (mut mints, mut ends) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Outcome::Mint(seen) => mints.push(seen),
            Outcome::End(seen) => ends.push(seen),
        }
    }
    (mints, ends)
}

pub(crate) async fn before_and_after_a_workloads_end_are_told_by_positions<F: Fixture>(fixture: F) {
    let (one, epoch) = ready(&fixture).await;
    let brokers = [one, fixture.open().await];
    for (turn, waits) in waits().into_iter().enumerate() {
        let of = format!("w{turn}");
        let target = EndTarget::Workload(workload(&of));
        let (mints, ends) = split(round(&brokers, &Ask::task("t", epoch).workload(&of), &target, &waits).await);
        for mint in &mints {
            let lease = mint.got.as_ref().expect("an end by selector shuts nothing");
            let mut living_before_an_end = false;
            for end in &ends {
                let at = end.got.rules.first();
                if mint.answered < end.begun {
                    living_before_an_end = true;
                    assert!(at.is_none_or(|rule| lease.position < rule.position), "before: {lease:?}, {at:?}");
                }
                if mint.begun > end.answered {
                    assert!(at.is_none_or(|rule| lease.position >= rule.position), "after: {lease:?}, {at:?}");
                }
            }
            let killers: Vec<_> =
                ends.iter().flat_map(|end| &end.got.rules).filter(|rule| lease.position < rule.position).collect();
            // An end that found another standing behind all leases appends nothing; one of them has to.
            assert!(!living_before_an_end || !killers.is_empty(), "it outlives an end: {lease:?}");
            for rule in killers {
                assert!(rule.until >= Some(lease.expires_at), "{rule:?} is dropped before {lease:?} has expired");
            }
        }
    }
}

pub(crate) async fn no_lease_is_recorded_after_a_completion_is_acknowledged<F: Fixture>(fixture: F) {
    let (one, epoch) = ready(&fixture).await;
    let brokers = [one, fixture.open().await];
    let (mut accepted, mut refused) = (0, 0);
    for (turn, waits) in waits().into_iter().enumerate() {
        let name = format!("t{turn}");
        let ask = Ask::task(&format!("{name}/child"), epoch);
        let (mints, ends) = split(round(&brokers, &ask, &completion(&name), &waits).await);
        let rules: Vec<_> = ends.iter().flat_map(|end| &end.got.rules).collect();
        let first_ack = ends.iter().map(|end| end.answered).min().expect("two ends");
        for mint in &mints {
            match &mint.got {
                Ok(lease) => {
                    accepted += 1;
                    assert!(mint.begun < first_ack, "recorded after the completion was acknowledged: {lease:?}");
                    assert!(
                        rules.iter().any(|rule| lease.position < rule.position && rule.until >= Some(lease.expires_at)),
                        "{lease:?} outlives its task: {rules:?}"
                    );
                }
                Err(RecordError::TaskEnded { .. }) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    assert!(accepted > 50 && refused > 50, "no interleaving worth the name: {accepted} recorded, {refused} refused");
}
