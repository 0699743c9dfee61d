//! Around every request: its id, its span, how long it took. Nothing of what was sent but method and path is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use crate::telemetry::Endpoint;

use super::Shared;

/// Paths to the endpoints' names in the metrics.
const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("/oauth2/token", Endpoint::Token),
    ("/oauth2/introspect", Endpoint::Introspect),
    ("/oauth2/revoke", Endpoint::Revoke),
    ("/oauth2/authorize", Endpoint::Authorize),
    ("/oauth2/jwks", Endpoint::Jwks),
    ("/v1/tasks/{task}/complete", Endpoint::Complete),
    ("/v1/leases/{id}/renew", Endpoint::Renew),
    ("/v1/revocations", Endpoint::Revocations),
    ("/.well-known/oauth-authorization-server", Endpoint::Metadata),
    ("/.well-known/openid-configuration", Endpoint::Metadata),
    ("/livez", Endpoint::Health),
    ("/readyz", Endpoint::Health),
    ("/openapi.json", Endpoint::OpenApi),
];

pub(super) async fn observe(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let begun = Instant::now();
    let id = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let endpoint = ENDPOINTS.iter().find(|(known, _)| *known == path).map_or(Endpoint::Other, |(_, name)| *name);
    let span = tracing::debug_span!("request", id, method = %request.method(), endpoint = endpoint.as_str());
    let mut response = next.run(request).instrument(span.clone()).await;
    let took = begun.elapsed();
    shared.broker.metrics().request(endpoint, took);
    span.in_scope(|| {
        tracing::debug!(status = response.status().as_u16(), micros = took.as_micros() as u64, "answered")
    });
    let id = format!("{}-{id}", shared.broker.options().name);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}
