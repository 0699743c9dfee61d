//! What may happen to a broker's clock: stepped back and forth, by seconds and by days, for a moment and back again.
//!
//! The broker runs under libfaketime, which reads how far the clock is off from a file at every look at it. Monotonic
//! clocks go on as they do, and all others, ours and Redis', are right.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::history::History;
use super::run::{run, seed};
use super::world::World;
use crate::common::{Backing, Broker, Chance, Redis, Setup};

/// Where libfaketime is, whatever machine this is.
fn library() -> PathBuf {
    let below = |dir: &Path| fs::read_dir(dir).into_iter().flatten().map_while(Result::ok).map(|entry| entry.path());
    let mut dirs = vec![PathBuf::from("/usr/lib")];
    dirs.extend(below(Path::new("/usr/lib")));
    let mut found = dirs.iter().map(|dir| dir.join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.exists()).expect("faketime is installed: `tests/run` does that")
}

/// A file that says how far a clock is off, and the settings of a process whose clock that is.
pub fn own_clock(folder: &Path) -> (PathBuf, Vec<(&'static str, String)>) {
    let file = folder.join("clock");
    fs::write(&file, "+0\n").unwrap();
    let settings = vec![
        ("LD_PRELOAD", library().display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
    ];
    (file, settings)
}

/// A broker with a clock of its own, and the file that says how far it is off.
pub fn with_a_clock(store: Option<String>, folder: &Path) -> (Broker, PathBuf) {
    let (file, settings) = own_clock(folder);
    let setup = settings.iter().fold(Setup::default(), |setup, (name, value)| setup.set(name, value));
    (setup.start_on(store), file)
}

/// Steps the clock, for a while.
pub fn stepped(world: &World, file: &Path, chance: &mut Chance) {
    let (kind, by) = match chance.below(8) {
        0..2 => ("clock seconds ahead", 1 + i64::try_from(chance.below(25)).unwrap()),
        2..4 => ("clock seconds behind", -1 - i64::try_from(chance.below(25)).unwrap()),
        4..6 => ("clock hours or days ahead", 3600 * (1 + i64::try_from(chance.below(48)).unwrap())),
        _ => ("clock hours or days behind", -3600 * (1 + i64::try_from(chance.below(48)).unwrap())),
    };
    let set = |by: i64| {
        let next = file.with_extension("next");
        fs::write(&next, format!("{by:+}\n")).unwrap();
        fs::rename(&next, file).unwrap();
    };
    world.lasts(kind, Duration::from_millis(100 + chance.below(1500)), |on| set(if on { by } else { 0 }));
    std::thread::sleep(Duration::from_millis(chance.below(500)));
}

fn whatever_its_clock_says(name: &'static str, backing: &Backing) {
    let folder = tempfile::tempdir().unwrap();
    let (broker, file) = with_a_clock(backing.url(), folder.path());
    let mut brokers = vec![broker];
    // Another one, whose clock is right.
    brokers.extend(backing.url().map(|url| Setup::default().start_on(Some(url))));
    let world = World::new(name, seed(name), Arc::new(History::new()), brokers);
    run(&world, |chance| stepped(&world, &file, chance));
}

#[test]
fn whatever_the_clock_of_a_broker_on_redis_says() {
    whatever_its_clock_says("clock", &Backing::Redis(Redis::start()));
}

#[test]
fn whatever_the_clock_of_a_broker_with_a_store_of_its_own_says() {
    whatever_its_clock_says("clock-embedded", &Backing::Embedded);
}
