//! The text itself: too many segments or too few, another serialization, another alphabet, white space everywhere.

use jitney::verifier::Invalid::{Format, Signature};
use serde_json::json;

use crate::common::{Backing, base64url, on_both_stores};
use crate::good::Good;
use crate::table::{BASE64, JSON, NOT_PROVEN, Row, SEGMENTS, Told, assertion, row, run};

on_both_stores!(every_row);

fn every_row(backing: &Backing) {
    run(backing, ROWS);
}

/// The three segments put together anew.
fn put(good: &Good<'_>, change: impl FnOnce(&str, &str, &str) -> String) -> String {
    let [header, claims, signature] = good.parts();
    change(header, claims, signature)
}

/// Text put into a segment, so that a decoder that passes over it finds the good one; and signed as it stands.
fn inside(good: &Good<'_>, segment: usize, what: &str) -> String {
    let [header, claims, _] = good.parts();
    let put = |text: &str| format!("{}{what}{}", &text[..8], &text[8..]);
    match segment {
        0 => good.spelled(&put(header), claims),
        1 => good.spelled(header, &put(claims)),
        _ => put_signature(good, |text| put(text)),
    }
}

fn put_signature(good: &Good<'_>, change: impl FnOnce(&str) -> String) -> String {
    put(good, |header, claims, signature| format!("{header}.{claims}.{}", change(signature)))
}

/// The last letter changed in bits that a decoder drops.
fn bent(segment: &str) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert_ne!(segment.len() % 4, 0, "no bit is left over");
    let (rest, last) = segment.split_at(segment.len() - 1);
    let at = LETTERS.find(last).unwrap();
    format!("{rest}{}", &LETTERS[at + 1..at + 2])
}

/// JSON whose segment has bits left over: JSON may end in white space.
fn left_over(json: &str) -> String {
    let spaces = (0..3).find(|spaces| (json.len() + spaces) % 3 == 1).unwrap();
    base64url(format!("{json}{}", " ".repeat(spaces)))
}

/// Claims whose segment holds letters of which the two alphabets have different ones.
fn telling(good: &Good<'_>) -> String {
    let mut claims = good.claims.clone();
    claims["more"] = json!("??????~~~~~~");
    let segment = base64url(claims.to_string());
    assert!(segment.contains('-') && segment.contains('_'));
    segment
}

