//! Asks other programs over HTTP: GET and form POST, bounded in size and in total time, no redirects, TLS by ring.
//!
//! Never speaks plain HTTP to another machine unless that was allowed by name; never retries; never logs what it sends.
//! Over a Unix socket: [`unix`]. To URLs that others wrote: [`foreign`].

mod address;
mod error;
pub mod foreign;
mod stream;
pub mod trust;
pub mod unix;

use std::fmt;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub use error::FetchError;
pub use stream::Stream;

use crate::model::Secret;

/// How far a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchOptions {
    /// From the first byte sent to the last byte read.
    pub timeout: Duration,
    /// The longest body that is read, in bytes.
    pub max_body: usize,
    /// Whether plain HTTP may be spoken to other machines. To this machine it always may.
    pub allow_plain_http: bool,
}

impl Default for FetchOptions {
    /// 10 seconds, 1 MiB, no plain HTTP.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), max_body: 1 << 20, allow_plain_http: false }
    }
}

/// What came back, whatever its status.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl fmt::Debug for Answer {
    // A body may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("body_bytes", &self.body.len()).finish()
    }
}

type Https = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// An HTTP client. Connections are kept and used again; one value serves any number of tasks.
pub struct Fetch {
    options: FetchOptions,
    plain: Client<HttpConnector, Full<Bytes>>,
    /// Made at the first https address: reading the system's certificate authorities takes a while.
    https: OnceLock<Result<Https, String>>,
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Fetch {
    /// A client with these bounds. Opens nothing yet.
    pub fn new(options: FetchOptions) -> Self {
        Self { options, plain: builder().build(connector()), https: OnceLock::new() }
    }

    /// GETs `url`.
    ///
    /// # Errors
    /// [`FetchError`] where no whole answer came; an answer of any status is an answer.
    pub async fn get(&self, url: &str) -> Result<Answer, FetchError> {
        let target = Target::parse(url, self.options.allow_plain_http)?;
        let request = target.request(Method::GET, Full::default());
        self.send(&target, request).await
    }

    /// GETs `url` with `bearer` in the `Authorization` header.
    ///
    /// # Errors
    /// As [`Fetch::get`]; a bearer token that no header can carry is [`FetchError::Url`].
    pub async fn get_as(&self, url: &str, bearer: &Secret<String>) -> Result<Answer, FetchError> {
        let target = Target::parse(url, self.options.allow_plain_http)?;
        let mut request = target.request(Method::GET, Full::default());
        target.authorize(&mut request, bearer)?;
        self.send(&target, request).await
    }

    /// POSTs `form` to `url` as `application/x-www-form-urlencoded`, with `bearer` in the `Authorization` header.
    ///
    /// # Errors
    /// As [`Fetch::get`]; a bearer token that no header can carry is [`FetchError::Url`].
    pub async fn post_form(
        &self,
        url: &str,
        form: &[(&str, &str)],
        bearer: Option<&Secret<String>>,
    ) -> Result<Answer, FetchError> {
        let target = Target::parse(url, self.options.allow_plain_http)?;
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = target.request(Method::POST, Full::from(body));
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        if let Some(token) = bearer {
            target.authorize(&mut request, token)?;
        }
        self.send(&target, request).await
    }

    async fn send(&self, target: &Target, request: Request<Full<Bytes>>) -> Result<Answer, FetchError> {
        let FetchOptions { timeout, max_body, .. } = self.options;
        let answer = async {
            let response = self.begin(target, request).await?;
            whole(&target.shown, max_body, response).await
        };
        let late = |_| FetchError::Timeout { to: target.shown.clone(), after: timeout };
        tokio::time::timeout(timeout, answer).await.map_err(late)?
    }

    /// Sends a request and gives the answer with its headers; its body is still to come.
    async fn begin(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
    ) -> Result<http::Response<hyper::body::Incoming>, FetchError> {
        let response =
            if target.https { self.https(target)?.request(request).await } else { self.plain.request(request).await };
        response.map_err(|error| FetchError::of(&target.shown, self.options.max_body, &error))
    }

    fn https(&self, target: &Target) -> Result<&Https, FetchError> {
        let made = self.https.get_or_init(|| {
            let tls = HttpsConnectorBuilder::new()
                .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
                .map_err(|error| error.to_string())?;
            let mut tcp = connector();
            tcp.enforce_http(false);
            Ok(builder().build(tls.https_only().enable_http1().wrap_connector(tcp)))
        });
        made.as_ref().map_err(|why| FetchError::NoRoots { to: target.shown.clone(), why: why.clone() })
    }
}

/// Reads a body whole, up to `max_body` bytes.
async fn whole(
    to: &str,
    max_body: usize,
    response: http::Response<hyper::body::Incoming>,
) -> Result<Answer, FetchError> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, max_body).collect().await;
    let body = body.map_err(|error| FetchError::of(to, max_body, error.as_ref()))?.to_bytes();
    Ok(Answer { status: head.status, headers: head.headers, body })
}

fn builder() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(8)
        .http1_max_buf_size(64 << 10);
    builder
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector
}

/// An address that may be asked.
struct Target {
    uri: Uri,
    https: bool,
    /// What errors show of it.
    shown: String,
}

impl Target {
    fn parse(url: &str, allow_plain_http: bool) -> Result<Self, FetchError> {
        let shown = shown(url);
        let wrong = |why| FetchError::Url { to: shown.clone(), why };
        let uri: Uri = url.parse().map_err(|_| wrong("it does not parse"))?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("it begins with neither https:// nor http://")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(wrong("a user name or password has no place in it"));
        }
        if !https && !allow_plain_http && !is_loopback(host) {
            return Err(FetchError::PlainHttp { to: shown });
        }
        Ok(Self { https, shown, uri })
    }

    fn request(&self, method: Method, body: Full<Bytes>) -> Request<Full<Bytes>> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        request
    }

    /// Lets the request carry a bearer token (RFC 6750 §2.1).
    fn authorize(&self, request: &mut Request<Full<Bytes>>, token: &Secret<String>) -> Result<(), FetchError> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|_| FetchError::Url { to: self.shown.clone(), why: "the token holds a line break" })?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
        Ok(())
    }
}

/// `max-age` of an answer's `Cache-Control` (RFC 9111 §5.2.2); nought where it may not be kept, none where it says nothing.
pub fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::CACHE_CONTROL);
    let mut directives = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    directives.find_map(|directive| match directive.trim().split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("max-age") => {
            Some(Duration::from_secs(value.trim_matches('"').parse().unwrap_or(0)))
        }
        Some(_) => None,
        None => ["no-store", "no-cache"]
            .iter()
            .any(|never| directive.trim().eq_ignore_ascii_case(never))
            .then_some(Duration::ZERO),
    })
}

/// Who asks.
const AGENT: &str = concat!("jitney/", env!("CARGO_PKG_VERSION"));

/// An address without what may be secret in it: user information, query, fragment.
fn shown(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    match plain.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let host = rest[..end].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[host..])
        }
        None => plain.to_owned(),
    }
}

/// Whether a URL's host is this machine: `localhost`, or a loopback address.
fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests;
