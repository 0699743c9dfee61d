//! Checking signatures that others made: assertions of workloads and platforms, through `jsonwebtoken` on ring.

use jsonwebtoken::{Algorithm, DecodingKey};

use super::{Alg, Compact, JoseError, Jwk, provider};

/// A foreign public key as `jsonwebtoken` wants it, made once when its JWK is read.
#[derive(Clone)]
pub struct ForeignKey(DecodingKey);

impl ForeignKey {
    /// From an uncompressed P-256 point.
    pub(super) fn p256(point: &[u8]) -> Self {
        provider::install();
        Self(DecodingKey::from_ec_der(point))
    }

    /// From an Ed25519 public key of 32 bytes.
    pub(super) fn ed25519(x: &[u8]) -> Self {
        provider::install();
        Self(DecodingKey::from_ed_der(x))
    }

    /// From an RSA modulus and exponent, big-endian.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Self {
        provider::install();
        Self(DecodingKey::from_rsa_raw_components(n, e))
    }
}

/// Checks the signature of `compact` by `key`, with the algorithm its header names, if that is one of the key's.
///
/// # Errors
/// [`JoseError::Algorithm`] where the key does not serve that algorithm, [`JoseError::Signature`] where it does not fit.
pub fn verify(compact: &Compact<'_>, key: &Jwk) -> Result<(), JoseError> {
    verify_bytes(compact.header.alg, compact.signing_input.as_bytes(), compact.signature, key)
}

/// The same for any message, with the signature in base64url.
pub(super) fn verify_bytes(alg: Alg, message: &[u8], signature: &str, key: &Jwk) -> Result<(), JoseError> {
    if !key.serves(alg) {
        return Err(JoseError::Algorithm);
    }
    let name = match alg {
        Alg::Es256 => Algorithm::ES256,
        Alg::EdDsa => Algorithm::EdDSA,
        Alg::Rs256 => Algorithm::RS256,
        Alg::Ps256 => Algorithm::PS256,
    };
    match jsonwebtoken::crypto::verify(signature, message, &key.foreign().0, name) {
        Ok(true) => Ok(()),
        _ => Err(JoseError::Signature),
    }
}
