//! The layer in front of a service that tells whose request it was.

use std::convert::Infallible;

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;

use super::super::VerifierOptions;
use super::super::fixtures::{NOW, Snapshot, key, rule, token};
use super::super::stub::Stub;
use super::*;
use crate::model::{Clock, UnixTime};

/// Answers with the task of the token that it was handed.
#[derive(Clone)]
struct Whose;

impl Service<Request<&'static str>> for Whose {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<&'static str>) -> Self::Future {
        let token = request.extensions().get::<Arc<VerifiedToken>>().expect("only a checked request comes here");
        std::future::ready(Ok(Response::new(format!("{} {}", token.claims().txn.as_str(), request.body()))))
    }
}

async fn told(layer: &VerifyLayer, authorization: &[&str]) -> (StatusCode, String, String) {
    let mut request = Request::new("body");
    for value in authorization {
        request.headers_mut().append(AUTHORIZATION, value.parse().unwrap());
    }
    let response = layer.layer(Whose).call(request).await.unwrap();
    let challenge = response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
    (response.status(), challenge.unwrap_or_default(), response.into_body())
}

async fn scene() -> (Stub, VerifyLayer, [String; 2]) {
    let (key, stub) = (key(), Stub::start().await);
    stub.put_keys(&[&key]);
    stub.put_feed(&Snapshot::new(&key, 5, &[rule("ended", 5)]).bytes());
    let options = VerifierOptions {
        issuer: "https://broker".into(),
        clock: Clock::manual(UnixTime::from_secs(NOW)),
        ..VerifierOptions::new(&stub.url)
    };
    let verifier = Verifier::connect(options).await.unwrap();
    (stub, VerifyLayer::new(verifier), ["live", "ended"].map(|task| format!("Bearer {}", token(&key, task))))
}

#[tokio::test]
async fn a_good_token_is_handed_on_and_every_other_request_answered() {
    let (_stub, layer, [live, ended]) = scene().await;
    let layer = layer.scope("orders:read");
    assert_eq!(told(&layer, &[&live]).await, (StatusCode::OK, String::new(), "live body".into()));
    assert_eq!(told(&layer, &[&live.replace("Bearer ", "bearer  ")]).await.0, StatusCode::OK);
    let unauthorized = |challenge: &str| (StatusCode::UNAUTHORIZED, challenge.to_owned(), String::new());
    assert_eq!(told(&layer, &[]).await, unauthorized("Bearer"));
    assert_eq!(told(&layer, &["Basic dXNlcjpwYXNz"]).await, unauthorized("Bearer"));
    let revoked = "Bearer error=\"invalid_token\", error_description=\"it was revoked, by a rule on its task\"";
    assert_eq!(told(&layer, &[&ended]).await, unauthorized(revoked));
    let (status, challenge, _) = told(&layer, &["Bearer x"]).await;
    assert!(status == StatusCode::UNAUTHORIZED && challenge.contains("invalid_token"), "{challenge}");
    assert_eq!(told(&layer, &[&live, &live]).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_route_asks_for_its_own_scopes() {
    let (_stub, layer, [live, _]) = scene().await;
    let both = layer.clone().scope("orders:read").scope("orders:write");
    let (status, challenge, body) = told(&both, &[&live]).await;
    assert_eq!((status, body), (StatusCode::FORBIDDEN, String::new()));
    assert!(challenge.contains("insufficient_scope") && challenge.ends_with("scope=\"orders:read orders:write\""));
    assert_eq!(told(&layer, &[&live]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn under_a_stale_view_nobody_is_let_through() {
    let (_stub, layer, [live, _]) = scene().await;
    layer.verifier().options().clock.set(UnixTime::from_secs(NOW + 11));
    assert_eq!(told(&layer, &[&live]).await, (StatusCode::SERVICE_UNAVAILABLE, String::new(), String::new()));
}
