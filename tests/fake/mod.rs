//! A broker and a platform of the tests' own, on loopback: they say what they are told to, and remember what they heard.

#![allow(dead_code, reason = "each test file uses some of it")]

pub mod actions;
pub mod broker;
pub mod http;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Value, json};

/// A platform's token with these claims over its own times, which are now and five minutes later. Nobody signed it: the
/// fake broker does not look at that part.
pub fn jwt(claims: &Value) -> String {
    let now = now();
    let mut all = json!({"iat": now, "nbf": now, "exp": now + 300});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let part = |value: &Value| B64.encode(value.to_string());
    format!("{}.{}.{}", part(&json!({"alg": "RS256", "typ": "JWT", "kid": "k"})), part(&all), B64.encode("signed"))
}

/// Seconds since the Unix epoch.
pub fn now() -> u64 {
    jitney::model::Clock::system().now().secs()
}

/// What a token says; none where it is none.
pub fn claims(token: &str) -> Option<Value> {
    serde_json::from_slice(&B64.decode(token.split('.').nth(1)?).ok()?).ok()
}
