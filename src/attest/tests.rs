//! Client authentication as the contract states it, on assertions crafted by hand.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fixtures::{AUDIENCE, Key, NOW, World, claims, with};
use super::*;
use crate::model::{Reason, UnixTime};
use crate::store::Spent;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const NOT_PROVEN: &str = "the assertion is not signed by a key of this client: compare id, key and kid with what the broker \
                          has; its audit log tells which of them it was";

fn attestor() -> Attestor {
    super::fixtures::attestor(false)
}

fn attest(world: &World, assertion: &str) -> Result<Arc<Caller>, Unproven> {
    attest_as(world, assertion, None)
}

fn attest_as(world: &World, assertion: &str, client_id: Option<&str>) -> Result<Arc<Caller>, Unproven> {
    let auth = ClientAuth { assertion_type: Some(JWT_BEARER), assertion: Some(assertion), client_id };
    attestor().attest(&world.set, &auth, Endpoint::TOKEN, UnixTime::from_secs(NOW))
}

fn signed(key: &Key, header: Value, client: &str) -> String {
    key.jws(&header.to_string(), &claims(client).to_string())
}

#[test]
fn each_algorithm_of_the_contract_proves_a_client() {
    let world = World::new();
    let rows = [
        (&world.ec, json!({"alg": "ES256", "kid": "ec"})),
        (&world.ed, json!({"alg": "EdDSA", "kid": "ed"})),
        (&world.ed, json!({"alg": "Ed25519", "kid": "ed"})),
        (&world.rsa, json!({"alg": "RS256", "kid": "rsa"})),
        (&world.rsa, json!({"alg": "PS256", "kid": "rsa"})),
        // One key fits each of these.
        (&world.ec, json!({"alg": "ES256"})),
        (&world.ed, json!({"alg": "EdDSA"})),
        (&world.rsa, json!({"alg": "PS256"})),
    ];
    for (key, header) in rows {
        let caller = attest(&world, &signed(key, header.clone(), "alpha")).unwrap_or_else(|e| panic!("{header}: {e}"));
        assert_eq!(caller.who.id(), "alpha");
        assert_eq!(caller.identity.claims.get("kid").map(String::as_str), header["kid"].as_str());
        let spent = Spent::new("alpha", "j-1", UnixTime::from_secs(NOW + 60 + 60));
        assert_eq!(caller.spent, Some(spent.usable_from(UnixTime::from_secs(NOW))));
    }
}

#[test]
fn typ_may_be_absent_or_one_of_two_in_any_case() {
    let world = World::new();
    for typ in ["JWT", "jwt", "client-authentication+jwt", "Client-Authentication+JWT", "application/jwt"] {
        let assertion = signed(&world.ec, json!({"alg": "ES256", "typ": typ}), "alpha");
        assert!(attest(&world, &assertion).is_ok(), "{typ}");
    }
}

#[test]
fn an_audience_proves_itself_by_its_uri_and_a_path_of_one_slash_equals_none() {
    let world = World::new();
    for (sub, client_id) in [
        (AUDIENCE, None),
        (AUDIENCE, Some(AUDIENCE)),
        (AUDIENCE, Some("https://api.example.com/")),
        ("https://api.example.com/", Some(AUDIENCE)),
    ] {
        let assertion = signed(&world.ec, json!({"alg": "ES256", "kid": "api"}), sub);
        let caller = attest_as(&world, &assertion, client_id).unwrap();
        assert!(matches!(&caller.who, Who::Audience(audience) if audience.id.as_str() == AUDIENCE));
        assert_eq!(caller.spent.as_ref().unwrap().subject, AUDIENCE);
    }
}

#[test]
fn what_is_wrong_in_the_header_is_named() {
    let world = World::new();
    let rows = [
        (json!({"alg": "none"}), "use one of ES256, EdDSA, RS256, PS256"),
        (json!({"alg": "HS256"}), "the algorithm is not accepted"),
        (json!({"alg": "es256"}), "the algorithm is not accepted"),
        (json!({"alg": "ES384"}), "the algorithm is not accepted"),
        (json!({"alg": "RS512"}), "the algorithm is not accepted"),
        (json!({"alg": null}), "alg"),
        (json!({"alg": 5}), "alg"),
        (json!({"crit": ["exp"]}), "crit"),
        (json!({"crit": []}), "crit"),
        (json!({"b64": false, "crit": ["b64"]}), "crit"),
        (json!({"jwk": world.stranger.jwk(None)}), "`jwk` is not accepted"),
        (json!({"jku": "https://evil.example.com/jwks"}), "`jku` is not accepted"),
        (json!({"x5u": "https://evil.example.com/x"}), "`x5u` is not accepted"),
        (json!({"x5c": ["AA"]}), "`x5c` is not accepted"),
        (json!({"kid": 7}), "kid"),
        (json!({"typ": "at+jwt"}), "typ must be"),
        (json!({"typ": "JWT "}), "typ must be"),
        (json!({"typ": ""}), "typ must be"),
        (json!({"typ": "application/application/jwt"}), "typ must be"),
    ];
    for (over, word) in rows {
        let header = with(json!({"alg": "ES256", "kid": "ec"}), &over);
        let unproven = attest(&world, &signed(&world.ec, header, "alpha")).unwrap_err();
        assert!(unproven.refusal.description.contains(word), "{over}: {unproven}");
        assert_eq!((unproven.fault, unproven.refusal.reason), (Fault::Form, Reason::InvalidClient), "{over}");
    }
}

