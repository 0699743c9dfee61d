//! Where a broker's endpoints are, by its own metadata (RFC 8414).

use std::time::Duration;

use serde::Deserialize;

use super::{BrokerAddress, ClientError};
use crate::fetch::{Answer, Fetch, FetchOptions};

/// No answer of a broker is larger.
const MAX_ANSWER: usize = 256 * 1024;
/// A broker answers within 2 s, also where its store is away.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is used of a broker's metadata, and the address its own endpoints hang on.
#[derive(Debug, Clone)]
pub(super) struct Endpoints {
    /// `POST`, RFC 6749.
    pub token: String,
    /// The address under which the broker is reached, without a `/` at its end.
    base: String,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
}

impl Endpoints {
    /// Asks the broker at `broker` for its metadata; its issuer must be the one expected (RFC 8414 §3.3).
    pub(super) async fn discover(fetch: &Fetch, broker: &BrokerAddress) -> Result<Self, ClientError> {
        let url = format!("{}/.well-known/oauth-authorization-server", broker.url());
        let answer = fetch.get(&url).await?;
        Self::read(&url, &answer, broker)
    }

    fn read(at: &str, answer: &Answer, broker: &BrokerAddress) -> Result<Self, ClientError> {
        if answer.status != 200 {
            return Err(ClientError::refusal(at, answer));
        }
        let metadata: Metadata = serde_json::from_slice(&answer.body)
            .map_err(|error| ClientError::Answer { at: at.to_owned(), why: format!("its metadata: {error}") })?;
        if metadata.issuer != broker.issuer() {
            return Err(ClientError::Issuer {
                url: broker.url().to_owned(),
                found: super::error::printable(&metadata.issuer),
                expected: broker.issuer().to_owned(),
            });
        }
        let base = broker.url().to_owned();
        // A broker that is reached under another name is asked there, not where its issuer points.
        let token = match metadata.token_endpoint.strip_prefix(&metadata.issuer) {
            Some(path) if path.starts_with('/') => format!("{base}{path}"),
            _ => metadata.token_endpoint,
        };
        Ok(Self { token, base })
    }

    /// The address of a path of the broker's own API, such as `/v1/tasks/…`.
    pub(super) fn own(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

/// What is used to ask a broker.
pub(super) fn fetch() -> Fetch {
    Fetch::new(FetchOptions { timeout: TIMEOUT, max_body: MAX_ANSWER, allow_plain_http: false })
}

impl BrokerAddress {
    /// Asks the broker for its name: it must be the one expected.
    ///
    /// # Errors
    /// [`ClientError`] where it does not answer or calls itself by another name.
    pub async fn confirm(&self) -> Result<(), ClientError> {
        Endpoints::discover(&fetch(), self).await.map(drop)
    }
}
