//! HTTP over a Unix socket, for the admin API: whole answers, and streams of lines.
//!
//! Owns one connection a request. Never knows what the paths mean.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::{AGENT, Answer, FetchError, whole};

/// From connecting to the last byte of an answer that is no stream.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer, in bytes: a page of leases is far below it.
const MAX_BODY: usize = 16 << 20;
/// The longest line of a stream, in bytes.
const MAX_LINE: usize = 1 << 20;

type Io = TokioIo<UnixStream>;

/// A client of the program that listens on a Unix socket.
#[derive(Debug, Clone)]
pub struct UnixFetch {
    socket: PathBuf,
    timeout: Duration,
    /// The user who must listen there, unless root does; none where anybody may.
    of: Option<u32>,
}

impl UnixFetch {
    /// A client of the socket at `path`. Opens nothing yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { socket: path.into(), timeout: TIMEOUT, of: None }
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The same with another bound on the whole time of an answer (30 s at first).
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same, that asks nobody but this user's processes and root's: for a socket that nobody named.
    #[must_use]
    pub const fn of(mut self, uid: u32) -> Self {
        self.of = Some(uid);
        self
    }

    /// GETs `path` (with its query, percent-encoded).
    ///
    /// # Errors
    /// [`FetchError`] where no whole answer came; an answer of any status is an answer.
    pub async fn get(&self, path: &str) -> Result<Answer, FetchError> {
        self.ask(self.request(Method::GET, path, Bytes::new())?).await
    }

    /// POSTs `body` to `path` as JSON.
    ///
    /// # Errors
    /// As [`UnixFetch::get`].
    pub async fn post_json(&self, path: &str, body: &serde_json::Value) -> Result<Answer, FetchError> {
        self.ask(self.request(Method::POST, path, Bytes::from(body.to_string()))?).await
    }

    /// GETs `path` and hands its lines out as they come; the stream may last for ever.
    ///
    /// # Errors
    /// As [`UnixFetch::get`]; a status other than 200 is [`FetchError::Status`].
    pub async fn lines(&self, path: &str) -> Result<Lines, FetchError> {
        let request = self.request(Method::GET, path, Bytes::new())?;
        let opened = async {
            let (mut sender, connection) = self.connect().await?;
            let driver = Driver(tokio::spawn(async move { drop(connection.await) }));
            let response = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
            if response.status() == http::StatusCode::OK {
                let to = self.shown();
                return Ok(Lines { to, body: response.into_body(), read: BytesMut::new(), sought: 0, _driver: driver });
            }
            let answer = whole(&self.shown(), MAX_BODY, response).await?;
            let text: String = String::from_utf8_lossy(&answer.body).chars().take(400).collect();
            Err(FetchError::Status { to: self.shown(), status: answer.status.as_u16(), body: text })
        };
        self.in_time(opened).await
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, FetchError> {
        let json = method == Method::POST;
        let request = Request::builder().method(method).uri(path).body(Full::new(body));
        let mut request = request
            .ok()
            .filter(|_| path.starts_with('/'))
            .ok_or(FetchError::Url { to: self.shown(), why: "the path does not parse" })?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        if json {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(request)
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Answer, FetchError> {
        let answer = async {
            let (mut sender, connection) = self.connect().await?;
            let work = async {
                let response = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
                whole(&self.shown(), MAX_BODY, response).await
            };
            // The connection is driven here, beside the request: no task outlives the call.
            tokio::pin!(work);
            tokio::select! {
                biased;
                answer = &mut work => answer,
                _ = connection => work.await,
            }
        };
        self.in_time(answer).await
    }

    async fn connect(&self) -> Result<(SendRequest<Full<Bytes>>, Connection<Io, Full<Bytes>>), FetchError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.broken(&error))?;
        if let Some(own) = self.of {
            // By the kernel's word for who listens: the file may have been another's a moment ago.
            let uid = stream.peer_cred().map_err(|error| self.broken(&error))?.uid();
            if uid != 0 && uid != own {
                return Err(FetchError::Foreign { to: self.shown(), uid });
            }
        }
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, FetchError>>) -> Result<T, FetchError> {
        let late = |_| FetchError::Timeout { to: self.shown(), after: self.timeout };
        tokio::time::timeout(self.timeout, work).await.map_err(late)?
    }

    fn broken(&self, error: &(dyn std::error::Error + 'static)) -> FetchError {
        FetchError::of(&self.shown(), MAX_BODY, error)
    }

    fn shown(&self) -> String {
        format!("unix:{}", self.socket.display())
    }
}

/// Lines of an answer as they come. Dropping it closes the connection.
pub struct Lines {
    to: String,
    body: Incoming,
    read: BytesMut,
    /// How much of `read` is known to hold no line's end.
    sought: usize,
    _driver: Driver,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("to", &self.to).finish_non_exhaustive()
    }
}

impl Lines {
    /// The next line without its end, or none when the stream is over; a last line may lack its end. Dropping the future
    /// loses nothing.
    ///
    /// # Errors
    /// The stream broke, or a line is longer than 1 MiB.
    pub async fn next(&mut self) -> Result<Option<String>, FetchError> {
        loop {
            if let Some(at) = self.read[self.sought..].iter().position(|byte| *byte == b'\n') {
                let mut line = self.read.split_to(self.sought + at + 1);
                self.sought = 0;
                line.truncate(line.len() - 1);
                return Ok(Some(text(&line)));
            }
            self.sought = self.read.len();
            if self.read.len() > MAX_LINE {
                return Err(FetchError::TooLarge { to: self.to.clone(), limit: MAX_LINE });
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.read.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Err(FetchError::of(&self.to, MAX_LINE, &error)),
                None if self.read.is_empty() => return Ok(None),
                None => {
                    self.sought = 0;
                    return Ok(Some(text(&self.read.split())));
                }
            }
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

/// Drives a connection until it is dropped.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
