//! `/livez`: the process answers. `/readyz`: it may mint, or what is missing.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::{Shared, answer};

pub(super) async fn livez() -> Response {
    answer::raw_json(StatusCode::OK, r#"{"live":true}"#)
}

pub(super) async fn readyz(State(shared): State<Shared>) -> Response {
    let readiness = shared.broker.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(status, &readiness)
}
