//! ES256 with keys that are read once and kept (RFC 7518 §3.4): what signs and checks jitney's own tokens.

use std::fmt;

use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde_json::{Value, json};

use crate::model::{KeyId, Secret};

use super::{JoseError, der, jws};

/// A private P-256 key, kept ready to sign. Its name is its RFC 7638 thumbprint.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: VerifyingKey,
    rng: SystemRandom,
}

impl SigningKey {
    /// Makes a key. Beside it comes its PKCS#8 form as PEM, the only time it is told.
    ///
    /// # Errors
    /// [`JoseError::Signing`] where the system has no randomness.
    pub fn generate() -> Result<(Self, Secret<String>), JoseError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| JoseError::Signing)?;
        let pem = Secret::new(der::to_pem("PRIVATE KEY", document.as_ref()));
        Ok((Self::from_pkcs8_der(document.as_ref())?, pem))
    }

    /// Reads a PKCS#8 key.
    ///
    /// # Errors
    /// [`JoseError::PrivateKey`].
    pub fn from_pkcs8_der(bytes: &[u8]) -> Result<Self, JoseError> {
        let rng = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes, &rng)
            .map_err(|error| JoseError::PrivateKey(format!("not a PKCS#8 key on P-256 ({error})")))?;
        let public = VerifyingKey::from_point(pair.public_key().as_ref())?;
        Ok(Self { pair, public, rng })
    }

    /// Reads a PKCS#8 key in PEM (`BEGIN PRIVATE KEY`).
    ///
    /// # Errors
    /// [`JoseError::PrivateKey`] with the mend.
    pub fn from_pkcs8_pem(text: &str) -> Result<Self, JoseError> {
        Self::from_pkcs8_der(&super::pem::pkcs8(text)?)
    }

    /// Its name.
    pub const fn kid(&self) -> &KeyId {
        self.public.kid()
    }

    /// Its public half.
    pub const fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs; `r` and `s`, 32 bytes each (RFC 7518 §3.4).
    ///
    /// # Errors
    /// [`JoseError::Signing`] where the system has no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], JoseError> {
        let signature = self.pair.sign(&self.rng, message).map_err(|_| JoseError::Signing)?;
        signature.as_ref().try_into().map_err(|_| JoseError::Signing)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, redacted)", self.kid())
    }
}

/// A public P-256 key, kept ready to check.
#[derive(Clone)]
pub struct VerifyingKey {
    point: [u8; 65],
    kid: KeyId,
}

impl VerifyingKey {
    /// From an uncompressed SEC1 point, 65 bytes. Whether it lies on the curve shows at the first check.
    ///
    /// # Errors
    /// [`JoseError::Jwk`] where it is no such point.
    pub fn from_point(bytes: &[u8]) -> Result<Self, JoseError> {
        let point: [u8; 65] = bytes
            .try_into()
            .ok()
            .filter(|point: &[u8; 65]| point[0] == 4)
            .ok_or_else(|| JoseError::Jwk("a P-256 key is an uncompressed point of 65 bytes".into()))?;
        let kid = KeyId::parse(&thumbprint(&point)).map_err(|error| JoseError::Jwk(error.to_string()))?;
        Ok(Self { point, kid })
    }

    /// From the same in base64url.
    ///
    /// # Errors
    /// [`JoseError::Form`], [`JoseError::Jwk`].
    pub fn from_base64url(text: &str) -> Result<Self, JoseError> {
        Self::from_point(&jws::decode(text)?)
    }

    /// The point.
    pub const fn point(&self) -> &[u8; 65] {
        &self.point
    }

    /// The point in base64url.
    pub fn to_base64url(&self) -> String {
        jws::encode(&self.point)
    }

    /// Its RFC 7638 thumbprint.
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// Checks a signature of 64 bytes over `message`.
    ///
    /// # Errors
    /// [`JoseError::Signature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), JoseError> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point)
            .verify(message, signature)
            .map_err(|_| JoseError::Signature)
    }

    /// As a JWK with `kid`, `use` and `alg` (RFC 7517 §4).
    pub fn to_jwk(&self) -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "x": jws::encode(&self.point[1..33]), "y": jws::encode(&self.point[33..]),
            "kid": self.kid.as_str(), "use": "sig", "alg": "ES256",
        })
    }

    /// As SubjectPublicKeyInfo in PEM (`BEGIN PUBLIC KEY`).
    pub fn to_pem(&self) -> String {
        der::to_pem("PUBLIC KEY", &der::p256_spki(&self.point))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.kid)
    }
}

/// RFC 7638 §3: SHA-256 over the required members in lexical order, base64url.
fn thumbprint(point: &[u8; 65]) -> String {
    let (x, y) = (jws::encode(&point[1..33]), jws::encode(&point[33..]));
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    jws::encode(digest(&SHA256, members.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_signs_checks_and_what_was_changed_does_not() {
        let (key, pem) = SigningKey::generate().unwrap();
        let signature = key.sign(b"message").unwrap();
        key.public().verify(b"message", &signature).unwrap();
        assert_eq!(key.public().verify(b"messagf", &signature), Err(JoseError::Signature));
        let zero_r = [&[0; 32], &signature[32..]].concat();
        let zero_s = [&signature[..32], &[0; 32]].concat();
        // The order of the group: as `r` it is zero in another spelling.
        let order = jws::decode("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE").unwrap();
        let r_is_order = [&order, &signature[32..]].concat();
        let longer = [&signature[..], &[0]].concat();
        for bad in [&zero_r, &zero_s, &r_is_order, &longer, &signature[..63].to_vec(), &vec![0; 64], &Vec::new()] {
            assert_eq!(key.public().verify(b"message", bad), Err(JoseError::Signature));
        }
        let mut beside = *key.public().point();
        beside[64] ^= 1;
        let beside = VerifyingKey::from_point(&beside).unwrap();
        assert_eq!(beside.verify(b"message", &signature), Err(JoseError::Signature), "a point beside the curve");
        let again = SigningKey::from_pkcs8_pem(pem.expose()).unwrap();
        assert_eq!(again.kid(), key.kid());
        assert!(!format!("{key:?}{pem:?}").contains(&pem.expose()[40..60]));
    }

    #[test]
    fn a_public_key_tells_itself_in_each_form() {
        let (key, _) = SigningKey::generate().unwrap();
        let again = VerifyingKey::from_base64url(&key.public().to_base64url()).unwrap();
        assert_eq!(again.kid(), key.kid());
        assert!(again.to_pem().starts_with("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"));
        assert_eq!(again.to_jwk()["kid"], key.kid().as_str());
    }

    #[test]
    fn rfc_7515_a_3_checks() {
        let mut point = vec![4];
        point.extend(jws::decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU").unwrap());
        point.extend(jws::decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0").unwrap());
        let key = VerifyingKey::from_point(&point).unwrap();
        let input = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        key.verify(input.as_bytes(), &jws::decode(signature).unwrap()).unwrap();
    }
}
