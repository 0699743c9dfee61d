//! What a million live leases, and a million live rules, cost: `cargo bench --bench million`; with `redis`, `scripts` or
//! `embedded` behind `--`, that part alone.
//!
//! Each store is filled through its own code, a task and an assertion for each lease, and the real binary is started on it,
//! beside one on a store with a thousand. Takes several minutes and some gigabytes of `TMPDIR`. Under `cargo test` a few
//! leases show that it works.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on ends")]
#![allow(clippy::cast_precision_loss, reason = "millions of bytes and microseconds")]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "million/fill.rs"]
mod fill;
#[allow(dead_code, reason = "other benches use more of it")]
#[path = "service/load.rs"]
mod load;
#[allow(dead_code, reason = "other benches use more of it")]
#[path = "service/measure.rs"]
mod measure;
#[path = "million/plain.rs"]
mod plain;
#[allow(dead_code, reason = "other benches use more of it")]
#[path = "scene.rs"]
mod scene;

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde::Serialize;

use common::{Ask, Broker, Redis, Setup, key_of, workload, workload_path};
use fill::{Filler, Place};
use load::{Expect, Load, Void};
use measure::{MEASURED_CORE, Spread, Turn, cpu_us};
use plain::Plain;
use scene::Failed;

const MIB: f64 = (1 << 20) as f64;
/// What is freed goes back to the system after a second; then memory is read.
const REST: Duration = Duration::from_secs(3);

/// How much of everything.
struct Size {
    leases: usize,
    few: usize,
    starts: usize,
    rounds: usize,
    mints: usize,
    /// Calls of a script in a round.
    scripts: usize,
}

const WHOLE: Size = Size { leases: 1_000_000, few: 1000, starts: 5, rounds: 7, mints: 3000, scripts: 20_000 };
const SMOKE: Size = Size { leases: 200, few: 20, starts: 1, rounds: 1, mints: 32, scripts: 64 };

/// A figure, and how large it may be.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    figure: f64,
    unit: &'static str,
    goal: Option<f64>,
}

fn main() -> std::process::ExitCode {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let size = if is_bench { WHOLE } else { SMOKE };
    measure::off_the_measured_core();
    let wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut rows = Vec::new();
    let outcome = (|| {
        if wanted("redis") {
            on_redis(&size, &mut rows)?;
        }
        if wanted("redis") || wanted("scripts") {
            scripts(&size, &mut rows)?;
        }
        if wanted("embedded") {
            embedded(&size, &mut rows)?;
        }
        Ok::<_, Failed>(())
    })();
    if let Err(error) = outcome {
        let _ = writeln!(std::io::stderr(), "void: {error}");
        return std::process::ExitCode::FAILURE;
    }
    report(&rows, is_bench && only.is_none());
    std::process::ExitCode::SUCCESS
}

fn report(rows: &[Row], is_whole: bool) {
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
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/million.json");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, serde_json::to_vec_pretty(rows).unwrap()).unwrap();
    }
}

fn on_redis(size: &Size, rows: &mut Vec<Row>) -> Result<(), Failed> {
    let (many, few) = (redis(), redis());
    let mut row = |what: &str, figure, unit, goal| rows.push(Row { what: what.into(), figure, unit, goal });
    let mut broker = prepared(Some(many.url()));
    let empty = starts(&mut broker, size)?;
    row("RSS idle, Redis", empty.rss / MIB, "MiB", Some(32.0));
    broker.stop();
    Filler::open(&Place::Redis(few.url()))?.leases(size.few)?;
    let filler = Filler::open(&Place::Redis(many.url()))?;
    let before = used_memory(&many);
    let leases = filler.leases(size.leases)?;
    let bytes = used_memory(&many) - before;
    row("bytes a live lease, all keys counted, Redis", bytes / size.leases as f64, "bytes", Some(400.0));
    let full = starts(&mut broker, size)?;
    row("start to ready with all leases / empty, Redis", full.took / empty.took, "×", Some(1.5));
    row("the same in seconds, Redis", full.took, "s", None);
    let mut beside = prepared(Some(few.url()));
    beside.start_again();
    minted(&broker, &beside, size, "Redis", &mut row)?;
    broker.stop();
    filler.end(leases)?;
    row("bytes a live rule, Redis", segments(&many) / size.leases as f64, "bytes", Some(100.0));
    let ruled = starts(&mut broker, size)?;
    row("RSS with a rule for each lease, Redis", ruled.rss / MIB, "MiB", Some(128.0));
    row("the most while it started, Redis", ruled.most / MIB, "MiB", None);
    row("start to ready with these rules, Redis", ruled.took, "s", None);
    Ok(())
}

/// What a mint costs Redis beside five plain commands in a script, in turn.
fn scripts(size: &Size, rows: &mut Vec<Row>) -> Result<(), Failed> {
    let redis = redis();
    let (filler, plain) = (Filler::open(&Place::Redis(redis.url()))?, Plain::open(&redis.url())?);
    let used = |work: &dyn Fn() -> Result<(), Failed>| {
        let before = cpu_us(redis.pid());
        work()?;
        Ok::<_, Failed>((cpu_us(redis.pid()) - before) / size.scripts as f64)
    };
    let (mut ratios, mut times) = (Vec::new(), Vec::new());
    for round in 0..=size.rounds {
        let mint = used(&|| filler.leases_from(round * size.scripts, size.scripts).map(drop))?;
        let plain = used(&|| plain.calls(size.scripts, round))?;
        // The first makes the sets what they are then.
        if round > 0 {
            ratios.push(mint / plain);
            times.push(mint);
        }
    }
    let median = |figures: Vec<f64>| Spread::of(figures.into_iter()).median;
    let mut row = |what: &str, figure, unit, goal| rows.push(Row { what: what.into(), figure, unit, goal });
    row("CPU of Redis a mint / five plain commands in a script", median(ratios), "×", Some(1.2));
    row("the same in microseconds", median(times), "µs", None);
    Ok(())
}

