//! `GET /v1/revocations?once=1[&audience=A]`: the feed's snapshot for verifiers.

use axum::extract::{RawQuery, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;

use crate::model::{Reason, Refusal};

use super::form::Form;
use super::{Shared, answer};

pub(super) async fn revocations(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    match snapshot(&shared, &query).await {
        Ok(bytes) => {
            let mut response = Response::new(bytes.into());
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(refusal) => answer::plain(&refusal),
    }
}

async fn snapshot(shared: &Shared, query: &str) -> Result<bytes::Bytes, Refusal> {
    let form = Form::parse(query.as_bytes())?;
    if form.get("once") != Some("1") {
        return Err(Refusal::new(Reason::InvalidRequest, "this broker serves the feed as snapshots: ask with once=1"));
    }
    let mut audiences = form.all("audience");
    let audience = audiences.next();
    if audiences.next().is_some() {
        return Err(Refusal::new(
            Reason::InvalidRequest,
            "the parameter audience is repeated: ask for one, or leave it out for all",
        ));
    }
    shared.broker.snapshot(audience).await
}
