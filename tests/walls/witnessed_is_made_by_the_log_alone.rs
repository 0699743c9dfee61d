//! A record that the audit log has not taken cannot be passed off as witnessed.

use jitney::audit::Witnessed;
use jitney::store::Recorded;

fn unwitnessed(recorded: Recorded) -> Witnessed<Recorded> {
    Witnessed::by_the_log(recorded)
}

fn main() {}
