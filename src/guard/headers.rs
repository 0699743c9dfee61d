//! The answers, in one place: status, `X-Jitney-*`, and the challenges of RFC 6750 §3.

use std::fmt::Write as _;

use axum::body::Body;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::model::AccessClaims;
use crate::verifier::VerifiedToken;

const WORKLOAD: HeaderName = HeaderName::from_static("x-jitney-workload");
const TASK: HeaderName = HeaderName::from_static("x-jitney-task");
const SCOPE: HeaderName = HeaderName::from_static("x-jitney-scope");
const LEASE: HeaderName = HeaderName::from_static("x-jitney-lease");

const EMPTY: HeaderValue = HeaderValue::from_static("");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a yes says of a token: workload, task, scope, lease.
pub(super) type Values = [HeaderValue; 4];

/// A yes. Every `X-Jitney-*` header is there, empty where it does not apply, so that a proxy that copies them leaves none
/// of a caller's standing.
pub(super) fn admitted(token: Option<&VerifiedToken>) -> Response<Body> {
    // What a token's claims may hold, a header may: the names are visible ASCII.
    let values = match token.map(|token| (token, token.kept(values))) {
        None => Some([EMPTY; 4]),
        Some((_, Some(kept))) => kept.clone(),
        Some((token, None)) => values(token.claims()),
    };
    values.map_or_else(broken, yes)
}

fn yes([workload, task, scope, lease]: Values) -> Response<Body> {
    let mut headers = HeaderMap::with_capacity(5);
    headers.insert(WORKLOAD, workload);
    headers.insert(TASK, task);
    headers.insert(SCOPE, scope);
    headers.insert(LEASE, lease);
    headers.insert(CACHE_CONTROL, NO_STORE);
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = headers;
    response
}

/// The four values, cut from one piece of memory.
fn values(claims: &AccessClaims) -> Option<Values> {
    let (workload, task) = (claims.sub.as_str(), claims.txn.as_str());
    let scopes: usize = claims.scope.iter().map(|scope| scope.as_str().len() + 1).sum();
    let mut text = BytesMut::with_capacity(workload.len() + task.len() + scopes + LEASE_LENGTH);
    text.put_slice(workload.as_bytes());
    text.put_slice(task.as_bytes());
    write!(text, "{}", claims.scope).ok()?;
    let scope = text.len() - workload.len() - task.len();
    write!(text, "{}", claims.jti).ok()?;
    let mut rest = text.freeze();
    let mut cut = |length| value(rest.split_to(length));
    let first = (cut(workload.len())?, cut(task.len())?, cut(scope)?);
    Some([first.0, first.1, first.2, value(rest)?])
}

/// A UUID's.
const LEASE_LENGTH: usize = 36;

fn value(bytes: Bytes) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(bytes).ok()
}

/// Why a request is not let through.
#[derive(Debug, Clone, Copy)]
pub(super) enum No<'a> {
    /// No token was shown: a challenge without an error.
    Token,
    /// The token is not good here.
    Invalid(&'a str),
    /// It allows too little; what is needed, where that is a scope.
    Insufficient(&'a str, Option<&'a str>),
    /// The request itself has no one meaning. Not 400: `auth_request` of nginx takes that for an error of its own.
    Request(&'a str),
}

/// A no, with its challenge.
pub(super) fn refused(no: No<'_>) -> Response<Body> {
    let (status, text) = match no {
        No::Token => (StatusCode::UNAUTHORIZED, REALM.to_owned()),
        No::Invalid(why) => (StatusCode::UNAUTHORIZED, challenge("invalid_token", why)),
        No::Insufficient(why, scope) => {
            let mut text = challenge("insufficient_scope", why);
            if let Some(scope) = scope {
                text.push_str(&format!(r#", scope="{scope}""#));
            }
            (StatusCode::FORBIDDEN, text)
        }
        No::Request(why) => (StatusCode::FORBIDDEN, challenge("invalid_request", why)),
    };
    let Ok(challenge) = HeaderValue::from_str(&text) else { return broken() };
    let mut response = bare(status);
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

const REALM: &str = r#"Bearer realm="jitney""#;

fn challenge(error: &str, why: &str) -> String {
    // What is told holds neither quotes nor backslashes but those around a name.
    let why = why.replace(['"', '\\'], "'");
    format!(r#"{REALM}, error="{error}", error_description="{why}""#)
}

/// Nobody knows now: the view is too old, or there is none yet.
pub(super) fn unknown() -> Response<Body> {
    let mut response = bare(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// JSON that no cache keeps.
pub(super) fn json(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// An error in JSON, as the broker's endpoints write it.
pub(super) fn error(status: StatusCode, error: &str, why: &str) -> Response<Body> {
    json(status, serde_json::json!({"error": error, "error_description": why}).to_string())
}

/// What is not served here, or not with this method: `allow` are those it is served with.
pub(super) fn not_served(status: StatusCode, allow: &'static str) -> Response<Body> {
    if status == StatusCode::NOT_FOUND {
        return error(status, "not_found", "a guard serves /v1/forward-auth, /v1/verify, /livez, /readyz and /metrics");
    }
    let mut response = error(status, "method_not_allowed", "this path is served with another method");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

fn broken() -> Response<Body> {
    bare(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> AccessClaims {
        serde_json::from_value(serde_json::json!({
            "iss": "https://broker", "sub": "nightly", "client_id": "nightly", "aud": "https://orders", "iat": 1, "nbf": 1,
            "exp": 2, "jti": "0190163d-8694-839b-aea5-966c26f8ad91", "scope": "orders:read orders:write", "txn": "run-1/a",
            "rev": 7,
        }))
        .unwrap()
    }

    fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
        response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    const ALL: [&str; 4] = ["x-jitney-workload", "x-jitney-task", "x-jitney-scope", "x-jitney-lease"];

    #[test]
    fn a_yes_names_the_token_s_own() {
        let response = yes(values(&claims()).unwrap());
        let told = ALL.map(|name| header(&response, name).unwrap());
        let lease = "0190163d-8694-839b-aea5-966c26f8ad91";
        assert_eq!(told, ["nightly", "run-1/a", "orders:read orders:write", lease]);
        assert_eq!((response.status(), header(&response, "cache-control")), (StatusCode::OK, Some("no-store")));
    }

    #[test]
    fn a_yes_without_a_token_has_every_header_empty() {
        let response = admitted(None);
        assert_eq!(ALL.map(|name| header(&response, name)), [Some(""); 4]);
    }

    #[test]
    fn a_no_is_a_challenge() {
        for (no, status, told) in [
            (No::Token, 401, r#"Bearer realm="jitney""#),
            (
                No::Invalid("it's \"x\""),
                401,
                r#"Bearer realm="jitney", error="invalid_token", error_description="it's 'x'""#,
            ),
            (
                No::Insufficient("w", Some("a b")),
                403,
                r#"Bearer realm="jitney", error="insufficient_scope", error_description="w", scope="a b""#,
            ),
            (No::Request("w"), 403, r#"Bearer realm="jitney", error="invalid_request", error_description="w""#),
        ] {
            let response = refused(no);
            assert_eq!((response.status().as_u16(), header(&response, "www-authenticate")), (status, Some(told)));
        }
        assert_eq!((unknown().status().as_u16(), header(&unknown(), "retry-after")), (503, Some("1")));
    }
}
