//! The broker over HTTP: one file an endpoint; bytes in, a use case of the broker's, bytes out.
//!
//! Owns forms, status codes and headers. Never decides anything and never touches a store, a key or a policy itself.

pub mod admin;
mod answer;
pub(crate) mod form;
mod forward_auth;
mod health;
mod jwks;
mod leases;
mod metadata;
pub(crate) mod oauth;
mod observe;
mod openapi;
mod revocations;
pub(crate) mod tasks;

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{Method, Request};
use axum::routing::{get, post};
use axum::{Router, middleware};
use bytes::Bytes;

use crate::broker::Broker;
use crate::guard::{self, Guard, Proxy};
use crate::model::AudienceUri;
use crate::net::{Answer, Application};
use crate::telemetry::Endpoint;

/// What every endpoint is handed.
#[derive(Clone)]
pub struct Shared {
    broker: Arc<Broker>,
    documents: Arc<metadata::Documents>,
}

/// The public listener's routes, and the method of each: what `/openapi.json` describes.
pub const PUBLIC_ROUTES: &[(&str, &str)] = &[
    ("get", "/.well-known/oauth-authorization-server"),
    ("get", "/.well-known/openid-configuration"),
    ("get", "/oauth2/authorize"),
    ("post", "/oauth2/authorize"),
    ("get", "/oauth2/jwks"),
    ("post", "/oauth2/token"),
    ("post", "/oauth2/introspect"),
    ("post", "/oauth2/revoke"),
    ("post", "/v1/tasks/{task}/complete"),
    ("post", "/v1/leases/{id}/renew"),
    ("get", "/v1/revocations"),
    ("get", "/livez"),
    ("get", "/readyz"),
    ("get", "/openapi.json"),
];

/// The public listener: everything on it comes from strangers until proven otherwise.
pub struct Public {
    shared: Shared,
    router: Router,
    /// Answers proxies, where it is asked to.
    guard: Option<Arc<Guard>>,
}

impl Public {
    /// The public listener's endpoints, in front of a broker.
    pub fn new(broker: Arc<Broker>) -> Self {
        let documents = Arc::new(metadata::Documents::new(&broker.options().issuer));
        let shared = Shared { broker, documents };
        Self { router: router(shared.clone()), shared, guard: None }
    }

    /// The same, and forward-auth for a proxy of this kind in front of these resource servers.
    #[must_use]
    pub fn with_forward_auth(self, audiences: Vec<AudienceUri>, proxy: Proxy) -> Self {
        let broker = self.shared.broker.clone();
        let documents = Arc::new(self.shared.documents.with_forward_auth());
        let shared = Shared { documents, ..self.shared };
        let guard = Some(forward_auth::guard(broker, audiences, proxy));
        Self { router: router(shared.clone()), shared, guard }
    }
}

/// Where a reader of the feed comes from counts: it may stay.
const FEED: &str = "/v1/revocations";

impl Application for Public {
    fn wants_remote(&self, path: &str) -> bool {
        path == FEED
    }

    /// Hands the requests that nearly all are straight to their endpoint: looking it up, and the layers on the way, cost
    /// several microseconds. All others go by the router, which knows these three as well.
    fn answer(&self, request: Request<Bytes>) -> Answer {
        if let Some(guard) = self.guard.as_ref().filter(|_| guard::is_forward_auth(request.uri().path())) {
            let (head, _) = request.into_parts();
            let observer = observe::Observer::new(self.shared.broker.clone(), Endpoint::ForwardAuth, &head.method);
            return Box::pin(observer.around(guard.forward_auth(head)));
        }
        let endpoint = match (request.method(), request.uri().path()) {
            (&Method::POST, "/oauth2/token") => Endpoint::Token,
            (&Method::POST, "/oauth2/introspect") => Endpoint::Introspect,
            (&Method::POST, "/oauth2/revoke") => Endpoint::Revoke,
            _ => return self.router.answer(request),
        };
        let (head, body) = request.into_parts();
        let (shared, query) = (State(self.shared.clone()), RawQuery(head.uri.query().map(str::to_owned)));
        let observer = observe::Observer::new(self.shared.broker.clone(), endpoint, &head.method);
        // In a box of its own: of kilobytes that are a request's work, what is around it would else be made of two copies.
        let work: Answer = match endpoint {
            Endpoint::Token => Box::pin(oauth::token(shared, query, head.headers, body)),
            Endpoint::Introspect => Box::pin(oauth::introspect(shared, query, head.headers, body)),
            _ => Box::pin(oauth::revoke(shared, query, head.headers, body)),
        };
        Box::pin(observer.around(work))
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/.well-known/oauth-authorization-server", get(metadata::metadata))
        .route("/.well-known/openid-configuration", get(metadata::metadata))
        .route("/oauth2/authorize", get(metadata::authorize).post(metadata::authorize))
        .route("/oauth2/jwks", get(jwks::jwks))
        .route("/oauth2/token", post(oauth::token))
        .route("/oauth2/introspect", post(oauth::introspect))
        .route("/oauth2/revoke", post(oauth::revoke))
        .route("/v1/tasks/{task}/complete", post(tasks::complete))
        .route("/v1/leases/{id}/renew", post(leases::renew))
        .route(FEED, get(revocations::revocations))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/openapi.json", get(openapi::openapi))
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::method_not_allowed)
        .layer(middleware::from_fn_with_state(shared.clone(), observe::observe))
        .with_state(shared)
}
