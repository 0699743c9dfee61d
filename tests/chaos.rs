//! Faults by the hundred, under load, on both stores; every answer is taken down, and the invariants are held against
//! all of it afterwards: no token without a recorded lease, none accepted after its end, no acknowledged line lost, the
//! broker back by itself, an assertion counted once; and no verifier that calls its view fresh later than its bound.
//!
//! `JITNEY_CHAOS_SEED=N` plays the choices of a run again (not its timing), `JITNEY_CHAOS_FAULTS=N` makes it longer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "chaos/check.rs"]
mod check;
#[path = "chaos/check_tests.rs"]
mod check_tests;
#[path = "chaos/clock.rs"]
mod clock;
#[path = "chaos/disk.rs"]
mod disk;
#[allow(dead_code, reason = "tests/guard uses more of it")]
#[path = "guard/process.rs"]
mod guard_process;
#[path = "chaos/guards.rs"]
mod guards;
#[path = "chaos/history.rs"]
mod history;
#[path = "chaos/load.rs"]
mod load;
#[path = "chaos/process.rs"]
mod process;
#[path = "chaos/proxy.rs"]
mod proxy;
#[path = "chaos/resp.rs"]
mod resp;
#[path = "chaos/run.rs"]
mod run;
#[path = "chaos/verdicts.rs"]
mod verdicts;
#[path = "chaos/verifiers.rs"]
mod verifiers;
#[path = "chaos/watch.rs"]
mod watch;
#[path = "chaos/wire.rs"]
mod wire;
#[path = "chaos/world.rs"]
mod world;
