//! Real clients, unmodified: the libraries that people use get, verify and lose jitney's tokens, as their users write it.
//!
//! The programs beside the modules are such users' programs; `docs/clients.md` shows parts of them, and `docs/feed.md`
//! those that follow the feed. `tests/run` installs the libraries, pinned, under `target/clients`. What is missing fails; nothing
//! is skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "clients/ask.rs"]
mod ask;
#[path = "clients/follow.rs"]
mod follow;
#[path = "clients/forged.rs"]
mod forged;
#[path = "clients/haproxy.rs"]
mod haproxy;
#[path = "clients/mcp.rs"]
mod mcp;
#[path = "clients/page.rs"]
mod page;
#[path = "clients/verify.rs"]
mod verify;
#[path = "clients/world.rs"]
mod world;
