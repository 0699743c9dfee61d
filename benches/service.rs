//! What the whole broker costs, beside the floor under any broker and beside a peer: `cargo bench --bench service`.
//!
//! The real binary on loopback, on a real Redis and on its own store, does all that it does for a token: HTTP,
//! authentication, claims, policy, lease, replay memory, audit log, metrics. The floor (`service/floor.rs`) does the bare
//! parts. Each runs on one core, the load and Redis on the other. They take turns, so that what else the machine does falls
//! on all alike (`service/bout.rs` says who is compared with whom). One unexpected answer, and the whole run is void.
//!
//! `cargo bench --bench service -- NAME` runs the bouts whose names contain that, and writes no files; `-- NAME PARTY
//! ROUNDS`, of these the sides of one party alone (`broker on Redis`), or of `all`, as often as a profile wants. Under
//! `cargo test` a few requests show that it works.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on ends")]

#[path = "service/asks.rs"]
mod asks;
#[path = "service/bout.rs"]
mod bout;
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
#[path = "service/peer.rs"]
mod peer;
#[path = "service/plot.rs"]
mod plot;
#[path = "service/report.rs"]
mod report;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use bout::{BOUTS, Outcome};
use load::Void;

/// Turns of each side that count, by `cargo bench`; by `cargo test`, which only sees that it works, one. Many short turns:
/// what else the machine does for a second then falls on all sides, and not on one of them.
const ROUNDS: usize = 150;
/// Requests a turn, likewise.
const REQUESTS: usize = 200;
const FEW: usize = 64;

fn main() -> ExitCode {
    if let Some(settings) = floor::Settings::given() {
        floor::serve(&settings);
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(void) => {
            say(&format!("This run is void: {void}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Void> {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (rounds, requests) = if is_bench { (ROUNDS, REQUESTS) } else { (1, FEW) };
    let mut named = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let (only, party) = (named.next(), named.next().filter(|party| party != "all"));
    let rounds_wanted = named.next().and_then(|text| text.parse().ok());
    let rounds = rounds_wanted.unwrap_or(rounds);
    measure::off_the_measured_core();
    let peer = peer::installed(is_bench).inspect_err(|why| say(&format!("Rows of the peer are left out: {why}"))).ok();
    let mut outcomes = Vec::new();
    for bout in BOUTS.iter().filter(|bout| only.as_ref().is_none_or(|only| bout.name.contains(only.as_str()))) {
        say(&format!("… {}", bout.name));
        outcomes.push(bout.run(rounds, requests, is_bench, (peer.clone(), party.as_deref()))?);
    }
    // Only now: of a run that is void there are no figures.
    if is_bench {
        say(&report::text(&outcomes));
    }
    if is_bench && only.is_none() {
        write(&outcomes)?;
    }
    Ok(())
}

fn write(outcomes: &[Outcome]) -> Result<(), Void> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&dir)?;
    let json = report::json(outcomes);
    std::fs::write(dir.join("service.json"), format!("{json:#}\n"))?;
    std::fs::write(dir.join("service.svg"), plot::svg(outcomes))?;
    say(&format!("Written to {}: service.json, service.svg", dir.display()));
    Ok(())
}

/// To standard output; a reader who has gone misses it.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
