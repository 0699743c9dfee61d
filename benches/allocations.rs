//! Allocations a call: of each core, and of a whole mint through the real router and broker, all but the socket.
//!
//! `cargo bench --bench allocations`. With `-- --profile` it also writes `target/bench/heap.json`, which tells where a whole
//! mint allocates, for DHAT's viewer. All threads count, those of the store and of the audit log too.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on ends")]

#[path = "../tests/common/mod.rs"]
mod common;
mod cores;
#[path = "allocations/inside.rs"]
mod inside;
mod scene;
mod token;

use std::io::Write as _;

use dhat::HeapStats;

use scene::Failed;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Calls that count, and calls before them that fill what is filled once.
const CALLS: usize = 200;
const WARM: usize = 20;

fn main() -> Result<(), Failed> {
    let is = |word: &str| std::env::args().any(|argument| argument == word);
    let calls = if is("--bench") { CALLS } else { 5 };
    let mut out = std::io::stdout();
    let _ = writeln!(out, "| a call | allocations | bytes |\n|---|---|---|");
    {
        let _profiler = dhat::Profiler::builder().testing().build();
        for name in cores::NAMES {
            let core = cores::core(name, WARM + calls)?;
            tell(name, calls, core);
        }
    }
    let mut mint = inside::Mint::new(WARM + calls)?;
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&path)?;
    let profile = dhat::Profiler::builder();
    let _profiler = if is("--profile") { profile.file_name(path.join("heap.json")) } else { profile.testing() }.build();
    tell("a whole mint, embedded store", calls, move || mint.next());
    Ok(())
}

/// Prints what a call allocates.
fn tell(name: &str, calls: usize, mut call: impl FnMut() -> bool) {
    assert!((0..WARM).all(|_| call()), "{name} did not come out as it must");
    let before = HeapStats::get();
    assert!((0..calls).all(|_| call()), "{name} did not come out as it must");
    let after = HeapStats::get();
    #[allow(clippy::cast_precision_loss, reason = "some millions")]
    let a_call = |after: u64, before: u64| (after - before) as f64 / calls as f64;
    let (blocks, bytes) =
        (a_call(after.total_blocks, before.total_blocks), a_call(after.total_bytes, before.total_bytes));
    let _ = writeln!(std::io::stdout(), "| {name} | {blocks:.1} | {bytes:.0} |");
}
