//! ring as the cryptography of the `jsonwebtoken` crate, checking only, without an arm for shared secrets.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: no_signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// Makes ring the provider of `jsonwebtoken` in this process. The first provider stays: another's is not replaced.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // A failure means that the embedding program chose a provider before; verifying then goes through that one.
        let _ = PROVIDER.install_default();
    });
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

fn verifier(alg: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let key = match (alg, key.kind()) {
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => Key::Plain(&ECDSA_P256_SHA256_FIXED, point.clone()),
        (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(x)) => Key::Plain(&ED25519, x.clone()),
        (Algorithm::RS256 | Algorithm::PS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            Key::Rsa(RsaPublicKeyComponents { n: n.clone(), e: e.clone() })
        }
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    };
    Ok(Box::new(Verifier { alg: *alg, key }))
}

enum Key {
    Plain(&'static dyn VerificationAlgorithm, Vec<u8>),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

struct Verifier {
    alg: Algorithm,
    key: Key,
}

impl signature::Verifier<Vec<u8>> for Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let outcome = match (&self.key, self.alg) {
            (Key::Plain(alg, key), _) => UnparsedPublicKey::new(*alg, key).verify(message, signature),
            (Key::Rsa(key), Algorithm::RS256) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            (Key::Rsa(key), _) => key.verify(&RSA_PSS_2048_8192_SHA256, message, signature),
        };
        outcome.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Verifier {
    fn algorithm(&self) -> Algorithm {
        self.alg
    }
}
