//! Compact JWS written with a kept ES256 key: the header is encoded once for each key, the rest for each token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde::Serialize;
use serde_json::Value;

use crate::model::{KeyId, Secret};

use super::JoseError;
use super::es256::{SigningKey, VerifyingKey};

/// Room for the claims of a usual token, so that neither they nor its text are allocated twice.
const USUAL_CLAIMS: usize = 576;

/// The dot and the 86 characters of a signature of 64 bytes.
const SIGNATURE: usize = 87;

/// The header `{"alg":"ES256","typ":…,"kid":…}` as the first segment of a JWS.
#[derive(Debug, Clone)]
pub struct EncodedHeader(String);

impl EncodedHeader {
    /// Encodes the header of tokens of type `typ` under the key `kid`.
    pub fn es256(typ: &str, kid: &KeyId) -> Self {
        // `Value` quotes what JSON wants quoted.
        let (typ, kid) = (Value::from(typ), Value::from(kid.as_str()));
        Self(B64.encode(format!(r#"{{"alg":"ES256","typ":{typ},"kid":{kid}}}"#)))
    }

    /// The segment's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A compact JWS that this process signed itself, with a key that it holds. Only [`sign_es256`] makes one.
#[derive(Debug)]
pub struct Signed {
    text: Secret<String>,
    by: VerifyingKey,
}

impl Signed {
    /// Its text.
    pub const fn text(&self) -> &Secret<String> {
        &self.text
    }

    /// The public half of the key.
    pub const fn by(&self) -> &VerifyingKey {
        &self.by
    }
}

/// Writes and signs a compact JWS.
///
/// # Errors
/// [`JoseError::Signing`] where the claims do not serialize or the system has no randomness.
pub fn sign_es256<T: Serialize>(key: &SigningKey, header: &EncodedHeader, claims: &T) -> Result<Signed, JoseError> {
    // Written first and encoded at one go: an encoder between the two is called for each quote and comma of the JSON,
    // which costs a microsecond more than this allocation.
    let mut json = Vec::with_capacity(USUAL_CLAIMS);
    serde_json::to_writer(&mut json, claims).map_err(|_| JoseError::Signing)?;
    let mut text = String::with_capacity(header.0.len() + 1 + json.len().div_ceil(3) * 4 + SIGNATURE);
    text.push_str(&header.0);
    text.push('.');
    B64.encode_string(&json, &mut text);
    let signature = key.sign(text.as_bytes())?;
    text.push('.');
    B64.encode_string(signature, &mut text);
    Ok(Signed { text: Secret::new(text), by: key.public().clone() })
}

#[cfg(test)]
mod tests {
    use super::super::{Alg, Compact, JwkSet, verify};
    use super::*;

    #[test]
    fn what_is_written_is_taken_apart_and_checks() {
        let (key, _) = SigningKey::generate().unwrap();
        let header = EncodedHeader::es256("at+jwt", key.kid());
        // Each remainder by three, and claims around the room that is kept for them.
        for len in [0, 1, 2, 3, 540, 550, 575, 576, 577, 1024, 4000] {
            let claims = serde_json::json!({"a": "x".repeat(len), "b": [1, "ü", null]});
            let signed = sign_es256(&key, &header, &claims).unwrap();
            let compact = Compact::parse(signed.text().expose()).unwrap();
            assert_eq!(compact.header.alg, Alg::Es256);
            assert_eq!(compact.header.typ.as_deref(), Some("at+jwt"));
            assert_eq!(compact.header.kid.as_deref(), Some(key.kid().as_str()));
            assert_eq!(Value::Object(compact.claims().unwrap()), claims);
            let set =
                JwkSet::parse(serde_json::json!({"keys": [key.public().to_jwk()]}).to_string().as_bytes()).unwrap();
            verify(&compact, set.find(compact.header.kid.as_deref(), Alg::Es256).unwrap()).unwrap();
        }
    }
}
