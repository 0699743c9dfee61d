//! What the whole broker costs a token, beside the floor under any broker: `cargo bench --bench service`.
//!
//! The real binary on loopback, with a real Redis, does all that it does for a token: HTTP, authentication, claims, policy,
//! lease, replay memory, audit log, metrics. The floor (`service/floor.rs`) does the bare parts. Each runs on one core, the
//! load and Redis on the other. They take turns, so that what else the machine does falls on both alike.
//!
//! Under `cargo test` a few tokens show that it works.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on ends")]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "service/floor.rs"]
mod floor;
#[path = "service/load.rs"]
mod load;
#[path = "service/measure.rs"]
mod measure;
#[path = "service/parties.rs"]
mod parties;

use std::io::Write as _;

use common::Redis;
use floor::{Authentication, Floor};
use load::{Load, Turn};
use measure::{Figure, Figures};
use parties::{Kind, broker};

/// Turns of each side that count, by `cargo bench`; by `cargo test`, which only sees that it works, one.
const ROUNDS: usize = 9;
/// Tokens a turn, likewise.
const TOKENS: usize = 3000;
const FEW: usize = 48;

/// A way to ask for a token, the floor beside it, and how much dearer the broker may be.
struct Row {
    name: &'static str,
    kind: Kind,
    floor: Authentication,
    cpu: f64,
    p50: f64,
    p99: f64,
}

const ROWS: [Row; 3] = [
    Row {
        name: "private_key_jwt, ES256",
        kind: Kind::PrivateKeyJwt,
        floor: Authentication::Es256,
        cpu: 1.25,
        p50: 1.4,
        p99: 2.0,
    },
    Row {
        name: "a platform token first seen, RS256",
        kind: Kind::FirstSeen,
        floor: Authentication::Rs256,
        cpu: 1.25,
        p50: f64::INFINITY,
        p99: f64::INFINITY,
    },
    Row {
        name: "a platform token seen before",
        kind: Kind::SeenBefore,
        floor: Authentication::None,
        cpu: 1.4,
        p50: f64::INFINITY,
        p99: f64::INFINITY,
    },
];

fn main() {
    if let Some(settings) = floor::Settings::given() {
        return floor::serve(&settings);
    }
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (rounds, tokens) = if is_bench { (ROUNDS, TOKENS) } else { (1, FEW) };
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    measure::onto(measure::LOAD_CORE);
    let redis = Redis::start();
    let broker = broker(&redis);
    for row in ROWS.iter().filter(|row| only.as_ref().is_none_or(|only| row.name.contains(only.as_str()))) {
        let floor = Floor::start(row.floor, &redis);
        let (mut ours, mut floors) = (Figures::default(), Figures::default());
        for round in 0..=rounds {
            let (ones, others) = (row.kind.requests(tokens), row.kind.requests(tokens));
            let one = Load::of(broker.address(), ones).turn(broker.pid());
            let other = Load::of(floor.address(), others).turn(floor.pid());
            // The first of each fills caches.
            if round > 0 || !is_bench {
                ours.add(&one);
                floors.add(&other);
            }
        }
        report(row, &ours, &floors);
    }
}

/// Name, what it is of a turn, and its goal.
type Column = (&'static str, fn(&Turn) -> f64, f64);

fn report(row: &Row, ours: &Figures, floors: &Figures) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{}", row.name);
    let columns: [Column; 3] =
        [("CPU a token", Turn::cpu_us, row.cpu), ("p50", Turn::p50_us, row.p50), ("p99", Turn::p99_us, row.p99)];
    for (name, of, goal) in columns {
        let Figure { ours, floor, ratio } = Figure::of(ours, floors, of);
        let verdict = match goal {
            goal if goal.is_infinite() => String::new(),
            goal if ratio <= goal => format!(", within {goal}"),
            goal => format!(", NOT within {goal}"),
        };
        let _ = writeln!(out, "  {name}: {ours:.0} / {floor:.0} µs = {ratio:.2}{verdict}");
    }
    let Figure { ours, floor, .. } = Figure::of(ours, floors, Turn::rate);
    let _ = writeln!(out, "  tokens a second on one core: {ours:.0} beside {floor:.0}");
}
