//! How far an end reaches, and how fast: `cargo bench --bench reach`; with `ends`, `feed`, `guard`, `mass` or `rules` behind
//! `--`, one part alone. Brokers run on one core, all else on the other. Takes some minutes and some gigabytes of `TMPDIR`.
//! Under `cargo test` a few of everything show that it works.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on ends")]
#![allow(clippy::cast_precision_loss, reason = "millions of bytes and microseconds")]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "reach/ends.rs"]
mod ends;
#[path = "million/fill.rs"]
mod fill;
#[path = "reach/guard.rs"]
mod guard;
#[path = "reach/listen.rs"]
mod listen;
#[allow(dead_code, reason = "other benches use more of it")]
#[path = "service/load.rs"]
mod load;
#[path = "reach/mass.rs"]
mod mass;
#[allow(dead_code, reason = "other benches use more of it")]
#[path = "service/measure.rs"]
mod measure;
#[path = "reach/memory.rs"]
mod memory;
#[allow(dead_code, reason = "other benches use more of it")]
#[path = "scene.rs"]
mod scene;

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use common::{Ask, Broker, Redis, Setup, key_of, workload, workload_path};
use ends::Reach;
use fill::{Filler, Place};
use listen::Listeners;
use load::{Expect, Load, Void};
use measure::{MEASURED_CORE, Spread, Turn};
use memory::Held;
use scene::Failed;

/// How much of everything.
struct Size {
    ends: usize,
    flood: usize,
    leases: usize,
    rounds: usize,
    mints: usize,
}

const WHOLE: Size = Size { ends: 400, flood: 50_000, leases: 1_000_000, rounds: 7, mints: 6000 };
const SMOKE: Size = Size { ends: 3, flood: 50, leases: 200, rounds: 1, mints: 64 };

/// So many follow the feed where many do.
const VERIFIERS: usize = 100;
/// So many tasks end a second where many do.
const FLOOD: f64 = 5000.0;

/// A figure, and how large it may be.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    figure: f64,
    unit: &'static str,
    goal: Option<f64>,
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn add(&mut self, what: impl Into<String>, figure: f64, unit: &'static str, goal: impl Into<Option<f64>>) {
        self.0.push(Row { what: what.into(), figure, unit, goal: goal.into() });
    }

    fn reach(&mut self, what: &str, reach: &Reach, p50: Option<f64>, p99: f64) {
        self.add(format!("{what}, p50"), reach.percentile(50), "ms", p50);
        self.add(format!("{what}, p99"), reach.percentile(99), "ms", p99);
    }
}

/// Measures something of this size, and notes its rows.
type Part = fn(&Size, &mut Rows) -> Result<(), Failed>;

fn main() -> std::process::ExitCode {
    if memory::is_child() || guard::is_child() {
        return std::process::ExitCode::SUCCESS;
    }
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let size = if is_bench { WHOLE } else { SMOKE };
    measure::off_the_measured_core();
    let mut rows = Rows::default();
    let parts: [(&str, Part); 5] = [
        ("ends", until_refused),
        ("feed", beside_a_feed),
        ("guard", guard::seen_before),
        ("mass", mass::million),
        ("rules", held),
    ];
    for (name, part) in parts {
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        if let Err(error) = part(&size, &mut rows) {
            let _ = writeln!(std::io::stderr(), "void: {name}: {error}");
            return std::process::ExitCode::FAILURE;
        }
    }
    report(&rows, is_bench && only.is_none());
    std::process::ExitCode::SUCCESS
}

fn report(Rows(rows): &Rows, is_whole: bool) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "| measure | figure | goal | |\n|---|---|---|---|");
    for Row { what, figure, unit, goal } in rows {
        let (goal, verdict) = match goal {
            None => (String::new(), ""),
            Some(goal) => (format!("≤ {goal} {unit}"), if figure <= goal { "met" } else { "NOT met" }),
        };
        let _ = writeln!(out, "| {what} | {figure:.2} {unit} | {goal} | {verdict} |");
    }
    if is_whole {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/reach.json");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, serde_json::to_vec_pretty(rows).unwrap()).unwrap();
    }
}

