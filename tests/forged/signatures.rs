//! Signatures that are none, in another form, or twice the same: what a check by arithmetic alone lets through.

use jitney::verifier::Invalid::{Format, Signature};

use crate::common::{Backing, key_of, key_of_kind, on_both_stores};
use crate::encodings::{HALF_N, MOST, N, P, ZERO, asn1, mirrored, plus, unreduced};
use crate::good::Good;
use crate::table::{NOT_PROVEN, Row, SEGMENTS, Told, assertion, row, run};

on_both_stores!(every_row);

fn every_row(backing: &Backing) {
    run(backing, ROWS);
}

/// `r` replaced, `s` kept.
fn with_r(good: &Good<'_>, r: [u8; 32]) -> String {
    good.resigned(|signature| [&r, &signature[32..]].concat())
}

/// `s` replaced, `r` kept.
fn with_s(good: &Good<'_>, s: [u8; 32]) -> String {
    good.resigned(|signature| [&signature[..32], &s].concat())
}

/// Both replaced.
fn both(good: &Good<'_>, r: [u8; 32], s: [u8; 32]) -> String {
    good.resigned(|_| [r, s].concat())
}

/// The same signature with its `s` below or above half of the order: both fit (FIPS 186-5 §6.4.2), and JWS asks for neither.
fn at(good: &Good<'_>, is_high: bool) -> String {
    good.resigned(|mut signature| {
        if (signature[32..] > HALF_N[..]) != is_high {
            let other = mirrored(&signature[32..]);
            signature[32..].copy_from_slice(&other);
        }
        signature
    })
}

