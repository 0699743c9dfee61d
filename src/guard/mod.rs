//! The verifier as a process of its own, for resource servers in any language: a proxy asks it about each request.
//!
//! Owns what a proxy sends and is answered, and which rule holds for a path. Never judges a token itself: whoever hands it
//! a [`Judge`] does. `docs/verify.md` says how each proxy is set up.

mod forward_auth;
mod headers;
mod health;
mod judge;
mod path;
mod proxy;
mod rarely;
mod rules;
mod verify;

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};

use crate::model::AudienceUri;
use crate::net::{Answer, Application};
use crate::telemetry::GuardMetrics;

pub use judge::{Judge, Later, LaterVerdict, Verdict};
pub use proxy::Proxy;
pub use rules::{Rules, RulesError};

use rarely::Rarely;

/// Where a proxy asks; under Envoy the request's own path follows it.
pub const FORWARD_AUTH: &str = "/v1/forward-auth";

/// What a guard answers by.
pub struct Guard {
    judge: Arc<dyn Judge>,
    /// The resource servers it guards: a rule without an `audience` means any of them.
    audiences: Vec<AudienceUri>,
    rules: Option<Rules>,
    proxy: Proxy,
    /// None where whoever serves it counts by itself.
    metrics: Option<Arc<GuardMetrics>>,
    /// Requests without one meaning, as the log tells of them.
    unclear: Rarely,
}

impl Guard {
    /// A guard of these resource servers. Without rules any good token for one of them is let through, on every path.
    pub fn new(judge: Arc<dyn Judge>, audiences: Vec<AudienceUri>, rules: Option<Rules>, proxy: Proxy) -> Self {
        Self { judge, audiences, rules, proxy, metrics: None, unclear: Rarely::new() }
    }

    /// The same, counting by these.
    #[must_use]
    pub fn counted(self, metrics: Arc<GuardMetrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// The answer to a forward-auth request: see [`is_forward_auth`].
    pub fn forward_auth(self: &Arc<Self>, head: Parts) -> Answer {
        let this = Arc::clone(self);
        Box::pin(async move { forward_auth::in_time(&this, &head).await })
    }

    fn is_ours(&self, audience: &AudienceUri) -> bool {
        self.audiences.iter().any(|own| audience.matches(own.as_str()))
    }
}

/// Whether this is the path of a forward-auth request.
pub fn is_forward_auth(path: &str) -> bool {
    tail(path).is_some()
}

/// What follows the endpoint's own path; none where the path is another's.
fn tail(path: &str) -> Option<&str> {
    let tail = path.strip_prefix(FORWARD_AUTH)?;
    (tail.is_empty() || tail.starts_with('/')).then_some(tail)
}

/// A guard as a listener serves it.
pub struct Served(pub Arc<Guard>);

impl Application for Served {
    fn at_once(&self, head: &Parts) -> Option<Response<Body>> {
        forward_auth::at_once(&self.0, head, tail(head.uri.path())?)
    }

    fn answer(&self, request: Request<Bytes>) -> Answer {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if is_forward_auth(path) {
            return self.0.forward_auth(head);
        }
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        let response = match path {
            "/v1/verify" if head.method == Method::POST => {
                let guard = Arc::clone(&self.0);
                return Box::pin(async move { verify::verify(&guard, &head, &body).await });
            }
            "/livez" if reads => health::livez(),
            "/readyz" if reads => health::readyz(&self.0),
            "/metrics" if reads => health::metrics(&self.0),
            "/v1/verify" => headers::not_served(StatusCode::METHOD_NOT_ALLOWED, "POST"),
            "/livez" | "/readyz" | "/metrics" => headers::not_served(StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"),
            _ => headers::not_served(StatusCode::NOT_FOUND, ""),
        };
        Box::pin(std::future::ready(response))
    }
}
