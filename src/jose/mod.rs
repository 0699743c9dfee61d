//! JSON Web Signatures and Keys, compact and public only: RFC 7515, 7517, 7518, 7638, 8037, under the rules of RFC 8725.
//!
//! Owns parsing, signing and checking of bytes. Never looks at what claims mean, at leases or at HTTP; the algorithm is
//! the caller's choice and never the token's alone.

mod assertion;
mod der;
pub mod es256;
mod foreign;
pub mod json;
mod jwk;
mod jws;
mod object;
mod pem;
mod provider;
mod sign;
mod strength;
#[cfg(test)]
mod wycheproof_tests;

pub use assertion::{AssertionKey, sign_assertion};
pub use foreign::{ForeignKey, verify};
pub use jwk::{Jwk, JwkSet};
pub use jws::{Compact, Header, Segments};
pub use object::{Json, Object};
pub use sign::{EncodedHeader, Signed, sign_es256};

/// The signature algorithms that jitney checks (RFC 7518 §3.1, RFC 8037 §3.1). Access tokens are ES256 alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alg {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
}

impl Alg {
    /// All of them, as metadata publishes them.
    pub const ALL: [Self; 4] = [Self::Es256, Self::EdDsa, Self::Rs256, Self::Ps256];

    /// Every name that one of them goes by. RFC 9864 §2.2 gives EdDSA on this curve the second one, and there are clients
    /// that write no other.
    const NAMES: [(&'static str, Self); 5] = [
        ("ES256", Self::Es256),
        ("EdDSA", Self::EdDsa),
        ("Ed25519", Self::EdDsa),
        ("RS256", Self::Rs256),
        ("PS256", Self::Ps256),
    ];

    /// The name in the `alg` header of what is signed here.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }

    /// From the `alg` header, letter by letter (RFC 7515 §4.1.1: case-sensitive).
    pub fn parse(raw: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(name, _)| *name == raw).map(|(_, alg)| alg)
    }
}

/// What is wrong with bytes that should have been a JWS, a JWK or a key. Never carries key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoseError {
    /// Not three segments of canonical base64url, or too long.
    #[error("not a compact JWS: {0}")]
    Form(&'static str),
    /// The header or payload is not the JSON it should be.
    #[error("{0}")]
    Json(#[from] json::JsonError),
    /// A header parameter is missing, malformed or one that is not accepted.
    #[error("header: {0}")]
    Header(String),
    /// An algorithm outside the four, or another than the key's.
    #[error("the algorithm is not accepted: use one of ES256, EdDSA, RS256, PS256, and the key's own")]
    Algorithm,
    /// A JWK or JWK set that is not one, or holds what it must not.
    #[error("JWK: {0}")]
    Jwk(String),
    /// A private key that cannot be used.
    #[error("private key: {0}")]
    PrivateKey(String),
    /// The signature does not fit.
    #[error("the signature does not fit")]
    Signature,
    /// The system has no randomness to give, or signing failed.
    #[error("signing failed")]
    Signing,
}
