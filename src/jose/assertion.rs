//! What a client signs with: its private key from a PKCS#8 file, and the assertion made with it (RFC 7523 §3).

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Serialize;

use crate::model::Secret;

use super::es256::SigningKey;
use super::{Alg, JoseError, jws, pem};

/// A workload's or audience's private key. Its memory is ring's own; the bytes it was read from are overwritten.
pub struct AssertionKey(Kind);

enum Kind {
    Es256(Box<SigningKey>),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>),
}

impl AssertionKey {
    /// Reads a PKCS#8 key in PEM: P-256, Ed25519, or RSA of 2048 bits or more.
    ///
    /// # Errors
    /// [`JoseError::PrivateKey`] with the mend.
    pub fn from_pem(text: &str) -> Result<Self, JoseError> {
        let bytes = pem::pkcs8(text)?;
        if let Ok(key) = SigningKey::from_pkcs8_der(&bytes) {
            return Ok(Self(Kind::Es256(Box::new(key))));
        }
        // OpenSSL writes Ed25519 keys without the public half (RFC 8410 §7 allows it): ring calls those unchecked.
        if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes) {
            return Ok(Self(Kind::EdDsa(key)));
        }
        RsaKeyPair::from_pkcs8(&bytes).map(|key| Self(Kind::Rs256(Box::new(key)))).map_err(|error| {
            JoseError::PrivateKey(format!("a P-256, Ed25519 or RSA key of 2048 bits or more is needed ({error})"))
        })
    }

    /// The algorithm it signs with.
    pub const fn alg(&self) -> Alg {
        match &self.0 {
            Kind::Es256(_) => Alg::Es256,
            Kind::EdDsa(_) => Alg::EdDsa,
            Kind::Rs256(_) => Alg::Rs256,
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, JoseError> {
        match &self.0 {
            Kind::Es256(key) => key.sign(message).map(|signature| signature.to_vec()),
            Kind::EdDsa(key) => Ok(key.sign(message).as_ref().to_vec()),
            Kind::Rs256(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| JoseError::Signing)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssertionKey({}, redacted)", self.alg().as_str())
    }
}

/// Signs claims as a compact JWS of type `JWT`, without `kid`: the broker finds the one key that fits.
///
/// # Errors
/// [`JoseError::Signing`].
pub fn sign_assertion<T: Serialize>(key: &AssertionKey, claims: &T) -> Result<Secret<String>, JoseError> {
    let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, key.alg().as_str());
    let claims = serde_json::to_vec(claims).map_err(|_| JoseError::Signing)?;
    let mut text = format!("{}.{}", jws::encode(header.as_bytes()), jws::encode(&claims));
    let signature = key.sign(text.as_bytes())?;
    text.push('.');
    text.push_str(&jws::encode(&signature));
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::super::{Compact, JwkSet, verify};
    use super::*;

    #[test]
    fn an_assertion_checks_against_its_public_half() {
        let (key, pem) = SigningKey::generate().unwrap();
        let set = format!(r#"{{"keys":[{}]}}"#, key.public().to_jwk());
        let set = JwkSet::parse(set.as_bytes()).unwrap();
        let key = AssertionKey::from_pem(pem.expose()).unwrap();
        let text = sign_assertion(&key, &serde_json::json!({"iss": "w"})).unwrap();
        let compact = Compact::parse(text.expose()).unwrap();
        verify(&compact, set.find(None, Alg::Es256).unwrap()).unwrap();
        assert!(!format!("{key:?}").contains("PRIVATE"));
    }

    #[test]
    fn keys_as_openssl_writes_them_sign_what_their_public_halves_check() {
        let set = JwkSet::parse(include_bytes!("testdata/public.jwks.json")).unwrap();
        for (pem, alg) in [
            (include_str!("testdata/p256.pem"), Alg::Es256),
            (include_str!("testdata/ed25519.pem"), Alg::EdDsa),
            (include_str!("testdata/rsa.pem"), Alg::Rs256),
        ] {
            let key = AssertionKey::from_pem(pem).unwrap();
            assert_eq!(key.alg(), alg);
            let text = sign_assertion(&key, &serde_json::json!({"iss": "w"})).unwrap();
            let compact = Compact::parse(text.expose()).unwrap();
            verify(&compact, set.find(None, alg).unwrap()).unwrap();
            let bent = text.expose().replacen("eyJpc3MiOiJ3In0", "eyJpc3MiOiJ4In0", 1);
            assert_ne!(bent, *text.expose());
            assert_eq!(
                verify(&Compact::parse(&bent).unwrap(), set.find(None, alg).unwrap()),
                Err(JoseError::Signature)
            );
            for other in Alg::ALL.into_iter().filter(|other| *other != alg).filter_map(|other| set.find(None, other)) {
                assert_eq!(verify(&compact, other), Err(JoseError::Algorithm));
            }
        }
    }

    #[test]
    fn another_block_is_refused_with_the_mend() {
        for (label, mend) in [
            ("EC PRIVATE KEY", "-topk8"),
            ("EC PARAMETERS", "-topk8"),
            ("PUBLIC KEY", "public half"),
            ("ENCRYPTED PRIVATE KEY", "openssl"),
        ] {
            let text = format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
            let error = AssertionKey::from_pem(&text).unwrap_err().to_string();
            assert!(error.contains(mend), "{error}");
        }
        assert!(AssertionKey::from_pem("hello").unwrap_err().to_string().contains("PKCS#8"));
        assert!(AssertionKey::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").is_err());
    }
}
