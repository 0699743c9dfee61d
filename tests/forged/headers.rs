//! What else stands in a header: keys it brings along, extensions, types, and names of keys that are something else.

use jitney::verifier::Invalid::{Claims, Format, Header, Key, Signature, Type};
use serde_json::{Value, json};

use crate::common::{Backing, Token, base64url, from_base64url, key_of, key_of_kind, on_both_stores};
use crate::good::{Good, Side};
use crate::table::{JSON, NOT_PROVEN, Row, Told, assertion, row, run, token};

on_both_stores!(every_row);

fn every_row(backing: &Backing) {
    run(backing, ROWS);
}

/// A stranger's signature, and these members in the header.
fn stranger(good: &Good<'_>, members: Value) -> String {
    let with = Good {
        header: serde_json::from_slice(&from_base64url(good.headers(members).split('.').next().unwrap())).unwrap(),
        ..copy(good)
    };
    with.signed_as("ES256", |message| key_of("stranger").sign("", message))
}

fn copy<'a>(good: &Good<'a>) -> Good<'a> {
    let Good { side, key, other_key, other, snapshot, .. } = *good;
    let (header, claims, text) = (good.header.clone(), good.claims.clone(), good.text.clone());
    Good { side, header, claims, text, key, other_key, other, snapshot }
}

