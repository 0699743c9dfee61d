//! An answer that comes by and by and has no end of its own: each silence is bounded, the whole is not.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};

use super::{Fetch, FetchError, Target};

/// An answer whose body is still coming. Dropped, it closes the connection.
pub struct Stream {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: hyper::body::Incoming,
    shown: String,
    silence: Duration,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("from", &self.shown).field("status", &self.status).finish_non_exhaustive()
    }
}

impl Fetch {
    /// GETs `url` and gives the answer as soon as its headers are here, within the time of [`super::FetchOptions`]; that is also
    /// how long the body may be silent. `header` goes with the request. The size is bounded by whoever reads.
    ///
    /// # Errors
    /// As [`Fetch::get`]; a header that cannot be sent is [`FetchError::Url`].
    pub async fn open(&self, url: &str, header: Option<(HeaderName, &str)>) -> Result<Stream, FetchError> {
        let target = Target::parse(url, self.options.allow_plain_http)?;
        let mut request = target.request(Method::GET, Full::default());
        if let Some((name, value)) = header {
            let value = HeaderValue::try_from(value)
                .map_err(|_| FetchError::Url { to: target.shown.clone(), why: "a header of it cannot be sent" })?;
            request.headers_mut().insert(name, value);
        }
        let silence = self.options.timeout;
        let late = |_| FetchError::Timeout { to: target.shown.clone(), after: silence };
        let (head, body) =
            tokio::time::timeout(silence, self.begin(&target, request)).await.map_err(late)??.into_parts();
        Ok(Stream { status: head.status, headers: head.headers, body, shown: target.shown, silence })
    }
}

impl Stream {
    /// The next bytes, at least one; none at the end.
    ///
    /// # Errors
    /// [`FetchError`] where the connection breaks or is silent for too long.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let late = |_| FetchError::Timeout { to: self.shown.clone(), after: self.silence };
            let frame = tokio::time::timeout(self.silence, self.body.frame()).await.map_err(late)?;
            match frame.transpose().map_err(|error| FetchError::of(&self.shown, 0, &error))? {
                None => return Ok(None),
                Some(frame) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    // Trailers, or nothing.
                    _ => {}
                },
            }
        }
    }
}
