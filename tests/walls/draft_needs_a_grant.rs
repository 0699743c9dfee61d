//! A lease that nobody decided cannot be drafted.

use jitney::model::{Epoch, KeyId, Lease, LeaseId};
use jitney::store::LeaseDraft;

fn undecided(lease: &Lease, id: LeaseId, kid: KeyId, epoch: Epoch) -> LeaseDraft {
    LeaseDraft::new(lease, id, kid, epoch)
}

fn main() {}
