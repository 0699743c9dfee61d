//! Private keys that sign whatever they are told to, whatever a header says they are.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as B64};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use serde_json::{Value, json};

/// A private key, with its PKCS#8 form for `JITNEY_KEY_FILE`.
pub struct Key {
    pair: Pair,
    pkcs8: Vec<u8>,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// The P-256 key of a party, the same for as long as the test's process runs.
pub fn key_of(party: &str) -> &'static Key {
    static KEYS: LazyLock<Mutex<HashMap<String, &'static Key>>> = LazyLock::new(Mutex::default);
    KEYS.lock().unwrap().entry(party.to_owned()).or_insert_with(|| Box::leak(Box::new(Key::ec())))
}

impl Key {
    /// P-256, for ES256.
    pub fn ec() -> Self {
        let (rng, alg) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(alg, &rng).unwrap().as_ref().to_vec();
        Self { pair: Pair::Ec(EcdsaKeyPair::from_pkcs8(alg, &pkcs8, &rng).unwrap()), pkcs8 }
    }

    /// Ed25519, for EdDSA.
    pub fn ed() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec();
        Self { pair: Pair::Ed(Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap()), pkcs8 }
    }

    /// The P-256 key of a file in PEM.
    pub fn from_pem(pem: &str) -> Self {
        let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let (rng, alg) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = STANDARD.decode(text).unwrap();
        Self { pair: Pair::Ec(EcdsaKeyPair::from_pkcs8(alg, &pkcs8, &rng).unwrap()), pkcs8 }
    }

    /// RSA of 2048 bits, always the same, for ring makes none.
    pub fn rsa() -> Self {
        let text: String = include_str!("rsa.pem").lines().filter(|line| !line.starts_with('-')).collect();
        let pkcs8 = STANDARD.decode(text).unwrap();
        Self { pair: Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(&pkcs8).unwrap())), pkcs8 }
    }

    /// The algorithm it signs with, unless told otherwise.
    pub const fn alg(&self) -> &'static str {
        match self.pair {
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
            Pair::Rsa(_) => "RS256",
        }
    }

    /// A signature; an RSA key takes `PS256` where it is asked to.
    pub fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        match &self.pair {
            Pair::Ec(key) => key.sign(&rng, message).unwrap().as_ref().to_vec(),
            Pair::Ed(key) => key.sign(message).as_ref().to_vec(),
            Pair::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                match alg {
                    "PS256" => key.sign(&RSA_PSS_SHA256, &rng, message, &mut signature).unwrap(),
                    _ => key.sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature).unwrap(),
                }
                signature
            }
        }
    }

    /// The public half: the point, `x`, or the modulus.
    pub fn public(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Ec(key) => key.public_key().as_ref().to_vec(),
            Pair::Ed(key) => key.public_key().as_ref().to_vec(),
            Pair::Rsa(key) => ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key.public_key()).n,
        }
    }

    /// The public half as a JWK, with a `kid` where one is given.
    pub fn jwk(&self, kid: Option<&str>) -> Value {
        let mut jwk = match &self.pair {
            Pair::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": B64.encode(&point[1..33]), "y": B64.encode(&point[33..])})
            }
            Pair::Ed(key) => json!({"kty": "OKP", "crv": "Ed25519", "x": B64.encode(key.public_key().as_ref())}),
            Pair::Rsa(key) => {
                let parts = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key.public_key());
                json!({"kty": "RSA", "n": B64.encode(parts.n), "e": B64.encode(parts.e)})
            }
        };
        if let Some(kid) = kid {
            jwk["kid"] = kid.into();
        }
        jwk
    }

    /// A JWK set of this key alone, without `kid`.
    pub fn jwks(&self) -> String {
        json!({ "keys": [self.jwk(None)] }).to_string()
    }

    /// The private half, PKCS#8 in PEM.
    pub fn pem(&self) -> String {
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(&self.pkcs8))
    }
}
