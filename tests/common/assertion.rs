//! A client assertion with any header and any claims, signed by any key, or by none.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Map, Value, json};

use super::{ISSUER, Key, key_of, now};

/// `client_assertion_type` (RFC 7523 §2.2).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An assertion under construction: good, until a test changes it.
#[derive(Debug, Clone)]
pub struct Assertion {
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Assertion {
    /// A good one of this client, for one use within a minute.
    pub fn of(client: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let jti = format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let now = now();
        let claims = json!({"iss": client, "sub": client, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": jti});
        Self { header: Map::new(), claims: object(claims) }
    }

    /// With a header parameter; null takes it away.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.header, name, value.into());
        self
    }

    /// With a claim; null takes it away.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.claims, name, value.into());
        self
    }

    /// With several claims.
    pub fn claims(mut self, values: Value) -> Self {
        for (name, value) in object(values) {
            set(&mut self.claims, &name, value);
        }
        self
    }

    /// Signed by the client's own key.
    pub fn text(self) -> String {
        let client = self.claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.signed(key_of(&client))
    }

    /// Signed by this key.
    pub fn signed(self, key: &Key) -> String {
        self.signed_by(key.alg(), |alg, message| key.sign(alg, message))
    }

    /// Signed by anything: `alg` where the header has none yet, and what makes the signature of algorithm and message.
    pub fn signed_by(self, alg: &str, sign: impl FnOnce(&str, &[u8]) -> Vec<u8>) -> String {
        let mut header = self.header;
        header.entry("alg").or_insert_with(|| alg.into());
        let alg = header["alg"].as_str().unwrap_or_default().to_owned();
        raw(&Value::Object(header).to_string(), &Value::Object(self.claims).to_string(), |message| sign(&alg, message))
    }

    /// The claims as JSON text, for those who write their own.
    pub fn claims_text(&self) -> String {
        Value::Object(self.claims.clone()).to_string()
    }

    /// A JWS of header and payload as they are written here.
    pub fn raw(header: &str, payload: &str, key: &Key) -> String {
        raw(header, payload, |message| key.sign(key.alg(), message))
    }
}

fn raw(header: &str, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", B64.encode(header), B64.encode(payload));
    let signature = B64.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn set(into: &mut Map<String, Value>, name: &str, value: Value) {
    match value {
        Value::Null => drop(into.remove(name)),
        value => drop(into.insert(name.to_owned(), value)),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    }
}
