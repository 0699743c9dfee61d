//! `GET /admin/v1/watch`: the audit log's lines as they are written, one JSON object a line.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::channel::Channel;
use tokio::sync::broadcast::error::RecvError;

use crate::broker::Broker;

pub(super) async fn watch(State(broker): State<Arc<Broker>>) -> Response {
    let mut lines = broker.audit().subscribe();
    let (mut sender, body) = Channel::<Bytes, std::convert::Infallible>::new(64);
    tokio::spawn(async move {
        loop {
            let line = match lines.recv().await {
                Ok(line) => line,
                // A watcher that fell behind goes on with what comes now.
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            };
            let mut bytes = Vec::with_capacity(line.len() + 1);
            bytes.extend_from_slice(&line);
            if bytes.last() != Some(&b'\n') {
                bytes.push(b'\n');
            }
            if sender.send_data(bytes.into()).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}
