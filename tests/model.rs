//! A model of the revocation feed, run through every state it can be in: the log, brokers that lag, compaction, bounded
//! queues, cursors, lost connections, a new epoch, and readers that make the checks of the contract.
//!
//! The right feed misses nothing. Each fault that is planted in a broker, and each check that is left out against a
//! broken wire, is found, so these tests can fail. That an end is appended before it is acknowledged: `tests/orders.rs`.

#[path = "model/feed.rs"]
mod feed;
#[path = "model/reader.rs"]
mod reader;
#[path = "model/wire.rs"]
mod wire;
#[path = "model/world.rs"]
mod world;

use stateright::{Checker, HasDiscoveries, Model};

use reader::Checks;
use world::{BACK, Fault, KNOWN, MISSED, REFUSED_NOTHING, REFUSED_WHAT_IS_BROKEN, TWICE, World};

/// Two brokers and one reader, within one life of the log.
fn two_brokers(fault: Fault) -> World {
    let readers = vec![0];
    World { appends: 2, epochs: 1, brokers: 2, readers, queue: 2, busy: false, fault, checks: Checks::ALL }
}

/// One broker, and the log is lost once.
fn two_epochs(fault: Fault) -> World {
    World { epochs: 2, brokers: 1, busy: true, ..two_brokers(fault) }
}

/// One broker and a longer log.
fn long(fault: Fault) -> World {
    World { appends: 3, brokers: 1, ..two_brokers(fault) }
}

/// One broker whose keys change too.
fn short(fault: Fault) -> World {
    World { epochs: 1, ..two_epochs(fault) }
}

/// Two readers of two filters at one broker.
fn two_readers(fault: Fault) -> World {
    World { appends: 1, epochs: 1, readers: vec![0, 1], ..two_epochs(fault) }
}

/// What was found wrong. All states were looked at, unless something was.
#[allow(clippy::disallowed_macros, reason = "the count is the proof")]
fn wrong(world: &World) -> Vec<&'static str> {
    let began = std::time::Instant::now();
    let checker = world.clone().checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let mut found: Vec<_> = checker.discoveries().into_keys().filter(|name| !REACHED.contains(name)).collect();
    found.sort_unstable();
    if found.is_empty() {
        assert!(checker.is_done(), "all states were looked at");
        for reached in REACHED {
            assert!(checker.discovery(reached).is_some(), "nothing of this was ever reached: {reached}");
        }
    }
    println!("{:>9} states in {:>5.1?}: {world:?}: {found:?}", checker.unique_state_count(), began.elapsed());
    found
}

/// What a model that is worth anything reaches.
const REACHED: [&str; 2] = [KNOWN, REFUSED_WHAT_IS_BROKEN];

#[track_caller]
fn is_sound(world: &World) {
    assert_eq!(wrong(world), [""; 0], "{world:?}");
}

/// That a planted fault is found, and as what.
#[track_caller]
fn is_found(world: &World, expected: &[&str]) {
    let found = wrong(world);
    assert!(!found.is_empty(), "nothing was found: {world:?}");
    assert!(found.iter().all(|name| expected.contains(name)), "{found:?}: {world:?}");
}

#[test]
fn nothing_is_missed_whichever_broker_a_reader_comes_back_to() {
    is_sound(&two_brokers(Fault::Nothing));
}

#[test]
fn nothing_is_missed_over_a_longer_log_with_compaction() {
    is_sound(&long(Fault::Nothing));
}

#[test]
fn nothing_is_missed_when_the_log_begins_anew() {
    is_sound(&two_epochs(Fault::Nothing));
}

#[test]
fn nothing_is_missed_by_two_who_hear_different_things() {
    is_sound(&two_readers(Fault::Nothing));
}

#[test]
fn faults_of_a_broker_are_found() {
    let all = [MISSED, BACK, TWICE, REFUSED_NOTHING];
    is_found(&two_epochs(Fault::ResumesAnyEpoch), &all);
    is_found(&two_epochs(Fault::KeepsStreams), &all);
    is_found(&two_brokers(Fault::ResumesWhereItIs), &all);
    is_found(&short(Fault::ForgetsAfter), &[REFUSED_NOTHING]);
    is_found(&short(Fault::JoinsAtTheHead), &[MISSED]);
    is_found(&short(Fault::LateNow), &[MISSED]);
    is_found(&short(Fault::BeatsBlindly), &[MISSED]);
    is_found(&short(Fault::DropsLiveRules), &[MISSED]);
}

#[test]
fn a_broken_wire_is_found_out_by_a_reader_that_makes_all_checks() {
    for fault in [Fault::Drops, Fault::Doubles, Fault::Swaps] {
        is_sound(&short(fault));
    }
    // So is one who is slow, is not cut off, and is told less.
    is_found(&short(Fault::SkipsWhenFull), &[REFUSED_NOTHING]);
}

#[test]
fn each_check_is_there_for_something() {
    let all = [MISSED, BACK, TWICE];
    let without = |fault, checks| World { checks, ..short(fault) };
    let after = Checks { after: false, ..Checks::ALL };
    is_found(&without(Fault::Doubles, after), &all);
    is_found(&without(Fault::Swaps, after), &all);
    let count = Checks { count: false, ..Checks::ALL };
    is_found(&without(Fault::Drops, count), &all);
    let parts = Checks { parts: false, ..Checks::ALL };
    is_found(&without(Fault::Doubles, parts), &all);
    // The place of an event that nothing was held against is no place to come back to.
    let cursor = Checks { cursor: false, ..Checks::ALL };
    is_found(&without(Fault::Drops, cursor), &all);
    // Where nothing is lost on the way it is all the same: standard clients send whatever id came last.
    is_sound(&without(Fault::Nothing, cursor));
    // A reader that makes this one gives no broker a cursor that it must not resume.
    is_found(&without(Fault::ResumesFromAPart, cursor), &[MISSED, REFUSED_NOTHING]);
    is_sound(&short(Fault::ResumesFromAPart));
}
