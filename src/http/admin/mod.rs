//! The admin API, version 1, on a listener of its own (a Unix socket): what operators and the command line ask.
//!
//! Owns JSON in and out. Who asks is the peer's uid, as the kernel tells it.

mod inventory;
mod keys;
pub(crate) mod leases;
mod watch;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde_json::json;

use crate::broker::{Broker, OperatorRefusal};
use crate::net::Peer;
use crate::store::StoreError;
use crate::telemetry::Endpoint;

use super::answer;

/// The admin listener's routes.
pub fn admin(broker: Arc<Broker>) -> Router {
    Router::new()
        .route("/admin/v1/status", get(inventory::status))
        .route("/admin/v1/leases", get(leases::list))
        .route("/admin/v1/leases/{id}", get(leases::show))
        .route("/admin/v1/revocations", post(leases::revoke))
        .route("/admin/v1/watch", get(watch::watch))
        .route("/admin/v1/workloads", get(inventory::workloads))
        .route("/admin/v1/workloads/{id}", get(inventory::workload))
        .route("/admin/v1/workloads/{id}/quarantine", post(inventory::quarantine))
        .route("/admin/v1/workloads/{id}/release", post(inventory::release))
        .route("/admin/v1/audiences", get(inventory::audiences))
        .route("/admin/v1/audiences/{uri}", get(inventory::audience))
        .route("/admin/v1/keys", get(keys::list))
        .route("/admin/v1/keys/rotate", post(keys::rotate))
        .route("/admin/v1/policies", get(inventory::policies))
        .route("/admin/v1/policies/reload", post(inventory::reload))
        .route("/metrics", get(metrics))
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::method_not_allowed)
        .layer(middleware::from_fn_with_state(broker.clone(), observe))
        .with_state(broker)
}

async fn observe(State(broker): State<Arc<Broker>>, request: Request, next: Next) -> Response {
    let begun = std::time::Instant::now();
    let response = next.run(request).await;
    broker.metrics().request(Endpoint::Admin, begun.elapsed());
    response
}

async fn metrics(State(broker): State<Arc<Broker>>) -> Response {
    let mut response = broker.metrics().encode().into_response();
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The actor of a request, for the audit log. A listener that does not tell its peer is nobody's.
fn actor(peer: Option<Extension<Peer>>) -> String {
    peer.map_or_else(|| "unknown".to_owned(), |Extension(peer)| format!("uid:{}", peer.uid))
}

impl IntoResponse for OperatorRefusal {
    fn into_response(self) -> Response {
        let (status, error) = match &self {
            Self::Invalid(_) | Self::Store(StoreError::Cursor) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Ambiguous(workloads) => {
                let body = json!({
                    "error": "ambiguous_task", "error_description": self.to_string(), "workloads": workloads,
                });
                return answer::json(StatusCode::CONFLICT, &body);
            }
            Self::Store(_) | Self::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
            Self::Keys(_) | Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        };
        answer::unserved(status, error, &self.to_string())
    }
}

/// Something from the store, or why not.
fn told<T: serde::Serialize>(outcome: Result<T, StoreError>) -> Response {
    match outcome {
        Ok(body) => answer::json(StatusCode::OK, &body),
        Err(error) => OperatorRefusal::Store(error).into_response(),
    }
}

fn no_such(what: &str, name: &str) -> Response {
    OperatorRefusal::NotFound(format!("{what} {name}")).into_response()
}

/// A JSON body of a known shape.
fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Box<Response>> {
    serde_json::from_slice(body)
        .map_err(|error| Box::new(OperatorRefusal::Invalid(format!("the body: {error}")).into_response()))
}
