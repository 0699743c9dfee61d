//! Asks strangers over HTTPS: addresses that lead inside are refused, in the URL, after DNS, and so on each connection.
//!
//! Owns the exceptions, which an operator names. Never follows a redirect, never keeps a connection for the next request.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use tower_service::Service;

use super::address::inside;
use super::{Answer, FetchError, Target, trust, whole};

/// Scheme, host and port of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// Reads the origin of a URL, whatever its path; a sentence where it has none that may be named as an exception.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let target = Target::parse(url, false).map_err(|error| error.to_string())?;
        Ok(Self::of(&target))
    }

    fn of(target: &Target) -> Self {
        let host = target.uri.host().unwrap_or_default().to_ascii_lowercase();
        let port = target.uri.port_u16().unwrap_or(if target.https { 443 } else { 80 });
        Self { https: target.https, host, port }
    }
}

/// How far requests to strangers may go.
#[derive(Debug, Clone)]
pub struct ForeignOptions {
    /// From the first byte sent to the last byte read.
    pub timeout: Duration,
    /// The longest body that is read, in bytes.
    pub max_body: usize,
    /// Origins that may lie inside; plain HTTP is spoken only to those of them that say so, on this machine.
    pub allow: Vec<Origin>,
    /// Certificates to trust for those, PEM; none: the system's. For all others the system's alone count.
    pub ca_pem: Option<Vec<u8>>,
}

type Guarded = Client<HttpsConnector<HttpConnector<Outside>>, Full<Bytes>>;
type Open = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// An HTTP client for URLs that others wrote.
pub struct ForeignFetch {
    options: ForeignOptions,
    guarded: OnceLock<Result<Guarded, String>>,
    open: OnceLock<Result<Open, String>>,
}

impl fmt::Debug for ForeignFetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignFetch").field("options", &self.options).finish_non_exhaustive()
    }
}

impl ForeignFetch {
    /// A client with these bounds. Opens nothing yet.
    pub const fn new(options: ForeignOptions) -> Self {
        Self { options, guarded: OnceLock::new(), open: OnceLock::new() }
    }

    /// GETs `url`.
    ///
    /// # Errors
    /// [`FetchError`] where no whole answer came or none may be asked for; an answer of any status is an answer.
    pub async fn get(&self, url: &str) -> Result<Answer, FetchError> {
        let target = Target::parse(url, false)?;
        let is_named = self.options.allow.contains(&Origin::of(&target));
        let ForeignOptions { timeout, max_body, .. } = self.options;
        let to = &target.shown;
        let answer = async {
            let request = target.request(Method::GET, Full::default());
            let no_roots = |why: &String| FetchError::NoRoots { to: to.clone(), why: why.clone() };
            let response = if is_named {
                self.open.get_or_init(|| self.make_open()).as_ref().map_err(no_roots)?.request(request)
            } else {
                check(&target)?;
                self.guarded.get_or_init(make_guarded).as_ref().map_err(no_roots)?.request(request)
            };
            let response = response.await.map_err(|error| FetchError::of(to, max_body, &error))?;
            whole(to, max_body, response).await
        };
        let late = |_| FetchError::Timeout { to: to.clone(), after: timeout };
        tokio::time::timeout(timeout, answer).await.map_err(late)?
    }

    fn make_open(&self) -> Result<Open, String> {
        let config = trust::client(self.options.ca_pem.as_deref())?;
        let https = HttpsConnectorBuilder::new().with_tls_config(config);
        Ok(client(https.https_or_http().enable_http1().wrap_connector(tcp(HttpConnector::new()))))
    }
}

fn make_guarded() -> Result<Guarded, String> {
    let https = HttpsConnectorBuilder::new().with_tls_config(trust::client(None)?);
    Ok(client(https.https_only().enable_http1().wrap_connector(tcp(HttpConnector::new_with_resolver(Outside)))))
}

fn tcp<R>(mut connector: HttpConnector<R>) -> HttpConnector<R> {
    connector.set_nodelay(true);
    connector.enforce_http(false);
    connector
}

/// Without a pool: each request resolves and connects anew, so each address is looked at.
fn client<C>(connector: C) -> Client<C, Full<Bytes>>
where
    C: hyper_util::client::legacy::connect::Connect + Clone,
{
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).http1_max_buf_size(64 << 10).build(connector)
}

