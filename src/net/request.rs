//! One request under its limits: body size and time, requests at once, time until the answer begins.
//!
//! The body is read whole before the application sees the request, so 413 and 408 have one place and a slow sender holds no
//! place among the requests worked on.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::Semaphore;

use super::places::Seat;
use super::timer::ConnectionTimer;
use super::work::{Application, Panicked, Work};
use super::{Limits, Peer};

/// What the connections of a listener share.
pub(super) struct Shared {
    pub(super) limits: Limits,
    application: Box<dyn Application>,
    at_work: Arc<Semaphore>,
}

/// Where a request comes from over TCP: in the extensions of those whose application wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote(pub IpAddr);

/// Who is at the other end of a connection.
#[derive(Clone, Copy)]
pub(super) enum Caller {
    Tcp(Remote),
    Unix(Peer),
}

/// No more than `acquire_many` takes back at the end.
const MOST_AT_WORK: usize = u32::MAX as usize >> 4;

/// Served beyond the limit of requests at once: a busy process is not dead.
const PROBES: [&str; 2] = ["/livez", "/readyz"];

impl Shared {
    pub(super) fn new(application: Box<dyn Application>, limits: Limits) -> Self {
        let at_work = Arc::new(Semaphore::new(limits.requests.min(MOST_AT_WORK)));
        Self { limits, application, at_work }
    }

    /// Answers a request, whatever happens.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        caller: Caller,
        seat: Arc<Seat>,
        timer: &ConnectionTimer,
    ) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        let is_good = check(&head);
        if is_good.is_ok()
            && body.is_end_stream()
            && let Some(response) = self.application.at_once(&head)
        {
            return Ok(seat.after(response));
        }
        let answer = async {
            is_good?;
            self.try_answer(head, body, caller, &seat, timer).await
        };
        let response = answer.await.unwrap_or_else(Refused::into_response);
        // Answers that are ready to be made are made before one is sent: what is sent at one go wakes a client once, and each
        // waking costs as much as half a signature.
        tokio::task::yield_now().await;
        Ok(seat.after(response))
    }

    async fn try_answer(
        &self,
        mut head: Parts,
        body: Incoming,
        caller: Caller,
        seat: &Seat,
        timer: &ConnectionTimer,
    ) -> Result<Response<Body>, Refused> {
        let body = self.read(body, timer).await?;
        if !seat.works() {
            // Told to leave before anything of it was done: the connection is closed while this waits.
            return std::future::pending().await;
        }
        match caller {
            Caller::Unix(peer) => drop(head.extensions.insert(peer)),
            Caller::Tcp(remote) if self.application.wants_remote(head.uri.path()) => {
                head.extensions.insert(remote);
            }
            Caller::Tcp(_) => {}
        }
        let probe = PROBES.contains(&head.uri.path());
        let place = Arc::clone(&self.at_work).try_acquire_owned().ok();
        if place.is_none() && !probe {
            return Err(Refused::Busy);
        }
        let reads = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let answer = self.application.answer(Request::from_parts(head, body));
        // hyper drops what it waits for when a client leaves, and a timeout does when it is over.
        let work = if reads { Work::that_reads(answer, place) } else { Work::that_changes(answer, place) };
        let outcome = timer.within(self.limits.request_timeout, work).await.ok_or(Refused::TooLong)?;
        outcome.map_err(|Panicked| Refused::Died)
    }

    /// Returns when no request is worked on any more.
    pub(super) async fn quiet(&self) {
        let all = u32::try_from(self.limits.requests.min(MOST_AT_WORK)).unwrap_or(u32::MAX);
        // Fails only where the semaphore is closed, which nobody does.
        drop(self.at_work.acquire_many(all).await);
    }

    async fn read(&self, body: Incoming, timer: &ConnectionTimer) -> Result<Bytes, Refused> {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let most = self.limits.body;
        // Announced too long: said before a byte of it is read.
        if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
            return Err(Refused::BodySize(most));
        }
        timer.within(self.limits.body_timeout, whole(body, most)).await.ok_or(Refused::BodyTime)?
    }
}

