//! How fast a log of a million lines is checked and read back: `cargo bench --bench audit`, or `-- N` for another number of lines.
//!
//! Written by the log itself, as a broker does, in several files. The bound is three seconds for a million lines. Under
//! `cargo test` a thousand are enough.

#![allow(clippy::expect_used, reason = "a bench that cannot go on ends")]

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jitney::audit::{AuditLog, AuditOptions, AuditRecord, Event, Line, Outcome, Records, Rotation, verify};
use jitney::model::{AudienceUri, DecisionId, KeyId, LeaseId, Position, ScopeSet, TaskId, WorkloadId};

/// So many write at once, as requests do.
const WRITERS: u64 = 64;

fn main() {
    let is_bench = std::env::args().any(|word| word == "--bench");
    let asked = std::env::args().skip(1).find_map(|word| word.parse::<u64>().ok());
    let lines = asked.unwrap_or(if is_bench { 1_000_000 } else { 1000 }) / WRITERS * WRITERS;
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("audit.jsonl");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().expect("a runtime");
    runtime.block_on(write(&path, lines));
    let bytes: u64 = std::fs::read_dir(dir.path())
        .expect("the folder")
        .map(|entry| entry.expect("a file").metadata().expect("its length").len())
        .sum();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    say(&format!("{lines} mints, {} MiB in {} files, {cores} cores", bytes >> 20, files(&dir)));
    for _ in 0..3 {
        let begun = Instant::now();
        assert!(verify(&path).expect("an intact log").lines >= lines);
        say(&format!("verify {:7.3} s", begun.elapsed().as_secs_f64()));
    }
    let begun = Instant::now();
    let mut granted = 0;
    let count = |line: Line<'_>| {
        granted += u64::from(&*line.outcome == "granted");
        ControlFlow::Continue(())
    };
    Records::open(&path).expect("a log").for_each(count).expect("a log that can be read");
    assert_eq!(granted, lines);
    say(&format!("read   {:7.3} s", begun.elapsed().as_secs_f64()));
}

fn files(dir: &tempfile::TempDir) -> usize {
    std::fs::read_dir(dir.path()).expect("the folder").count()
}

async fn write(path: &Path, lines: u64) {
    let rotation = Rotation { size: Some(128 << 20), ..Rotation::default() };
    let options = AuditOptions { rotation, ..AuditOptions::new(path, "b1f4a2c9") };
    let log = Arc::new(AuditLog::open(options).expect("a log"));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let log = log.clone();
            tokio::spawn(async move {
                for n in 0..lines / WRITERS {
                    log.note(record(writer, n)).await.expect("a line");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer");
    }
}

/// A mint's record, as long as a broker's.
fn record(writer: u64, n: u64) -> AuditRecord {
    let name = "a name of the bench's own";
    AuditRecord::new(Event::Mint, Outcome::Granted)
        .decision(DecisionId::of("b1f4a2c9", u128::from(n * WRITERS + writer).to_be_bytes()).expect(name))
        .workload(WorkloadId::parse(&format!("workload-{writer}")).expect(name))
        .audience(AudienceUri::parse("https://api.example.com").expect(name))
        .task(TaskId::parse(&format!("nightly/{n}")).expect(name))
        .scopes(ScopeSet::parse("orders:read orders:write").expect(name))
        .lease(LeaseId::new(n, [1; 4], writer))
        .ttl(Duration::from_secs(300))
        .key(KeyId::parse("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs").expect(name))
        .position(Position::new(n))
        .policies(["orders-of-the-night".into()])
        .identity("private_key_jwt")
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
