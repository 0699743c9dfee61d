//! Keys that a workload's file must not have: a set with one of them is not loaded, and whoever wrote it is told why.

use serde_json::{Value, json};

use crate::common::{
    Ask, Assertion, Backing, Setup, base64url, key_of, key_of_kind, on_both_stores, workload, workload_path,
};
use crate::encodings::{MOST, P, ZERO};

on_both_stores!(keys_that_are_none_keep_a_broker_from_starting, a_key_counts_for_its_own_algorithm_alone);

/// A JWK, and what the refusal says.
type Row = (&'static str, &'static str, Value, &'static str);

fn rows() -> Vec<Row> {
    let ec = || key_of("demo").jwk(None);
    let with = |mut jwk: Value, name: &str, value: Value| {
        jwk[name] = value;
        jwk
    };
    let ed = |x: &[u8]| json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(x)});
    let rsa = |n: &[u8], e: &[u8]| json!({"kty": "RSA", "n": base64url(n), "e": base64url(e)});
    let modulus = key_of_kind("rsa").public();
    let even = [&modulus[..255], &[0]].concat();
    let unit = [&[1][..], &[0; 31]].concat();
    vec![
        ("a shared secret", "RFC 8725 §3.10", json!({"kty": "oct", "k": "c2VjcmV0"}), "private or shared"),
        ("a private half", "RFC 7517 §9.2", with(ec(), "d", json!("AA")), "private or shared"),
        ("P-384", "the contract", json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}), "is not served"),
        ("P-521", "the contract", json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}), "is not served"),
        ("secp256k1", "RFC 8812", with(ec(), "crv", json!("secp256k1")), "is not served"),
        ("Ed448", "the contract", json!({"kty": "OKP", "crv": "Ed448", "x": "AA"}), "is not served"),
        ("X25519", "RFC 8037 §3.2", with(ed(&MOST), "crv", json!("X25519")), "is not served"),
        ("no curve", "RFC 7518 §6.2.1.1", with(ec(), "crv", json!("")), "is not served"),
        ("a coordinate too short", "RFC 7518 §6.2.1.2", with(ec(), "x", json!(base64url(&P[1..]))), "32 bytes"),
        ("a coordinate too long", "RFC 7518 §6.2.1.2", with(ec(), "y", json!(base64url([0; 33]))), "32 bytes"),
        ("a coordinate with padding", "RFC 7515 §2", with(ec(), "x", json!(format!("{}=", base64url(P)))), "base64url"),
        ("for encryption", "RFC 7517 §4.2", with(ec(), "use", json!("enc")), "`use`"),
        ("for signing alone", "RFC 7517 §4.3", with(ec(), "key_ops", json!(["sign"])), "`key_ops`"),
        ("another key's algorithm", "RFC 8725 §3.1", with(ec(), "alg", json!("RS256")), "does not go with this key"),
        (
            "a shared secret's algorithm",
            "RFC 8725 §3.1",
            with(ec(), "alg", json!("HS256")),
            "does not go with this key",
        ),
        ("Ed25519, order one", "RFC 8032 §5.1.7", ed(&unit), "anybody could sign"),
        ("Ed25519, order four", "RFC 8032 §5.1.7", ed(&ZERO), "anybody could sign"),
        ("Ed25519, no canonical point", "RFC 8032 §5.1.3", ed(&MOST), "anybody could sign"),
        ("RSA of 1024 bits", "RFC 7518 §3.3", rsa(&modulus[..128], &[1, 0, 1]), "2048 to 4096 bits"),
        ("RSA of 2047 bits", "RFC 7518 §3.3", rsa(&[&[0x7f], &modulus[1..]].concat(), &[1, 0, 1]), "2048 to 4096 bits"),
        ("RSA of 8192 bits", "CWE-400", rsa(&modulus.repeat(4), &[1, 0, 1]), "too long"),
        ("RSA, an even modulus", "RFC 8017 §3.1", rsa(&even, &[1, 0, 1]), "odd"),
        ("RSA, exponent 1", "RFC 8017 §3.1: whatever is sent is signed", rsa(&modulus, &[1]), "65537"),
        ("RSA, exponent 2", "RFC 8017 §3.1", rsa(&modulus, &[2]), "65537"),
        ("RSA, exponent 3", "CVE-2006-4339, FIPS 186-5 A.1.1", rsa(&modulus, &[3]), "65537"),
        ("RSA, exponent 65537 in four bytes", "RFC 7518 §6.3.1.2", rsa(&modulus, &[0, 1, 0, 1]), "65537"),
        ("RSA, no exponent", "RFC 7518 §6.3.1.2", rsa(&modulus, &[]), "65537"),
        ("a kid that is no string", "RFC 7517 §4.5", with(ec(), "kid", json!(7)), "`kid` must be a string"),
        ("a kid of nothing", "RFC 7517 §4.5", with(ec(), "kid", json!("")), "`kid` is 1 to 256 bytes"),
    ]
}

fn keys_that_are_none_keep_a_broker_from_starting(backing: &Backing) {
    let mut setup = Setup::default();
    let rows = rows();
    for (at, (_, _, jwk, _)) in rows.iter().enumerate() {
        let file = workload(&format!("w{at:02}"), "2099-12-31", &json!({"keys": [jwk]}).to_string(), "");
        setup = setup.policy(&workload_path(&format!("w{at:02}")), file);
    }
    let output = setup.stopped(backing.url()).fails_to_start();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for (at, (name, source, _, words)) in rows.iter().enumerate() {
        let (before, _) = said.split_once(&format!("w{at:02}.toml")).unwrap_or_else(|| panic!("{name}: not in {said}"));
        let about = before.rsplit("error[").next().unwrap();
        assert!(about.contains(words), "{name} ({source}): {about}");
    }
    assert!(!said.contains("c2VjcmV0") && !said.contains("kty = "), "what may be a secret is not repeated: {said}");
}

fn a_key_counts_for_its_own_algorithm_alone(backing: &Backing) {
    let pinned = |alg: &str| {
        let mut jwk = key_of_kind("rsa").jwk(None);
        jwk["alg"] = json!(alg);
        workload(&format!("only-{}", alg.to_lowercase()), "2099-12-31", &json!({"keys": [jwk]}).to_string(), "")
    };
    let mut beside = key_of("beside").jwk(None);
    beside["y"] = json!(base64url(P));
    let beside = workload("beside", "2099-12-31", &json!({"keys": [beside]}).to_string(), "");
    let setup = Setup::default()
        .policy(&workload_path("only-rs256"), pinned("RS256"))
        .policy(&workload_path("only-ps256"), pinned("PS256"))
        .policy(&workload_path("beside"), beside);
    let broker = setup.start(backing);
    let ask = |client: &str, alg: &str| {
        let key = if client == "beside" { key_of("beside") } else { key_of_kind("rsa") };
        let text = Assertion::of(client).signed_by(alg, |alg, message| key.sign(alg, message));
        broker.ask(&Ask::of(client).assertion(text)).status
    };
    for (client, alg, expected) in [
        ("only-rs256", "RS256", 200),
        ("only-rs256", "PS256", 401),
        ("only-ps256", "PS256", 200),
        ("only-ps256", "RS256", 401),
        // A point beside the curve is read, and nothing is signed by it.
        ("beside", "ES256", 401),
    ] {
        assert_eq!(ask(client, alg), expected, "{client} {alg}");
    }
}
