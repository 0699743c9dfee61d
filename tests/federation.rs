//! Platforms' own tokens at a real broker: no key of jitney's, the run as the task, and everything that proves nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "federation/ambient.rs"]
mod ambient;
#[path = "federation/claims.rs"]
mod claims;
#[path = "federation/foreign.rs"]
mod foreign;
#[path = "federation/issuers.rs"]
mod issuers;
#[path = "federation/matrix.rs"]
mod matrix;
#[path = "federation/runs.rs"]
mod runs;
#[path = "federation/single_use.rs"]
mod single_use;
#[path = "federation/tenants.rs"]
mod tenants;

use common::{Ask, Platform, Setup, workload_path};

/// A workload of the tests' that proves itself by an issuer's tokens.
fn platform_workload(issuer: &str, more: &str) -> String {
    format!(
        "owner = \"team-ci@example.com\"\npurpose = \"Tests\"\nexpires = 2099-12-31\n\n[[identity]]\ntype = \"oidc\"\nissuer = \
         \"{issuer}\"\n{more}\n"
    )
}

/// A broker whose workload `job` proves itself by tokens of this platform, which lies on this machine and is named.
fn trusting(platform: &Platform, more: &str) -> Setup {
    Setup::default()
        .set("JITNEY_FEDERATION_ALLOW_PRIVATE", platform.url())
        .policy(&workload_path("job"), platform_workload(platform.url(), more))
}

/// A request of whoever holds this token, for no task of its own choice.
fn by(token: &str) -> Ask {
    Ask::of("job").without("task").assertion(token)
}
