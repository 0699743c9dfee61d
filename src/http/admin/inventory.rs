//! The broker at a glance, workloads and audiences, quarantine and release, reloading the policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::broker::Broker;
use crate::net::Peer;

use super::super::answer;
use super::{actor, read, told};

pub(super) async fn status(State(broker): State<Arc<Broker>>) -> Response {
    answer::json(StatusCode::OK, &broker.status().await)
}

pub(super) async fn workloads(State(broker): State<Arc<Broker>>) -> Response {
    told(broker.workloads().await)
}

pub(super) async fn workload(State(broker): State<Arc<Broker>>, Path(id): Path<String>) -> Response {
    match broker.workload(&id).await {
        Ok(None) => broker.no_workload(&id).into_response(),
        outcome => told(outcome),
    }
}

pub(super) async fn audiences(State(broker): State<Arc<Broker>>) -> Response {
    answer::json(StatusCode::OK, &json!({ "audiences": broker.audiences() }))
}

pub(super) async fn audience(State(broker): State<Arc<Broker>>, Path(uri): Path<String>) -> Response {
    match broker.audience(&uri) {
        Some(audience) => answer::json(StatusCode::OK, &audience),
        None => broker.no_audience(&uri).into_response(),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    #[serde(default)]
    reason: String,
}

pub(super) async fn quarantine(
    State(broker): State<Arc<Broker>>,
    Path(id): Path<String>,
    peer: Option<Extension<Peer>>,
    body: Bytes,
) -> Response {
    let asked: Reason = match read(&body) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    match broker.quarantine(&id, &asked.reason, &actor(peer)).await {
        Ok(done) => {
            let body = json!({
                "workload": id, "state": "quarantined", "selected": done.selected.count, "more": done.selected.more,
                "rules": done.rules, "decision_id": done.decision_id, "already": done.standing,
            });
            answer::json(StatusCode::OK, &body)
        }
        Err(refusal) => refusal.into_response(),
    }
}

pub(super) async fn release(
    State(broker): State<Arc<Broker>>,
    Path(id): Path<String>,
    peer: Option<Extension<Peer>>,
    body: Bytes,
) -> Response {
    let asked: Reason = match read(&body) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let (was, decision_id) = match broker.release(&id, &asked.reason, &actor(peer)).await {
        Ok(done) => done,
        Err(refusal) => return refusal.into_response(),
    };
    match broker.workload(&id).await {
        Ok(workload) => {
            let state = workload.map_or("unknown", |workload| workload.declared.state);
            let body = json!({
                "workload": id, "state": state, "released": was, "rules": [], "decision_id": decision_id,
            });
            answer::json(StatusCode::OK, &body)
        }
        Err(error) => told::<()>(Err(error)),
    }
}

/// The set in use, with the files it was made from: what lies in the folder may be another by now, or none.
#[derive(Debug, Serialize)]
struct SetInUse<'a> {
    digest: &'a str,
    dir: String,
    files: BTreeMap<&'a str, &'a str>,
}

pub(super) async fn policies(State(broker): State<Arc<Broker>>) -> Response {
    let policies = broker.policies().clone();
    // It may be megabytes: no mint waits until they are written down.
    let told = tokio::task::spawn_blocking(move || {
        let set = policies.current();
        let dir = policies.dir().map_or_else(String::new, |dir| dir.display().to_string());
        answer::json(StatusCode::OK, &SetInUse { digest: set.digest(), dir, files: set.sources().collect() })
    });
    let failed = |error: tokio::task::JoinError| {
        answer::unserved(StatusCode::INTERNAL_SERVER_ERROR, "server_error", &error.to_string())
    };
    told.await.unwrap_or_else(failed)
}

pub(super) async fn reload(State(broker): State<Arc<Broker>>) -> Response {
    let policies = broker.policies().clone();
    match tokio::task::spawn_blocking(move || policies.reload()).await {
        Ok(Ok(set)) => answer::json(StatusCode::OK, &json!({ "digest": set.digest() })),
        Ok(Err(diagnostics)) => {
            answer::unserved(StatusCode::UNPROCESSABLE_ENTITY, "invalid_policies", &diagnostics.to_string())
        }
        Err(error) => answer::unserved(StatusCode::INTERNAL_SERVER_ERROR, "server_error", &error.to_string()),
    }
}
