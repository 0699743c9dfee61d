//! What a row is crafted from: a good assertion or a good token, in its parts, with the key that may sign it.

use serde_json::{Map, Value, json};

use crate::common::{Assertion, Key, Token, base64url, from_base64url, key_of, key_of_kind};

/// What it is meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Assertion,
    Token,
}

/// A good one.
pub struct Good<'a> {
    pub side: Side,
    pub header: Value,
    pub claims: Value,
    /// Whole and signed.
    pub text: String,
    /// The key that must sign it.
    pub key: &'a Key,
    /// The key that must sign on the other side: the broker's for an assertion, the client's for a token.
    pub other_key: &'a Key,
    /// A good one of the other side.
    pub other: &'a str,
    /// A snapshot of the broker's feed of revocations.
    pub snapshot: &'a str,
}

impl<'a> Good<'a> {
    /// An assertion of this client, good for one use, under the name of one of its keys where it has several.
    pub fn assertion(client: &str, kid: Option<&str>, scene: &Scene<'a>) -> Self {
        let key = kid.map_or_else(|| key_of(client), key_of_kind);
        let assertion = Assertion::of(client);
        let claims = serde_json::from_str(&assertion.claims_text()).unwrap();
        let mut header = json!({"alg": key.alg()});
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        let text = raw(&header.to_string(), &claims, key);
        let (other_key, other, snapshot) = (scene.broker_key, &*scene.token.text, scene.snapshot);
        Self { side: Side::Assertion, header, claims, text, key, other_key, other, snapshot }
    }

    /// The token of the scene.
    pub fn token(scene: &Scene<'a>) -> Self {
        Self {
            side: Side::Token,
            header: scene.token.header.clone(),
            claims: scene.token.claims.clone(),
            text: scene.token.text.clone(),
            key: scene.broker_key,
            other_key: scene.client_key,
            other: scene.assertion,
            snapshot: scene.snapshot,
        }
    }
}

/// What a broker and a client of it have.
pub struct Scene<'a> {
    pub broker_key: &'a Key,
    pub client_key: &'a Key,
    pub token: &'a Token,
    pub assertion: &'a str,
    pub snapshot: &'a str,
}

/// Changes, each signed anew by the right key unless it says otherwise.
impl Good<'_> {
    /// With this header parameter in place of another of its name; null is written as null.
    pub fn header(&self, name: &str, value: impl Into<Value>) -> String {
        self.written(with(&self.header, name, value.into()).to_string(), self.claims.to_string())
    }

    /// With several.
    pub fn headers(&self, members: Value) -> String {
        self.written(all(&self.header, members).to_string(), self.claims.to_string())
    }

    /// Without this header parameter.
    pub fn no_header(&self, name: &str) -> String {
        self.written(without(&self.header, name).to_string(), self.claims.to_string())
    }

    /// With this claim in place of another of its name.
    pub fn claim(&self, name: &str, value: impl Into<Value>) -> String {
        self.claims(json!({ name: value.into() }))
    }

    /// With several.
    pub fn claims(&self, members: Value) -> String {
        self.written(self.header.to_string(), all(&self.claims, members).to_string())
    }

    /// With this claim of this text, which need not be JSON.
    pub fn claim_text(&self, name: &str, text: &str) -> String {
        let claims = with(&self.claims, name, json!("HERE")).to_string();
        self.claims_text(|_| claims.replacen("\"HERE\"", text, 1))
    }

    /// Without this claim.
    pub fn no_claim(&self, name: &str) -> String {
        self.written(self.header.to_string(), without(&self.claims, name).to_string())
    }

    /// The claims' text changed.
    pub fn claims_text(&self, change: impl FnOnce(String) -> String) -> String {
        self.written(self.header.to_string(), change(self.claims.to_string()))
    }

    /// The header's text changed.
    pub fn header_text(&self, change: impl FnOnce(String) -> String) -> String {
        self.written(change(self.header.to_string()), self.claims.to_string())
    }

    /// With this member written first, whether or not there is another of its name.
    pub fn claim_twice(&self, member: &str) -> String {
        self.claims_text(|text| text.replacen('{', &format!("{{{member},"), 1))
    }

    /// The same in the header.
    pub fn header_twice(&self, member: &str) -> String {
        self.header_text(|text| text.replacen('{', &format!("{{{member},"), 1))
    }

    /// A header and claims of bytes, text or not.
    pub fn written(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        let alg = self.key.alg();
        signed(header.as_ref(), claims.as_ref(), |message| self.key.sign(alg, message))
    }

    /// With these segments as they stand, signed as they stand.
    pub fn spelled(&self, header: &str, claims: &str) -> String {
        let message = format!("{header}.{claims}");
        let signature = base64url(self.key.sign(self.key.alg(), message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// With this `alg`, and a signature made by anything.
    pub fn signed_as(&self, alg: impl Into<Value>, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        let header = with(&self.header, "alg", alg.into()).to_string();
        signed(header.as_bytes(), self.claims.to_string().as_bytes(), sign)
    }

    /// The same parts, with a signature made of the good one.
    pub fn resigned(&self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
        let [header, claims, signature] = self.parts();
        format!("{header}.{claims}.{}", base64url(change(from_base64url(signature))))
    }

    /// The three segments.
    pub fn parts(&self) -> [&str; 3] {
        let parts: Vec<&str> = self.text.split('.').collect();
        parts.try_into().unwrap()
    }

    /// A `kid`, as the header of this side would have it.
    pub fn kid(&self) -> &str {
        self.header["kid"].as_str().unwrap_or_default()
    }
}

fn raw(header: &str, claims: &Value, key: &Key) -> String {
    signed(header.as_bytes(), claims.to_string().as_bytes(), |message| key.sign(key.alg(), message))
}

fn signed(header: &[u8], claims: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", base64url(header), base64url(claims));
    let signature = base64url(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn with(object: &Value, name: &str, value: Value) -> Value {
    all(object, Value::Object(Map::from_iter([(name.to_owned(), value)])))
}

fn all(object: &Value, members: Value) -> Value {
    let mut object = object.clone();
    let Value::Object(members) = members else { panic!("{members} is no object") };
    object.as_object_mut().unwrap().extend(members);
    object
}

fn without(object: &Value, name: &str) -> Value {
    let mut object = object.clone();
    assert!(object.as_object_mut().unwrap().remove(name).is_some() || name == "kid", "there is no {name}");
    object
}
