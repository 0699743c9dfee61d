//! Everything secret that a test has used, and the search for any part of it.
//!
//! A part is 16 characters of the text as it stands, or of the bytes' base64, base64url or hex at any alignment, or eight
//! bytes as they are. A JWS' header and payload are no secret by themselves: its signature is.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The shortest run of characters that counts.
pub const RUN: usize = 16;
/// The same for bytes as they are.
const BYTES: usize = RUN / 2;

/// Runs of everything secret. No run itself is ever printed.
#[derive(Default)]
pub struct Hoard {
    /// How many secrets went in.
    pub count: usize,
    texts: HashSet<[u8; RUN]>,
    bytes: HashSet<[u8; BYTES]>,
    /// The first four bytes of every run, as a bitmap over a hash of them: most places are passed over by it.
    first: Vec<u64>,
}

/// Where a part of a secret stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub at: usize,
    pub form: &'static str,
}

impl Hoard {
    /// A token or an assertion, by its signature.
    pub fn jws(&mut self, text: &str) {
        let signature = text.rsplit('.').next().unwrap_or_default();
        // A mutilated one has parts that count all the same.
        let signature = signature.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c));
        let whole = &signature[..signature.len() / 4 * 4];
        let bytes = URL_SAFE_NO_PAD.decode(signature).or_else(|_| URL_SAFE_NO_PAD.decode(whole)).unwrap();
        assert!(bytes.len() >= RUN, "no JWS");
        self.secret(&bytes);
    }

    /// A private key in PKCS#8, by its private half alone: the public half stands in many places.
    pub fn pem(&mut self, pem: &str) {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(body.trim()).unwrap();
        self.secret(private_half(&der).expect("a P-256 or Ed25519 key"));
    }

    /// A password, in the clear and encoded.
    pub fn password(&mut self, text: &str) {
        assert!(text.len() >= RUN);
        self.text(text.as_bytes());
        self.secret(text.as_bytes());
    }

    /// Bytes in every form.
    fn secret(&mut self, secret: &[u8]) {
        self.count += 1;
        for run in secret.windows(BYTES) {
            self.note(run);
            self.bytes.insert(run.try_into().unwrap());
        }
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        self.text(hex.as_bytes());
        self.text(hex.to_uppercase().as_bytes());
        // Within a longer text the bytes begin at any of three places of a group; what is mixed with neighbours is cut off.
        for skip in 0..3 {
            let whole = (secret.len() - skip) / 3 * 3;
            let aligned = &secret[skip..skip + whole];
            self.text(STANDARD_NO_PAD.encode(aligned).as_bytes());
            self.text(URL_SAFE_NO_PAD.encode(aligned).as_bytes());
        }
        // As it stands alone, its last characters too.
        self.text(URL_SAFE_NO_PAD.encode(secret).as_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        for run in text.windows(RUN) {
            self.note(run);
            self.texts.insert(run.try_into().unwrap());
        }
    }

    fn note(&mut self, run: &[u8]) {
        self.first.resize(1 << 14, 0);
        let slot = slot(run);
        self.first[slot / 64] |= 1 << (slot % 64);
    }

    /// The first part of any secret in these bytes.
    pub fn find(&self, hay: &[u8]) -> Option<Found> {
        assert!(self.count > 0, "nothing is looked for");
        (0..hay.len().saturating_sub(BYTES - 1)).find_map(|at| {
            let rest = &hay[at..];
            let slot = slot(rest);
            if self.first[slot / 64] & (1 << (slot % 64)) == 0 {
                return None;
            }
            let is_bytes = self.bytes.contains(&rest[..BYTES]);
            let is_text = rest.len() >= RUN && self.texts.contains(&rest[..RUN]);
            let form = if is_text { "text" } else { "bytes" };
            (is_bytes || is_text).then_some(Found { at, form })
        })
    }

    /// Nothing secret may stand in it. Says where, and what stands around it, but not the secret.
    #[track_caller]
    pub fn not_in(&self, what: &str, hay: &[u8]) {
        if let Some(found) = self.find(hay) {
            let before = String::from_utf8_lossy(&hay[found.at.saturating_sub(200)..found.at]).into_owned();
            panic!("{what} holds a secret at byte {} as {}, behind: {before}", found.at, found.form);
        }
    }
}

fn slot(run: &[u8]) -> usize {
    let four = u32::from_le_bytes([run[0], run[1], run[2], run[3]]);
    (four.wrapping_mul(0x9e37_79b1) >> 12) as usize
}

/// The private half in a PKCS#8 key: P-256's scalar behind `INTEGER 1` (RFC 5915), Ed25519's seed in its two strings
/// (RFC 8410).
fn private_half(der: &[u8]) -> Option<&[u8]> {
    [&[0x02, 0x01, 0x01, 0x04, 0x20][..], &[0x04, 0x22, 0x04, 0x20]].iter().find_map(|open| {
        let at = der.windows(open.len()).position(|window| window == *open)? + open.len();
        der.get(at..at + 32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{Assertion, Key, key_of};

    /// Where a search that found nothing would make every other test pass.
    #[test]
    fn what_is_planted_is_found_in_every_form_at_every_place() {
        let mut hoard = Hoard::default();
        let (key, assertion) = (key_of("planted"), Assertion::of("planted").text());
        hoard.pem(&key.pem());
        hoard.pem(&Key::ed().pem());
        hoard.jws(&assertion);
        hoard.password("correct horse battery staple");
        assert_eq!(hoard.count, 4);

        let der = STANDARD_NO_PAD.decode(key.pem().lines().nth(1).unwrap().trim_end_matches('=')).unwrap();
        let scalar = private_half(&der).unwrap();
        let hex: String = scalar.iter().map(|byte| format!("{byte:02x}")).collect();
        let signature = assertion.rsplit('.').next().unwrap();
        let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let mut planted: Vec<Vec<u8>> = vec![
            key.pem().into(),
            der.clone(),
            scalar[7..15].into(),
            hex[11..27].into(),
            hex.to_uppercase()[2..18].into(),
            URL_SAFE_NO_PAD.encode(scalar).into(),
            assertion.clone().into(),
            signature[30..46].into(),
            signature[signature.len() - 16..].into(),
            raw[20..28].into(),
            "horse battery staple".into(),
            STANDARD_NO_PAD.encode("redis://:correct horse battery staple@h").into(),
        ];
        for before in 0..3 {
            planted.push(STANDARD_NO_PAD.encode([&vec![9; before], scalar].concat()).into());
            planted.push(URL_SAFE_NO_PAD.encode([&vec![9; before], &raw[..]].concat()).into());
        }
        for (number, secret) in planted.iter().enumerate() {
            for before in ["", "a", "some words "] {
                let hay = [before.as_bytes(), secret, b" and more"].concat();
                assert!(hoard.find(&hay).is_some(), "number {number} behind {before:?}");
            }
        }
    }

    #[test]
    fn what_is_no_secret_is_not_found() {
        let mut hoard = Hoard::default();
        let (key, assertion) = (key_of("planted"), Assertion::of("planted").text());
        hoard.pem(&key.pem());
        hoard.jws(&assertion);
        let (unsigned, signature) = assertion.rsplit_once('.').unwrap();
        let other = Assertion::of("planted").text();
        for hay in [unsigned, &key.jwks(), &other, &signature[..15], "", "short", &"a".repeat(1000)] {
            assert_eq!(hoard.find(hay.as_bytes()), None, "{hay}");
        }
    }
}
