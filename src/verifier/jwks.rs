//! The broker's public keys (RFC 7517): fetched when their `Cache-Control` says so, and at once for an unknown `kid`,
//! but then once a cool-down, so that tokens with made-up keys send nobody to the broker.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio::sync::{Notify, watch};

use crate::fetch::{Fetch, FetchError, max_age};
use crate::jose::es256::VerifyingKey;
use crate::jose::{Alg, JoseError, JwkSet};
use crate::model::{InvalidName, KeyId};

/// A key set is fetched anew no sooner than this, whatever it says of itself.
const LEAST: Duration = Duration::from_secs(10);
/// And no later than this.
const MOST: Duration = Duration::from_secs(3600);

/// Why the keys could not be fetched. The ones that were fetched before stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// No answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Another status than 200.
    #[error("the JWKS answered with status {0}")]
    Status(u16),
    /// Not a set of public keys.
    #[error("the JWKS is not one: {0}")]
    Set(#[from] JoseError),
    /// A key without a usable name.
    #[error("the JWKS holds a key with a wrong name: {0}")]
    Name(#[from] InvalidName),
    /// No key that could sign an access token.
    #[error("the JWKS holds no ES256 key")]
    Empty,
}

/// Fetches the keys; one fetch at a time, as one task alone does it.
#[derive(Debug)]
pub(super) struct Jwks {
    url: String,
    cool_down: Duration,
    wanted: Notify,
    /// How many fetches have ended; those who wait for one watch it.
    fetched: watch::Sender<u64>,
    last: Mutex<Option<Instant>>,
}

impl Jwks {
    pub(super) fn new(url: String, cool_down: Duration) -> Self {
        Self { url, cool_down, wanted: Notify::new(), fetched: watch::Sender::new(0), last: Mutex::new(None) }
    }

    /// Fetches the keys and gives them with how long they may be kept.
    ///
    /// # Errors
    /// [`JwksError`].
    pub(super) async fn fetch(&self, fetch: &Fetch) -> Result<(Vec<(KeyId, VerifyingKey)>, Duration), JwksError> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let answer = fetch.get(&self.url).await?;
        if answer.status != http::StatusCode::OK {
            return Err(JwksError::Status(answer.status.as_u16()));
        }
        Ok((read(&answer.body)?, lifetime(&answer.headers)))
    }

    /// Told once the keys of a fetch are in place, or it failed.
    pub(super) fn done(&self) {
        self.fetched.send_modify(|count| *count += 1);
    }

    /// Waits until the keys are to be fetched anew: after `lifetime`, or once somebody asks outside the cool-down.
    pub(super) async fn due(&self, lifetime: Duration) {
        let asked = async {
            loop {
                self.wanted.notified().await;
                // Two may ask for the same fetch; the second wish is then stale.
                if !self.is_cooling() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(lifetime, asked).await;
    }

    /// Asks for a fetch and waits for its end, `patience` at most. False where none is made: one began a moment ago.
    pub(super) async fn refetch(&self, patience: Duration) -> bool {
        if self.is_cooling() {
            return false;
        }
        let mut fetched = self.fetched.subscribe();
        self.wanted.notify_one();
        tokio::time::timeout(patience, fetched.changed()).await.is_ok_and(|changed| changed.is_ok())
    }

    /// Asks for a fetch and does not wait.
    pub(super) fn want(&self) {
        if !self.is_cooling() {
            self.wanted.notify_one();
        }
    }

    fn is_cooling(&self) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < self.cool_down)
    }
}

/// The ES256 keys of a set; keys of other kinds may stand beside them.
pub(crate) fn read(body: &[u8]) -> Result<Vec<(KeyId, VerifyingKey)>, JwksError> {
    let set = JwkSet::parse(body)?;
    let mut keys = Vec::new();
    for key in set.keys().iter().filter(|key| key.serves(Alg::Es256)) {
        if let Some(kid) = key.kid() {
            keys.push((KeyId::parse(kid)?, VerifyingKey::from_point(key.public_bytes())?));
        }
    }
    if keys.is_empty() { Err(JwksError::Empty) } else { Ok(keys) }
}

/// How long a set may be kept: `max-age` (RFC 9111 §5.2.2) within bounds; without one, the least.
fn lifetime(headers: &HeaderMap) -> Duration {
    max_age(headers).unwrap_or_default().clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn a_set_is_kept_as_long_as_it_says_within_bounds() {
        for (value, seconds) in [
            ("max-age=600", 600),
            ("public, Max-Age=600, must-revalidate", 600),
            ("max-age=0", 10),
            ("no-store", 10),
            ("max-age=99999999", 3600),
            ("max-age=x", 10),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, value.parse().unwrap());
            assert_eq!(lifetime(&headers).as_secs(), seconds, "{value}");
        }
        assert_eq!(lifetime(&HeaderMap::new()), LEAST);
    }

    #[tokio::test]
    async fn within_the_cool_down_nobody_is_sent_to_the_broker() {
        let jwks = Jwks::new("http://127.0.0.1:1/".into(), Duration::from_secs(60));
        assert!(jwks.fetch(&Fetch::new(crate::fetch::FetchOptions::default())).await.is_err());
        assert!(!jwks.refetch(Duration::from_secs(60)).await);
        jwks.wanted.notify_one();
        assert!(tokio::time::timeout(Duration::from_millis(20), jwks.due(MOST)).await.is_err(), "a stale wish");
    }
}
