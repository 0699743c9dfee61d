//! Signing keys: list, rotate.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use crate::broker::{Broker, OperatorRefusal};
use crate::keys::Rotation;
use crate::net::Peer;

use super::super::answer;
use super::{actor, read};

pub(super) async fn list(State(broker): State<Arc<Broker>>) -> Response {
    match broker.keys().refresh().await {
        Ok(()) => answer::json(StatusCode::OK, &json!({ "keys": broker.keys().list() })),
        Err(error) => OperatorRefusal::Keys(error).into_response(),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    #[serde(default)]
    now: bool,
}

pub(super) async fn rotate(State(broker): State<Arc<Broker>>, peer: Option<Extension<Peer>>, body: Bytes) -> Response {
    let asked: Rotate = match read(&body) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    match broker.rotate(asked.now, &actor(peer)).await {
        Ok(Rotation::Done(kid)) => answer::json(StatusCode::OK, &json!({ "kid": kid, "rotated": true })),
        Ok(Rotation::Waits(not_before)) => {
            answer::json(StatusCode::ACCEPTED, &json!({ "rotated": false, "not_before": not_before }))
        }
        Err(error) => OperatorRefusal::Keys(error).into_response(),
    }
}