fn embedded(size: &Size, rows: &mut Vec<Row>) -> Result<(), Failed> {
    let mut row = |what: &str, figure, unit, goal| rows.push(Row { what: what.into(), figure, unit, goal });
    let (mut broker, mut beside) = (prepared(None), prepared(None));
    let empty = starts(&mut broker, size)?;
    row("RSS idle, embedded", empty.rss / MIB, "MiB", Some(32.0));
    broker.stop();
    let store = |broker: &Broker| Place::Embedded(broker.data().join("store"));
    Filler::open(&store(&beside))?.leases(size.few)?;
    let leases = Filler::open(&store(&broker))?.leases(size.leases)?;
    let full = starts(&mut broker, size)?;
    row("start to ready with all leases, embedded", full.took, "s", Some(1.5));
    row("RSS with all leases, embedded", full.rss / MIB, "MiB", Some(256.0));
    row("the most while it started, embedded", full.most / MIB, "MiB", None);
    beside.start_again();
    minted(&broker, &beside, size, "embedded", &mut row)?;
    broker.kill();
    let killed = starts(&mut broker, size)?;
    row("start to ready with all leases, after kill -9, embedded", killed.took, "s", Some(1.5));
    broker.stop();
    Filler::open(&store(&broker))?.end(leases)?;
    let ruled = starts(&mut broker, size)?;
    row("RSS with a rule for each lease, embedded", ruled.rss / MIB, "MiB", None);
    row("start to ready with these rules, embedded", ruled.took, "s", None);
    Ok(())
}

/// A mint on many leases beside one on few, in turn.
fn minted(
    many: &Broker,
    few: &Broker,
    size: &Size,
    store: &str,
    row: &mut impl FnMut(&str, f64, &'static str, Option<f64>),
) -> Result<(), Failed> {
    let (mut cpu, mut p99) = (Vec::new(), Vec::new());
    for round in 0..=size.rounds {
        let (many, few) = (turn(many, size)?, turn(few, size)?);
        // The first fills caches.
        if round > 0 {
            cpu.push(many.cpu_us() / few.cpu_us());
            p99.push(many.p99_us() / few.p99_us());
        }
    }
    let median = |figures: Vec<f64>| Spread::of(figures.into_iter()).median;
    row(&format!("CPU of a mint with all leases / with a thousand, {store}"), median(cpu), "×", Some(1.1));
    row(&format!("p99 of the same, {store}"), median(p99), "×", Some(1.5));
    Ok(())
}

fn turn(broker: &Broker, size: &Size) -> Result<Turn, Void> {
    let requests = (0..size.mints).map(|_| Ask::of("measured").request().bytes()).collect();
    let expect = Expect { status: 200, text: "access_token" };
    let load = Load { address: broker.address(), requests, expect, connections: 16 };
    load.turn(&mut load.clients()?, broker.pid())
}

/// How a broker comes up: seconds until it is ready, the median; the memory that it holds when it has come to rest, and the
/// most that it held.
struct Start {
    took: f64,
    rss: f64,
    most: f64,
}

/// Starts it some times over, and leaves it running.
fn starts(broker: &mut Broker, size: &Size) -> Result<Start, Failed> {
    let mut times = Vec::new();
    for round in 0..size.starts {
        let begun = Instant::now();
        broker.start_again();
        while broker.get("/readyz").status != 200 {
            std::thread::sleep(Duration::from_millis(1));
        }
        times.push(begun.elapsed().as_secs_f64());
        if round + 1 < size.starts {
            broker.stop();
        }
    }
    std::thread::sleep(REST);
    let (rss, most) = (memory(broker.pid(), "VmRSS:")?, memory(broker.pid(), "VmHWM:")?);
    Ok(Start { took: Spread::of(times.into_iter()).median, rss, most })
}

/// The memory that a process holds, or the most that it held, in bytes.
fn memory(pid: Pid, which: &str) -> Result<f64, Failed> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(which)).ok_or("not in its status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}

/// A broker on the measured core, not yet started.
fn prepared(store: Option<String>) -> Broker {
    Setup::default()
        .policy(&workload_path("measured"), workload("measured", "2099-12-31", &key_of("measured").jwks(), ""))
        .under(&["taskset", "-c", MEASURED_CORE])
        .stopped(store)
}

fn redis() -> Redis {
    Redis::with(&["--appendonly", "no", "--save", "", "--maxmemory-policy", "noeviction"])
}

fn ask(redis: &Redis, words: &[&str]) -> redis::Value {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).query(&mut client.get_connection().unwrap()).unwrap()
}

/// What Redis holds, in bytes.
fn used_memory(redis: &Redis) -> f64 {
    let info: String = redis::from_redis_value(ask(redis, &["INFO", "memory"])).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    line.trim().parse().unwrap()
}

/// What the lists of rules take of that.
fn segments(redis: &Redis) -> f64 {
    let keys: Vec<String> = redis::from_redis_value(ask(redis, &["KEYS", "jitney:{log}:s:*"])).unwrap();
    let of = |key: &String| -> f64 {
        redis::from_redis_value(ask(redis, &["MEMORY", "USAGE", key, "SAMPLES", "0"])).unwrap()
    };
    keys.iter().map(of).sum()
}
