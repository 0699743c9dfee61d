//! A compact JWS taken apart (RFC 7515 §3.1, §7.1): strict about its form, silent about its meaning.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Map, Value};

use super::{Alg, JoseError, Json, Object, json};

/// The longest JWS that is looked at, in bytes.
pub const MAX_LEN: usize = 16 * 1024;

/// Header parameters that carry or point at keys, or change what is signed: none is accepted (RFC 8725 §3.10).
const REFUSED: [&str; 7] = ["crit", "b64", "jwk", "jku", "x5c", "x5u", "zip"];

/// A compact JWS, not yet checked.
#[derive(Clone)]
pub struct Compact<'a> {
    /// Its protected header.
    pub header: Header,
    /// What the signature is over: the first two segments and the dot between them.
    pub signing_input: &'a str,
    /// The payload, decoded.
    pub payload: Vec<u8>,
    /// The signature, still encoded: its form has been checked.
    pub signature: &'a str,
}

impl fmt::Debug for Compact<'_> {
    // Whoever has all three parts has the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compact").field("header", &self.header).finish_non_exhaustive()
    }
}

/// The three segments of a compact JWS, still encoded: for whoever knows a header by its text.
#[derive(Clone, Copy)]
pub struct Segments<'a> {
    /// The first one.
    pub header: &'a str,
    /// What the signature is over.
    pub signing_input: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl fmt::Debug for Segments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments").field("header", &self.header).finish_non_exhaustive()
    }
}

impl<'a> Segments<'a> {
    /// Splits a JWS of at most [`MAX_LEN`] bytes.
    ///
    /// # Errors
    /// [`JoseError::Form`].
    pub fn of(raw: &'a str) -> Result<Self, JoseError> {
        Self::within(raw, MAX_LEN)
    }

    fn within(raw: &'a str, max_len: usize) -> Result<Self, JoseError> {
        if raw.len() > max_len {
            return Err(JoseError::Form("it is longer than it may be"));
        }
        let (header, payload, signature) = split(raw)?;
        Ok(Self { header, signing_input: &raw[..raw.len() - signature.len() - 1], payload, signature })
    }

    /// The payload's bytes and the signature's.
    ///
    /// # Errors
    /// [`JoseError::Form`].
    pub fn decode(&self) -> Result<(Vec<u8>, Vec<u8>), JoseError> {
        Ok((decode(self.payload)?, decode(self.signature)?))
    }
}

/// The members of a protected header that mean something here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The algorithm it claims; one of the four.
    pub alg: Alg,
    /// Its media type.
    pub typ: Option<String>,
    /// The key it claims.
    pub kid: Option<String>,
}

impl<'a> Compact<'a> {
    /// Takes a compact JWS apart.
    ///
    /// # Errors
    /// [`JoseError::Form`], [`JoseError::Json`], [`JoseError::Header`] or [`JoseError::Algorithm`]; none of them depends
    /// on any key.
    pub fn parse(raw: &'a str) -> Result<Self, JoseError> {
        Self::parse_within(raw, MAX_LEN)
    }

    /// The same for a JWS that may be longer than a token, up to `max_len` bytes: a snapshot names each of its parts.
    ///
    /// # Errors
    /// As [`Compact::parse`].
    pub fn parse_within(raw: &'a str, max_len: usize) -> Result<Self, JoseError> {
        let segments = Segments::within(raw, max_len)?;
        let header = Header::from_json(&Object::strict(&decode(segments.header)?)?)?;
        let (payload, _) = segments.decode()?;
        Ok(Self { header, signing_input: segments.signing_input, payload, signature: segments.signature })
    }

    /// The payload as a JSON object without duplicate members.
    ///
    /// # Errors
    /// [`JoseError::Json`].
    pub fn claims(&self) -> Result<Map<String, Value>, JoseError> {
        Ok(json::strict(&self.payload)?)
    }

    /// The signature's bytes.
    ///
    /// # Errors
    /// [`JoseError::Form`], which `parse` has ruled out.
    pub fn signature_bytes(&self) -> Result<Vec<u8>, JoseError> {
        decode(self.signature)
    }

    /// How many they are, without decoding them: base64url of a length that `parse` has let pass, without padding.
    pub const fn signature_len(&self) -> usize {
        self.signature.len() * 3 / 4
    }
}