const CONTROL: Told = Told::Unread("control character");
const TOO_LONG: Told = Told::Refused("longer than 8192 bytes");

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("a letter", "RFC 7515 §7.1", |_| "x".into(), SEGMENTS, Err(Format)),
    row("dots alone", "RFC 7515 §7.1", |_| "..".into(), SEGMENTS, Err(Format)),
    row("one segment", "RFC 7515 §7.1", |good| good.parts()[0].into(), SEGMENTS, Err(Format)),
    row("two segments", "RFC 7515 §7.1", |good| put(good, |h, c, _| format!("{h}.{c}")), SEGMENTS, Err(Format)),
    row("no signature", "RFC 7515 §7.1, CVE-2020-28042", |good| put(good, |h, c, _| format!("{h}.{c}.")), SEGMENTS, Err(Format)),
    row("no claims: a detached payload", "RFC 7515 appendix F", |good| put(good, |h, _, s| format!("{h}..{s}")), SEGMENTS, Err(Format)),
    row("no header", "RFC 7515 §7.1", |good| put(good, |_, c, s| format!(".{c}.{s}")), SEGMENTS, Err(Format)),
    row("a dot in front", "RFC 7515 §7.1", |good| format!(".{}", good.text), SEGMENTS, Err(Format)),
    row("a dot behind", "RFC 7515 §7.1", |good| format!("{}.", good.text), SEGMENTS, Err(Format)),
    row("four segments", "RFC 7515 §7.1", |good| put(good, |h, c, s| format!("{h}.{c}.{s}.{s}")), SEGMENTS, Err(Format)),
    row("five segments, as encrypted", "RFC 7516 §7.1, CVE-2023-51774", |good| put(good, |h, c, s| format!("{h}.{c}.{s}.{c}.{s}")), SEGMENTS, Err(Format)),
    row("a thousand dots", "RFC 7515 §7.1", |_| ".".repeat(1000), SEGMENTS, Err(Format)),
    row("two at once, by a comma", "RFC 7515 §7.1", |good| format!("{},{}", good.text, good.text), SEGMENTS, Err(Format)),
    row("dots percent-encoded once more", "RFC 7515 §7.1", |good| good.text.replace('.', "%2E"), SEGMENTS, Err(Format)),
    row("dots of another script", "RFC 7515 §7.1", |good| good.text.replace('.', "\u{ff0e}"), SEGMENTS, Err(Format)),
    row("a letter of another width", "RFC 7515 §2", |good| good.text.replacen('e', "\u{ff45}", 1), BASE64, Err(Format)),
    row("with the scheme", "RFC 6750 §2.1", |good| format!("Bearer {}", good.text), BASE64, Err(Format)),
    row("in quotes", "RFC 7515 §7.1", |good| format!("\"{}\"", good.text), BASE64, Err(Format)),
    row("with a tilde, as with disclosures", "RFC 9901 §4", |good| format!("{}~", good.text), BASE64, Err(Format)),
    row("twenty-five kilobytes", "CWE-400", |good| good.claim("more", "x".repeat(20_000)), Told::Refused("longer than it may be"), Err(Format)),
    assertion("nine kilobytes, as only a platform's token may have", "CWE-400", |good| good.claim("more", "x".repeat(6_500)), TOO_LONG),

    row("JSON, flattened", "RFC 7515 §7.2.2", |good| put(good, |h, c, s| json!({"protected": h, "payload": c, "signature": s}).to_string()), SEGMENTS, Err(Format)),
    row("JSON, general", "RFC 7515 §7.2.1", |good| put(good, |h, c, s| json!({"payload": c, "signatures": [{"protected": h, "signature": s}]}).to_string()), SEGMENTS, Err(Format)),
    row("JSON, general, no signatures", "RFC 7515 §7.2.1", |good| put(good, |_, c, _| json!({"payload": c, "signatures": []}).to_string()), SEGMENTS, Err(Format)),
    row("JSON with an unprotected header", "RFC 7515 §7.2.2", |good| put(good, |_, c, s| json!({"header": {"alg": "none"}, "payload": c, "signature": s}).to_string()), SEGMENTS, Err(Format)),
    row("JSON and compact in one", "CVE-2022-39227", polyglot, BASE64, Err(Format)),
    row("JSON, encrypted", "RFC 7516 §7.2.2", |good| put(good, |h, c, s| json!({"protected": h, "iv": c, "ciphertext": c, "tag": s}).to_string()), SEGMENTS, Err(Format)),

    row("padding behind the header", "RFC 7515 §2", |good| good.spelled(&format!("{}==", left_over(&good.header.to_string())), good.parts()[1]), BASE64, Err(Format)),
    row("padding behind the claims", "RFC 7515 §2", |good| good.spelled(good.parts()[0], &format!("{}==", left_over(&good.claims.to_string()))), BASE64, Err(Format)),
    row("padding behind the signature", "RFC 7515 §2", |good| put_signature(good, |s| format!("{s}==")), BASE64, Err(Format)),
    row("too much padding", "RFC 7515 §2", |good| put_signature(good, |s| format!("{s}====")), BASE64, Err(Format)),
    row("bits left over in the header", "RFC 4648 §3.5", |good| good.spelled(&bent(&left_over(&good.header.to_string())), good.parts()[1]), BASE64, Err(Format)),
    row("bits left over in the claims", "RFC 4648 §3.5", |good| good.spelled(good.parts()[0], &bent(&left_over(&good.claims.to_string()))), BASE64, Err(Format)),
    row("bits left over in the signature", "RFC 4648 §3.5", |good| put_signature(good, bent), BASE64, Err(Format)),
    row("no bits left over", "a control of the three above", |good| good.spelled(&left_over(&good.header.to_string()), &left_over(&good.claims.to_string())), Told::Taken, Ok(())),
    row("a letter too much", "RFC 4648 §4", |good| put_signature(good, |s| format!("{s}AAA")), BASE64, Err(Format)),
    row("the other alphabet", "RFC 4648 §4", |good| good.spelled(good.parts()[0], &telling(good).replace('-', "+").replace('_', "/")), BASE64, Err(Format)),
    row("both alphabets at once", "RFC 4648 §5", |good| good.spelled(good.parts()[0], &telling(good).replace('_', "/")), BASE64, Err(Format)),
    row("the right alphabet", "a control of the two above", |good| good.spelled(good.parts()[0], &telling(good)), Told::Taken, Ok(())),
    row("hex", "RFC 7515 §2: base64url too, of another length", |good| put_signature(good, |_| "ab".repeat(64)), NOT_PROVEN, Err(Signature)),
    row("base32", "RFC 7515 §2", |good| put_signature(good, |_| format!("{}=", "A".repeat(103))), BASE64, Err(Format)),
    row("segments encoded twice", "RFC 7515 §7.1", |good| good.spelled(&base64url(good.parts()[0]), good.parts()[1]), JSON, Err(Format)),

    row("a space in front", "RFC 7515 §7.1", |good| format!(" {}", good.text), BASE64, Err(Format)),
    row("a space behind", "RFC 7515 §7.1", |good| format!("{} ", good.text), BASE64, Err(Format)),
    row("a space around a dot", "RFC 7515 §7.1", |good| good.text.replacen('.', " . ", 1), BASE64, Err(Format)),
    row("a space in the header", "RFC 7515 §2", |good| inside(good, 0, " "), BASE64, Err(Format)),
    row("a space in the claims", "RFC 7515 §2", |good| inside(good, 1, " "), BASE64, Err(Format)),
    row("a space in the signature", "RFC 7515 §2", |good| inside(good, 2, " "), BASE64, Err(Format)),
    row("a line break in the header", "RFC 7515 §2", |good| inside(good, 0, "\n"), CONTROL, Err(Format)),
    row("a line break in the claims", "RFC 7515 §2", |good| inside(good, 1, "\r\n"), CONTROL, Err(Format)),
    row("a line break in the signature", "RFC 7515 §2", |good| inside(good, 2, "\n"), CONTROL, Err(Format)),
    row("a line break behind", "RFC 7515 §7.1", |good| format!("{}\n", good.text), CONTROL, Err(Format)),
    row("a tab in front", "RFC 7515 §7.1", |good| format!("\t{}", good.text), CONTROL, Err(Format)),
    row("a NUL behind", "RFC 7515 §7.1", |good| format!("{}\0", good.text), CONTROL, Err(Format)),
    row("a NUL in the claims", "RFC 7515 §2", |good| inside(good, 1, "\0"), CONTROL, Err(Format)),
    row("a byte order mark", "RFC 7515 §7.1", |good| format!("\u{feff}{}", good.text), BASE64, Err(Format)),
    row("a space that breaks no line", "RFC 7515 §7.1", |good| format!("{}\u{a0}", good.text), BASE64, Err(Format)),
    row("a space of no width in the signature", "RFC 7515 §2", |good| inside(good, 2, "\u{200b}"), BASE64, Err(Format)),
    row("a percent sign in the signature", "RFC 7515 §2", |good| inside(good, 2, "%41"), BASE64, Err(Format)),
    row("a star in the claims", "RFC 7515 §2: a decoder that passes over what it does not know", |good| inside(good, 1, "*"), BASE64, Err(Format)),
];

/// What a parser of JSON reads as the good one, and a splitter at dots as another.
fn polyglot(good: &Good<'_>) -> String {
    let [header, claims, signature] = good.parts();
    let forged = base64url(good.claims.to_string().replace("demo", "other"));
    format!(r#"{{"  {header}.{forged}.":"","protected":"{header}","payload":"{claims}","signature":"{signature}"}}"#)
}
