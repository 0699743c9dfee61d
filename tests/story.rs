//! The whole story over HTTP, on both stores: asked for, verified, completed, renewed, revoked, followed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "story/feed.rs"]
mod feed;
#[path = "story/keys.rs"]
mod keys;
#[path = "story/life.rs"]
mod life;
#[path = "story/operate.rs"]
mod operate;
#[path = "story/person.rs"]
mod person;
#[path = "story/renew.rs"]
mod renew;
#[path = "story/restart.rs"]
mod restart;
