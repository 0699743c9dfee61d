//! `GET /oauth2/jwks` (RFC 7517 §5): every key whose tokens count, the next ones too; strong ETag, cacheable.

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::Shared;

pub(super) async fn jwks(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let document = shared.broker.jwks().await;
    let is_known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == document.etag || tag.trim() == "*");
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Response::new(document.body.clone().into()),
    };
    let max_age = document.cache_control(shared.broker.now());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    for (name, value) in [(CACHE_CONTROL, &max_age), (ETAG, &document.etag)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}