const JWK: Told = Told::Refused("`jwk` is not accepted");
const CRIT: Told = Told::Refused("`crit` is not accepted");
const TYP: Told = Told::Refused("typ must be JWT, client-authentication+jwt, or absent");
const KID: Told = Told::Refused("`kid` must be a string");

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("jwk of a stranger", "RFC 7515 §4.1.3, CVE-2018-0114", |good| stranger(good, json!({"jwk": key_of("stranger").jwk(None)})), JWK, Err(Header)),
    row("jwk of a stranger under the good kid", "CVE-2018-0114", |good| stranger(good, json!({"jwk": key_of("stranger").jwk(Some(good.kid()))})), JWK, Err(Header)),
    row("jwk of its own key", "RFC 8725 §3.10", |good| good.header("jwk", good.key.jwk(None)), JWK, Err(Header)),
    row("jwk that is a shared secret", "RFC 8725 §3.10", |good| good.header("jwk", json!({"kty": "oct", "k": "c2VjcmV0"})), JWK, Err(Header)),
    row("jwk null", "RFC 8725 §3.10", |good| good.header("jwk", ()), JWK, Err(Header)),
    row("jku of a stranger", "RFC 7515 §4.1.2, RFC 8725 §3.10", |good| stranger(good, json!({"jku": "http://127.0.0.1:1/jwks"})), Told::Refused("`jku` is not accepted"), Err(Header)),
    row("jku of the broker itself", "RFC 8725 §3.10", |good| good.header("jku", "https://broker.example.com/oauth2/jwks"), Told::Refused("`jku` is not accepted"), Err(Header)),
    row("jku of a file", "RFC 8725 §3.10", |good| good.header("jku", "file:///etc/passwd"), Told::Refused("`jku` is not accepted"), Err(Header)),
    row("x5u", "RFC 7515 §4.1.5", |good| stranger(good, json!({"x5u": "http://127.0.0.1:1/cert"})), Told::Refused("`x5u` is not accepted"), Err(Header)),
    row("x5c", "RFC 7515 §4.1.6", |good| stranger(good, json!({"x5c": ["MIIB"]})), Told::Refused("`x5c` is not accepted"), Err(Header)),
    row("x5c empty", "RFC 7515 §4.1.6", |good| good.header("x5c", json!([])), Told::Refused("`x5c` is not accepted"), Err(Header)),
    row("x5t of a stranger", "RFC 7515 §4.1.7: a hint that finds no key here", |good| stranger(good, json!({"x5t": "AAAAAAAAAAAAAAAAAAAAAAAAAAA"})), NOT_PROVEN, Err(Signature)),
    row("x5t#S256 of a stranger", "RFC 7515 §4.1.8", |good| stranger(good, json!({"x5t#S256": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})), NOT_PROVEN, Err(Signature)),
    row("x5t beside the good key", "a control: passed over (RFC 7515 §4)", |good| good.header("x5t", "AAAAAAAAAAAAAAAAAAAAAAAAAAA"), Told::Taken, Ok(())),
    row("a parameter nobody knows", "a control: passed over (RFC 7515 §4)", |good| good.header("whatever", json!({"deep": [1]})), Told::Taken, Ok(())),
    row("cty", "a control: passed over (RFC 7515 §4.1.10)", |good| good.header("cty", "JWT"), Told::Taken, Ok(())),

    row("crit of something unknown", "RFC 7515 §4.1.11", |good| good.headers(json!({"crit": ["x"], "x": 1})), CRIT, Err(Header)),
    row("crit of something absent", "RFC 7515 §4.1.11", |good| good.header("crit", json!(["x"])), CRIT, Err(Header)),
    row("crit of exp", "RFC 7515 §4.1.11", |good| good.headers(json!({"crit": ["exp"], "exp": 1})), CRIT, Err(Header)),
    row("crit of alg", "RFC 7515 §4.1.11: not for names of the standard", |good| good.header("crit", json!(["alg"])), CRIT, Err(Header)),
    row("crit empty", "RFC 7515 §4.1.11", |good| good.header("crit", json!([])), CRIT, Err(Header)),
    row("crit no list", "RFC 7515 §4.1.11", |good| good.header("crit", "x"), CRIT, Err(Header)),
    row("crit null", "RFC 7515 §4.1.11", |good| good.header("crit", ()), CRIT, Err(Header)),
    row("crit of no strings", "RFC 7515 §4.1.11", |good| good.header("crit", json!([1, null])), CRIT, Err(Header)),
    row("b64 false and critical", "RFC 7797 §6", |good| good.headers(json!({"b64": false, "crit": ["b64"]})), CRIT, Err(Header)),
    row("b64 false", "RFC 7797 §6", |good| good.header("b64", false), Told::Refused("`b64` is not accepted"), Err(Header)),
    row("b64 true", "RFC 7797 §6: of no use, so of no good", |good| good.header("b64", true), Told::Refused("`b64` is not accepted"), Err(Header)),
    row("zip", "RFC 8725 §3.6", |good| good.header("zip", "DEF"), Told::Refused("`zip` is not accepted"), Err(Header)),

    row("the other side's own", "RFC 8725 §3.11, §3.12", |good| good.other.to_owned(), Told::Refused("typ must be"), Err(Type)),
    row("a snapshot of the feed", "RFC 8725 §3.11", |good| good.snapshot.to_owned(), Told::Refused("typ must be JWT, or absent"), Err(Type)),
    row("typ of the other side", "RFC 8725 §3.11", other_typ, TYP, Err(Type)),
    row("typ of a snapshot", "RFC 8725 §3.11", |good| good.header("typ", "revocations+jwt"), TYP, Err(Type)),
    row("typ of a DPoP proof", "RFC 8725 §3.11", |good| good.header("typ", "dpop+jwt"), TYP, Err(Type)),
    row("typ of a logout token", "RFC 8725 §3.11", |good| good.header("typ", "logout+jwt"), TYP, Err(Type)),
    row("typ of an ID token of SPIFFE", "RFC 8725 §3.11", |good| good.header("typ", "JOSE"), TYP, Err(Type)),
    row("typ empty", "RFC 8725 §3.11", |good| good.header("typ", ""), TYP, Err(Type)),
    row("typ with a space", "RFC 8725 §3.11", |good| good.header("typ", format!("{} ", typ(good))), TYP, Err(Type)),
    row("typ with a parameter", "RFC 8725 §3.11", |good| good.header("typ", format!("{};v=1", typ(good))), TYP, Err(Type)),
    row("typ of another tree", "RFC 7515 §4.1.9", |good| good.header("typ", format!("text/{}", typ(good))), TYP, Err(Type)),
    row("typ null", "RFC 7515 §4.1.9", |good| good.header("typ", ()), Told::Refused("`typ` must be a string"), Err(Header)),
    row("typ a list", "RFC 7515 §4.1.9", |good| good.header("typ", json!([typ(good)])), Told::Refused("`typ` must be a string"), Err(Header)),
    row("typ whole, in capitals", "a control: RFC 7515 §4.1.9", |good| good.header("typ", format!("application/{}", typ(good).to_uppercase())), Told::Taken, Ok(())),
    token("no typ", "RFC 9068 §4", |good| good.no_header("typ"), Err(Type)),
    assertion("client-authentication+jwt", "a control: rfc7523bis", |good| good.header("typ", "client-authentication+jwt"), Told::Taken),
    row("the other side's claims under this side's typ", "RFC 8725 §3.12", others_claims, Told::Refused("aud must be this broker's issuer"), Err(Claims)),

    row("kid unknown", "RFC 7515 §4.1.4", |good| good.header("kid", "unknown"), NOT_PROVEN, Err(Key)),
    row("kid empty", "RFC 7515 §4.1.4", |good| good.header("kid", ""), NOT_PROVEN, Err(Key)),
    row("kid a path", "RFC 8725 §3.10", |good| good.header("kid", "../../../../dev/null"), NOT_PROVEN, Err(Key)),
    row("kid a path to the key itself", "RFC 8725 §3.10", |good| good.header("kid", format!("./{}", good.kid())), NOT_PROVEN, Err(Key)),
    row("kid a file", "RFC 8725 §3.10", |good| good.header("kid", "/proc/sys/kernel/randomize_va_space"), NOT_PROVEN, Err(Key)),
    row("kid an injection into SQL", "RFC 8725 §3.10", |good| good.header("kid", "' UNION SELECT 'AAAA' -- "), NOT_PROVEN, Err(Key)),
    row("kid an injection into a shell", "RFC 8725 §3.10", |good| good.header("kid", "|sleep 10;`id`$(id)"), NOT_PROVEN, Err(Key)),
    row("kid an injection into Redis", "RFC 8725 §3.10", |good| good.header("kid", "x\r\nFLUSHALL\r\n"), NOT_PROVEN, Err(Key)),
    row("kid a URL", "RFC 8725 §3.10", |good| good.header("kid", "http://127.0.0.1:1/key"), NOT_PROVEN, Err(Key)),
    row("kid of a name that tables inherit", "RFC 8725 §3.10", |good| good.header("kid", "__proto__"), NOT_PROVEN, Err(Key)),
    row("kid a glob", "RFC 8725 §3.10", |good| good.header("kid", "*"), NOT_PROVEN, Err(Key)),
    row("kid and a NUL", "RFC 8725 §3.10", |good| good.header("kid", format!("{}\0", good.kid())), NOT_PROVEN, Err(Key)),
    row("kid and a space", "RFC 8725 §3.10", |good| good.header("kid", format!("{} ", good.kid())), NOT_PROVEN, Err(Key)),
    row("kid in another case", "RFC 7515 §4.1.4", |good| good.header("kid", format!("{}x", good.kid().to_uppercase())), NOT_PROVEN, Err(Key)),
    row("kid of a thousand letters", "RFC 8725 §3.10", |good| good.header("kid", "k".repeat(1000)), NOT_PROVEN, Err(Key)),
    row("kid the key's thumbprint", "a name is what its owner wrote", |good| good.header("kid", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"), NOT_PROVEN, Err(Key)),
    row("kid null", "RFC 7515 §4.1.4", |good| good.header("kid", ()), KID, Err(Header)),
    row("kid a number", "RFC 7515 §4.1.4", |good| good.header("kid", 0), KID, Err(Header)),
    row("kid a list", "RFC 7515 §4.1.4", |good| good.header("kid", json!([good.kid()])), KID, Err(Header)),
    row("kid an object", "RFC 7515 §4.1.4", |good| good.header("kid", json!({"$ne": null})), KID, Err(Header)),
    row("kid true", "RFC 7515 §4.1.4", |good| good.header("kid", true), KID, Err(Header)),
    token("no kid", "every key has a name here", |good| good.no_header("kid"), Err(Key)),
    token("kid of the client's key", "RFC 8725 §3.10", |good| good.header("kid", "demo"), Err(Key)),
    assertion("no kid where one key fits", "a control: the contract", |good| good.no_header("kid"), Told::Taken).by("ed"),
    assertion("kid of another client's key", "RFC 7523 §3", |good| good.header("kid", "ec"), NOT_PROVEN),
    assertion("another client's kid and key", "RFC 7523 §3", |good| { let text = good.header("kid", "ec"); resigned(&text, "ec") }, NOT_PROVEN),
    assertion("kid of the client's other key", "RFC 7515 §4.1.4", |good| good.header("kid", "ed"), NOT_PROVEN).by("ec"),
    assertion("kid of the broker's key", "RFC 8725 §3.10", |good| good.header("kid", Token::read(good.other).kid()), NOT_PROVEN),

    row("alg twice", "RFC 7515 §4", |good| good.header_twice(r#""alg":"none""#), JSON, Err(Format)),
    row("alg twice, one escaped", "RFC 7515 §4", |good| good.header_twice(r#""\u0061lg":"none""#), JSON, Err(Format)),
    row("typ twice", "RFC 7515 §4", |good| good.header_twice(r#""typ":"JWT","typ":"at+jwt""#), JSON, Err(Format)),
    row("kid twice", "RFC 7515 §4", |good| good.header_twice(r#""kid":"a","kid":"b""#), JSON, Err(Format)),
    row("a duplicate deep in the header", "RFC 7515 §4", |good| good.header_twice(r#""x":{"a":1,"a":2}"#), JSON, Err(Format)),
];

/// The shortest name of this side's type.
const fn typ(good: &Good<'_>) -> &'static str {
    match good.side {
        Side::Assertion => "jwt",
        Side::Token => "at+jwt",
    }
}

fn other_typ(good: &Good<'_>) -> String {
    match good.side {
        Side::Assertion => good.header("typ", "at+jwt"),
        Side::Token => good.header("typ", "client-authentication+jwt"),
    }
}

/// Signed by this side's key, so that the type is all that is right.
fn others_claims(good: &Good<'_>) -> String {
    good.written(good.header.to_string(), from_base64url(good.other.split('.').nth(1).unwrap()))
}

/// Signed by the key of this kind.
fn resigned(text: &str, kind: &str) -> String {
    let message = text.rsplit_once('.').unwrap().0;
    format!("{message}.{}", base64url(key_of_kind(kind).sign("", message.as_bytes())))
}
