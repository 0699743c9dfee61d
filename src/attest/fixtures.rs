//! Clients with keys, and assertions crafted by hand, good and bad.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as B64};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use serde_json::{Value, json};

use super::{Attestor, Bounds, Issuers};
use crate::fetch::foreign::{ForeignFetch, ForeignOptions, Origin};
use crate::model::UnixTime;
use crate::policy::PolicySet;

pub(super) const NOW: u64 = 1_795_564_800;
pub(super) const ISSUER: &str = "https://broker.example.com";
pub(super) const AUDIENCE: &str = "https://api.example.com";

/// A private key that can sign, whatever an assertion's header says it is.
pub(super) enum Key {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Key {
    pub(super) fn ec() -> Self {
        let rng = SystemRandom::new();
        let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(alg, &rng).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(alg, pkcs8.as_ref(), &rng).unwrap())
    }

    pub(super) fn ed() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    /// Always the same, for ring makes none.
    pub(super) fn rsa() -> Self {
        let pkcs8 = STANDARD.decode(RSA.replace('\n', "")).unwrap();
        Self::Rsa(Box::new(RsaKeyPair::from_pkcs8(&pkcs8).unwrap()))
    }

    pub(super) fn jwk(&self, kid: Option<&str>) -> Value {
        let mut jwk = match self {
            Self::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": B64.encode(&point[1..33]), "y": B64.encode(&point[33..])})
            }
            Self::Ed(key) => json!({"kty": "OKP", "crv": "Ed25519", "x": B64.encode(key.public_key().as_ref())}),
            Self::Rsa(key) => {
                let parts = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key.public_key());
                json!({"kty": "RSA", "n": B64.encode(parts.n), "e": B64.encode(parts.e)})
            }
        };
        if let Some(kid) = kid {
            jwk["kid"] = kid.into();
        }
        jwk
    }

    fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        match self {
            Self::Ec(key) => key.sign(&rng, message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let padding: &dyn ring::signature::RsaEncoding =
                    if alg == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                key.sign(padding, &rng, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// A compact JWS of two texts as they are.
    pub(super) fn jws(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", B64.encode(header), B64.encode(payload));
        let alg = serde_json::from_str::<Value>(header).map(|header| header["alg"].clone()).unwrap_or_default();
        let signature = self.sign(alg.as_str().unwrap_or_default(), input.as_bytes());
        format!("{input}.{}", B64.encode(signature))
    }
}

/// The clients of the tests and their keys.
pub(super) struct World {
    pub(super) ec: Key,
    pub(super) ed: Key,
    pub(super) rsa: Key,
    /// Nobody's.
    pub(super) stranger: Key,
    pub(super) set: PolicySet,
}

impl World {
    /// `alpha` has three keys with a `kid`, `one` a single key without, `twins` two alike without; the audience has one.
    pub(super) fn new() -> Self {
        let (ec, ed, rsa, stranger) = (Key::ec(), Key::ed(), Key::rsa(), Key::ec());
        let clients = [
            ("workloads/alpha.toml", vec![ec.jwk(Some("ec")), ed.jwk(Some("ed")), rsa.jwk(Some("rsa"))]),
            ("workloads/one.toml", vec![ec.jwk(None)]),
            ("workloads/twins.toml", vec![ec.jwk(None), Key::ec().jwk(None)]),
            ("audiences/api.toml", vec![ec.jwk(Some("api"))]),
        ];
        let mut files = Vec::new();
        for (file, keys) in clients {
            let jwks = file.replace(".toml", ".jwks.json");
            let name = jwks.rsplit('/').next().unwrap();
            let mut text = String::from("owner = \"team@example.com\"\npurpose = \"Tests\"\n");
            if file.starts_with("audiences") {
                text = format!("id = \"{AUDIENCE}\"\n{text}[scopes]\n\"orders:read\" = \"Read\"\n");
            } else {
                text.push_str("expires = 2027-06-30\n");
            }
            text.push_str(&format!("[[identity]]\ntype = \"private_key_jwt\"\njwks_file = \"{name}\"\n"));
            files.push((file.to_owned(), text));
            files.push((jwks, json!({"keys": keys}).to_string()));
        }
        let set =
            PolicySet::from_sources(files, UnixTime::from_secs(NOW)).unwrap_or_else(|findings| panic!("{findings}")).0;
        Self { ec, ed, rsa, stranger, set }
    }
}

/// An attestor that asks nobody for keys.
pub(super) fn attestor(accept_endpoint_audience: bool) -> Attestor {
    let issuers = issuers(&[], Bounds::default());
    Attestor::new(ISSUER, accept_endpoint_audience, Attestor::SKEW, issuers).unwrap()
}

/// Issuers of which these may be asked on this machine.
pub(super) fn issuers(allow: &[&str], bounds: Bounds) -> Arc<Issuers> {
    let allow = allow.iter().map(|url| Origin::parse(url).unwrap()).collect();
    let options = ForeignOptions { timeout: Duration::from_secs(5), max_body: 256 << 10, allow, ca_pem: None };
    Arc::new(Issuers::new(ForeignFetch::new(options), bounds, Arc::default()))
}

/// `over` laid upon `base`; null removes.
pub(super) fn with(mut base: Value, over: &Value) -> Value {
    for (name, value) in over.as_object().unwrap() {
        match value {
            Value::Null => drop(base.as_object_mut().unwrap().remove(name)),
            value => base[name] = value.clone(),
        }
    }
    base
}

/// Good claims of `client`.
pub(super) fn claims(client: &str) -> Value {
    json!({"iss": client, "sub": client, "aud": ISSUER, "iat": NOW, "exp": NOW + 60, "jti": "j-1"})
}

/// A PKCS#8 key of 2048 bits, made for these tests alone.
const RSA: &str = "\
MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQDOtx1V2bXyndUvAqnCScnigU3NI2igJxtljTwSsQ+Munhu6MoLLha/Z9FBEziR7Fpu\n\
ROKMPEO/I7Gu9+MB+ZUokIWNOluV4ZKVa3gEP/eRsjfst/a8b/O9S5QnqAjOzORoUhmF0IGWLpNaM1agBSjezbe8aopHesXIDDlLF/ibvAg6+J5oZGph\n\
uMfemFTCTbhzbLCqyQnaDSggNAf+C3Nj3cjz8VmLAuXk2S4IEZQvcYWAWSiC8cQSKvuEJjkM92VwR+sp91jDout8ljdS6nLdMeICSEAQweJ6zY5s1lJn\n\
LSKHwBN6vAAlBHkKUldM7ynKdrEhaGNXHVns5zL6C4nBAgMBAAECggEABK9EvfSst2NzPLUYBjkiTxjCg9V3cDB1sgRgd/0ZMNWLn9oUxNpH8cFVVjbs\n\
hG5ThfHnw1FE8OWi99/aVjHHAw3sKGVKBL5xijNG42wEkRG9m6bHQ7nK55N5P3ky7qaZHyn75gbpvmbGoCvXXOHUDWFSrn14vfYk2f/Yqyx3TeZrdLfw\n\
Ah5YTtYoG4+AMv62GNHQnLimEhPJN3zyjt9c1KweIuqw4Uittfn/ZFIOKhoeKJVc+8y/+Hb9Uu/a67RJ/ep6uvfB8ttQDEAsWX+75WTtovoZbKK3DW7J\n\
M067kT8GqM2ULU3t7DA+rowEV5r66JqScOzSQxXntWuZ2+rjYQKBgQDzy6R3xRsuPzFLS20gpoqFaq8I8nw5G+R0g+rULqfy8DT3m1LHjaFyKMkorehS\n\
imYKn8AQJdLzaRm5ptaHH6/6dP7/6rWaPUekRsVuEVyAgs5vYVo3DL44skYhbNUPUvYmNObteZwqfZroOdxTTA/WgqmVxrKSRPSrw72b2hxboQKBgQDZ\n\
EEWCX/sxbX9/Vp96dKocGU74g+eQr7R80NWbf0uuKmcAeKkenJ1NKagCqzV1kGuLedOxcyX0NiDVX4/DlYUMOIck/N2wm7IQd8x4c6Zdf8CA5Fv+iUxw\n\
XZlQCY5IoA6PjC2HsOF8RefVswW2PuEJKOW1qi3f3gb/MRYbphl6IQKBgEnKDVGi+wMYZVcg0TrcrXiMPcY7fpXad188vkrShErnoWCARqHXoFHpPllt\n\
qa+x7AizKXK5wAukeADVGoFzedQYrUXQSH8SpSh3szIJVzIeZVUY5jFbTgfjDY74XdRxi8cso+iksju6ILTBLoqXrwOCMMoAhfP3owaKDE2ryoGBAoGA\n\
QsPMfYOEQfnKI6LDPukvgaEPN0VrLoe83j9l1IRdBN8p+20hp7bIc3mCof+DW/vl+GqqgIRIgks74iWYlLIi0FV6zBezIKVjKcmPbOU1oMCwt3SGD06v\n\
4kgH5iRqTVBd6i1Vu8zeLllaK9L6yMmicizQKwaDQb6LLGcuw6ZdY8ECgYAy96S7hq2NZTS2TveXFT/0Nf6cW1JGVw2I20TyUuRibr73URNOCmZo08Ft\n\
bDX+1hflu8HPGOKa1UVICX6pBZqhW+9uMIEgvXA/IxH+2ECf46JH4IaeV7VEEl9Su4QXlsMxjHRCf0jQfQOGF8lHv6lU/VdO7p80h4yo88K5T/YsbA==";
