//! The header says how it is to be checked, and is believed: `none`, a public key as a shared secret, another curve.

use jitney::verifier::Invalid::{Algorithm, Format, Header, Key, Signature};
use serde_json::json;

use crate::common::{Backing, Token, base64url, key_of_kind, on_both_stores};
use crate::encodings::{hmac, pem, rsa_spki, spki, ssh};
use crate::good::{Good, Side};
use crate::table::{ALGORITHM, NOT_PROVEN, Row, SEGMENTS, Told, assertion, row, run, token};

on_both_stores!(every_row);

fn every_row(backing: &Backing) {
    run(backing, ROWS);
}

/// The header names an algorithm, the signature is the good one.
fn named(good: &Good<'_>, alg: &str) -> String {
    good.signed_as(alg, |message| good.key.sign("", message))
}

/// The header names an algorithm, and there is a byte where a signature is to be.
fn unsigned(good: &Good<'_>, alg: &str) -> String {
    good.signed_as(alg, |_| vec![0])
}

/// Signed by a shared secret: bytes that everybody can make of the public key.
fn confused(good: &Good<'_>, alg: &str, secret: &[u8]) -> String {
    good.signed_as(alg, |message| hmac(alg, secret, message))
}

fn spki_pem(good: &Good<'_>) -> String {
    pem("PUBLIC KEY", &spki(&good.key.public()))
}