#[test]
fn what_is_no_assertion_is_refused_by_its_form() {
    let world = World::new();
    let good = signed(&world.ec, json!({"alg": "ES256", "kid": "ec"}), "alpha");
    let (head, rest) = good.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let header = r#"{"alg":"ES256"}"#;
    let doubled = claims("alpha").to_string().replace("\"jti\":", "\"jti\":\"x\",\"jti\":");
    let deep = format!("{{\"iss\":{}1{}}}", "[".repeat(40), "]".repeat(40));
    let at_exp = |spelling: &str| claims("alpha").to_string().replace(&(NOW + 60).to_string(), spelling);
    let rows = [
        (String::new(), "three segments"),
        ("no".into(), "three segments"),
        ("a.b".into(), "three segments"),
        (format!("{good}.{signature}"), "three segments"),
        (format!("{head}.{body}."), "three segments"),
        (format!("{head}..{signature}"), "three segments"),
        (format!(".{body}.{signature}"), "three segments"),
        (format!("{head}.{body}.{signature}=="), "base64url"),
        (format!("{head}=.{body}.{signature}"), "base64url"),
        (format!(" {good}"), "base64url"),
        (format!("{good}\n"), "base64url"),
        (format!("{head}.{body}.{}", signature.replace('-', "+").replace('_', "/") + "+/"), "base64url"),
        (world.ec.jws(r#"{"alg":"ES256","alg":"ES256"}"#, &claims("alpha").to_string()), "twice"),
        (world.ec.jws(r#"["ES256"]"#, &claims("alpha").to_string()), "no object"),
        (world.ec.jws(header, &doubled), "twice"),
        (world.ec.jws(header, &deep), "deeper"),
        (world.ec.jws(header, "[1]"), "no object"),
        (world.ec.jws(header, "x"), "expected value"),
        (world.ec.jws(header, &(claims("alpha").to_string() + "x")), "trailing"),
        (world.ec.jws(header, &at_exp("\"soon\"")), "whole seconds"),
        (world.ec.jws(header, &at_exp("1.79556486e9")), "whole seconds"),
        (world.ec.jws(header, &at_exp("1e999")), "number out of range"),
        (world.ec.jws(header, &with(claims("alpha"), &json!({"pad": "x".repeat(9000)})).to_string()), "8192"),
    ];
    for (row, word) in rows {
        let unproven = attest(&world, &row).expect_err(&row);
        assert!(unproven.refusal.description.contains(word), "{row}: {unproven}");
        assert_eq!((unproven.fault, unproven.refusal.reason), (Fault::Form, Reason::InvalidClient), "{row}");
    }
}

#[test]
fn the_fields_beside_the_assertion_are_judged_too() {
    let world = World::new();
    let good = signed(&world.ec, json!({"alg": "ES256", "kid": "ec"}), "alpha");
    let rows = [
        (None, None, None, "there is none"),
        (Some(JWT_BEARER), None, Some("alpha"), "there is none"),
        (None, Some(good.as_str()), None, "client_assertion_type"),
        (Some("urn:ietf:params:oauth:client-assertion-type:saml2-bearer"), Some(&good), None, "client_assertion_type"),
        (Some("JWT"), Some(&good), None, "client_assertion_type"),
        (Some(JWT_BEARER), Some(&good), Some("beta"), "client_id"),
        (Some(JWT_BEARER), Some(&good), Some("alpha/"), "client_id"),
        (Some(JWT_BEARER), Some(&good), Some(""), "client_id"),
    ];
    for (assertion_type, assertion, client_id, word) in rows {
        let auth = ClientAuth { assertion_type, assertion, client_id };
        let unproven = attestor().attest(&world.set, &auth, Endpoint::TOKEN, UnixTime::from_secs(NOW)).expect_err(word);
        assert!(unproven.refusal.description.contains(word), "{unproven}");
        assert!(!format!("{auth:?}").contains(&good), "an assertion is not for logs");
    }
    assert!(attest_as(&world, &good, Some("alpha")).is_ok());
}

#[test]
fn nothing_tells_which_client_or_key_exists_before_a_signature_is_verified() {
    let world = World::new();
    let rows = [
        (&world.ec, json!({"alg": "ES256", "kid": "ec"}), "nobody", Fault::UnknownClient),
        (&world.ec, json!({"alg": "ES256"}), "https://nobody.example.com", Fault::UnknownClient),
        (&world.rsa, json!({"alg": "RS256"}), "nobody", Fault::UnknownClient),
        (&world.ed, json!({"alg": "EdDSA"}), "../alpha", Fault::UnknownClient),
        (&world.ec, json!({"alg": "ES256", "kid": "other"}), "alpha", Fault::UnknownKey),
        (&world.ec, json!({"alg": "ES256", "kid": ""}), "alpha", Fault::UnknownKey),
        (&world.ec, json!({"alg": "ES256", "kid": "rsa"}), "alpha", Fault::UnknownKey),
        (&world.rsa, json!({"alg": "RS256", "kid": "ec"}), "alpha", Fault::UnknownKey),
        (&world.ec, json!({"alg": "ES256", "kid": "k"}), "one", Fault::UnknownKey),
        (&world.rsa, json!({"alg": "PS256"}), "one", Fault::UnknownKey),
        (&world.ec, json!({"alg": "ES256"}), "twins", Fault::AmbiguousKey),
        (&world.stranger, json!({"alg": "ES256", "kid": "ec"}), "alpha", Fault::BadSignature),
        (&world.stranger, json!({"alg": "ES256"}), "one", Fault::BadSignature),
        (&world.ed, json!({"alg": "ES256", "kid": "ec"}), "alpha", Fault::BadSignature),
        (&world.stranger, json!({"alg": "ES256", "kid": "api"}), AUDIENCE, Fault::BadSignature),
        (&world.stranger, json!({"alg": "RS256", "kid": "rsa"}), "alpha", Fault::BadSignature),
    ];
    for (key, header, client, fault) in rows {
        let unproven = attest(&world, &signed(key, header.clone(), client)).unwrap_err();
        assert_eq!(unproven.refusal.description, NOT_PROVEN, "{header} {client}");
        assert_eq!((unproven.fault, unproven.claimed.as_deref()), (fault, Some(client)), "{header}");
    }
}

#[test]
fn a_signature_of_the_right_form_over_other_text_proves_nothing() {
    let world = World::new();
    let header = json!({"alg": "ES256", "kid": "ec"});
    let (good, other) = (signed(&world.ec, header.clone(), "alpha"), signed(&world.ec, header, "one"));
    let (text, _) = good.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    assert_eq!(attest(&world, &format!("{text}.{signature}")).unwrap_err().fault, Fault::BadSignature);
    // RSA-PSS under the name of PKCS #1, by the right key.
    let pss = world.rsa.jws(r#"{"alg":"PS256","kid":"rsa"}"#, &claims("alpha").to_string());
    let (_, signature) = pss.rsplit_once('.').unwrap();
    let pkcs1 = world.rsa.jws(r#"{"alg":"RS256","kid":"rsa"}"#, &claims("alpha").to_string());
    let (text, _) = pkcs1.rsplit_once('.').unwrap();
    assert_eq!(attest(&world, &format!("{text}.{signature}")).unwrap_err().fault, Fault::BadSignature);
}

#[test]
fn a_key_of_one_client_proves_no_other() {
    let world = World::new();
    // `one` holds the same key pair as `alpha`, which its owners should not do; the name still comes from the claims.
    let assertion = signed(&world.ec, json!({"alg": "ES256"}), "one");
    assert_eq!(attest(&world, &assertion).unwrap().who.id(), "one");
    let assertion = signed(&world.ed, json!({"alg": "EdDSA"}), "one");
    assert_eq!(attest(&world, &assertion).unwrap_err().fault, Fault::UnknownKey);
}

#[test]
fn the_url_of_the_endpoint_called_is_an_audience_only_by_configuration() {
    let world = World::new();
    let now = UnixTime::from_secs(NOW);
    let to = |url: &str| {
        world.ec.jws(r#"{"alg":"ES256","kid":"ec"}"#, &with(claims("alpha"), &json!({"aud": url})).to_string())
    };
    let token = to("https://broker.example.com/oauth2/token");
    let auth = ClientAuth { assertion_type: Some(JWT_BEARER), assertion: Some(&token), client_id: None };
    let strict = attestor().attest(&world.set, &auth, Endpoint::TOKEN, now).unwrap_err();
    assert!(strict.refusal.description.contains("[server] accept_endpoint_audience = true"), "{strict}");
    let lenient = super::fixtures::attestor(true);
    assert!(lenient.attest(&world.set, &auth, Endpoint::TOKEN, now).is_ok());
    assert!(lenient.attest(&world.set, &auth, Endpoint::REVOKE, now).is_err(), "for another endpoint");
    let complete = to("https://broker.example.com/v1/tasks/t%2F1/complete");
    let auth = ClientAuth { assertion: Some(&complete), ..auth };
    assert!(lenient.attest(&world.set, &auth, Endpoint::at("/v1/tasks/t%2F1/complete"), now).is_ok());
}
