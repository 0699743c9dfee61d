//! What is in the audit log and not recorded is not signed.

use jitney::audit::Witnessed;
use jitney::keys::Keyring;
use jitney::model::Lease;

fn without_a_lease_in_the_store(keys: &Keyring, lease: Witnessed<Lease>) {
    let _ = keys.sign(lease);
}

fn main() {}
