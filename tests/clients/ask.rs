//! Clients that get tokens by `private_key_jwt`, introspect and revoke, with each kind of key.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use super::world::{World, lend};
use crate::common::{API, Backing, Jwks, Program, Token, on_both_stores};

on_both_stores!(openid_client, oauth4webapi, authlib, requests_oauth2client);

fn openid_client(backing: &Backing) {
    asks_and_revokes("ask-openid-client.mjs", backing);
}

fn oauth4webapi(backing: &Backing) {
    asks_and_revokes("ask-oauth4webapi.mjs", backing);
}

fn authlib(backing: &Backing) {
    asks_and_revokes("ask-authlib.py", backing);
}

fn requests_oauth2client(backing: &Backing) {
    asks_and_revokes("ask-requests-oauth2client.py", backing);
}

fn asks_and_revokes(program: &str, backing: &Backing) {
    let world = World::start(backing);
    for alg in ["ES256", "EdDSA", "RS256"] {
        let text = one_life(program, &world.broker.url(), world.settings(alg));
        Jwks::fetch(&world.broker).check(&text, "at+jwt").unwrap();
    }
}

/// Each program is let do without TLS above, for the broker is on this machine. With TLS none needs leave for anything.
#[test]
fn over_tls() {
    let authority = Authority::new();
    let world = World::with(&Backing::Embedded, |setup| {
        let files = [("JITNEY_SERVER_TLS_CERT", &authority.cert), ("JITNEY_SERVER_TLS_KEY", &authority.key)];
        files.iter().fold(setup, |setup, (name, path)| setup.set(name, path))
    });
    let url = world.broker.url().replace("http:", "https:");
    for program in ["openid-client.mjs", "oauth4webapi.mjs", "authlib.py", "requests-oauth2client.py"] {
        let mut settings = world.settings("ES256");
        settings.push(("JITNEY_URL", url.clone()));
        let trust = ["NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"].map(|name| (name, authority.ca.clone()));
        settings.extend(trust);
        one_life(&format!("ask-{program}"), &url, settings);
    }
}

/// A program's steps from discovery to a refusal; the token it was given.
fn one_life(program: &str, url: &str, mut settings: Vec<(&'static str, String)>) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let task = format!("nightly-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    settings.push(("TASK", task.clone()));
    let program = Program::start(program, &lend(&settings));

    let found = program.step("discovered");
    assert_eq!((&found["issuer"], &found["token_endpoint"]), (&json!(url), &json!(format!("{url}/oauth2/token"))));

    let answer = program.step("token");
    assert_eq!((&answer["task"], &answer["scope"]), (&json!(task), &json!("orders:read orders:write")), "{answer}");
    assert!(answer["token_type"].as_str().unwrap().eq_ignore_ascii_case("bearer"), "{answer}");
    let token = Token::read(answer["access_token"].as_str().unwrap());

    let seen = program.step("introspected");
    assert_eq!(seen["active"], true);
    let expected = [
        ("iss", json!(url)),
        ("sub", json!("algs")),
        ("client_id", json!("algs")),
        ("aud", json!(API)),
        ("scope", json!("orders:read orders:write")),
        ("txn", json!(task)),
        ("jti", answer["lease_id"].clone()),
    ];
    for (name, value) in expected {
        assert_eq!((&token.claims[name], &seen[name]), (&value, &value), "{name}");
    }
    assert_eq!((&token.claims["exp"], &token.claims["rev"]), (&seen["exp"], &seen["rev"]));

    program.step("revoked");
    let mut seen = program.step("introspected");
    seen.as_object_mut().unwrap().remove("step");
    assert_eq!(seen, json!({"active": false}));

    let refused = program.step("refused");
    assert_eq!(refused["error"], "invalid_scope");
    assert!(refused["description"].as_str().unwrap().contains("orders:purge"), "{refused}");
    program.ends();
    token.text
}

/// A certificate for this machine, and the authority that signed it, in files.
struct Authority {
    ca: String,
    cert: String,
    key: String,
    _dir: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "the tests' authority");
        let ca = parameters.self_signed(&ca_key).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        leaf.use_authority_key_identifier_extension = true;
        let cert = leaf.signed_by(&key, &rcgen::Issuer::new(parameters, ca_key)).unwrap();
        let (ca, cert, key) = (write("ca", ca.pem()), write("cert", cert.pem()), write("key", key.serialize_pem()));
        Self { ca, cert, key, _dir: dir }
    }
}
