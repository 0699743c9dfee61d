//! JSON that is none, or that two readers read in two ways (RFC 8259 §4, §8; RFC 8725 §2.6, §3.7).

use jitney::verifier::Invalid::{Claims, Format};

use crate::common::{Backing, on_both_stores};
use crate::good::Good;
use crate::table::{JSON, Row, Told, row, run};

on_both_stores!(every_row);

fn every_row(backing: &Backing) {
    run(backing, ROWS);
}

/// Claims with a member nobody knows, whose value is this text.
fn more(good: &Good<'_>, value: &str) -> String {
    good.claim_twice(&format!(r#""more":{value}"#))
}

/// Bytes put in front of the last brace.
fn bytes(text: &str, tail: &[u8]) -> Vec<u8> {
    [text.strip_suffix('}').unwrap().as_bytes(), br#","more":""#, tail, br#""}"#].concat()
}

fn claims_of(good: &Good<'_>, tail: &[u8]) -> String {
    good.written(good.header.to_string(), bytes(&good.claims.to_string(), tail))
}

fn header_of(good: &Good<'_>, tail: &[u8]) -> String {
    good.written(bytes(&good.header.to_string(), tail), good.claims.to_string())
}

/// Lists in lists.
fn deep(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

/// Each letter as two bytes.
fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("exp twice", "RFC 7519 §4", |good| good.claim_twice(r#""exp":99999999999"#), JSON, Err(Claims)),
    row("exp twice, the same", "RFC 7519 §4", |good| good.claim_twice(&format!(r#""exp":{}"#, good.claims["exp"])), JSON, Err(Claims)),
    row("sub twice", "RFC 7519 §4", |good| good.claim_twice(r#""sub":"other""#), JSON, Err(Claims)),
    row("iss twice", "RFC 7519 §4", |good| good.claim_twice(r#""iss":"https://elsewhere.example.com""#), JSON, Err(Claims)),
    row("aud twice", "RFC 7519 §4", |good| good.claim_twice(r#""aud":"https://elsewhere.example.com""#), JSON, Err(Claims)),
    row("jti twice, one escaped", "RFC 8259 §8.3", |good| good.claim_twice(r#""\u006ati":"1""#), JSON, Err(Claims)),
    row("scope twice, once null", "RFC 7519 §4", |good| good.claim_twice(r#""scope":null,"scope":null"#), JSON, Err(Claims)),
    row("an unknown claim twice", "RFC 8259 §4", |good| good.claim_twice(r#""x":1,"x":2"#), JSON, Err(Claims)),
    row("a duplicate deep inside", "RFC 8259 §4", |good| more(good, r#"{"a":{"b":1,"b":2}}"#), JSON, Err(Claims)),
    row("exp in two cases", "a control: names are case-sensitive (RFC 7519 §4)", |good| more(good, r#"1,"EXP":0"#), Told::Taken, Ok(())),

    row("claims a list", "RFC 7519 §7.2", |good| good.claims_text(|_| "[]".into()), JSON, Err(Claims)),
    row("claims a list of the values", "RFC 7519 §7.2: a struct may be read from it", listed, JSON, Err(Claims)),
    row("claims a list of the good ones", "RFC 7519 §7.2", |good| good.claims_text(|text| format!("[{text}]")), JSON, Err(Claims)),
    row("claims a string", "RFC 7519 §7.2", |good| good.claims_text(|text| serde_json::Value::from(text).to_string()), JSON, Err(Claims)),
    row("claims a number", "RFC 7519 §7.2", |good| good.claims_text(|_| "1".into()), JSON, Err(Claims)),
    row("claims null", "RFC 7519 §7.2", |good| good.claims_text(|_| "null".into()), JSON, Err(Claims)),
    row("claims a JWS", "RFC 7519 §11.2: nested", |good| good.claims_text(|_| good.text.clone()), JSON, Err(Claims)),
    row("claims no JSON", "RFC 7519 §7.2", |good| good.claims_text(|_| "nonsense".into()), JSON, Err(Claims)),
    row("claims cut off", "RFC 8259 §2", |good| good.claims_text(|text| text[..text.len() - 1].into()), JSON, Err(Claims)),
    row("claims twice", "RFC 8259 §2", |good| good.claims_text(|text| format!("{text}{text}")), JSON, Err(Claims)),
    row("claims with a tail", "RFC 8259 §2", |good| good.claims_text(|text| format!("{text} x")), JSON, Err(Claims)),
    row("claims with a NUL behind", "RFC 8259 §2", |good| good.claims_text(|text| format!("{text}\0")), JSON, Err(Claims)),
    row("claims with a comment", "RFC 8259 §2", |good| good.claims_text(|text| format!("{text}/**/")), JSON, Err(Claims)),
    row("claims with a comma too much", "RFC 8259 §4", |good| good.claims_text(|text| text.replace('}', ",}")), JSON, Err(Claims)),
    row("claims in single quotes", "RFC 8259 §7", |good| good.claims_text(|text| text.replace('"', "'")), JSON, Err(Claims)),
    row("claims behind a byte order mark", "RFC 8259 §8.1", |good| good.claims_text(|text| format!("\u{feff}{text}")), JSON, Err(Claims)),
    row("claims of two bytes a letter", "RFC 8259 §8.1", |good| good.written(good.header.to_string(), wide(&good.claims.to_string())), JSON, Err(Claims)),
    row("claims among white space", "a control: RFC 8259 §2", |good| good.claims_text(|text| format!(" \r\n\t{} ", text.replace("\":", "\" : \n"))), Told::Taken, Ok(())),

    row("header a list", "RFC 7515 §4", |good| good.header_text(|_| r#"["ES256"]"#.into()), JSON, Err(Format)),
    row("header a string", "RFC 7515 §4", |good| good.header_text(|_| r#""ES256""#.into()), JSON, Err(Format)),
    row("header null", "RFC 7515 §4", |good| good.header_text(|_| "null".into()), JSON, Err(Format)),
    row("header no JSON", "RFC 7515 §4", |good| good.header_text(|_| "ES256".into()), JSON, Err(Format)),
    row("header cut off", "RFC 8259 §2", |good| good.header_text(|text| text[..text.len() - 1].into()), JSON, Err(Format)),
    row("header with a tail", "RFC 8259 §2", |good| good.header_text(|text| format!("{text}{{}}")), JSON, Err(Format)),
    row("header behind a byte order mark", "RFC 8259 §8.1", |good| good.header_text(|text| format!("\u{feff}{text}")), JSON, Err(Format)),
    row("header of two bytes a letter", "RFC 8259 §8.1", |good| good.written(wide(&good.header.to_string()), good.claims.to_string()), JSON, Err(Format)),
    row("header among white space", "a control: RFC 8259 §2", |good| good.header_text(|text| format!("\n{}\n", text.replace(',', " , "))), Told::Taken, Ok(())),

    row("nested as deep as is read", "a control: sixteen levels with the outermost", |good| more(good, &deep(15)), Told::Taken, Ok(())),
    row("nested one level deeper", "RFC 8259 §9, CWE-674", |good| more(good, &deep(16)), JSON, Err(Claims)),
    row("nested two thousand levels deep", "RFC 8259 §9", |good| more(good, &deep(2000)), JSON, Err(Claims)),
    row("nested and never closed", "RFC 8259 §9", |good| more(good, &"[".repeat(4000)), JSON, Err(Claims)),
    row("objects nested", "RFC 8259 §9", |good| more(good, &format!("{}1{}", r#"{"a":"#.repeat(500), "}".repeat(500))), JSON, Err(Claims)),
    row("header nested", "RFC 8259 §9", |good| good.header_twice(&format!(r#""more":{}"#, deep(2000))), JSON, Err(Format)),

    row("claims, a byte that is no UTF-8", "RFC 8259 §8.1, RFC 8725 §3.7", |good| claims_of(good, b"\xff"), JSON, Err(Claims)),
    row("claims, UTF-8 cut off", "RFC 8259 §8.1", |good| claims_of(good, b"\xc3"), JSON, Err(Claims)),
    row("claims, UTF-8 longer than it must be", "RFC 3629 §10", |good| claims_of(good, b"\xc0\xaf"), JSON, Err(Claims)),
    row("claims, half a pair in UTF-8", "RFC 3629 §3", |good| claims_of(good, b"\xed\xa0\x80"), JSON, Err(Claims)),
    row("claims, beyond the last letter", "RFC 3629 §3", |good| claims_of(good, b"\xf4\x90\x80\x80"), JSON, Err(Claims)),
    row("claims, a letter of four bytes", "a control of the five above", |good| claims_of(good, "\u{1f68c}".as_bytes()), Told::Taken, Ok(())),
    row("claims, a bare control character", "RFC 8259 §7", |good| claims_of(good, b"\x01"), JSON, Err(Claims)),
    row("claims, a bare line break", "RFC 8259 §7", |good| claims_of(good, b"\n"), JSON, Err(Claims)),
    row("claims, the first half of a pair", "RFC 8259 §8.2", |good| claims_of(good, br"\ud800"), JSON, Err(Claims)),
    row("claims, the second half of a pair", "RFC 8259 §8.2", |good| claims_of(good, br"\udc00"), JSON, Err(Claims)),
    row("claims, the halves swapped", "RFC 8259 §8.2", |good| claims_of(good, br"\udc00\ud800"), JSON, Err(Claims)),
    row("claims, half a pair in a name", "RFC 8259 §8.2", |good| good.claim_twice(r#""\ud800":1"#), JSON, Err(Claims)),
    row("claims, a whole pair", "a control of the four above", |good| claims_of(good, br"\ud83d\ude8c"), Told::Taken, Ok(())),
    row("claims, an escape that is none", "RFC 8259 §7", |good| claims_of(good, br"\x41"), JSON, Err(Claims)),
    row("header, a byte that is no UTF-8", "RFC 7515 §5.2", |good| header_of(good, b"\xff"), JSON, Err(Format)),
    row("header, UTF-8 longer than it must be", "RFC 3629 §10", |good| header_of(good, b"\xc0\xaf"), JSON, Err(Format)),
    row("header, half a pair", "RFC 8259 §8.2", |good| header_of(good, br"\udead"), JSON, Err(Format)),
    row("header, a bare control character", "RFC 8259 §7", |good| header_of(good, b"\x1f"), JSON, Err(Format)),

    row("an unknown claim 1e400", "RFC 8259 §6", |good| more(good, "1e400"), JSON, Err(Claims)),
    row("an unknown claim -1e400", "RFC 8259 §6", |good| more(good, "-1e400"), JSON, Err(Claims)),
    row("an unknown claim NaN", "RFC 8259 §6", |good| more(good, "NaN"), JSON, Err(Claims)),
    row("an unknown claim Infinity", "RFC 8259 §6", |good| more(good, "Infinity"), JSON, Err(Claims)),
    row("an unknown claim 01", "RFC 8259 §6", |good| more(good, "01"), JSON, Err(Claims)),
    row("an unknown claim 0x1", "RFC 8259 §6", |good| more(good, "0x1"), JSON, Err(Claims)),
    row("an unknown claim +1", "RFC 8259 §6", |good| more(good, "+1"), JSON, Err(Claims)),
    row("an unknown claim of a thousand digits", "RFC 8259 §6", |good| more(good, &"9".repeat(1000)), JSON, Err(Claims)),
    row("an unknown claim of forty digits", "a control: passed over", |good| more(good, &"9".repeat(40)), Told::Taken, Ok(())),
    row("an unknown claim True", "RFC 8259 §3", |good| more(good, "True"), JSON, Err(Claims)),
    row("__proto__", "a control: passed over", |good| good.claim_twice(r#""__proto__":{"exp":0}"#), Told::Taken, Ok(())),
];

/// The values in the order in which the claims are written down in the crate.
fn listed(good: &Good<'_>) -> String {
    let names = ["iss", "sub", "client_id", "aud", "iat", "nbf", "exp", "jti", "scope", "txn", "rev"];
    let values: Vec<_> = names.iter().map(|name| good.claims[*name].clone()).collect();
    good.claims_text(|_| serde_json::Value::from(values).to_string())
}
