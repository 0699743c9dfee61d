//! The one place where a refusal becomes an answer: status, JSON and headers (RFC 6749 §5.2, RFC 6750 §3).

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::broker::Refused;
use crate::model::{Reason, Refusal, without_credentials};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    error_description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_id: Option<&'a str>,
}

/// An answer in JSON that no cache keeps.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let Ok(bytes) = serde_json::to_vec(body) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    raw_json(status, bytes)
}

/// An answer that says all by its status. No cache keeps it, either.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = status.into_response();
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// The same of bytes that are JSON already.
pub(super) fn raw_json(status: StatusCode, bytes: impl Into<Body>) -> Response {
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// A refusal without a decision: where nobody asked for anything that could be decided.
pub(super) fn plain(refusal: &Refusal) -> Response {
    refusal_answer(refusal, None)
}

fn refusal_answer(refusal: &Refusal, decision_id: Option<&str>) -> Response {
    let status = StatusCode::from_u16(refusal.reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = ErrorBody { error: refusal.reason.error(), error_description: &refusal.description, decision_id };
    let mut response = json(status, &body);
    if let Some(challenge) = challenge(refusal) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    if refusal.reason.is_temporary() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// RFC 6750 §3: where a token was needed. Without one there is no `error` in it.
fn challenge(refusal: &Refusal) -> Option<HeaderValue> {
    let text = match refusal.reason {
        Reason::MissingToken => r#"Bearer realm="jitney""#.to_owned(),
        Reason::InvalidToken | Reason::BearerCannotRenew | Reason::WrongTask | Reason::BearerCannotComplete => format!(
            r#"Bearer realm="jitney", error="{}", error_description="{}""#,
            refusal.reason.error(),
            refusal.description
        ),
        _ => return None,
    };
    HeaderValue::from_str(&text).ok()
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        refusal_answer(&self.refusal, self.decision_id.as_ref().map(crate::model::DecisionId::as_str))
    }
}

/// A refusal of the request itself, before anything in it meant anything: 404, 405, 413, 415.
pub(super) fn unserved(status: StatusCode, error: &str, description: &str) -> Response {
    // A name from the path may be quoted in it.
    json(status, &ErrorBody { error, error_description: &without_credentials(description), decision_id: None })
}

pub(super) async fn not_found() -> Response {
    unserved(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path: see /openapi.json")
}

pub(super) async fn method_not_allowed() -> Response {
    unserved(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path is served with another method")
}
