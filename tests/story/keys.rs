//! Keys as verifiers see them: the next one is always there before it signs, and a stolen one goes at once.

use std::time::Duration;

use serde_json::json;

use crate::common::{Backing, Broker, Feed, ISSUER, Jwks, Request, Setup, now, on_both_stores, within};

on_both_stores!(
    metadata_is_what_strict_clients_ask_for,
    the_jwks_is_cacheable_and_holds_the_next_key,
    a_rotation_waits_until_verifiers_have_the_next_key,
    a_rotation_now_does_not_wait,
    a_rotation_that_waits_goes_to_the_published_key_by_itself,
    a_revoked_key_signs_no_more_and_leaves_the_jwks,
    keys_in_memory_are_in_no_file_and_their_tokens_outlive_them,
);

fn metadata_is_what_strict_clients_ask_for(backing: &Backing) {
    let broker = Broker::start(backing);
    let answer = broker.get("/.well-known/oauth-authorization-server").expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document = answer.json();
    assert_eq!(document, broker.get("/.well-known/openid-configuration").expect(200).json());
    assert_eq!(document["issuer"], ISSUER);
    let endpoints = ["token", "introspection", "revocation"];
    for endpoint in endpoints {
        let path = match endpoint {
            "introspection" => "introspect",
            "revocation" => "revoke",
            other => other,
        };
        assert_eq!(document[format!("{endpoint}_endpoint")], format!("{ISSUER}/oauth2/{path}"));
        assert_eq!(document[format!("{endpoint}_endpoint_auth_methods_supported")], json!(["private_key_jwt"]));
        let mut algorithms = document[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")].clone();
        algorithms.as_array_mut().unwrap().sort_by_key(ToString::to_string);
        assert_eq!(algorithms, json!(["ES256", "EdDSA", "PS256", "RS256"]));
    }
    assert_eq!(document["jwks_uri"], format!("{ISSUER}/oauth2/jwks"));
    assert_eq!(document["response_types_supported"], json!([]));
    assert_eq!(document["grant_types_supported"], json!(["client_credentials"]));
    for name in ["subject_types_supported", "id_token_signing_alg_values_supported"] {
        assert!(document[name].as_array().is_some_and(|list| !list.is_empty()), "{name}");
    }
    let authorize = document["authorization_endpoint"].as_str().unwrap().strip_prefix(ISSUER).unwrap().to_owned();
    let refused = broker.get(&format!("{authorize}?response_type=code&client_id=demo"));
    assert!((400..500).contains(&refused.status), "it refuses everyone");
    // What is not built is not advertised.
    for later in ["dpop_signing_alg_values_supported", "tls_client_certificate_bound_access_tokens"] {
        assert!(document.get(later).is_none(), "{later}");
    }
}

fn the_jwks_is_cacheable_and_holds_the_next_key(backing: &Backing) {
    let broker = Broker::start(backing);
    let answer = broker.get("/oauth2/jwks").expect(200);
    let etag = answer.header("etag").unwrap().to_owned();
    assert!(etag.starts_with('"'), "a strong one: {etag}");
    assert!(answer.header("cache-control").unwrap().contains("max-age="));
    let again = broker.send(&Request::get("/oauth2/jwks").header("If-None-Match", &etag)).expect(304);
    assert_eq!((again.body.len(), again.header("etag")), (0, Some(&*etag)));
    broker.send(&Request::get("/oauth2/jwks").header("If-None-Match", "\"another\"")).expect(200);

    let keys = broker.operator_sees("/admin/v1/keys");
    let states: Vec<_> = keys["keys"].as_array().unwrap().iter().map(|key| key["state"].as_str().unwrap()).collect();
    assert!(states.contains(&"active") && states.contains(&"next"), "{keys}");
    assert_eq!(Jwks::fetch(&broker).kids().len(), states.len());
    assert!(Jwks::fetch(&broker).kids().contains(&broker.mint("demo", "t").kid()));
}

fn a_rotation_waits_until_verifiers_have_the_next_key(backing: &Backing) {
    let broker = Broker::start(backing);
    let before = broker.mint("demo", "t").kid();
    let waits = broker.operator("/admin/v1/keys/rotate", json!({"now": false})).expect(202).json();
    assert_eq!(waits["rotated"], false);
    assert!(waits["not_before"].as_u64().unwrap() > now());
    assert_eq!(broker.mint("demo", "t").kid(), before);
}

fn a_rotation_now_does_not_wait(backing: &Backing) {
    let broker = Broker::start(backing);
    let old = broker.mint("demo", "t");
    let next = next_key(&broker);
    let done = broker.operator("/admin/v1/keys/rotate", json!({"now": true})).expect(200).json();
    assert_eq!((done["rotated"].as_bool(), done["kid"].as_str()), (Some(true), Some(&*next)));
    let line = broker.audited(&[("event", "key.rotate"), ("kid", &next)]);
    assert!(line["actor"].as_str().is_some_and(|actor| actor.starts_with("uid:")), "{line}");
    let new = broker.mint("demo", "t");
    assert_eq!(new.kid(), next, "it was in the JWKS already");
    let jwks = Jwks::fetch(&broker);
    for token in [&old, &new] {
        jwks.check(&token.text, "at+jwt").unwrap();
        assert!(broker.stands(token));
    }
    assert!(next_key(&broker) != next && jwks.kids().len() == 3, "and there is a next one again");
    broker.audited(&[("event", "key.rotate"), ("kid", &next)]);
}

fn a_rotation_that_waits_goes_to_the_published_key_by_itself(backing: &Backing) {
    let broker = Setup::default().set("JITNEY_KEYS_JWKS_MAX_AGE", "1s").start(backing);
    let next = next_key(&broker);
    let waits = broker.operator("/admin/v1/keys/rotate", json!({"now": false})).expect(202).json();
    let rotated = || Some(broker.mint("demo", "t")).filter(|token| token.kid() == next);
    let token = within(Duration::from_secs(30), "the next key signs", rotated);
    assert!(token.number("iat") >= waits["not_before"].as_u64().unwrap(), "not before it was said to");
}

#[test]
fn a_rotation_whose_time_has_come_is_done_at_once() {
    let broker = Setup::default().set("JITNEY_KEYS_JWKS_MAX_AGE", "1s").start(&Backing::Embedded);
    let (next, from) = (next_key(&broker), next_signs_from(&broker));
    within(Duration::from_secs(30), "it has been published long enough", || (now() >= from).then_some(()));
    let done = broker.operator("/admin/v1/keys/rotate", json!({"now": false})).expect(200);
    assert_eq!((done.field("kid"), broker.mint("demo", "t").kid()), (next.clone(), next));
}

fn next_signs_from(broker: &Broker) -> u64 {
    let keys = broker.operator_sees("/admin/v1/keys");
    let next = keys["keys"].as_array().unwrap().iter().find(|key| key["state"] == "next").unwrap();
    next["signs_from"].as_u64().unwrap()
}

fn a_revoked_key_signs_no_more_and_leaves_the_jwks(backing: &Backing) {
    let broker = Broker::start(backing);
    let stolen = broker.mint("demo", "t");
    let done = broker.operator_revokes(json!({"key": stolen.kid()}));
    assert_eq!(done["rules"][0][0], "key");
    assert!(!broker.stands(&stolen));
    assert!(!Jwks::fetch(&broker).kids().contains(&stolen.kid()));
    let fresh = broker.mint("demo", "t");
    assert_ne!(fresh.kid(), stolen.kid());
    assert!(broker.stands(&fresh));
    let feed = Feed::fetch(&broker);
    assert_eq!((feed.ends(&stolen), feed.ends(&fresh)), (Some("key"), None));
    assert!(!feed.claims["kids"].as_array().unwrap().contains(&json!(stolen.kid())));
    // Behind an emergency there is a next key again.
    next_key(&broker);
}

fn keys_in_memory_are_in_no_file_and_their_tokens_outlive_them(backing: &Backing) {
    let mut broker = Setup::default().set("JITNEY_KEYS_STORAGE", "memory").start(backing);
    let token = broker.mint("demo", "t");
    let is_private =
        |path: &std::path::Path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("PRIVATE KEY"));
    let files = std::fs::read_dir(broker.data().join("keys")).into_iter().flatten();
    assert!(!files.map(|entry| entry.unwrap().path()).any(|path| is_private(&path)));
    broker.kill();
    broker.start_again();
    assert!(broker.stands(&token));
    Jwks::fetch(&broker).check(&token.text, "at+jwt").unwrap();
    assert_ne!(broker.mint("demo", "t").kid(), token.kid());
}

fn next_key(broker: &Broker) -> String {
    let keys = broker.operator_sees("/admin/v1/keys");
    let next = keys["keys"].as_array().unwrap().iter().find(|key| key["state"] == "next");
    let kid = next.unwrap_or_else(|| panic!("no next key: {keys}"))["kid"].as_str().unwrap().to_owned();
    assert!(Jwks::fetch(broker).kids().contains(&kid));
    kid
}
