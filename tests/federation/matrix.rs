//! Tokens that prove nobody: one answer from outside, each reason in the audit log; and what is wrong in itself, named.

use serde_json::{Value, json};

use super::claims::github;
use super::common::{Backing, Key, Platform, Setup, now, platform_token, workload_path};
use super::{by, platform_workload, trusting};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

#[test]
fn what_proves_nobody_has_one_answer_and_its_reason_is_in_the_audit_log() {
    let (key, stranger) = (Key::rsa(), Key::ec());
    let (own, own_key) = (Platform::http(), Key::ec());
    own.publish(&[(&own_key, "p1")]);
    let deploy = platform_workload(
        GITHUB,
        "claims = { repository_id = \"74\", environment = \"production\" }\njwks_file = \"../keys/github.jwks.json\"\ntask = \
         \"{run_id}.{run_attempt}\"",
    );
    let keys = json!({"keys": [key.jwk(Some("g1")), own_key.jwk(Some("g2"))]}).to_string();
    let broker = trusting(&own, "claims = { repository_id = \"74\" }")
        .policy(&workload_path("deploy"), deploy)
        .policy("keys/github.jwks.json", keys)
        .start(&Backing::Embedded);
    let github_token = |over: Value| platform_token(GITHUB, github(&over)).header("kid", "g1").signed(&key);
    let good = broker.granted(&by(&github_token(json!({}))));
    assert_eq!((good.claim("sub"), good.claim("txn")), ("deploy".into(), "example-run-id.2".into()));
    let fork = json!({
        "repository_id": "991", "repository": "mallory/octo-repo", "sub": "repo:mallory/octo-repo:pull_request",
        "event_name": "pull_request", "ref": "refs/pull/7/merge", "environment": null,
    });
    let by_other = |kid: &str, key: &Key| platform_token(GITHUB, github(&json!({}))).header("kid", kid).signed(key);
    let rows = [
        ("the same name, another repository", github_token(json!({"repository_id": "75"})), "claims"),
        ("a renamed organisation's old name, taken", github_token(json!({"repository_id": "7400"})), "claims"),
        ("a fork", github_token(json!({"repository_id": "991"})), "claims"),
        ("a pull request from a fork", github_token(fork), "claims"),
        ("another environment", github_token(json!({"environment": "staging"})), "claims"),
        ("no environment", github_token(json!({"environment": null})), "claims"),
        ("an id that is no text", github_token(json!({"repository_id": {"id": "74"}})), "claims"),
        (
            "another issuer",
            platform_token("https://evil.example.com", github(&json!({}))).signed(&stranger),
            "unknown_issuer",
        ),
        (
            "an enterprise's issuer",
            platform_token(&format!("{GITHUB}/acme"), github(&json!({}))).signed(&key),
            "unknown_issuer",
        ),
        ("a wrong key", by_other("g2", &stranger), "bad_signature"),
        ("an unknown kid", by_other("g9", &stranger), "unknown_key"),
        ("another issuer's key", own.token(&key, "g1", github(&json!({}))), "unknown_key"),
        ("another issuer's key under its kid", own.token(&stranger, "p1", github(&json!({}))), "bad_signature"),
        (
            "an algorithm of another key",
            platform_token(GITHUB, github(&json!({}))).header("kid", "g2").signed(&key),
            "unknown_key",
        ),
    ];
    let mut told = std::collections::BTreeSet::new();
    for (name, token, fault) in rows {
        let answer = broker.ask(&by(&token));
        assert_eq!(answer.outcome(), (401, "invalid_client".into()), "{name}: {}", answer.text());
        told.insert(answer.field("error_description"));
        let line = broker.decision(&answer.field("decision_id"));
        assert!(line["detail"].as_str().unwrap().starts_with(fault), "{name}: {line}");
        assert!(line.get("workload").is_none() && !line.to_string().contains(&token), "{name}: {line}");
    }
    assert_eq!(told.len(), 1, "{told:?}");
    // Who says which workload it is gets that one, or the same answer.
    let named = |id: &str| broker.ask(&by(&github_token(json!({}))).with("client_id", id));
    named("deploy").expect(200);
    for other in ["job", "demo", "nobody", "https://api.example.com"] {
        assert_eq!(named(other).field("error_description"), *told.first().unwrap(), "{other}");
    }
}