/// All of a body, where it is no longer than `most`. What comes in one piece, as most do, is not copied.
async fn whole(mut body: Incoming, most: usize) -> Result<Bytes, Refused> {
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refused::BodyBroken)?.into_data() else { continue };
        if first.len().max(all.len()) + data.len() > most {
            return Err(Refused::BodySize(most));
        }
        if first.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// What hyper leaves to us: one host, and one coding of the body, that both ends understand alike.
fn check(head: &Parts) -> Result<(), Refused> {
    // What follows is meant for another server: none of it may be taken for a request (RFC 9110 §9.3.6).
    if head.method == Method::CONNECT {
        return Err(Refused::Tunnel);
    }
    // RFC 9112 §3.2.
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => {}
        (None, _) if head.version < Version::HTTP_11 => {}
        _ => return Err(Refused::Host),
    }
    // hyper looks at the last coding alone; under another one the body is not what it seems (RFC 9112 §6.1).
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Refused::Coding),
    }
}

/// A host, and a port where there is one; empty where the target has none (RFC 9110 §7.2).
fn is_host(value: &[u8]) -> bool {
    is_plain_host(value) || is_any_host(value)
}

/// What nearly all are, seen without memory of its own: letters, digits, dots and dashes, and a port.
fn is_plain_host(value: &[u8]) -> bool {
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let end = value.iter().position(|byte| !is_of_name(byte)).unwrap_or(value.len());
    let port = match &value[end..] {
        [] => 0,
        [b':', digits @ ..] if (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => {
            digits.iter().fold(0, |port, digit| 10 * port + u32::from(digit - b'0'))
        }
        _ => return false,
    };
    end > 0 && port <= u32::from(u16::MAX)
}

fn is_any_host(value: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(value) else { return value.is_empty() };
    let rest = &authority.as_str()[authority.host().len()..];
    // Read as a number a port may begin with `+`, which none does.
    let is_port = || authority.port_u16().is_some() && rest.bytes().skip(1).all(|digit| digit.is_ascii_digit());
    !authority.as_str().contains('@') && (matches!(rest, "" | ":") || is_port())
}

/// Why a request did not reach its endpoint, or its answer not the caller.
enum Refused {
    Tunnel,
    Host,
    Coding,
    BodySize(usize),
    BodyTime,
    BodyBroken,
    Busy,
    TooLong,
    Died,
}

impl Refused {
    fn into_response(self) -> Response<Body> {
        let (status, error, why) = match self {
            Self::Tunnel => (501, "invalid_request", "this is no proxy".into()),
            Self::Host => {
                (400, "invalid_request", "HTTP/1.1 asks for exactly one Host header, a host and a port".into())
            }
            Self::Coding => (501, "invalid_request", "Transfer-Encoding may be chunked, once, and nothing else".into()),
            Self::BodySize(most) => {
                (413, "invalid_request", format!("the body is longer than the {most} bytes that are taken"))
            }
            Self::BodyTime => (408, "invalid_request", "the body did not arrive in time".into()),
            Self::BodyBroken => (400, "invalid_request", "the body does not parse".into()),
            Self::Busy => (503, "temporarily_unavailable", "more is asked than is served at once".into()),
            Self::TooLong => (503, "temporarily_unavailable", "the answer took too long".into()),
            Self::Died => (500, "server_error", "a mistake of the server's own".into()),
        };
        let body = format!(r#"{{"error":"{error}","error_description":"{why}"}}"#);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == 503 {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        } else {
            // Something of the body may still be on its way.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_host_at_a_glance_is_one_to_the_library_too() {
        for plain in ["a", "api.example.com", "api.example.com:8443", "127.0.0.1:0", "A-1.b:65535", "1.2.3.4"] {
            assert!(is_plain_host(plain.as_bytes()) && is_any_host(plain.as_bytes()), "{plain}");
        }
        for other in ["", ":80", "a:", "a:65536", "a:99999", "a:123456", "a:+1", "[::1]:80", "a_b", "a@b", "a b", "a,b"]
        {
            assert!(!is_plain_host(other.as_bytes()), "{other}");
        }
        for none in ["a:65536", "a:99999", "a:123456", "a:+1", "a@b", "a b", "a/b"] {
            assert!(!is_host(none.as_bytes()), "{none}");
        }
        for host in ["", "a:", "[::1]:80", "a_b"] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
    }
}
