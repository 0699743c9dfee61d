//! A run: its share of the faults, its seed, its threads, and the table of what was injected.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::history::History;
use super::load::Client;
use super::watch;
use super::world::World;
use crate::common::Chance;

/// How many faults all runs of the short test inject together.
const SHORT: u64 = 1000;
/// Each run's share of them.
pub const SHARES: [(&str, u64); 9] = [
    ("wire", 880),
    ("redis", 50),
    ("embedded", 40),
    ("disk", 40),
    ("clock", 20),
    ("clock-embedded", 20),
    ("verifiers", 40),
    ("verifiers-clock", 20),
    ("guard-clock", 20),
];
/// How many clients ask at once.
const CLIENTS: usize = 4;
/// So many faults are injected between two looks whether all brokers come back.
const BETWEEN_LOOKS: u64 = 50;

/// The seed of this process's runs, printed once by each.
#[allow(clippy::disallowed_macros, reason = "a failed test shows what it printed")]
pub fn seed(name: &str) -> u64 {
    let given = std::env::var("JITNEY_CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| jitney::model::Clock::system().now_ms());
    println!("chaos {name}: JITNEY_CHAOS_SEED={seed}");
    seed
}

/// How many faults this run is to inject.
pub fn quota(name: &str) -> u64 {
    let all = std::env::var("JITNEY_CHAOS_FAULTS").ok().and_then(|all| all.parse().ok()).unwrap_or(SHORT);
    let share = SHARES.iter().find(|(each, _)| *each == name).expect("a run with a share").1;
    (share * all).div_ceil(SHORT)
}

/// Keeps a world busy while `inject` breaks something, again and again, until the quota is reached; then holds the
/// invariants against what happened.
pub fn run(world: &World, inject: impl FnMut(&mut Chance)) {
    play(world, inject);
    hold(world);
}

/// The first half of a run: afterwards nothing is broken any more, and nobody asks.
pub fn play(world: &World, mut inject: impl FnMut(&mut Chance)) {
    let mut chance = Chance::seeded(world.seed);
    let (quota, mut looked) = (quota(world.name), 0);
    std::thread::scope(|threads| {
        let stop = StopAtLast(world);
        for number in 0..CLIENTS {
            let client = Client::new(world, number, chance.fork());
            threads.spawn(move || client.run());
        }
        let (mut one, mut other) = (chance.fork(), chance.fork());
        threads.spawn(move || watch::offline(world, one.fork()));
        threads.spawn(move || watch::live(world, &world.seats[0], other.fork()));
        world.recovers();
        while count(&world.history) < quota {
            inject(&mut chance);
            if count(&world.history) >= looked + BETWEEN_LOOKS {
                looked = count(&world.history);
                world.recovers();
            }
        }
        world.recovers();
        // What was ended last is judged once more by everybody.
        std::thread::sleep(Duration::from_millis(500));
        drop(stop);
    });
    for held in world.some(200, &mut chance) {
        super::load::introspect(world, &world.seats[0], "last", &held);
    }
    world.recovers();
}

/// The second half.
pub fn hold(world: &World) {
    tell(world);
    world.is_sound();
}

/// Ends the other threads, however the injector ends.
struct StopAtLast<'a>(&'a World);

impl Drop for StopAtLast<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }
}

fn count(history: &Arc<History>) -> u64 {
    history.faults().values().sum()
}

#[allow(clippy::disallowed_macros, reason = "the count is the proof")]
fn tell(world: &World) {
    use super::history::{Verdict, What};
    let events = world.history.events();
    let count = |is: fn(&What) -> bool| events.iter().filter(|event| is(&event.what)).count();
    let (granted, ended) =
        (count(|what| matches!(what, What::Granted { .. })), count(|what| matches!(what, What::Ended { .. })));
    let (judged, accepted) = (
        count(|what| matches!(what, What::Judged { .. } | What::Said { .. })),
        count(|what| {
            matches!(what, What::Judged { good: true, .. } | What::Said { verdict: Verdict::Good { .. }, .. })
        }),
    );
    let failed = count(|what| matches!(what, What::Silent { .. } | What::Refused { status: 500.., .. }));
    let seconds = world.history.now() / super::history::SECOND;
    println!(
        "chaos {}: {granted} tokens, {ended} ends, {judged} judgements ({accepted} accepted), {failed} unanswered or \
         503, in {seconds} s",
        world.name
    );
    let faults = world.history.faults();
    for (kind, count) in &faults {
        println!("chaos {}: fault {count:>5} {kind}", world.name);
    }
    println!("chaos {}: faults {:>5} in all", world.name, faults.values().sum::<u64>());
}

#[test]
fn the_shares_are_a_thousand_faults() {
    assert!(SHARES.iter().map(|(_, share)| share).sum::<u64>() >= SHORT);
}