const ONE: [u8; 32] = {
    let mut one = [0; 32];
    one[31] = 1;
    one
};

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("r and s 0", "CVE-2022-21449, CVE-2021-43572", |good| both(good, ZERO, ZERO), NOT_PROVEN, Err(Signature)),
    row("r 0", "FIPS 186-5 §6.4.2", |good| with_r(good, ZERO), NOT_PROVEN, Err(Signature)),
    row("s 0", "FIPS 186-5 §6.4.2", |good| with_s(good, ZERO), NOT_PROVEN, Err(Signature)),
    row("r and s n", "CVE-2022-21449", |good| both(good, N, N), NOT_PROVEN, Err(Signature)),
    row("r n", "FIPS 186-5 §6.4.2", |good| with_r(good, N), NOT_PROVEN, Err(Signature)),
    row("s n", "FIPS 186-5 §6.4.2", |good| with_s(good, N), NOT_PROVEN, Err(Signature)),
    row("r n + 1", "FIPS 186-5 §6.4.2", |good| with_r(good, plus(&N, 1)), NOT_PROVEN, Err(Signature)),
    row("s n + 1", "FIPS 186-5 §6.4.2", |good| with_s(good, plus(&N, 1)), NOT_PROVEN, Err(Signature)),
    row("r 2^256 - 1", "FIPS 186-5 §6.4.2", |good| with_r(good, MOST), NOT_PROVEN, Err(Signature)),
    row("s 2^256 - 1", "FIPS 186-5 §6.4.2", |good| with_s(good, MOST), NOT_PROVEN, Err(Signature)),
    row("r and s 2^256 - 1", "FIPS 186-5 §6.4.2", |good| both(good, MOST, MOST), NOT_PROVEN, Err(Signature)),
    row("r the field's prime", "FIPS 186-5 §6.4.2", |good| with_r(good, P), NOT_PROVEN, Err(Signature)),
    row("r and s 1", "FIPS 186-5 §6.4.2", |good| both(good, ONE, ONE), NOT_PROVEN, Err(Signature)),
    row("r n, s 0", "CVE-2022-21449", |good| both(good, N, ZERO), NOT_PROVEN, Err(Signature)),
    row("r the key's x, s 1", "a forger's choice", |good| both(good, good.key.public()[1..33].try_into().unwrap(), ONE), NOT_PROVEN, Err(Signature)),
    row("r and s the key's x", "r = s = x fits the digest of zero alone", |good| { let x = good.key.public()[1..33].try_into().unwrap(); both(good, x, x) }, NOT_PROVEN, Err(Signature)),
    row("r and s swapped", "RFC 7518 §3.4", |good| good.resigned(|mut it| { it.rotate_left(32); it }), NOT_PROVEN, Err(Signature)),
    row("r and s little-endian", "RFC 7518 §3.4", |good| good.resigned(|mut it| { it[..32].reverse(); it[32..].reverse(); it }), NOT_PROVEN, Err(Signature)),
    row("a low s", "a control: both fit, and a used assertion is known by its jti", |good| at(good, false), Told::Taken, Ok(())),
    row("a high s", "a control: both fit, and a used assertion is known by its jti", |good| at(good, true), Told::Taken, Ok(())),
    row("in DER", "RFC 7518 §3.4, CVE-2024-42461", |good| good.resigned(|it| asn1(&it)), NOT_PROVEN, Err(Signature)),
    row("in DER of zeros", "CVE-2022-21449", |good| good.resigned(|_| asn1(&[0; 64])), NOT_PROVEN, Err(Signature)),
    row("63 bytes", "RFC 7518 §3.4", |good| good.resigned(|it| it[..63].to_vec()), NOT_PROVEN, Err(Signature)),
    row("65 bytes, a zero behind", "RFC 7518 §3.4", |good| good.resigned(|it| [it, vec![0]].concat()), NOT_PROVEN, Err(Signature)),
    row("65 bytes, a zero in front", "RFC 7518 §3.4", |good| good.resigned(|it| [vec![0], it].concat()), NOT_PROVEN, Err(Signature)),
    row("66 bytes, a zero in front of each", "CVE-2024-42460", |good| good.resigned(|it| [&[0], &it[..32], &[0], &it[32..]].concat()), NOT_PROVEN, Err(Signature)),
    row("r alone", "RFC 7518 §3.4", |good| good.resigned(|it| it[..32].to_vec()), NOT_PROVEN, Err(Signature)),
    row("twice over", "RFC 7518 §3.4", |good| good.resigned(|it| [it.clone(), it].concat()), NOT_PROVEN, Err(Signature)),
    row("a byte", "CVE-2020-28042: no look at its length", |good| good.resigned(|_| vec![0]), NOT_PROVEN, Err(Signature)),
    row("no byte", "CVE-2020-28042", |good| good.resigned(|_| vec![]), SEGMENTS, Err(Format)),
    row("four thousand bytes", "RFC 7518 §3.4", |good| good.resigned(|_| vec![1; 4000]), NOT_PROVEN, Err(Signature)),
    row("the last bit changed", "RFC 7515 §5.2", |good| good.resigned(|mut it| { it[63] ^= 1; it }), NOT_PROVEN, Err(Signature)),
    row("the first bit changed", "RFC 7515 §5.2", |good| good.resigned(|mut it| { it[0] ^= 0x80; it }), NOT_PROVEN, Err(Signature)),
    row("of another JWS by the same key", "RFC 7515 §5.2", |good| { let other = good.claim("more", 1); format!("{}.{}.{}", good.parts()[0], good.parts()[1], other.rsplit_once('.').unwrap().1) }, NOT_PROVEN, Err(Signature)),
    row("over the claims alone", "RFC 7515 §5.2", |good| good.signed_as("ES256", |message| good.key.sign("", &message[message.iter().position(|it| *it == b'.').unwrap() + 1..])), NOT_PROVEN, Err(Signature)),
    row("over the claims decoded", "RFC 7797", |good| good.signed_as("ES256", |_| good.key.sign("", good.claims.to_string().as_bytes())), NOT_PROVEN, Err(Signature)),
    row("over the digest's digest", "RFC 7518 §3.4", |good| good.signed_as("ES256", |message| good.key.sign("", ring::digest::digest(&ring::digest::SHA256, message).as_ref())), NOT_PROVEN, Err(Signature)),
    row("by a stranger's key", "RFC 7515 §5.2", |good| good.signed_as("ES256", |message| key_of("stranger").sign("", message)), NOT_PROVEN, Err(Signature)),
    row("by another client's key", "RFC 7523 §3", |good| good.signed_as("ES256", |message| key_of("other").sign("", message)), NOT_PROVEN, Err(Signature)),

    assertion("EdDSA, s + L", "RFC 8032 §5.1.7, CVE-2024-48949", |good| good.resigned(|mut it| { let s = unreduced(&it[32..]); it[32..].copy_from_slice(&s); it }), NOT_PROVEN).by("ed"),
    assertion("EdDSA, s 2^256 - 1", "RFC 8032 §5.1.7", |good| with_s(good, MOST), NOT_PROVEN).by("ed"),
    assertion("EdDSA, the highest bit of s", "RFC 8032 §5.1.7", |good| good.resigned(|mut it| { it[63] |= 0x80; it }), NOT_PROVEN).by("ed"),
    assertion("EdDSA, all zero", "RFC 8032 §5.1.7", |good| both(good, ZERO, ZERO), NOT_PROVEN).by("ed"),
    assertion("EdDSA, R of order one and s 0", "RFC 8032 §5.1.7: fits a key of small order alone", |good| good.resigned(|_| { let mut it = vec![0; 64]; it[0] = 1; it }), NOT_PROVEN).by("ed"),
    assertion("EdDSA, R of order eight and s 0", "RFC 8032 §5.1.7", |good| good.resigned(|_| [&hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")[..], &ZERO].concat()), NOT_PROVEN).by("ed"),
    assertion("EdDSA, R in a spelling of its own", "RFC 8032 §5.1.3", |good| good.resigned(|_| [&[&[0xee][..], &[0xff; 30], &[0x7f]].concat()[..], &ZERO].concat()), NOT_PROVEN).by("ed"),
    assertion("EdDSA, 63 bytes", "CVE-2024-42459", |good| good.resigned(|it| it[..63].to_vec()), NOT_PROVEN).by("ed"),
    assertion("EdDSA, 65 bytes", "CVE-2024-42459", |good| good.resigned(|it| [it, vec![0]].concat()), NOT_PROVEN).by("ed"),
    assertion("EdDSA, R and s swapped", "RFC 8032 §5.1.7", |good| good.resigned(|mut it| { it.rotate_left(32); it }), NOT_PROVEN).by("ed"),
    assertion("EdDSA by a stranger's key", "RFC 7515 §5.2", |good| good.signed_as("EdDSA", |message| crate::common::Key::ed().sign("", message)), NOT_PROVEN).by("ed"),
    assertion("RS256, zero", "RFC 8017 §8.2.2", |good| good.resigned(|_| vec![0; 256]), NOT_PROVEN).by("rsa"),
    assertion("RS256, one", "RFC 8017 §8.2.2", |good| good.resigned(|_| [vec![0; 255], vec![1]].concat()), NOT_PROVEN).by("rsa"),
    assertion("RS256, the modulus", "RFC 8017 §5.2.2", |good| good.resigned(|_| key_of_kind("rsa").public()), NOT_PROVEN).by("rsa"),
    assertion("RS256, 2^2048 - 1", "RFC 8017 §5.2.2", |good| good.resigned(|_| vec![0xff; 256]), NOT_PROVEN).by("rsa"),
    assertion("RS256, a zero in front", "RFC 8017 §8.2.2", |good| good.resigned(|it| [vec![0], it].concat()), NOT_PROVEN).by("rsa"),
    assertion("RS256, the padding in the clear", "RFC 8017 §8.2.2: fits an exponent of one alone", |good| good.resigned(|_| padded(good)), NOT_PROVEN).by("rsa"),
    assertion("RS256, a bit changed", "RFC 7515 §5.2", |good| good.resigned(|mut it| { it[128] ^= 1; it }), NOT_PROVEN).by("rsa"),
    assertion("RS256 over SHA-1", "RFC 8017 §9.2", |good| good.resigned(|_| vec![1; 128]), NOT_PROVEN).by("rsa"),
    assertion("RS256 by a signature of 4096 bits", "RFC 8017 §8.2.2", |good| good.resigned(|_| vec![1; 512]), NOT_PROVEN).by("rsa"),
];

/// EMSA-PKCS1-v1_5 of the message (RFC 8017 §9.2), not raised to any power.
fn padded(good: &Good<'_>) -> Vec<u8> {
    let message = good.text.rsplit_once('.').unwrap().0;
    let digest = ring::digest::digest(&ring::digest::SHA256, message.as_bytes());
    let prefix = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
        0x20,
    ];
    [&[0, 1][..], &vec![0xff; 256 - 3 - 19 - 32], &[0], &prefix, digest.as_ref()].concat()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