impl Header {
    /// Reads a header's members.
    ///
    /// # Errors
    /// [`JoseError::Header`], [`JoseError::Algorithm`].
    pub fn from_json(members: &Object<'_>) -> Result<Self, JoseError> {
        if let Some(name) = REFUSED.iter().find(|name| members.get(name).is_some()) {
            return Err(JoseError::Header(format!("`{name}` is not accepted")));
        }
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text.to_string())),
            Some(_) => Err(JoseError::Header(format!("`{name}` must be a string"))),
        };
        let alg = match members.get("alg") {
            Some(Json::Text(alg)) => Alg::parse(alg).ok_or(JoseError::Algorithm)?,
            Some(_) => return Err(JoseError::Header("`alg` must be a string".into())),
            None => return Err(JoseError::Header("`alg` is missing".into())),
        };
        Ok(Self { alg, typ: text("typ")?, kid: text("kid")? })
    }
}

/// Splits a compact JWS into its three segments, none of them empty.
///
/// # Errors
/// [`JoseError::Form`].
pub fn split(raw: &str) -> Result<(&str, &str, &str), JoseError> {
    let mut segments = raw.split('.');
    let mut next = || segments.next().filter(|segment| !segment.is_empty());
    match (next(), next(), next(), segments.next()) {
        (Some(header), Some(payload), Some(signature), None) => Ok((header, payload, signature)),
        _ => Err(JoseError::Form("it must be three segments of base64url with a dot between them")),
    }
}

/// Decodes base64url without padding; trailing bits must be zero, so that each value has one spelling.
///
/// # Errors
/// [`JoseError::Form`].
pub fn decode(segment: &str) -> Result<Vec<u8>, JoseError> {
    B64.decode(segment).map_err(|_| JoseError::Form("a segment is not canonical base64url without padding"))
}

/// Encodes base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    B64.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jws(header: &str, payload: &str) -> String {
        format!("{}.{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()), encode(&[1; 64]))
    }

    #[test]
    fn debug_shows_the_header_and_no_more() {
        let raw = jws(r#"{"alg":"ES256"}"#, r#"{"sub":"somebody"}"#);
        let told = format!("{:?}", Compact::parse(&raw).unwrap());
        assert!(told.contains("Es256"), "{told}");
        let bytes = format!("{:?}", br#"{"sub":"#);
        let parts = raw.split('.').chain(["somebody", bytes.trim_matches(['[', ']'])]);
        assert!(parts.into_iter().all(|part| !told.contains(part)), "{told}");
    }

    #[test]
    fn a_well_formed_one_is_taken_apart() {
        let raw = jws(r#"{"alg":"ES256","typ":"JWT","kid":"k"}"#, r#"{"a":1}"#);
        let compact = Compact::parse(&raw).unwrap();
        assert_eq!(compact.header, Header { alg: Alg::Es256, typ: Some("JWT".into()), kid: Some("k".into()) });
        assert!(raw.starts_with(compact.signing_input) && compact.signing_input.matches('.').count() == 1);
        assert_eq!(compact.claims().unwrap()["a"], 1);
    }

    #[test]
    fn headers_that_are_not_accepted() {
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"es256"}"#,
            r#"{"alg":""}"#,
            r#"{"alg":1}"#,
            r#"{"alg":["ES256"]}"#,
            r#"{"typ":"JWT"}"#,
            r#"{"alg":"ES256","alg":"none"}"#,
            r#"{"alg":"ES256","kid":7}"#,
            r#"{"alg":"ES256","crit":["exp"]}"#,
            r#"{"alg":"ES256","b64":false}"#,
            r#"{"alg":"ES256","jwk":{}}"#,
            r#"{"alg":"ES256","jku":"https://a"}"#,
            r#"{"alg":"ES256","x5c":[]}"#,
            r#"{"alg":"ES256","x5u":""}"#,
            r#"{"alg":"ES256","zip":"DEF"}"#,
            "[]",
            "x",
        ] {
            assert!(Compact::parse(&jws(header, "{}")).is_err(), "{header}");
        }
    }

    #[test]
    fn forms_that_are_not_accepted() {
        let good = jws(r#"{"alg":"ES256"}"#, "{}");
        let json = r#"{"payload":"e30","protected":"e30","signature":"e30"}"#;
        let long = format!("{good}{}", "A".repeat(MAX_LEN));
        for bad in [
            "",
            ".",
            "..",
            "a.b",
            &format!("{good}.x"),
            &format!("{good}="),
            &format!(" {good}"),
            &format!("{good}\n"),
            &good.replacen('.', "..", 1),
            json,
            &long,
            &good.replace("e30", "e31"),
            &good.replace("e30", "e3+"),
        ] {
            assert!(Compact::parse(bad).is_err(), "{bad}");
        }
        assert!(Compact::parse(&good).is_ok());
    }
}
