//! `/livez`: the process answers. `/readyz`: its view is young enough to judge by. `/metrics`: for a scrape.

use std::time::Duration;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::{Guard, headers};
use crate::telemetry::Metrics;

pub(super) fn livez() -> Response<Body> {
    headers::json(StatusCode::OK, r#"{"live":true}"#)
}

pub(super) fn readyz(guard: &Guard) -> Response<Body> {
    let ready = guard.judge.is_ready();
    let age = guard.judge.view_age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    headers::json(status, json!({"ready": ready, "view_age_ms": age}).to_string())
}

pub(super) fn metrics(guard: &Guard) -> Response<Body> {
    let Some(metrics) = &guard.metrics else { return headers::not_served(StatusCode::NOT_FOUND, "") };
    metrics.set_view(guard.judge.is_ready(), guard.judge.view_age().map(|age: Duration| age.as_secs_f64()));
    if let Some((rules, position)) = guard.judge.view() {
        metrics.set_rules(rules as u64, position);
    }
    let mut response = Response::new(Body::from(metrics.encode()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Metrics::CONTENT_TYPE));
    response
}
