//! What may happen to processes: killed, put to sleep, started again on what they left; brokers and Redis alike.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, prlimit};

use super::history::{History, What};
use super::run::{run, seed};
use super::world::World;
use crate::common::{Backing, Broker, Chance, Redis, Setup};

#[test]
fn whatever_happens_to_redis_and_its_brokers() {
    let redis = Redis::start();
    let brokers: Vec<Broker> = (0..2).map(|_| Setup::default().start_on(Some(redis.url()))).collect();
    let world = World::new("redis", seed("redis"), Arc::new(History::new()), brokers);
    run(&world, |chance| {
        let a_while = Duration::from_millis(50 + chance.below(700));
        let seat = usize::try_from(chance.below(2)).unwrap();
        match chance.below(20) {
            0..5 => world.lasts("Redis killed", a_while, |on| if on { redis.kill() } else { redis.restart() }),
            5..7 => torn(&world, &redis),
            7..9 => world.lasts("Redis asleep", 3 * a_while, |on| if on { redis.pause() } else { redis.resume() }),
            9..12 => killed(&world, seat),
            12..14 => asleep(&world, seat, 2 * a_while),
            14 => world.lasts("Redis full", a_while, |on| {
                assert_eq!(redis.say(&format!("CONFIG SET maxmemory {}", u32::from(on))), "+OK");
            }),
            15 => world.lasts("Redis a replica", a_while, |on| {
                assert_eq!(redis.say(if on { "REPLICAOF 127.0.0.1 1" } else { "REPLICAOF NO ONE" }), "+OK");
            }),
            16 | 17 => world.lasts("scripts forgotten", Duration::ZERO, |on| {
                assert!(!on || redis.say("SCRIPT FLUSH") == "+OK");
            }),
            _ => world.lasts("all connections killed", Duration::ZERO, |on| {
                assert!(!on || redis.say("CLIENT KILL TYPE normal").starts_with(':'));
            }),
        }
        std::thread::sleep(Duration::from_millis(chance.below(400)));
    });
}

#[test]
fn whatever_happens_to_a_broker_with_a_store_of_its_own() {
    let world =
        World::new("embedded", seed("embedded"), Arc::new(History::new()), vec![Broker::start(&Backing::Embedded)]);
    run(&world, |chance: &mut Chance| {
        match chance.below(10) {
            0..6 => killed(&world, 0),
            6..9 => asleep(&world, 0, Duration::from_millis(50 + chance.below(1500))),
            _ => {
                let start = world.history.now();
                world.restart(0);
                world.history.fault("broker stopped and started", start);
            }
        }
        std::thread::sleep(Duration::from_millis(chance.below(900)));
    });
}

pub fn killed(world: &World, seat: usize) {
    let start = world.history.now();
    world.kill(seat);
    world.history.fault("broker killed", start);
}

pub fn asleep(world: &World, seat: usize, time: Duration) {
    world.lasts("broker asleep", time, |on| {
        world.seats[seat].signal(if on { Signal::STOP } else { Signal::CONT });
    });
}

/// The disk is full in the middle of a write of Redis', which ends it; started again, it drops the half it has written, or all but
/// the commands of it that are whole: these it carries out when it is started once more.
fn torn(world: &World, redis: &Redis) {
    let start = world.history.now();
    let limit = Rlimit { current: Some(redis.written() + 150), maximum: None };
    prlimit(Some(redis.pid()), Resource::Fsize, limit).unwrap();
    if !redis.dies_within(Duration::from_secs(3)) {
        redis.kill();
    }
    redis.restart();
    world.history.add("injector", start, What::HalfWritten);
    world.history.fault("Redis ended by a full disk", start);
}

impl World {
    /// A fault that lasts.
    pub fn lasts(&self, kind: &'static str, time: Duration, mut switch: impl FnMut(bool)) {
        let start = self.history.now();
        switch(true);
        std::thread::sleep(time);
        switch(false);
        self.history.fault(kind, start);
    }

    /// The same where the audit log cannot be written meanwhile.
    pub fn lasts_without_audit(&self, kind: &'static str, time: Duration, switch: impl FnMut(bool)) {
        let start = self.history.now();
        self.lasts(kind, time, switch);
        self.history.add("injector", start, What::AuditAway);
    }
}
