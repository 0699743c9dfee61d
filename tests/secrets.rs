//! A whole story at the loudest log level: no token, no assertion, no private key and no password stands in anything that
//! is written, shown or passed on; and what holds them is closed to others.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "secrets/closed.rs"]
mod closed;
#[path = "secrets/hoard.rs"]
mod hoard;
#[path = "secrets/linked.rs"]
mod linked;
#[path = "secrets/redacted.rs"]
mod redacted;
#[path = "secrets/relay.rs"]
mod relay;
#[path = "secrets/scene.rs"]
mod scene;
#[path = "secrets/story.rs"]
mod story;
#[path = "secrets/tls.rs"]
mod tls;
#[path = "secrets/watch.rs"]
mod watch;
