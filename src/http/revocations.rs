//! `GET /v1/revocations[?audience=A][&once=1]`: the feed for verifiers.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;

use crate::broker::{FeedAsk, Subscription};
use crate::model::{Reason, Refusal};
use crate::net::Remote;

use super::form::Form;
use super::{Shared, answer};

/// What a reader has heard last (WHATWG HTML §9.2.4).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What is said of another `once`.
const ONCE: &str = "once may be 1, for the snapshot alone, or be left out";
/// Asks proxies, nginx first of all, to pass on at once what comes.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(super) async fn revocations(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    extensions: Extensions,
) -> Response {
    let from = extensions.get::<Remote>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |remote| remote.0);
    match subscribe(&shared, &query.unwrap_or_default(), &headers, from).await {
        Ok(subscription) => {
            let mut response = Response::new(Body::new(Events(subscription)));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
            response
        }
        Err(refusal) => answer::plain(&refusal),
    }
}

async fn subscribe(shared: &Shared, query: &str, headers: &HeaderMap, from: IpAddr) -> Result<Subscription, Refusal> {
    let form = Form::parse(query.as_bytes())?;
    // A form leaves out what is empty; here that would turn a wish for the snapshot alone into an endless stream.
    let is_empty = form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "once" && value.is_empty());
    let once = match single(&form, "once")? {
        None if is_empty => return Err(wrong(ONCE)),
        None => false,
        Some("1") => true,
        Some(_) => return Err(wrong(ONCE)),
    };
    let audience = single(&form, "audience")?;
    // What cannot be read is no cursor, and such a reader starts with a snapshot.
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    shared.broker.subscribe(FeedAsk { from, audience, last, once }).await
}

fn single<'a>(form: &'a Form<'_>, name: &'a str) -> Result<Option<&'a str>, Refusal> {
    let mut all = form.all(name);
    let first = all.next();
    match all.next() {
        None => Ok(first),
        Some(_) => Err(wrong(&format!("the parameter {name} is repeated: send it once, or leave it out"))),
    }
}

fn wrong(what: &str) -> Refusal {
    Refusal::new(Reason::InvalidRequest, what.to_owned())
}

/// A subscription as an answer's body.
struct Events(Subscription);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_next(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes))))
    }
}
