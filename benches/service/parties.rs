//! The broker under measurement, and who asks it for tokens.

use serde_json::json;

use super::common::{Ask, Broker, Redis, Setup, key_of, key_of_kind, platform_token, workload, workload_path};
use super::measure::MEASURED_CORE;

/// An issuer whose keys the broker has in a file, so that nobody is asked for them.
const ISSUER: &str = "https://platform.example.com";

/// What proves who asks.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A fresh assertion of the workload's own, each used once.
    PrivateKeyJwt,
    /// A platform's token, another one each time.
    FirstSeen,
    /// A platform's token, the same each time.
    SeenBefore,
}

impl Kind {
    /// So many requests, ready to be sent.
    pub fn requests(self, count: usize) -> Vec<Vec<u8>> {
        let by = |token: &str| Ask::of("platform").assertion(token);
        let same = platform(0);
        let ask = |n: usize| match self {
            Self::PrivateKeyJwt => Ask::of("measured"),
            Self::FirstSeen => by(&platform(n)),
            Self::SeenBefore => by(&same),
        };
        (0..count).map(|n| ask(n).request().bytes()).collect()
    }
}

/// A token of the platform, another one for each `n` and at each call.
fn platform(n: usize) -> String {
    let claims = json!({"run_id": n.to_string(), "repository": "octo-org/octo-repo", "repository_id": "74"});
    platform_token(ISSUER, claims).header("kid", "rsa").signed(key_of_kind("rsa"))
}

/// A broker with two workloads, on one core.
pub fn broker(redis: &Redis) -> Broker {
    let keys = json!({"keys": [key_of_kind("rsa").jwk(Some("rsa"))]}).to_string();
    let platform = format!(
        "owner = \"team-bench@example.com\"\npurpose = \"Is measured with a platform's token\"\nexpires = 2099-12-31\n\
         [[identity]]\ntype = \"oidc\"\nissuer = \"{ISSUER}\"\nclaims = {{ sub = \"a-job\" }}\n\
         jwks_file = \"../keys/platform.jwks.json\"\n"
    );
    Setup::default()
        .policy(&workload_path("measured"), workload("measured", "2099-12-31", &key_of("measured").jwks(), ""))
        .policy(&workload_path("platform"), platform)
        .policy("keys/platform.jwks.json", keys)
        .under(&["taskset", "-c", MEASURED_CORE])
        .start_on(Some(redis.url()))
}
