//! A tower layer that lets only requests with a good token through, and hands their claims on.
//!
//! Reads the one `Authorization: Bearer` header and nothing else; changes nothing of a request but its extensions.
//! `docs/rust.md` shows it at work.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::challenge::{Refused, answer};
use super::{Expect, Invalid, VerifiedToken, Verifier};

/// Puts [`VerifyService`] around a service. Cheap to clone: all clones share one verifier.
#[derive(Debug, Clone)]
pub struct VerifyLayer {
    verifier: Arc<Verifier>,
    scopes: Arc<[String]>,
}

impl VerifyLayer {
    /// A layer that asks for a good token for the verifier's audience, with any scopes.
    pub fn new(verifier: impl Into<Arc<Verifier>>) -> Self {
        Self { verifier: verifier.into(), scopes: Arc::default() }
    }

    /// The same, but the token must have `scope` too; called again, each of them.
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        let scopes = self.scopes.iter().cloned().chain([scope.into()]).collect();
        Self { scopes, ..self }
    }

    /// The verifier behind it, for figures.
    pub fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = VerifyService<S>;

    fn layer(&self, inner: S) -> VerifyService<S> {
        VerifyService { layer: self.clone(), inner }
    }
}

/// Answers requests without a good token itself (RFC 6750 §3: 401, 403; 503 where the view of revocations is too old), and
/// hands all others on with an `Arc<VerifiedToken>` in their extensions.
#[derive(Debug, Clone)]
pub struct VerifyService<S> {
    layer: VerifyLayer,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for VerifyService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let layer = self.layer.clone();
        // The one that is ready is called; its clone need not be.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            match layer.verify(request.headers()).await {
                Ok(token) => {
                    request.extensions_mut().insert(token);
                    inner.call(request).await
                }
                Err(refused) => Ok(answer(refused, &layer.scopes)),
            }
        })
    }
}

impl VerifyLayer {
    async fn verify(&self, headers: &HeaderMap) -> Result<Arc<VerifiedToken>, Refused> {
        let token = bearer(headers)?;
        let verified = self.verifier.verify(token, &Expect::default()).await.map_err(Refused::Token)?;
        let has = |scope: &String| verified.claims().scope.contains(scope);
        if self.scopes.iter().all(has) { Ok(verified) } else { Err(Refused::Token(Invalid::Scope)) }
    }
}

/// The token of the one `Authorization: Bearer` (RFC 6750 §2.1); another scheme shows none.
fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refused::NoToken)?;
    if values.next().is_some() {
        return Err(Refused::Malformed);
    }
    let text = value.to_str().map_err(|_| Refused::Malformed)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => Ok(token.trim()),
        _ => Err(Refused::NoToken),
    }
}

#[cfg(test)]
#[path = "tower_tests.rs"]
mod tests;
