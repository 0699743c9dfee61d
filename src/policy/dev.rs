//! The set that `serve --dev` writes: one workload, one audience, two policies to start from.

use std::fmt::Display;

use super::schema::{SCHEMA, SCHEMA_FILE};

/// The workload's id.
pub const WORKLOAD: &str = "demo";

/// The audience's URI.
pub const AUDIENCE: &str = "https://api.example.com";

/// The files, by path relative to the policies directory. `demo_jwks` and `audience_jwks` are JWK Sets (RFC 7517 §5) of
/// public keys: the workload's, and the resource server's for introspection.
pub fn files(demo_jwks: &dyn Display, audience_jwks: &dyn Display) -> Vec<(&'static str, String)> {
    vec![
        (SCHEMA_FILE, SCHEMA.to_owned()),
        ("demo.cedar", include_str!("dev/demo.cedar").to_owned()),
        ("workloads/demo.toml", include_str!("dev/demo.toml").to_owned()),
        ("audiences/api.toml", include_str!("dev/api.toml").to_owned()),
        ("keys/demo.jwks.json", format!("{demo_jwks}\n")),
        ("keys/api.jwks.json", format!("{audience_jwks}\n")),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::PolicySet;
    use super::super::fixtures::{NOW, Question, jwks};
    use super::*;

    #[test]
    fn demo_may_read_and_write_orders_ten_minutes_a_token_and_ten_a_chain() {
        let (set, warnings) = PolicySet::from_sources(files(&jwks(), &jwks()), NOW).expect("loads");
        assert!(warnings.is_empty(), "{warnings:?}");
        let question =
            Question { workload: WORKLOAD, audience: AUDIENCE.into(), ..Question::of("orders:read orders:write") };
        let grant = question.clone().ttl(600).decided(&set).unwrap();
        assert_eq!((grant.ttl(), grant.chain_limit()), (Duration::from_secs(600), NOW.plus(Duration::from_secs(600))));
        assert!(question.ttl(601).decided(&set).is_err());
    }

    #[test]
    fn demo_may_not_delete_orders() {
        let (set, _) = PolicySet::from_sources(files(&jwks(), &jwks()), NOW).expect("loads");
        let question = Question { workload: WORKLOAD, audience: AUDIENCE.into(), ..Question::of("orders:delete") };
        assert!(question.decided(&set).is_err());
    }
}