#[test]
fn what_is_wrong_in_a_token_itself_is_named() {
    let (platform, key) = (Platform::http(), Key::ec());
    platform.publish(&[(&key, "p1")]);
    let broker = trusting(&platform, "claims = { repository_id = \"74\" }").start(&Backing::Embedded);
    let now = now();
    let rows = [
        (json!({"aud": "https://another-broker.example.com"}), "aud"),
        (json!({"aud": ["https://broker.example.com", "https://another.example.com"]}), "aud"),
        (json!({"aud": "https://github.com/octo-org"}), "aud"),
        (json!({"exp": now - 60}), "expired"),
        (json!({"exp": null}), "exp"),
        (json!({"exp": now + 200_000}), "more than a day"),
        (json!({"nbf": now + 90}), "not valid yet"),
        (json!({"iat": now + 90}), "future"),
        (json!({"sub": null}), "sub"),
        (json!({"pad": "x".repeat(20_000)}), "longer"),
    ];
    for (over, named) in rows {
        let answer = broker.ask(&by(&platform.token(&key, "p1", github(&over))).task("t"));
        assert_eq!(answer.outcome(), (401, "invalid_client".into()), "{named}");
        assert!(answer.field("error_description").contains(named), "{named}: {}", answer.text());
    }
    broker.granted(&by(&platform.token(&key, "p1", github(&json!({"aud": ["https://broker.example.com"]})))).task("t"));
}

#[test]
fn an_algorithm_that_is_none_or_not_the_key_s_signs_nothing() {
    let (platform, rsa, ec) = (Platform::http(), Key::rsa(), Key::ec());
    platform.publish(&[(&rsa, "r"), (&ec, "e")]);
    let broker = trusting(&platform, "claims = { repository_id = \"74\" }").start(&Backing::Embedded);
    let token = |kid: &str, alg: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let token = platform_token(platform.url(), github(&json!({}))).header("kid", kid);
        broker.ask(&by(&token.signed_by(alg, |_, message| sign(message))).task("t"))
    };
    let by_secret = |message: &[u8]| {
        let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &rsa.public());
        ring::hmac::sign(&secret, message).as_ref().to_vec()
    };
    token("r", "RS256", &|message| rsa.sign("RS256", message)).expect(200);
    let rows = [
        ("none", token("r", "none", &|_| Vec::new())),
        ("the public key as a secret", token("r", "HS256", &by_secret)),
        ("longer than what is taken", token("r", "RS512", &|message| rsa.sign("RS256", message))),
        ("an RSA key's signature as one of a curve", token("r", "ES256", &|message| rsa.sign("RS256", message))),
        ("a curve's signature as one of RSA", token("e", "RS256", &|message| ec.sign("ES256", message))),
        ("PKCS #1 as PSS", token("r", "PS256", &|message| rsa.sign("RS256", message))),
    ];
    for (name, answer) in rows {
        assert_eq!(answer.outcome(), (401, "invalid_client".into()), "{name}: {}", answer.text());
    }
}

#[test]
fn an_issuer_that_signs_for_everybody_loads_only_when_pinned_and_the_error_is_the_mend() {
    let start = |claims: &str| {
        let setup = Setup::default().policy(&workload_path("deploy"), platform_workload(GITHUB, claims));
        let output = setup.stopped(None).fails_to_start();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    for claims in ["", "claims = { repository = \"octo-org/octo-repo\", environment = \"production\" }"] {
        let said = start(claims);
        assert!(said.contains("workloads/deploy.toml:") && said.contains("claims = { repository_id = "), "{said}");
    }
}
