//! Leases: list, show, revoke by every selector.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use crate::broker::{Broker, LeaseState, OperatorRefusal, What};
use crate::model::{AudienceUri, InvalidName, KeyId, LeaseId, TaskId, UnixTime, WorkloadId};
use crate::net::Peer;
use crate::store::LeaseFilter;

use super::super::answer;
use super::super::form::Form;
use super::{actor, no_such, read, told};

pub(super) async fn list(State(broker): State<Arc<Broker>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    match read_query(&query, broker.now()) {
        Ok((filter, state, cursor, limit)) => told(broker.leases(filter, state, cursor, limit).await),
        Err(why) => OperatorRefusal::Invalid(why).into_response(),
    }
}

/// What `GET /admin/v1/leases` asks for: which, in which state, from where on, how many.
type Listed = (LeaseFilter, Option<LeaseState>, Option<String>, usize);

/// So many leases are looked at for one page, however few are found: what nothing selects is looked through in many.
const LOOKS: usize = 10_000;

pub(crate) fn read_query(query: &str, now: UnixTime) -> Result<Listed, String> {
    let form = Form::parse(query.as_bytes()).map_err(|refusal| refusal.description.into_owned())?;
    let wrong = |error: InvalidName| error.to_string();
    let filter = LeaseFilter {
        workload: form.get("workload").map(WorkloadId::parse).transpose().map_err(wrong)?,
        audience: form.get("audience").map(AudienceUri::parse).transpose().map_err(wrong)?,
        task: form.get("task").map(TaskId::parse).transpose().map_err(wrong)?,
        now,
        looks: Some(LOOKS),
    };
    let state = match form.get("state") {
        None => None,
        Some("live") => Some(LeaseState::Live),
        Some("ended") => Some(LeaseState::Ended),
        Some(_) => return Err("state: live or ended".into()),
    };
    let limit = form.get("limit").map_or(Ok(100), str::parse).map_err(|_| "limit: a whole number".to_owned())?;
    Ok((filter, state, form.get("cursor").map(str::to_owned), limit.clamp(1, 1000)))
}

pub(super) async fn show(State(broker): State<Arc<Broker>>, Path(id): Path<String>) -> Response {
    let Some(lease) = LeaseId::parse(&id) else { return no_such("lease", &id) };
    match broker.lease(lease).await {
        Ok(None) => no_such("lease", &id),
        outcome => told(outcome),
    }
}

/// What `POST /admin/v1/revocations` takes: one selector, a reason, and whether only to count.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeBody {
    lease: Option<String>,
    task: Option<String>,
    workload: Option<String>,
    audience: Option<String>,
    key: Option<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    dry_run: bool,
}

impl RevokeBody {
    fn what(&self) -> Result<What, OperatorRefusal> {
        let all = self.all.then_some("");
        let named = [&self.lease, &self.audience, &self.key].map(Option::as_deref);
        let task_or_workload = self.task.as_deref().or(self.workload.as_deref());
        if named.into_iter().chain([all, task_or_workload]).flatten().count() != 1 {
            let why = "name one of lease, task (with its workload), workload, audience, key, all";
            return Err(OperatorRefusal::Invalid(why.into()));
        }
        if let Some(raw) = &self.lease {
            let id = LeaseId::parse(raw).ok_or_else(|| OperatorRefusal::NotFound(format!("lease {raw}")))?;
            return Ok(What::Lease(id));
        }
        let workload = self.workload.as_deref().map(WorkloadId::parse).transpose()?;
        Ok(match (&self.task, workload, &self.audience, &self.key) {
            (Some(task), workload, ..) => What::Task(TaskId::parse(task)?, workload),
            (None, Some(workload), ..) => What::Workload(workload),
            (None, None, Some(audience), _) => What::Audience(AudienceUri::parse(audience)?),
            (None, None, None, Some(key)) => What::Key(KeyId::parse(key)?),
            _ => What::All,
        })
    }
}

pub(super) async fn revoke(State(broker): State<Arc<Broker>>, peer: Option<Extension<Peer>>, body: Bytes) -> Response {
    let asked: RevokeBody = match read(&body) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let outcome = match asked.what() {
        Ok(what) => broker.revoke_as_operator(what, &asked.reason, &actor(peer), asked.dry_run).await,
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(revoked) => {
            let body = json!({
                "selected": revoked.selected.count, "more": revoked.selected.more, "rules": revoked.rules, "leases": revoked.leases,
                "closed_until": revoked.closed_until, "decision_id": revoked.decision_id, "dry_run": asked.dry_run,
                "already": revoked.already.map(|lease| json!({
                    "state": lease.state, "ended_by": lease.ended_by, "ended": lease.ended,
                })),
            });
            answer::json(StatusCode::OK, &body)
        }
        Err(refusal) => refusal.into_response(),
    }
}
