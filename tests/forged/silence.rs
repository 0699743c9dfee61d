//! What a refusal must not tell before a signature is verified: which clients there are, and which keys.

use serde_json::Value;

use crate::common::{
    API, Answer, Ask, Assertion, Backing, Broker, Key, base64url, complete_path, key_of, key_of_kind, on_both_stores,
};

on_both_stores!(one_answer_to_all_that_is_not_proven, the_log_knows_more);

/// An assertion, and why the audit log says it was refused.
type Row = (&'static str, String, &'static str);

fn rows() -> Vec<Row> {
    let stranger = key_of("stranger");
    let rs256 = |client: &str, bytes: usize| Assertion::of(client).signed_by("RS256", |_, _| vec![1; bytes]);
    vec![
        ("a client, another's signature", Assertion::of("demo").signed(stranger), "bad_signature"),
        ("no client", Assertion::of("nobody").signed(stranger), "unknown_client"),
        ("no client, a kid", Assertion::of("nobody").header("kid", "k").signed(stranger), "unknown_client"),
        ("a client, no such kid", Assertion::of("demo").header("kid", "unknown").text(), "unknown_key"),
        ("no client with a URI", Assertion::of("https://nobody.example.com").signed(stranger), "unknown_client"),
        ("a resource server", Assertion::of(API).signed(stranger), "bad_signature"),
        ("one that has expired", Assertion::of("expired").signed(stranger), "bad_signature"),
        ("one without an owner", Assertion::of("no-owner").signed(stranger), "bad_signature"),
        ("a kid of another kind", Assertion::of("algs").header("kid", "ed").signed(key_of("algs")), "unknown_key"),
        ("the other of two keys", Assertion::of("twins").header("kid", "a").signed(key_of("twin-b")), "bad_signature"),
        ("either of two keys", Assertion::of("twins").signed(key_of("twin-b")), "ambiguous_key"),
        ("no key for this algorithm", Assertion::of("demo").signed(key_of_kind("ed")), "unknown_key"),
        ("a key for it, none here", Assertion::of("algs").signed(&Key::ed()), "bad_signature"),
        ("RSA of a client with such a key", rs256("algs", 256), "bad_signature"),
        ("RSA of a client without", rs256("demo", 256), "unknown_key"),
        ("RSA of no client", rs256("nobody", 256), "unknown_client"),
        ("longer than the client's key", rs256("algs", 512), "bad_signature"),
        ("as long, of no client", rs256("nobody", 512), "unknown_client"),
        ("shorter than any key", rs256("algs", 128), "bad_signature"),
        ("a client, a signature in DER", forged_der(), "bad_signature"),
    ]
}

fn forged_der() -> String {
    let text = Assertion::of("demo").text();
    let (message, signature) = text.rsplit_once('.').unwrap();
    let der = crate::encodings::asn1(&crate::common::from_base64url(signature));
    format!("{message}.{}", base64url(der))
}

/// The answer as it goes over the wire, but for the ids of decision and request, and the moment.
fn stripped(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.field("decision_id");
    assert!(!id.is_empty());
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !matches!(&*name.to_ascii_lowercase(), "date" | "x-request-id"))
        .cloned()
        .collect();
    (answer.status, headers, answer.text().replace(&id, "ID"))
}

fn one_answer_to_all_that_is_not_proven(backing: &Backing) {
    let broker = Broker::start(backing);
    let lease = broker.mint("demo", "silence").lease();
    let paths = [
        "/oauth2/token",
        "/oauth2/introspect",
        "/oauth2/revoke",
        &complete_path("t"),
        &format!("/v1/leases/{lease}/renew"),
    ];
    for path in paths {
        let mut told = Vec::new();
        for (name, assertion, _) in rows() {
            let ask = Ask::of("demo").with("token", "x").assertion(assertion);
            told.push((name, stripped(&broker.send(&ask.at(path)))));
        }
        for (name, answer) in &told {
            assert_eq!(answer, &told[0].1, "{path}: {name}");
            assert_eq!(answer.0, 401);
        }
        let (name, (_, headers, body)) = &told[0];
        for word in ["demo", "nobody", "ES256", "RS256", "unknown", "exist"] {
            assert!(!body.contains(word), "{name}: {word} in {body}");
        }
        assert!(headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("www-authenticate")));
    }
}

/// Past a few a second refusals are summed up: one broker for each handful.
fn the_log_knows_more(backing: &Backing) {
    let broker = Broker::start(backing);
    let rows = rows();
    let (name, assertion, fault) = &rows[3];
    let answer = broker.ask(&Ask::of("demo").assertion(assertion));
    let line = broker.decision(&answer.field("decision_id"));
    assert_eq!(line["refusal"], "invalid_client");
    assert!(
        matches!(&line["detail"], Value::String(detail) if detail == &format!("{fault}, claimed demo")),
        "{name}: {line}"
    );
}
