//! A public key in every spelling that a library has taken for a shared secret, signatures in the wrong one, and numbers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// An HMAC, by the name of its `alg`.
pub fn hmac(alg: &str, secret: &[u8], message: &[u8]) -> Vec<u8> {
    let hash = match alg {
        "HS384" => ring::hmac::HMAC_SHA384,
        "HS512" => ring::hmac::HMAC_SHA512,
        _ => ring::hmac::HMAC_SHA256,
    };
    ring::hmac::sign(&ring::hmac::Key::new(hash, secret), message).as_ref().to_vec()
}

/// SubjectPublicKeyInfo of a P-256 point (RFC 5480 §2).
pub fn spki(point: &[u8]) -> Vec<u8> {
    let ec_public_key = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let p256 = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let algorithm = der(0x30, &[&ec_public_key[..], &p256[..]].concat());
    der(0x30, &[algorithm, der(0x03, &[&[0], point].concat())].concat())
}

/// SubjectPublicKeyInfo of an RSA key with the usual exponent (RFC 3279 §2.3.1).
pub fn rsa_spki(modulus: &[u8]) -> Vec<u8> {
    let rsa = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let key = der(0x30, &[integer(modulus), integer(&[1, 0, 1])].concat());
    der(0x30, &[der(0x30, &rsa), der(0x03, &[&[0], &key[..]].concat())].concat())
}

/// PEM as OpenSSL writes it.
pub fn pem(label: &str, bytes: &[u8]) -> String {
    let body = STANDARD.encode(bytes);
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A P-256 key as OpenSSH writes it (RFC 5656 §3.1).
pub fn ssh(point: &[u8]) -> String {
    let mut blob = Vec::new();
    for field in [&b"ecdsa-sha2-nistp256"[..], b"nistp256", point] {
        blob.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
        blob.extend(field);
    }
    format!("ecdsa-sha2-nistp256 {}", STANDARD.encode(blob))
}

/// `r` and `s` as TLS and X.509 write them.
pub fn asn1(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    der(0x30, &[integer(r), integer(s)].concat())
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    let sign = if bytes[start] >= 0x80 { &[0][..] } else { &[] };
    der(0x02, &[sign, &bytes[start..]].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let len = match len {
        0..0x80 => vec![u8::try_from(len).unwrap()],
        0x80..0x100 => vec![0x81, u8::try_from(len).unwrap()],
        _ => [&[0x82][..], &u16::try_from(len).unwrap().to_be_bytes()].concat(),
    };
    [vec![tag], len, content.to_vec()].concat()
}

/// The order of P-256.
pub const N: [u8; 32] = number("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
/// Its half, rounded down: an `s` above it is a high one.
pub const HALF_N: [u8; 32] = number("7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8");
/// The prime of P-256's field.
pub const P: [u8; 32] = number("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
/// The order of Ed25519's base point, little-endian as signatures have it.
pub const L: [u8; 32] = number("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");

pub const ZERO: [u8; 32] = [0; 32];
pub const MOST: [u8; 32] = [0xff; 32];

/// A number of 32 bytes in hex.
const fn number(hex: &str) -> [u8; 32] {
    let (hex, mut bytes, mut at) = (hex.as_bytes(), [0; 32], 0);
    while at < 32 {
        bytes[at] = digit(hex[2 * at]) * 16 + digit(hex[2 * at + 1]);
        at += 1;
    }
    bytes
}

const fn digit(c: u8) -> u8 {
    if c <= b'9' { c - b'0' } else { c - b'a' + 10 }
}

/// `number + small`, both big-endian; it must fit.
pub fn plus(number: &[u8; 32], small: u8) -> [u8; 32] {
    let mut sum = *number;
    let mut carry = u16::from(small);
    for byte in sum.iter_mut().rev() {
        carry += u16::from(*byte);
        *byte = u8::try_from(carry & 0xff).unwrap();
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    sum
}

/// `N - s`: the other `s` that fits the same message and `r`.
pub fn mirrored(s: &[u8]) -> [u8; 32] {
    let (mut other, mut borrow) = (N, 0);
    for (byte, take) in other.iter_mut().zip(s).rev() {
        let difference = i16::from(*byte) - i16::from(*take) - borrow;
        borrow = i16::from(difference < 0);
        *byte = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    assert_eq!(borrow, 0);
    other
}

/// `s + L`, little-endian: another spelling of the same `s` for who does not reduce it.
pub fn unreduced(s: &[u8]) -> [u8; 32] {
    let (mut sum, mut carry) = (L, 0);
    for (byte, add) in sum.iter_mut().zip(s) {
        carry += u16::from(*byte) + u16::from(*add);
        *byte = u8::try_from(carry & 0xff).unwrap();
        carry >>= 8;
    }
    sum
}