/// What no resolver is asked about: plain HTTP, and addresses written in the URL itself.
fn check(target: &Target) -> Result<(), FetchError> {
    let to = || target.shown.clone();
    if !target.https {
        return Err(FetchError::Inside { to: to(), kind: "plain http" });
    }
    let host = target.uri.host().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>().ok().and_then(inside) {
        Some(kind) => Err(FetchError::Inside { to: to(), kind }),
        None => Ok(()),
    }
}

/// Resolves names to addresses outside, and to nothing else.
#[derive(Debug, Clone, Copy)]
struct Outside;

/// All addresses of a name lead inside; the kind of the first.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to a {0} address")]
pub(super) struct LeadsInside(pub(super) &'static str);

impl Service<Name> for Outside {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            outside(&found).map(Vec::into_iter)
        })
    }
}

fn outside(found: &[SocketAddr]) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    let leads_inside = |address: &SocketAddr| inside(address.ip()).is_some();
    let (refused, public): (Vec<SocketAddr>, Vec<_>) = found.iter().partition(|address| leads_inside(address));
    match (public.is_empty(), refused.first().and_then(|address| inside(address.ip()))) {
        (false, _) => Ok(public),
        (true, Some(kind)) => Err(LeadsInside(kind).into()),
        (true, None) => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn fetch(allow: &[&str]) -> ForeignFetch {
        let allow = allow.iter().map(|url| Origin::parse(url).unwrap()).collect();
        ForeignFetch::new(ForeignOptions { timeout: Duration::from_secs(5), max_body: 1000, allow, ca_pem: None })
    }

    #[tokio::test]
    async fn what_leads_inside_is_refused_before_anything_is_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fetch = fetch(&["https://other.example.com", "https://127.0.0.1:1"]);
        for (url, kind) in [
            (format!("https://127.0.0.1:{port}/"), "loopback"),
            (format!("https://[::1]:{port}/"), "loopback"),
            (format!("https://[::ffff:127.0.0.1]:{port}/"), "loopback"),
            (format!("https://[64:ff9b::7f00:1]:{port}/"), "loopback"),
            (format!("https://localhost:{port}/"), "loopback"),
            (format!("http://127.0.0.1:{port}/"), "plain http"),
            ("https://169.254.169.254/latest/meta-data".into(), "link-local"),
            ("https://10.0.0.1/".into(), "private"),
            ("https://0.0.0.0/".into(), "unspecified"),
            ("https://[fd00:ec2::254]/".into(), "private"),
        ] {
            let error = fetch.get(&url).await.unwrap_err();
            assert!(matches!(&error, FetchError::Inside { kind: found, .. } if *found == kind), "{url}: {error}");
            assert!(error.to_string().contains("allow_private"), "{error}");
        }
        for url in ["http://example.com/", "ftp://example.com", "https://user@example.com", "unix:/x"] {
            let error = fetch.get(url).await.unwrap_err();
            assert!(matches!(error, FetchError::Url { .. } | FetchError::PlainHttp { .. }), "{url}: {error}");
        }
        let nobody = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
        assert!(nobody.is_err(), "somebody connected");
    }

    #[tokio::test]
    async fn what_is_named_may_lie_inside_and_a_redirect_is_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let fetch = fetch(&[&format!("{url}/realms/x")]);
        assert_eq!(fetch.get(&format!("{url}/.well-known/openid-configuration")).await.unwrap().status, 302);
        server.await.unwrap();
    }

    #[test]
    fn a_name_with_addresses_on_both_sides_is_reached_outside_alone() {
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let both = outside(&[at("127.0.0.1"), at("9.9.9.9"), at("::1")]).unwrap();
        assert_eq!(both, [at("9.9.9.9")]);
        assert!(outside(&[at("10.0.0.1")]).unwrap_err().is::<LeadsInside>());
        assert!(outside(&[]).is_err());
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let parse = |url: &str| Origin::parse(url).unwrap();
        assert_eq!(parse("https://A.example.com/x"), parse("https://a.example.com:443"));
        assert_ne!(parse("https://a.example.com"), parse("https://a.example.com:8443"));
        assert_ne!(parse("http://127.0.0.1:80"), parse("https://127.0.0.1:80"));
        for url in ["http://a.example.com", "a.example.com", "https://", "https://u:p@a"] {
            assert!(Origin::parse(url).is_err(), "{url}");
        }
    }
}
