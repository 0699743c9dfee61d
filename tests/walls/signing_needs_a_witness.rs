//! What is recorded and not yet in the audit log is not signed.

use jitney::keys::Keyring;
use jitney::store::Recorded;

fn too_early(keys: &Keyring, recorded: Recorded) {
    let _ = keys.sign(recorded);
}

fn main() {}
