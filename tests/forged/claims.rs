//! Who, for whom, what: claims that are missing, of another kind, or nearly right.

use jitney::verifier::Invalid::{Audience, Claims, Issuer, Scope, Task};
use serde_json::{Value, json};

use crate::common::{API, Backing, ISSUER, SECOND, on_both_stores};
use crate::good::Good;
use crate::table::{NOT_PROVEN, Row, Told, assertion, row, run, token};

on_both_stores!(every_row);

fn every_row(backing: &Backing) {
    run(backing, ROWS);
}

/// The client's id, in both claims.
fn client(good: &Good<'_>, id: impl Into<Value>) -> String {
    let id = id.into();
    good.claims(json!({"iss": id, "sub": id}))
}

const ONE: Told = Told::Refused("aud must name one audience, the issuer");
const ANOTHER: Told = Told::Refused("aud must be the issuer, https://broker.example.com");
const BOTH: Told = Told::Refused("iss and sub must both be the client's id");
const LENGTH: Told = Told::Refused("iss must have 1 to 255 characters");
const JTI: Told = Told::Refused("jti must have 1 to 256 characters");

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("no iss", "RFC 7523 §3, RFC 9068 §2.2", |good| good.no_claim("iss"), Told::Refused("has no iss"), Err(Claims)),
    row("no sub", "RFC 7523 §3, RFC 9068 §2.2", |good| good.no_claim("sub"), Told::Refused("has no sub"), Err(Claims)),
    row("no aud", "RFC 7523 §3, RFC 9068 §2.2", |good| good.no_claim("aud"), Told::Refused("has no aud"), Err(Claims)),
    row("no exp", "RFC 7523 §3, RFC 9068 §2.2", |good| good.no_claim("exp"), Told::Refused("has no exp"), Err(Claims)),
    row("no jti", "OpenID Connect Core §9, RFC 9068 §2.2", |good| good.no_claim("jti"), Told::Refused("has no jti"), Err(Claims)),
    row("no claim at all", "RFC 7523 §3", |good| good.claims_text(|_| "{}".into()), Told::Refused("has no iss"), Err(Claims)),
    token("no client_id", "RFC 9068 §2.2", |good| good.no_claim("client_id"), Err(Claims)),
    token("no scope", "the contract", |good| good.no_claim("scope"), Err(Claims)),
    token("no txn", "the contract", |good| good.no_claim("txn"), Err(Claims)),
    token("no rev", "the contract", |good| good.no_claim("rev"), Err(Claims)),

    row("aud null", "RFC 7519 §4.1.3", |good| good.claim("aud", ()), Told::Refused("aud must be a string"), Err(Claims)),
    row("aud a number", "RFC 7519 §4.1.3", |good| good.claim("aud", 1), Told::Refused("aud must be a string"), Err(Claims)),
    row("aud true", "RFC 7519 §4.1.3", |good| good.claim("aud", true), Told::Refused("aud must be a string"), Err(Claims)),
    row("aud an object", "RFC 7519 §4.1.3", |good| good.claim("aud", json!({"a": good.claims["aud"]})), Told::Refused("aud must be a string"), Err(Claims)),
    row("aud an empty list", "CVE-2020-26160", |good| good.claim("aud", json!([])), ONE, Err(Claims)),
    row("aud a list with another", "rfc7523bis §4", |good| good.claim("aud", json!([good.claims["aud"], SECOND])), ONE, Err(Claims)),
    row("aud a list with it twice", "rfc7523bis §4", |good| good.claim("aud", json!([good.claims["aud"], good.claims["aud"]])), ONE, Err(Claims)),
    row("aud a list with null", "RFC 7519 §4.1.3", |good| good.claim("aud", json!([good.claims["aud"], null])), ONE, Err(Claims)),
    row("aud a list of a number", "RFC 7519 §4.1.3", |good| good.claim("aud", json!([1])), ONE, Err(Claims)),
    row("aud a list in a list", "RFC 7519 §4.1.3", |good| good.claim("aud", json!([[good.claims["aud"]]])), ONE, Err(Claims)),
    row("aud empty", "RFC 8725 §3.9", |good| good.claim("aud", ""), ANOTHER, Err(Claims)),
    row("aud of another server", "RFC 8725 §3.9", |good| good.claim("aud", SECOND), ANOTHER, Err(Audience)),
    row("aud of the other side", "RFC 8725 §3.9", |good| good.claim("aud", if good.claims["aud"] == ISSUER { API } else { ISSUER }), ANOTHER, Err(Audience)),
    row("aud longer than it is", "RFC 8725 §3.9", |good| good.claim("aud", format!("{}.evil.example.com", good.claims["aud"].as_str().unwrap())), ANOTHER, Err(Audience)),
    row("aud shorter than it is", "RFC 8725 §3.9", |good| good.claim("aud", "https://"), ANOTHER, Err(Audience)),
    row("aud in capitals", "RFC 7519 §4.1.3: case counts", |good| good.claim("aud", good.claims["aud"].as_str().unwrap().to_uppercase()), ANOTHER, Err(Audience)),
    row("aud with a port", "RFC 7519 §4.1.3", |good| good.claim("aud", format!("{}:443", good.claims["aud"].as_str().unwrap())), ANOTHER, Err(Audience)),
    row("aud with a path", "RFC 7519 §4.1.3", |good| good.claim("aud", format!("{}/x", good.claims["aud"].as_str().unwrap())), ANOTHER, Err(Audience)),
    row("aud with a query", "RFC 7519 §4.1.3", |good| good.claim("aud", format!("{}?", good.claims["aud"].as_str().unwrap())), ANOTHER, Err(Audience)),
    row("aud with a fragment", "RFC 7519 §4.1.3", |good| good.claim("aud", format!("{}#", good.claims["aud"].as_str().unwrap())), ANOTHER, Err(Claims)),
    row("aud with a space", "RFC 7519 §4.1.3", |good| good.claim("aud", format!("{} ", good.claims["aud"].as_str().unwrap())), ANOTHER, Err(Claims)),
    row("aud a glob", "RFC 7519 §4.1.3", |good| good.claim("aud", "*"), ANOTHER, Err(Claims)),
    assertion("aud with a slash behind the issuer", "rfc7523bis §4", |good| good.claim("aud", format!("{ISSUER}/")), ANOTHER),
    assertion("aud the endpoint", "rfc7523bis §4", |good| good.claim("aud", format!("{ISSUER}/oauth2/token")), Told::Refused("accept_endpoint_audience = true")),
    assertion("aud another endpoint", "rfc7523bis §4", |good| good.claim("aud", format!("{ISSUER}/oauth2/introspect")), ANOTHER),
    assertion("aud a list of the issuer", "a control: the contract", |good| good.claim("aud", json!([ISSUER])), Told::Taken),

    assertion("iss another", "RFC 7523 §3", |good| good.claim("iss", "other"), BOTH),
    assertion("sub another", "RFC 7523 §3", |good| good.claim("sub", "other"), BOTH),
    assertion("iss the issuer's", "RFC 7523 §3: a platform's, which is none here", |good| good.claim("iss", ISSUER), Told::Refused("proves no client of this broker")),
    assertion("iss in capitals", "RFC 7519 §4.1.1", |good| good.claim("iss", "Demo"), BOTH),
    assertion("iss null", "RFC 7519 §4.1.1", |good| good.claim("iss", ()), Told::Refused("iss must be a string")),
    assertion("sub null", "RFC 7519 §4.1.2", |good| good.claim("sub", ()), Told::Refused("sub must be a string")),
    assertion("iss and sub a list", "RFC 7519 §4.1.1", |good| client(good, json!(["demo"])), Told::Refused("iss must be a string")),
    assertion("iss and sub a number", "RFC 7519 §4.1.1", |good| client(good, 0), Told::Refused("iss must be a string")),
    assertion("iss and sub true", "RFC 7519 §4.1.1", |good| client(good, true), Told::Refused("iss must be a string")),
    assertion("iss and sub empty", "RFC 7519 §4.1.1", |good| client(good, ""), LENGTH),
    assertion("iss and sub too long", "CWE-400", |good| client(good, "x".repeat(256)), LENGTH),
    assertion("iss and sub of another client", "RFC 7523 §3", |good| client(good, "other"), NOT_PROVEN),
    assertion("iss and sub of nobody", "RFC 7523 §3", |good| client(good, "nobody"), NOT_PROVEN),
    assertion("iss and sub of a resource server", "RFC 7523 §3", |good| client(good, API), NOT_PROVEN),
    assertion("iss and sub in capitals", "RFC 7519 §4.1.2: case counts", |good| client(good, "DEMO"), NOT_PROVEN),
    assertion("iss and sub with a space", "RFC 7519 §4.1.2", |good| client(good, "demo "), NOT_PROVEN),
    assertion("iss and sub with a slash", "RFC 7519 §4.1.2", |good| client(good, "demo/"), NOT_PROVEN),
    assertion("iss and sub with a NUL", "RFC 7519 §4.1.2", |good| client(good, "demo\0"), NOT_PROVEN),
    assertion("iss and sub a path", "CWE-22", |good| client(good, "../workloads/demo"), NOT_PROVEN),
    assertion("iss and sub a file's name", "CWE-22", |good| client(good, "demo.toml"), NOT_PROVEN),
    assertion("iss and sub a glob", "CWE-155", |good| client(good, "*"), NOT_PROVEN),
    assertion("iss and sub with a letter of another alphabet", "RFC 8725 §3.10", |good| client(good, "d\u{435}mo"), NOT_PROVEN),
    assertion("iss and sub with an invisible letter", "RFC 8725 §3.10", |good| client(good, "de\u{200b}mo"), NOT_PROVEN),
    assertion("iss and sub for the audit log", "CWE-117", |good| client(good, "x\n{\"event\":\"mint\"}"), NOT_PROVEN),

    token("iss of another broker", "RFC 8725 §3.8", |good| good.claim("iss", "https://elsewhere.example.com"), Err(Issuer)),
    token("iss with a slash", "RFC 8725 §3.8", |good| good.claim("iss", format!("{ISSUER}/")), Err(Issuer)),
    token("iss in capital letters", "RFC 8725 §3.8", |good| good.claim("iss", ISSUER.to_uppercase()), Err(Issuer)),
    token("iss shorter than it is", "CVE-2024-53861", |good| good.claim("iss", &ISSUER[..12]), Err(Issuer)),
    token("iss longer than it is", "CVE-2024-53861", |good| good.claim("iss", format!("{ISSUER}.evil.example.com")), Err(Issuer)),
    token("iss empty", "RFC 8725 §3.8", |good| good.claim("iss", ""), Err(Issuer)),
    token("iss a list", "RFC 8725 §3.8", |good| good.claim("iss", json!([ISSUER])), Err(Claims)),
    token("iss nothing", "RFC 8725 §3.8", |good| good.claim("iss", ()), Err(Claims)),
    token("sub nothing", "RFC 9068 §2.2", |good| good.claim("sub", ()), Err(Claims)),
    token("sub empty", "RFC 9068 §2.2", |good| good.claim("sub", ""), Err(Claims)),
    token("sub a list", "RFC 9068 §2.2", |good| good.claim("sub", json!(["demo"])), Err(Claims)),
    token("sub a path", "RFC 9068 §2.2", |good| good.claim("sub", "../demo"), Err(Claims)),
    token("sub with a line break", "CWE-117", |good| good.claim("sub", "demo\nx"), Err(Claims)),
    token("client_id a list", "RFC 9068 §2.2", |good| good.claim("client_id", json!(["demo"])), Err(Claims)),
    token("scope empty", "RFC 6749 §3.3", |good| good.claim("scope", ""), Err(Claims)),
    token("scope a list", "RFC 9068 §2.2.3", |good| good.claim("scope", json!(["orders:read"])), Err(Claims)),
    token("scope of a glob", "RFC 6749 §3.3", |good| good.claim("scope", "orders:*"), Err(Scope)),
    token("scope in capitals", "RFC 6749 §3.3: case counts", |good| good.claim("scope", "ORDERS:READ"), Err(Scope)),
    token("scope another", "RFC 6750 §3.1", |good| good.claim("scope", "orders:write"), Err(Scope)),
    token("scope longer than it is", "RFC 6749 §3.3", |good| good.claim("scope", "orders:reader"), Err(Scope)),
    token("scope with a tab", "RFC 6749 §3.3", |good| good.claim("scope", "orders:write\torders:read"), Err(Claims)),
    token("txn another", "RFC 8417 §2.2", |good| good.claim("txn", "forged2"), Err(Task)),
    token("txn a child", "the contract", |good| good.claim("txn", "forged/child"), Err(Task)),
    token("txn in capitals", "the contract", |good| good.claim("txn", "FORGED"), Err(Task)),
    token("txn a path upwards", "CWE-22", |good| good.claim("txn", "x/../forged"), Err(Claims)),
    token("txn with an empty part", "the contract", |good| good.claim("txn", "forged/"), Err(Claims)),
    token("txn empty", "the contract", |good| good.claim("txn", ""), Err(Claims)),
    token("txn a number", "the contract", |good| good.claim("txn", 1), Err(Claims)),
    token("rev a string", "the contract", |good| good.claim("rev", "1"), Err(Claims)),
    token("rev negative", "the contract", |good| good.claim("rev", -1), Err(Claims)),
    token("rev a fraction", "the contract", |good| good.claim("rev", 1.5), Err(Claims)),
    token("rev null", "the contract", |good| good.claim("rev", ()), Err(Claims)),
    token("rev 2^64", "the contract", |good| good.claim_text("rev", "18446744073709551616"), Err(Claims)),
    token("act a name", "RFC 8693 §4.1", |good| good.claim("act", "other"), Err(Claims)),
    token("act a list", "RFC 8693 §4.1", |good| good.claim("act", json!(["other"])), Err(Claims)),
    token("act without sub", "RFC 8693 §4.1", |good| good.claim("act", json!({})), Err(Claims)),
    token("act a list within", "RFC 8693 §4.1", |good| good.claim("act", json!({"sub": "other", "act": ["other", null]})), Err(Claims)),
    token("act a chain without end", "CWE-400", |good| good.claims_text(|text| text.replacen('{', &format!("{{\"act\":{}1{},", r#"{"sub":"a","act":"#.repeat(100), "}".repeat(100)), 1)), Err(Claims)),
    token("act a chain of two", "a control: RFC 8693 §4.1", |good| good.claim("act", json!({"sub": "other", "act": {"sub": "auto"}})), Ok(())),

    row("jti null", "RFC 7519 §4.1.7", |good| good.claim("jti", ()), Told::Refused("jti must be a string"), Err(Claims)),
    row("jti a number", "RFC 7519 §4.1.7", |good| good.claim("jti", 7), Told::Refused("jti must be a string"), Err(Claims)),
    row("jti a list", "RFC 7519 §4.1.7", |good| good.claim("jti", json!(["1"])), Told::Refused("jti must be a string"), Err(Claims)),
    row("jti empty", "RFC 7519 §4.1.7", |good| good.claim("jti", ""), JTI, Err(Claims)),
    row("jti too long", "CWE-400", |good| good.claim("jti", "x".repeat(257)), JTI, Err(Claims)),
    token("jti in capitals", "a lease has one spelling", |good| good.claim("jti", good.claims["jti"].as_str().unwrap().to_uppercase()), Err(Claims)),
    token("jti without hyphens", "a lease has one spelling", |good| good.claim("jti", good.claims["jti"].as_str().unwrap().replace('-', "")), Err(Claims)),
    token("jti in braces", "a lease has one spelling", |good| good.claim("jti", format!("{{{}}}", good.claims["jti"].as_str().unwrap())), Err(Claims)),
    assertion("jti another", "a control: the same claims signed again are another assertion", |good| good.claim("jti", format!("{}-again", good.claims["jti"])), Told::Taken),
    assertion("jti for a store", "a control: any text is one, and stays one", |good| good.claim("jti", "x\r\nFLUSHALL\r\n{}:*\0\u{1f68c}"), Told::Taken),
    row("claims nobody knows", "a control: passed over (RFC 7519 §4)", |good| good.claims(json!({"admin": true, "role": "root", "cnf": {}})), Told::Taken, Ok(())),
];
