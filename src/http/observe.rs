//! Around every request: its id, its span, how long it took. Nothing of what was sent but method and path is told.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use tracing::{Instrument as _, Span};

use crate::broker::Broker;
use crate::model::hex;
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

/// The layer around the router.
pub(super) async fn observe(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let endpoint = ENDPOINTS.iter().find(|(known, _)| *known == path).map_or(Endpoint::Other, |(_, name)| *name);
    Observer::new(shared.broker, endpoint, request.method()).around(next.run(request)).await
}

/// What watches one request.
pub(super) struct Observer {
    broker: Arc<Broker>,
    endpoint: Endpoint,
    begun: Instant,
    id: u64,
    span: Span,
}

impl Observer {
    /// From now on.
    pub(super) fn new(broker: Arc<Broker>, endpoint: Endpoint, method: &Method) -> Self {
        let id = fresh_id();
        let span =
            tracing::debug_span!("request", id = %format_args!("{id:016x}"), %method, endpoint = endpoint.as_str());
        Self { broker, endpoint, begun: Instant::now(), id, span }
    }

    /// Until the answer is there.
    pub(super) async fn around(self, answer: impl Future<Output = Response>) -> Response {
        let mut response = answer.instrument(self.span.clone()).await;
        let took = self.begun.elapsed();
        self.broker.metrics().request(self.endpoint, took);
        self.span.in_scope(|| {
            tracing::debug!(status = response.status().as_u16(), micros = took.as_micros() as u64, "answered")
        });
        if let Ok(id) = HeaderValue::from_maybe_shared(Bytes::from(told(&self.broker.options().name, self.id))) {
            response.headers_mut().insert(ID, id);
        }
        response
    }
}

/// An id as clients are told it: the broker's name, a dash, 16 hex digits.
fn told(broker: &str, id: u64) -> Vec<u8> {
    let mut text = Vec::with_capacity(broker.len() + 17);
    text.extend_from_slice(broker.as_bytes());
    text.push(b'-');
    text.extend_from_slice(&hex::digits::<16>(id));
    text
}

const ID: HeaderName = HeaderName::from_static("x-request-id");

/// The name of a request: its number through a hash under a key that this process drew at its start. No two are likely to
/// be one, and none tells how many came before, so nobody reads from two of them how busy the broker is.
fn fresh_id() -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    KEY.hash_one(NUMBER.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_is_told_in_hex_behind_the_broker_s_name() {
        for id in [0, 1, 0xabc, u64::MAX, 0x0123_4567_89ab_cdef, fresh_id()] {
            assert_eq!(told("b-1", id), format!("b-1-{id:016x}").into_bytes());
        }
    }

    #[test]
    fn ids_differ_and_do_not_count() {
        let ids: Vec<u64> = (0..1000).map(|_| fresh_id()).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 1000);
        // A counter would go up each time; of what is drawn by chance, about half do.
        let rises = ids.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((350..650).contains(&rises), "{rises}");
        // A counter's neighbours differ in the last digits alone.
        let alike = ids.windows(2).filter(|pair| pair[0] >> 48 == pair[1] >> 48).count();
        assert!(alike < 20, "{alike}");
    }
}
