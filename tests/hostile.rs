//! A hostile client of every kind against the real binary, and what a well-behaved one notices of it: nothing.
//!
//! Each attack is a row: its name, its bytes or who makes them, and what must become of it. `siege` says what must hold
//! after each row and at the end.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "hostile/chunks.rs"]
mod chunks;
#[path = "hostile/forms.rs"]
mod forms;
#[path = "hostile/heads.rs"]
mod heads;
#[path = "hostile/methods.rs"]
mod methods;
#[path = "hostile/paths.rs"]
mod paths;
#[path = "hostile/schema.rs"]
mod schema;
#[path = "hostile/siege.rs"]
mod siege;
#[path = "hostile/sizes.rs"]
mod sizes;
#[path = "hostile/slow.rs"]
mod slow;
#[path = "hostile/smuggling.rs"]
mod smuggling;
#[path = "hostile/tls.rs"]
mod tls;
#[path = "hostile/wire.rs"]
mod wire;
