//! The JWKS as it is served: built when the published keys change, not when it is asked for.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use bytes::Bytes;
use ring::digest::{SHA256, digest};
use serde_json::json;

use crate::jose::es256::VerifyingKey;
use crate::model::{KeyId, UnixTime};

use super::options::Times;

/// The body of `/oauth2/jwks` (RFC 7517 §5) with what stands around it.
#[derive(Debug, Clone)]
pub struct JwksDocument {
    /// The JSON.
    pub body: Bytes,
    /// Its strong entity tag, with the quotes (RFC 9110 §8.8.3).
    pub etag: String,
    /// The keys in it, in its order.
    pub kids: Vec<KeyId>,
    /// When the reading of the store behind it began.
    read_at: UnixTime,
    max_age: Duration,
    lag: Duration,
}

impl JwksDocument {
    pub(super) fn of(keys: &[(KeyId, VerifyingKey)], read_at: UnixTime, times: &Times) -> Self {
        let jwks: Vec<_> = keys.iter().map(|(_, key)| key.to_jwk()).collect();
        let body = json!({ "keys": jwks }).to_string();
        let hash = digest(&SHA256, body.as_bytes());
        Self {
            etag: format!("\"{}\"", B64.encode(&hash.as_ref()[..16])),
            body: Bytes::from(body),
            kids: keys.iter().map(|(kid, _)| kid.clone()).collect(),
            read_at,
            max_age: times.max_age,
            lag: times.lag(),
        }
    }

    /// How long this may be cached from `now` on (`max-age`, RFC 9111 §5.2.2.1). It is less than configured where the
    /// store was not read for a while, so that no cache outlasts the wait of a key published since (I2).
    pub fn max_age(&self, now: UnixTime) -> Duration {
        if self.kids.is_empty() {
            return Duration::ZERO;
        }
        (self.max_age + self.lag).saturating_sub(now.since(self.read_at)).min(self.max_age)
    }

    /// The `Cache-Control` header that says so.
    pub fn cache_control(&self, now: UnixTime) -> String {
        format!("public, max-age={}", self.max_age(now).as_secs())
    }
}
