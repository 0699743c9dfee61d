//! `GET /admin/v1/watch[?after=N&epoch=E]`: what happens to leases, one JSON object a line. An empty line comes now and then.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use serde_json::json;

use crate::broker::{Broker, OperatorRefusal, Told};
use crate::model::{Epoch, Position};
use crate::store::Head;

use super::super::form::Form;

/// So long nothing is sent at most: a reader who is gone is noticed by then.
const QUIET: Duration = Duration::from_secs(10);
/// So many pieces wait for one who reads slowly.
const BUFFER: usize = 64;

pub(super) async fn watch(State(broker): State<Arc<Broker>>, RawQuery(query): RawQuery) -> Response {
    let after = match after(&query.unwrap_or_default()) {
        Ok(after) => after,
        Err(why) => return OperatorRefusal::Invalid(why).into_response(),
    };
    let (sender, body) = Channel::new(BUFFER);
    let (begun, is_begun) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        match broker.watch(after).await {
            Ok(watcher) => {
                let _ = begun.send(Ok(()));
                follow(watcher, sender).await;
            }
            Err(refusal) => drop(begun.send(Err(refusal))),
        }
    });
    match is_begun.await {
        Ok(Ok(())) => {}
        Ok(Err(refusal)) => return refusal.into_response(),
        Err(error) => return OperatorRefusal::Internal(error.to_string()).into_response(),
    }
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

fn after(query: &str) -> Result<Option<Head>, String> {
    let form = Form::parse(query.as_bytes()).map_err(|refusal| refusal.description.into_owned())?;
    match (form.get("after"), form.get("epoch")) {
        (None, None) => Ok(None),
        (Some(after), Some(epoch)) => {
            let position = after.parse().map_err(|_| "after: a position of the log".to_owned())?;
            let epoch = Epoch::parse(epoch).ok_or("epoch: as `status` tells it")?;
            Ok(Some(Head { epoch, position: Position::new(position) }))
        }
        _ => Err("after and epoch go together".into()),
    }
}

async fn follow(mut watcher: crate::broker::Watcher<'_>, mut sender: Sender<Bytes, std::convert::Infallible>) {
    loop {
        let (bytes, is_last) = match tokio::time::timeout(QUIET, watcher.next()).await {
            Err(_) => (Bytes::from_static(b"\n"), false),
            Ok(Told::Lines(bytes)) => (bytes, false),
            Ok(Told::Cut(count)) => {
                let detail = "this watcher read too slowly and is cut off; `count` lines were not told";
                let line = json!({"v": 1, "event": "watch.cut", "outcome": "failed", "count": count, "detail": detail});
                (format!("{line}\n").into(), true)
            }
            Ok(Told::Over) => return,
        };
        if sender.send_data(bytes).await.is_err() || is_last {
            return;
        }
    }
}
