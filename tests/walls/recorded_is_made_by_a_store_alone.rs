//! A lease that no store has written cannot be passed off as recorded.

use jitney::model::Lease;
use jitney::store::Recorded;

fn unrecorded(lease: Lease) -> Recorded {
    Recorded::by_the_store(Box::new(lease))
}

fn main() {}
