//! Times that are none, that are beyond what a number holds, that have gone by or not come.

use jitney::verifier::Invalid::{Claims, Expired, IssuedLater, NotYet};
use serde_json::json;

use crate::common::{Backing, now, on_both_stores};
use crate::table::{JSON, Row, Told, assertion, row, run, token};

on_both_stores!(every_row);

fn every_row(backing: &Backing) {
    run(backing, ROWS);
}

const EXP: Told = Told::Refused("exp must be a time in whole seconds since 1970");
const IAT: Told = Told::Refused("iat must be a time in whole seconds since 1970");
const NBF: Told = Told::Refused("nbf must be a time in whole seconds since 1970");
const AHEAD: Told = Told::Refused("expires more than an hour ahead");
const OVER: Told = Told::Refused("has expired");
const FUTURE: Told = Told::Refused("was issued in the future");
const PAST: Told = Told::Refused("was issued more than 300 s ago");

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("exp a string", "RFC 7519 §2", |good| good.claim("exp", good.claims["exp"].to_string()), EXP, Err(Claims)),
    row("exp a date", "RFC 7519 §2", |good| good.claim("exp", "2099-12-31T00:00:00Z"), EXP, Err(Claims)),
    row("exp a fraction", "RFC 7519 §2 allows it; whole seconds are all that is needed", |good| good.claim_text("exp", &format!("{}.5", good.claims["exp"])), EXP, Err(Claims)),
    row("exp with a fraction of zero", "the same", |good| good.claim_text("exp", &format!("{}.0", good.claims["exp"])), EXP, Err(Claims)),
    row("exp with an exponent", "the same", |good| good.claim_text("exp", "4e9"), EXP, Err(Claims)),
    row("exp 1e400", "RFC 8259 §6", |good| good.claim_text("exp", "1e400"), JSON, Err(Claims)),
    row("exp 1e308", "RFC 8259 §6", |good| good.claim_text("exp", "1e308"), EXP, Err(Claims)),
    row("exp -1e400", "RFC 8259 §6", |good| good.claim_text("exp", "-1e400"), JSON, Err(Claims)),
    row("exp NaN", "RFC 8259 §6", |good| good.claim_text("exp", "NaN"), JSON, Err(Claims)),
    row("exp Infinity", "RFC 8259 §6", |good| good.claim_text("exp", "Infinity"), JSON, Err(Claims)),
    row("exp true", "RFC 7519 §2", |good| good.claim("exp", true), EXP, Err(Claims)),
    row("exp null", "RFC 7519 §2", |good| good.claim("exp", ()), EXP, Err(Claims)),
    row("exp a list", "RFC 7519 §2", |good| good.claim("exp", json!([good.claims["exp"]])), EXP, Err(Claims)),
    row("exp an object", "RFC 7519 §2", |good| good.claim("exp", json!({"$gt": 0})), EXP, Err(Claims)),
    row("exp negative", "RFC 7519 §2", |good| good.claim("exp", -1), EXP, Err(Claims)),
    row("exp minus zero", "RFC 7519 §2", |good| good.claim_text("exp", "-0"), EXP, Err(Claims)),
    row("exp -2^63", "RFC 7519 §2", |good| good.claim("exp", i64::MIN), EXP, Err(Claims)),
    row("exp 2^64", "RFC 7519 §2: more than a number holds", |good| good.claim_text("exp", "18446744073709551616"), EXP, Err(Claims)),
    row("exp of thirty digits", "RFC 7519 §2", |good| good.claim_text("exp", &"9".repeat(30)), EXP, Err(Claims)),
    row("exp in hex", "RFC 8259 §6", |good| good.claim_text("exp", "0xffffffff"), JSON, Err(Claims)),
    row("exp with a zero in front", "RFC 8259 §6", |good| good.claim_text("exp", &format!("0{}", good.claims["exp"])), JSON, Err(Claims)),
    row("exp gone by", "RFC 7519 §4.1.4", |good| good.claims(json!({"iat": now() - 200, "nbf": now() - 200, "exp": now() - 100})), OVER, Err(Expired)),
    row("exp 0", "RFC 7519 §4.1.4", |good| good.claim("exp", 0), OVER, Err(Expired)),
    row("exp before iat", "RFC 7519 §4.1.4", |good| good.claims(json!({"iat": now(), "exp": now() - 3600})), OVER, Err(Expired)),
    assertion("exp two hours ahead", "RFC 7523 §3", |good| good.claim("exp", now() + 7200), AHEAD),
    assertion("exp ten years ahead", "RFC 7523 §3", |good| good.claim("exp", now() + 315_360_000), AHEAD),
    assertion("exp in milliseconds", "RFC 7519 §2", |good| good.claim("exp", (now() + 60) * 1000), AHEAD),
    assertion("exp 2^63", "RFC 7519 §2: negative to who takes it for signed", |good| good.claim("exp", 1_u64 << 63), AHEAD),
    assertion("exp 2^64 - 1", "RFC 7519 §2: gone by to who adds to it", |good| good.claim("exp", u64::MAX), AHEAD),
    assertion("exp 2^53 + 1", "RFC 8259 §6: another number to who reads floats", |good| good.claim("exp", (1_u64 << 53) + 1), AHEAD),
    assertion("exp 331 s ahead and no iat", "the contract", |good| { let mut claims = good.claims.clone(); claims.as_object_mut().unwrap().remove("iat"); claims["exp"] = json!(now() + 400); good.claims_text(|_| claims.to_string()) }, Told::Refused("without iat must expire within 300 s")),
    token("exp without end", "a control: whom a broker's key signs for is the broker's to say", |good| good.claim("exp", u64::MAX), Ok(())),

    row("iat a string", "RFC 7519 §2", |good| good.claim("iat", good.claims["iat"].to_string()), IAT, Err(Claims)),
    row("iat a fraction", "RFC 7519 §2", |good| good.claim_text("iat", &format!("{}.5", good.claims["iat"])), IAT, Err(Claims)),
    row("iat 1e400", "RFC 8259 §6", |good| good.claim_text("iat", "1e400"), JSON, Err(Claims)),
    row("iat false", "RFC 7519 §2", |good| good.claim("iat", false), IAT, Err(Claims)),
    row("iat null", "RFC 7519 §2", |good| good.claim("iat", ()), IAT, Err(Claims)),
    row("iat negative", "RFC 7519 §2", |good| good.claim("iat", -1), IAT, Err(Claims)),
    row("iat 2^64", "RFC 7519 §2", |good| good.claim_text("iat", "18446744073709551616"), IAT, Err(Claims)),
    row("iat in the future", "RFC 7519 §4.1.6", |good| good.claims(json!({"iat": now() + 90, "exp": now() + 120})), FUTURE, Err(IssuedLater)),
    row("iat 2^64 - 1", "RFC 7519 §4.1.6", |good| good.claim("iat", u64::MAX), FUTURE, Err(IssuedLater)),
    assertion("iat long ago", "RFC 7523 §3", |good| good.claim("iat", now() - 400), PAST),
    assertion("iat 0", "RFC 7523 §3", |good| good.claim("iat", 0), PAST),
    token("no iat", "RFC 9068 §2.2", |good| good.no_claim("iat"), Err(Claims)),
    token("iat at the beginning", "a control: exp says when it ends", |good| good.claim("iat", 0), Ok(())),

    row("nbf a string", "RFC 7519 §2", |good| good.claim("nbf", "0"), NBF, Err(Claims)),
    row("nbf a fraction", "RFC 7519 §2", |good| good.claim("nbf", 0.5), NBF, Err(Claims)),
    row("nbf true", "RFC 7519 §2", |good| good.claim("nbf", true), NBF, Err(Claims)),
    row("nbf null", "RFC 7519 §2", |good| good.claim("nbf", ()), NBF, Err(Claims)),
    row("nbf negative", "RFC 7519 §2", |good| good.claim("nbf", -1), NBF, Err(Claims)),
    row("nbf in the future", "RFC 7519 §4.1.5", |good| good.claim("nbf", now() + 90), Told::Refused("is not valid yet"), Err(NotYet)),
    row("nbf 2^64 - 1", "RFC 7519 §4.1.5", |good| good.claim("nbf", u64::MAX), Told::Refused("is not valid yet"), Err(NotYet)),
    row("nbf 0", "a control: RFC 7519 §4.1.5", |good| good.claim("nbf", 0), Told::Taken, Ok(())),
    token("no nbf", "the contract", |good| good.no_claim("nbf"), Err(Claims)),
];
