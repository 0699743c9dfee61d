//! Paths with names in them: what a router and its percent-decoding make of a request's target.

use std::future::Future as _;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::routing::post;
use axum::{Extension, Router};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::shared::cut;
use crate::broker::Credential;
use crate::http::form::Form;
use crate::http::tasks::credential;
use crate::model::TaskId;

/// A request's target; on a second line the value of `Authorization`, and behind it a form.
pub fn paths(data: &[u8]) {
    let (target, rest) = cut(data, b'\n');
    shown(rest);
    let Ok(uri) = Uri::try_from(target) else { return };
    let told = routed(&uri);
    let name = uri.path().strip_prefix("/v1/tasks/").and_then(|rest| rest.strip_suffix("/complete"));
    match name.filter(|name| !name.contains('/')) {
        None => assert_eq!(told, None, "a path that is none is served: {uri}"),
        Some(name) => {
            let told = told.expect("a path that is one is served");
            assert_eq!(told.ok(), decoded(name), "{uri}");
        }
    }
    if let Some(Ok(task)) = name.and_then(decoded).map(|name| TaskId::parse(&name)) {
        // As the client writes it.
        let path = format!("/v1/tasks/{}/complete", task.as_str().replace('/', "%2F"));
        let path = path.parse().expect("a path");
        assert_eq!(routed(&path), Some(Ok(task.to_string())), "a task's name gets lost on its way");
    }
}

/// The name as its endpoint gets it, through the router that the endpoints have; none where the path is no endpoint's.
fn routed(uri: &Uri) -> Option<Result<String, ()>> {
    #[derive(Clone)]
    struct Name(Result<String, ()>);
    async fn complete(name: Result<Path<String>, PathRejection>) -> (Extension<Name>, StatusCode) {
        (Extension(Name(name.map(|Path(name)| name).map_err(drop))), StatusCode::OK)
    }
    static ROUTER: LazyLock<Router> =
        LazyLock::new(|| Router::new().route("/v1/tasks/{task}/complete", post(complete)));
    let mut request = Request::new(Body::empty());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri.clone();
    let mut answer = pin!(TowerToHyperService::new(ROUTER.clone()).call(request));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..16 {
        if let Poll::Ready(Ok(response)) = answer.as_mut().poll(&mut context) {
            return response.extensions().get::<Name>().map(|name| name.0.clone());
        }
    }
    unreachable!("nothing is waited for on the way to an endpoint")
}

/// RFC 3986 §2.1, once more and independently: a triplet is a byte, all else is itself, and the whole is UTF-8.
fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let triplet = match tail {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(triplet.unwrap_or(*first));
        rest = if triplet.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// What a caller shows has one meaning: a token without space around it, or an assertion, or nothing.
fn shown(data: &[u8]) {
    let (value, form) = cut(data, b'\n');
    let (Ok(value), Ok(form)) = (HeaderValue::from_bytes(value), Form::parse(form)) else { return };
    let (mut headers, bytes) = (HeaderMap::new(), value.clone());
    let is_there = !value.is_empty();
    if is_there {
        headers.insert(header::AUTHORIZATION, value);
    }
    match credential(&headers, &form) {
        Ok(Credential::Bearer(token)) => {
            assert!(!token.is_empty() && token.trim() == token && !form.has_client_auth());
            assert!(bytes.as_bytes().windows(token.len()).any(|part| part == token.as_bytes()));
            assert!(bytes.as_bytes()[..7].eq_ignore_ascii_case(b"bearer "));
        }
        Ok(Credential::Client(_)) => assert!(form.has_client_auth() && !is_there),
        Ok(Credential::None) => assert!(!form.has_client_auth() && !is_there),
        Err(_) => assert!(is_there, "nothing is shown, and it is wrong"),
    }
}