const NO_ALG: Told = Told::Refused("`alg` is missing");
const NO_STRING: Told = Told::Refused("`alg` must be a string");

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("none, no signature", "RFC 8725 §2.1, CVE-2015-2964", |good| good.signed_as("none", |_| vec![]), SEGMENTS, Err(Format)),
    row("none, two segments", "RFC 8725 §2.1", |good| good.signed_as("none", |_| vec![]).trim_end_matches('.').into(), SEGMENTS, Err(Format)),
    row("none, a signature of a byte", "RFC 8725 §2.1, CVE-2018-1000531", |good| unsigned(good, "none"), ALGORITHM, Err(Algorithm)),
    row("none, the good signature", "RFC 8725 §2.1", |good| named(good, "none"), ALGORITHM, Err(Algorithm)),
    row("None", "RFC 8725 §2.1", |good| unsigned(good, "None"), ALGORITHM, Err(Algorithm)),
    row("NONE", "RFC 8725 §2.1", |good| unsigned(good, "NONE"), ALGORITHM, Err(Algorithm)),
    row("nOnE", "RFC 8725 §2.1", |good| unsigned(good, "nOnE"), ALGORITHM, Err(Algorithm)),
    row("none and a space", "RFC 8725 §2.1", |good| unsigned(good, "none "), ALGORITHM, Err(Algorithm)),
    row("none and a NUL", "RFC 8725 §2.1", |good| unsigned(good, "none\0"), ALGORITHM, Err(Algorithm)),
    row("none with an o of another alphabet", "RFC 8725 §2.1", |good| unsigned(good, "n\u{3bf}ne"), ALGORITHM, Err(Algorithm)),
    row("null as text", "RFC 8725 §2.1", |good| unsigned(good, "null"), ALGORITHM, Err(Algorithm)),
    row("nothing as text", "RFC 8725 §2.1, CVE-2022-23540", |good| unsigned(good, ""), ALGORITHM, Err(Algorithm)),
    row("no alg", "RFC 7515 §4.1.1, CVE-2022-23540", |good| good.no_header("alg"), NO_ALG, Err(Header)),
    row("alg null", "RFC 7515 §4.1.1", |good| good.header("alg", ()), NO_STRING, Err(Header)),
    row("alg false", "RFC 7515 §4.1.1", |good| good.header("alg", false), NO_STRING, Err(Header)),
    row("alg a number", "RFC 7515 §4.1.1", |good| good.header("alg", 256), NO_STRING, Err(Header)),
    row("alg a list", "RFC 7515 §4.1.1", |good| good.header("alg", json!(["ES256"])), NO_STRING, Err(Header)),
    row("alg an object", "RFC 7515 §4.1.1", |good| good.header("alg", json!({"ES256": 1})), NO_STRING, Err(Header)),
    row("es256", "RFC 7515 §4.1.1: case counts", |good| named(good, "es256"), ALGORITHM, Err(Algorithm)),
    row("ES256 and a space", "RFC 7515 §4.1.1", |good| named(good, "ES256 "), ALGORITHM, Err(Algorithm)),
    row("ES256 by its object identifier", "RFC 7515 §4.1.1", |good| named(good, "1.2.840.10045.4.3.2"), ALGORITHM, Err(Algorithm)),
    row("a name like a path", "RFC 8725 §3.1", |good| named(good, "../../ES256"), ALGORITHM, Err(Algorithm)),
    row("constructor", "RFC 8725 §3.1: a name that a table of names inherits", |good| named(good, "constructor"), ALGORITHM, Err(Algorithm)),
    row("__proto__", "RFC 8725 §3.1", |good| named(good, "__proto__"), ALGORITHM, Err(Algorithm)),

    row("HS256 with the PEM", "RFC 8725 §2.1, CVE-2015-9235, CVE-2016-5431, CVE-2016-10555, CVE-2023-48238, CVE-2024-54150", |good| confused(good, "HS256", spki_pem(good).as_bytes()), ALGORITHM, Err(Algorithm)),
    row("HS256 with the PEM, no last line break", "CVE-2015-9235", |good| confused(good, "HS256", spki_pem(good).trim_end().as_bytes()), ALGORITHM, Err(Algorithm)),
    row("HS256 with the PEM, CRLF", "CVE-2015-9235", |good| confused(good, "HS256", spki_pem(good).replace('\n', "\r\n").as_bytes()), ALGORITHM, Err(Algorithm)),
    row("HS384 with the PEM", "CVE-2016-5431", |good| confused(good, "HS384", spki_pem(good).as_bytes()), ALGORITHM, Err(Algorithm)),
    row("HS512 with the PEM", "CVE-2016-5431", |good| confused(good, "HS512", spki_pem(good).as_bytes()), ALGORITHM, Err(Algorithm)),
    row("HS256 with the DER", "RFC 8725 §2.1", |good| confused(good, "HS256", &spki(&good.key.public())), ALGORITHM, Err(Algorithm)),
    row("HS256 with the point", "RFC 8725 §2.1", |good| confused(good, "HS256", &good.key.public()), ALGORITHM, Err(Algorithm)),
    row("HS256 with the point, no first byte", "RFC 8725 §2.1", |good| confused(good, "HS256", &good.key.public()[1..]), ALGORITHM, Err(Algorithm)),
    row("HS256 with x", "RFC 8725 §2.1", |good| confused(good, "HS256", &good.key.public()[1..33]), ALGORITHM, Err(Algorithm)),
    row("HS256 with x as text", "RFC 8725 §2.1", |good| confused(good, "HS256", good.key.jwk(None)["x"].as_str().unwrap().as_bytes()), ALGORITHM, Err(Algorithm)),
    row("HS256 with the JWK", "RFC 8725 §2.1", |good| confused(good, "HS256", good.key.jwk(None).to_string().as_bytes()), ALGORITHM, Err(Algorithm)),
    row("HS256 with the JWK set", "RFC 8725 §2.1", |good| confused(good, "HS256", good.key.jwks().as_bytes()), ALGORITHM, Err(Algorithm)),
    row("HS256 with the line of OpenSSH", "CVE-2022-29217, CVE-2024-33663", |good| confused(good, "HS256", ssh(&good.key.public()).as_bytes()), ALGORITHM, Err(Algorithm)),
    row("HS256 with nothing", "RFC 8725 §2.1", |good| confused(good, "HS256", b""), ALGORITHM, Err(Algorithm)),
    row("HS256 with secret", "RFC 8725 §2.2", |good| confused(good, "HS256", b"secret"), ALGORITHM, Err(Algorithm)),
    row("HS256 with the kid", "RFC 8725 §2.1", |good| confused(good, "HS256", good.kid().as_bytes()), ALGORITHM, Err(Algorithm)),
    assertion("HS256 with an RSA key's PEM", "CVE-2015-9235, CVE-2022-23541", |good| confused(good, "HS256", pem("PUBLIC KEY", &rsa_spki(&good.key.public())).as_bytes()), ALGORITHM).by("rsa"),
    assertion("HS256 with an RSA key's DER", "CVE-2015-9235", |good| confused(good, "HS256", &rsa_spki(&good.key.public())), ALGORITHM).by("rsa"),
    assertion("HS256 with an RSA modulus", "CVE-2015-9235", |good| confused(good, "HS256", &good.key.public()), ALGORITHM).by("rsa"),
    assertion("HS256 with an Ed25519 key", "RFC 8725 §2.1", |good| confused(good, "HS256", &good.key.public()), ALGORITHM).by("ed"),
    row("ES256 in name, HS256 in truth", "RFC 8725 §3.1", |good| good.signed_as("ES256", |message| hmac("HS512", &good.key.public(), message)), NOT_PROVEN, Err(Signature)),

    row("ES384 by a key of P-384", "RFC 8725 §3.1", |good| good.signed_as("ES384", p384), ALGORITHM, Err(Algorithm)),
    row("a signature of P-384 under ES256", "RFC 7518 §3.4", |good| good.signed_as("ES256", p384), NOT_PROVEN, Err(Signature)),
    row("ES512", "RFC 8725 §3.1", |good| good.signed_as("ES512", |_| vec![1; 132]), ALGORITHM, Err(Algorithm)),
    row("a signature as long as P-521's under ES256", "RFC 7518 §3.4", |good| good.signed_as("ES256", |_| vec![1; 132]), NOT_PROVEN, Err(Signature)),
    row("ES256K", "RFC 8812 §3.2", |good| named(good, "ES256K"), ALGORITHM, Err(Algorithm)),
    row("ESP256, ES256's newer name", "RFC 9864 §2.1", |good| named(good, "ESP256"), ALGORITHM, Err(Algorithm)),
    row("Ed25519, EdDSA's newer name", "RFC 9864 §2.2", |good| good.signed_as("Ed25519", |message| key_of_kind("ed").sign("", message)), NOT_PROVEN, Err(Algorithm)),
    row("Ed448", "RFC 9864 §2.2", |good| unsigned(good, "Ed448"), ALGORITHM, Err(Algorithm)),
    row("a signature of Ed25519 under ES256", "RFC 8725 §3.1", |good| good.signed_as("ES256", |message| key_of_kind("ed").sign("", message)), NOT_PROVEN, Err(Signature)),
    row("a signature of RSA under ES256", "RFC 8725 §3.1, CVE-2022-23539", |good| good.signed_as("ES256", |message| key_of_kind("rsa").sign("RS256", message)), NOT_PROVEN, Err(Signature)),
    row("RS256 in name, ES256 in truth", "RFC 8725 §3.1", |good| named(good, "RS256"), NOT_PROVEN, Err(Algorithm)),
    row("EdDSA in name, ES256 in truth", "RFC 8725 §3.1", |good| named(good, "EdDSA"), NOT_PROVEN, Err(Algorithm)),
    row("RS1", "RFC 8725 §2.2: SHA-1", |good| named(good, "RS1"), ALGORITHM, Err(Algorithm)),
    row("RS384", "not one of the four", |good| named(good, "RS384"), ALGORITHM, Err(Algorithm)),
    row("PS512", "not one of the four", |good| named(good, "PS512"), ALGORITHM, Err(Algorithm)),
    row("RSA-OAEP", "RFC 8725 §3.2, CVE-2023-51774: a name of encryption", |good| named(good, "RSA-OAEP"), ALGORITHM, Err(Algorithm)),
    row("dir", "CVE-2023-51774", |good| named(good, "dir"), ALGORITHM, Err(Algorithm)),
    row("PBES2-HS256+A128KW", "CVE-2023-51774", |good| named(good, "PBES2-HS256+A128KW"), ALGORITHM, Err(Algorithm)),
    row("ML-DSA-44", "not one of the four", |good| named(good, "ML-DSA-44"), ALGORITHM, Err(Algorithm)),
    assertion("EdDSA under the RSA key's name", "RFC 8725 §3.1", |good| good.headers(json!({"alg": "EdDSA", "kid": "rsa"})), NOT_PROVEN).by("ed"),
    assertion("RS256 under the EC key's name", "RFC 8725 §3.1", |good| good.headers(json!({"alg": "RS256", "kid": "ec"})), NOT_PROVEN).by("rsa"),
    assertion("PS256 in name, RS256 in truth", "RFC 8725 §3.1", |good| good.signed_as("PS256", |message| good.key.sign("RS256", message)), NOT_PROVEN).by("rsa"),
    assertion("RS256 in name, PS256 in truth", "RFC 8725 §3.1", |good| good.signed_as("RS256", |message| good.key.sign("PS256", message)), NOT_PROVEN).by("rsa"),
    assertion("PS256, the RSA key's other algorithm", "a control: RFC 7518 §3.5", |good| good.signed_as("PS256", |message| good.key.sign("PS256", message)), Told::Taken).by("rsa"),
    token("a token of the client's own key", "RFC 9068 §4", |good| good.signed_as("ES256", |message| good.other_key.sign("", message)), Err(Signature)),
    token("a token by an RSA key of the client's", "RFC 9068 §4", |good| good.signed_as("PS256", |message| key_of_kind("rsa").sign("PS256", message)), Err(Algorithm)),
    row("signed by the key of the other side", "RFC 8725 §3.10", |good| good.signed_as("ES256", |message| good.other_key.sign("", message)), NOT_PROVEN, Err(Signature)),
    row("signed by the other side, under its name", "RFC 8725 §3.10", by_the_other_side, NOT_PROVEN, Err(Key)),
];

fn by_the_other_side(good: &Good<'_>) -> String {
    let header = match good.side {
        Side::Assertion => json!({"alg": "ES256", "kid": Token::read(good.other).kid()}),
        Side::Token => json!({"alg": "ES256", "typ": "at+jwt", "kid": "demo"}),
    };
    let text = good.headers(header);
    let message = text.rsplit_once('.').unwrap().0;
    format!("{message}.{}", base64url(good.other_key.sign("", message.as_bytes())))
}

/// A real signature on another curve.
fn p384(message: &[u8]) -> Vec<u8> {
    use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING as ALG, EcdsaKeyPair};
    let rng = ring::rand::SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ALG, &rng).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ALG, pkcs8.as_ref(), &rng).unwrap();
    key.sign(&rng, message).unwrap().as_ref().to_vec()
}
