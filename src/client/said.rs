//! What a token says of itself, unproven: whom it is for, how long it lives, which task it names.
//!
//! Good for choosing what to show and what to hide. Never for believing it: that is the broker's to judge.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Map, Value};

use crate::jose::json;
use crate::model::{TaskId, UnixTime};

/// No token is longer.
pub(super) const MAX_TOKEN: usize = 64 * 1024;

/// The claims of a compact JWS; none where `token` is none.
pub(super) fn claims(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if token.len() > MAX_TOKEN || parts.next().is_some() || header.is_empty() || signature.is_empty() {
        return None;
    }
    json::strict(&B64.decode(payload).ok()?).ok()
}

/// `aud`, which is one string or several (RFC 7519 §4.1.3).
pub(super) fn audiences(claims: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let aud = claims.get("aud");
    let several = aud.and_then(Value::as_array).into_iter().flatten();
    aud.into_iter().chain(several).filter_map(Value::as_str)
}

/// A `NumericDate` (RFC 7519 §2).
pub(super) fn date(claims: &Map<String, Value>, name: &str) -> Option<UnixTime> {
    let value = claims.get(name)?;
    // A fraction of a second is cut off.
    value.as_u64().or_else(|| value.to_string().split('.').next()?.parse().ok()).map(UnixTime::from_secs)
}

/// The task that a broker's token is for, by its own word: good enough to ask for the task's end, which the asker must be
/// allowed to.
pub fn task_of(token: &str) -> Option<TaskId> {
    TaskId::parse(claims(token)?.get("txn")?.as_str()?).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A token that says this; its signature is none.
    pub(in crate::client) fn token(claims: &Value) -> String {
        format!("{}.{}.{}", B64.encode(r#"{"alg":"RS256"}"#), B64.encode(claims.to_string()), B64.encode("signature"))
    }

    #[test]
    fn what_a_token_says_is_read_and_what_is_no_token_says_nothing() {
        let said = claims(&token(&json!({"aud": ["a", "b"], "exp": 12, "iat": 3.9}))).unwrap();
        assert_eq!(audiences(&said).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((date(&said, "exp").unwrap().secs(), date(&said, "iat").unwrap().secs()), (12, 3));
        assert_eq!(date(&said, "nbf"), None);
        let payload = B64.encode("{}");
        for bad in ["", "a.b", "a..c", "a.!!.c", &format!("a.{payload}"), &format!("a.{payload}.c.d")] {
            assert_eq!(claims(bad), None, "{bad}");
        }
        assert!(claims(&format!("a.{payload}.{}", "c".repeat(MAX_TOKEN))).is_none());
    }

    #[test]
    fn a_broker_s_token_names_its_task() {
        assert_eq!(task_of(&token(&json!({"txn": "77.1/step"}))).unwrap().as_str(), "77.1/step");
        assert_eq!(task_of(&token(&json!({"txn": "no task"}))), None);
        assert_eq!(task_of("rubbish"), None);
    }
}
