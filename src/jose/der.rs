//! The three bits of DER and PEM that are needed: a PEM block's bytes, a P-256 public key's wrapping, an RSA public key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// SubjectPublicKeyInfo of an uncompressed P-256 point, up to the point (RFC 5480 §2).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The label and bytes of the first PEM block (RFC 7468).
pub(super) fn from_pem(text: &str) -> Option<(&str, zeroize::Zeroizing<Vec<u8>>)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    let mut compact = zeroize::Zeroizing::new(String::with_capacity(body.len()));
    compact.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    let bytes = STANDARD.decode(compact.as_bytes()).ok()?;
    Some((label, zeroize::Zeroizing::new(bytes)))
}

/// A PEM block with lines of 64 characters (RFC 7468 §2).
pub(super) fn to_pem(label: &str, bytes: &[u8]) -> String {
    let body = zeroize::Zeroizing::new(STANDARD.encode(bytes));
    let mut text = String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 40);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// A P-256 point as SubjectPublicKeyInfo.
pub(super) fn p256_spki(point: &[u8; 65]) -> [u8; 91] {
    let mut spki = [0; 91];
    spki[..26].copy_from_slice(&P256_SPKI);
    spki[26..].copy_from_slice(point);
    spki
}
