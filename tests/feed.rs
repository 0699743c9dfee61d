//! The live feed, against real brokers on both stores: a snapshot, then each end as it happens, and no gap and nothing
//! twice, whoever comes, goes, or is slow.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "feed/brokers.rs"]
mod brokers;
#[path = "feed/crowd.rs"]
mod crowd;
#[path = "feed/follow.rs"]
mod follow;