/// From the acknowledgement of an end to the refusal.
fn until_refused(size: &Size, rows: &mut Rows) -> Result<(), Failed> {
    let broker = prepared(None, &[]);
    for verifiers in [1, 10, VERIFIERS] {
        let reach = ends::one_by_one(&broker, &broker, verifiers, size.ends)?;
        rows.reach(&format!("acknowledged end → refused, {verifiers} verifiers, embedded"), &reach, Some(2.0), 20.0);
    }
    drop(broker);
    let redis = redis();
    let [here, there] = [(); 2].map(|()| prepared(Some(redis.url()), &[]));
    for verifiers in [1, 10, VERIFIERS] {
        let reach = ends::one_by_one(&here, &here, verifiers, size.ends)?;
        rows.reach(&format!("acknowledged end → refused, {verifiers} verifiers, Redis"), &reach, Some(2.0), 20.0);
    }
    let reach = ends::one_by_one(&there, &here, 10, size.ends)?;
    rows.reach("the same at the other of two brokers on one Redis, 10 verifiers", &reach, None, 30.0);
    drop(there);
    let filler = Filler::open(&Place::Redis(redis.url()))?;
    let (reach, rate) = ends::many(&filler, &here, 10, size.flood, FLOOD)?;
    rows.reach(&format!("the same while {rate:.0} tasks a second end, 10 verifiers, none missed"), &reach, None, 100.0);
    Ok(())
}

/// What followers of the feed cost a mint.
fn beside_a_feed(size: &Size, rows: &mut Rows) -> Result<(), Failed> {
    let redis = redis();
    let broker = prepared(Some(redis.url()), &[]);
    let mut ratios = Vec::new();
    for round in 0..=size.rounds {
        let alone = turn(&broker, size.mints)?;
        let listeners = Listeners::start(broker.address(), VERIFIERS, HashMap::new())?;
        let followed = turn(&broker, size.mints)?;
        listeners.finish()?;
        // The first fills caches.
        if round > 0 {
            ratios.push(followed.cpu_us() / alone.cpu_us());
        }
    }
    let ratio = Spread::of(ratios.into_iter()).median;
    rows.add(format!("CPU of a mint with {VERIFIERS} subscribers / without"), ratio, "×", 1.05);
    Ok(())
}

/// What a verifier holds with a rule for each lease.
fn held(size: &Size, rows: &mut Rows) -> Result<(), Failed> {
    let redis = redis();
    let filler = Filler::open(&Place::Redis(redis.url()))?;
    let leases = filler.leases(size.leases)?;
    filler.end(leases)?;
    drop(filler);
    let broker = prepared(Some(redis.url()), &[]);
    let (mut verifier, first) = Held::start(&broker)?;
    // It is told of nothing new; what it needed for the snapshot it gives back.
    std::thread::sleep(Duration::from_secs(if size.leases > 1000 { 15 } else { 1 }));
    let later = verifier.memory()?;
    verifier.finish()?;
    rows.add("memory of a verifier while a snapshot of all rules comes in", first.most, "MiB", 160.0);
    rows.add("the same, steady", later.now, "MiB", 96.0);
    Ok(())
}

/// Mints on kept connections.
fn turn(broker: &Broker, mints: usize) -> Result<Turn, Void> {
    let requests = (0..mints).map(|_| Ask::of("measured").request().bytes()).collect();
    let expect = Expect { status: 200, text: "access_token" };
    let load = Load { address: broker.address(), requests, expect, connections: 16 };
    load.turn(&mut load.clients()?, broker.pid())
}

/// A broker on the measured core.
fn prepared(store: Option<String>, settings: &[(&str, &str)]) -> Broker {
    let setup = Setup::default()
        .policy(&workload_path("measured"), workload("measured", "2099-12-31", &key_of("measured").jwks(), ""))
        .under(&["taskset", "-c", MEASURED_CORE]);
    settings.iter().fold(setup, |setup, (name, value)| setup.set(name, value)).start_on(store)
}

/// A Redis that no disk holds up, set as `deploy/redis.conf` sets it but for that.
fn redis() -> Redis {
    Redis::with(&[
        "--appendonly",
        "no",
        "--save",
        "",
        "--maxmemory-policy",
        "noeviction",
        "--lazyfree-lazy-expire",
        "yes",
    ])
}
