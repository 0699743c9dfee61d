//! Tokens that every verifier must refuse, each made from a good one: forged by somebody, or by jitney's own key and yet not
//! meant to be taken, which shows that the claims are read and not only the signature.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as B64};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use super::world::World;
use crate::common::{Key, Token};

/// The key that signed a good token: as a JWK and as PEM, as everybody has it, and the private half from the broker's folder.
pub struct SignedBy {
    pub jwk: Value,
    pub pem: String,
    pub private: EcdsaKeyPair,
}

impl SignedBy {
    /// The key of this token.
    pub fn find(world: &World, token: &Token) -> Self {
        let find = |document: Value| {
            let keys = document["keys"].as_array().unwrap().clone();
            keys.into_iter().find(|key| key["kid"] == token.kid()).unwrap()
        };
        let jwk = find(world.broker.get("/oauth2/jwks").expect(200).json());
        let pem = find(world.broker.operator_sees("/admin/v1/keys"))["pem"].as_str().unwrap().to_owned();
        let text = std::fs::read_to_string(world.broker.data().join(format!("keys/{}.pem", token.kid()))).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let (pkcs8, rng) = (STANDARD.decode(body).unwrap(), SystemRandom::new());
        let private = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &rng).unwrap();
        Self { jwk, pem, private }
    }

    /// A token as the broker would sign it.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let sign = |message: &[u8]| self.private.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
        signed(header, claims, sign)
    }
}

/// What is wrong with each, and the token.
pub fn forged(good: &Token, key: &SignedBy) -> Vec<(&'static str, String)> {
    let mut all = by_others(good, &key.jwk, &key.pem);
    all.extend(by_the_key_itself(good, key));
    all
}

fn by_the_key_itself(good: &Token, key: &SignedBy) -> Vec<(&'static str, String)> {
    let again = key.sign(&good.header, &good.claims);
    assert_ne!(again, good.text, "it is signed anew");
    let with_claim = |name, value: &str| key.sign(&good.header, &with(&good.claims, name, value));
    let with_header = |name, value: &str| key.sign(&with(&good.header, name, value), &good.claims);
    let mut untyped = good.header.clone();
    untyped.as_object_mut().unwrap().remove("typ");
    vec![
        ("of-another-type", with_header("typ", "JWT")),
        ("of-the-feed-s-type", with_header("typ", "revocations+jwt")),
        ("of-no-type", key.sign(&untyped, &good.claims)),
        ("of-another-issuer", with_claim("iss", "https://evil.example.com")),
        ("of-a-longer-issuer", with_claim("iss", &format!("{}/", good.claim("iss")))),
        ("for-a-longer-audience", with_claim("aud", &format!("{}.evil.example.com", good.claim("aud")))),
        ("for-no-audience", with_claim("aud", "")),
    ]
}

fn by_others(good: &Token, jwk: &Value, pem: &str) -> Vec<(&'static str, String)> {
    let (thief, signature) = (Key::ec(), good.text.rsplit('.').next().unwrap());
    let by_thief = |header: &Value| signed(header, &good.claims, |message| thief.sign("ES256", message));
    let by_secret = |secret: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        signed(&with(&good.header, "alg", "HS256"), &good.claims, |message| hmac::sign(&key, message).as_ref().to_vec())
    };
    let kept = |header: &Value, claims: &Value| format!("{}.{signature}", message(header, claims));
    let none = |spelling: &str| with(&good.header, "alg", spelling);
    let mut embedded = with(&good.header, "kid", "thief");
    embedded["jwk"] = thief.jwk(Some("thief"));
    vec![
        ("tampered-signature", tampered(&good.text)),
        ("tampered-scope", kept(&good.header, &with(&good.claims, "scope", "orders:read orders:purge"))),
        ("tampered-subject", kept(&good.header, &with(&good.claims, "sub", "other"))),
        ("tampered-expiry", kept(&good.header, &with(&good.claims, "exp", good.number("exp") + 3600))),
        ("no-signature", format!("{}.", message(&good.header, &good.claims))),
        ("alg-none", format!("{}.", message(&none("none"), &good.claims))),
        ("alg-none-in-capitals", format!("{}.", message(&none("NONE"), &good.claims))),
        ("alg-none-with-a-signature", kept(&none("none"), &good.claims)),
        ("hmac-by-the-public-pem", by_secret(pem.as_bytes())),
        ("hmac-by-the-public-jwk", by_secret(jwk.to_string().as_bytes())),
        ("another-key-under-the-same-kid", by_thief(&good.header)),
        ("another-key-under-its-own-kid", by_thief(&with(&good.header, "kid", "thief"))),
        ("another-key-in-the-header", by_thief(&embedded)),
    ]
}

/// With one character in the middle of the signature changed.
fn tampered(token: &str) -> String {
    let at = token.len() - 40;
    let other = if &token[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

fn with(object: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut object = object.clone();
    object[name] = value.into();
    object
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()))
}

fn signed(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = message(header, claims);
    let signature = B64.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

#[test]
fn what_is_forged_differs_from_the_good_one_where_it_should() {
    let key = Key::ec();
    let claims = json!({"scope": "orders:read", "sub": "demo", "exp": 1_900_000_000});
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k"});
    let good = signed(&header, &claims, |message| key.sign("ES256", message));
    let all = by_others(&Token::read(&good), &key.jwk(None), "pem");
    for (name, token) in &all {
        assert_ne!(*token, good, "{name}");
        assert_eq!(token.split('.').count(), 3, "{name}");
    }
    let unsigned = all.iter().filter(|(_, token)| token.ends_with('.')).count();
    assert_eq!(unsigned, 3);
}
