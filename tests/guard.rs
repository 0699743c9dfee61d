//! `jitney guard` as a process: what it answers by itself, and behind the proxies that people run, each with the
//! configuration that `deploy/proxies` holds. What is missing fails; `tests/run` installs it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "guard/answers.rs"]
mod answers;
#[path = "guard/own.rs"]
mod own;
#[path = "guard/process.rs"]
mod process;
#[path = "guard/proxies.rs"]
mod proxies;
#[path = "guard/rules.rs"]
mod rules;
#[path = "guard/scene.rs"]
mod scene;
#[path = "guard/staleness.rs"]
mod staleness;
