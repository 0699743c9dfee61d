//! What may happen to a broker's files: its disk full, its audit log, its store and its policies taken away or replaced.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, prlimit};

use super::history::{History, What};
use super::run::{run, seed};
use super::world::World;
use crate::common::{Backing, Chance, Setup, eventually};

#[test]
fn whatever_happens_to_a_broker_s_files() {
    let setup = Setup::default().set("JITNEY_AUDIT_PATH", "data/log/audit.jsonl");
    let broker = setup.start(&Backing::Embedded);
    let files = Files { data: broker.data(), number: 0 };
    let world = World::new("disk", seed("disk"), Arc::new(History::new()), vec![broker]);
    let mut files = files;
    run(&world, |chance| {
        let a_while = Duration::from_millis(50 + chance.below(600));
        files.number += 1;
        match chance.below(20) {
            0..4 => full(&world, a_while),
            4 => killed_on_a_full_disk(&world, a_while),
            5..7 => files.log_folder_gone(&world, a_while),
            7..9 => files.log_removed(&world),
            9 | 10 => files.log_taken_by_a_folder(&world, a_while),
            11 | 12 => files.log_taken_by_a_stranger(&world, a_while),
            13 | 14 => files.away(&world, "store's folder gone", "store", a_while),
            15 | 16 => files.away(&world, "store's file gone", "store/leases.redb", a_while),
            17 => files.policies_broken(&world, a_while),
            _ => files.store_lost(&world, chance),
        }
        std::thread::sleep(Duration::from_millis(chance.below(300)));
    });
}

fn limit(world: &World, bytes: Option<u64>) {
    prlimit(Some(world.seats[0].pid()), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

fn full(world: &World, time: Duration) {
    world.lasts_without_audit("disk full", time, |on| limit(world, on.then_some(0)));
}

fn killed_on_a_full_disk(world: &World, time: Duration) {
    world.lasts_without_audit("killed on a full disk", time, |on| match on {
        true => limit(world, Some(0)),
        // What is started in its place knows no such limit.
        false => world.kill(0),
    });
}

struct Files {
    data: PathBuf,
    /// So that each thing moved aside has a name of its own.
    number: u64,
}

impl Files {
    fn log(&self) -> PathBuf {
        self.data.join("log/audit.jsonl")
    }

    fn aside(&self, path: &Path) -> PathBuf {
        let name = format!("{}.aside-{}", path.file_name().unwrap().to_str().unwrap(), self.number);
        path.with_file_name(name)
    }

    fn away(&self, world: &World, kind: &'static str, what: &str, time: Duration) {
        let path = self.data.join(what);
        let aside = self.aside(&path);
        world.lasts(kind, time, |on| if on { rename(&path, &aside) } else { rename(&aside, &path) });
    }

    fn log_folder_gone(&self, world: &World, time: Duration) {
        let folder = self.data.join("log");
        let aside = self.aside(&folder);
        world.lasts_without_audit("log's folder gone", time, |on| match on {
            true => {
                rename(&folder, &aside);
                symlink("nowhere", &folder).unwrap();
            }
            false => {
                fs::remove_file(&folder).unwrap();
                rename(&aside, &folder);
            }
        });
    }

    /// Another name keeps what is in it, for the invariants to be held against.
    fn log_removed(&self, world: &World) {
        let (log, kept) = (self.log(), self.aside(&self.log()));
        let start = world.history.now();
        eventually("there is a log", || log.exists().then_some(()));
        fs::hard_link(&log, &kept).unwrap();
        fs::remove_file(&log).unwrap();
        world.aside.lock().unwrap().push(kept);
        world.recovers();
        assert!(log.exists(), "the broker makes a new one");
        world.history.fault("log removed", start);
    }

    fn log_taken_by_a_folder(&self, world: &World, time: Duration) {
        let (log, aside) = (self.log(), self.aside(&self.log()));
        world.lasts_without_audit("a folder in the log's place", time, |on| match on {
            true => {
                rename(&log, &aside);
                // The broker may have made a new log in between.
                while fs::create_dir(&log).is_err() {
                    self.keep(world, &log);
                }
            }
            false => {
                fs::remove_dir(&log).unwrap();
                world.aside.lock().unwrap().push(aside.clone());
            }
        });
    }

    fn log_taken_by_a_stranger(&self, world: &World, time: Duration) {
        let (log, aside, stranger) = (self.log(), self.aside(&self.log()), self.data.join("stranger"));
        let text = "a letter that somebody else wrote\n".repeat(100);
        world.lasts_without_audit("another's file in the log's place", time, |on| match on {
            true => {
                fs::write(&stranger, &text).unwrap();
                eventually("there is a log", || log.exists().then_some(()));
                fs::hard_link(&log, &aside).unwrap();
                rename(&stranger, &log);
            }
            false => {
                assert_eq!(fs::read_to_string(&log).unwrap(), text, "it is not written to");
                rename(&aside, &log);
            }
        });
    }

    /// What is in a log's place is put aside, to be read at the end.
    fn keep(&self, world: &World, log: &Path) {
        let mut aside = world.aside.lock().unwrap();
        let name = log.with_file_name(format!("between-{}-{}", self.number, aside.len()));
        if fs::rename(log, &name).is_ok() {
            aside.push(name);
        }
    }

    fn policies_broken(&self, world: &World, time: Duration) {
        let broken = self.data.join("policies/broken.cedar");
        world.lasts("policies broken", time, |on| {
            match on {
                true => fs::write(&broken, "permit (principal,\n").unwrap(),
                false => fs::remove_file(&broken).unwrap(),
            }
            world.seats[0].signal(Signal::HUP);
        });
    }

    /// The store is gone for good, or an older copy stands in its place. Nothing that was handed out before counts from
    /// then on.
    fn store_lost(&self, world: &World, chance: &mut Chance) {
        let (start, store) = (world.history.now(), self.data.join("store/leases.redb"));
        let kind = match chance.below(3) {
            0 => {
                fs::remove_file(&store).unwrap();
                "store removed"
            }
            1 => {
                fs::remove_file(&store).unwrap();
                world.kill(0);
                "store removed, broker killed"
            }
            _ => {
                let copy = self.aside(&store);
                // As a snapshot of a disk has it: all of one moment.
                world.seats[0].signal(Signal::STOP);
                std::thread::sleep(Duration::from_millis(20));
                fs::copy(&store, &copy).unwrap();
                world.seats[0].signal(Signal::CONT);
                // So that it lacks something.
                world.recovers();
                rename(&copy, &store);
                "an older store in its place"
            }
        };
        // The broker misses it within a second, also where nobody asks.
        std::thread::sleep(Duration::from_millis(1500));
        world.recovers();
        world.history.fault(kind, start);
        world.history.add("injector", start, What::StoreLost);
    }
}

/// Moves a file that is there, or will be in a moment.
fn rename(from: &Path, to: &Path) {
    eventually("there is a file to move", || from.exists().then_some(()));
    fs::rename(from, to).unwrap_or_else(|error| panic!("{} to {}: {error}", from.display(), to.display()));
}
