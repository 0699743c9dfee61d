//! What goes wrong around a broker: at its start, on its disk, in its policies, at its end.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "faults/audit.rs"]
mod audit;
#[path = "faults/certificate.rs"]
mod certificate;
#[path = "faults/policies.rs"]
mod policies;
#[path = "faults/start.rs"]
mod start;
#[path = "faults/stop.rs"]
mod stop;
#[path = "faults/store.rs"]
mod store;
