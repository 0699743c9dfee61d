//! A decision cannot be made up, nor one that was made be stretched.

use std::time::Duration;

use jitney::policy::Grant;

fn stretched(grant: Grant) -> Grant {
    Grant { ttl: Duration::from_secs(86_400), ..grant }
}

fn main() {}
