//! GitHub Actions, and Forgejo's after it: a job asks its platform for a token that says which run it is.
//!
//! Owns the job's request token, which goes to the URL that came with it and nowhere else: no redirect is followed, and
//! plain HTTP is spoken to this machine alone. A token is used until shortly before its end, then asked for anew.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::super::{ClientError, said};
use super::find::Looked;
use super::{Settings, Source};
use crate::fetch::{Answer, Fetch, FetchError, FetchOptions};
use crate::model::{Clock, Secret, UnixTime};

const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
const PLATFORM: &str = "GitHub Actions";

/// Where one of them is missing.
const BOTH: &str = "pass both on as the job's runner sets them, ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN: \
                    a container, `sudo` or `env -i` in the step may have kept one";

/// The whole of one question.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A platform that is busy is asked so often …
const TRIES: u32 = 3;
/// … with this pause after the first try, and twice as long after the next.
const PAUSE: Duration = Duration::from_millis(500);
/// How long before its end a token is no longer used: a request and the skew of clocks, …
const MARGIN: Duration = Duration::from_secs(60);
/// … but this part of its life at most.
const MARGIN_PART: u32 = 4;

/// The platform as a job sees it.
pub(super) struct GitHub {
    url: String,
    request_token: Secret<String>,
    fetch: Fetch,
    /// Locked while one asks, so that others wait for the same answer.
    held: Mutex<Option<Held>>,
}

/// A token that is used again.
struct Held {
    token: Secret<String>,
    since: Instant,
    /// From `since` on.
    good_for: Duration,
}

#[derive(Deserialize)]
struct TokenAnswer {
    value: String,
}

/// Looks for the job's way to ask.
pub(super) fn look(settings: &impl Settings) -> Result<Looked, ClientError> {
    let not = |what: String, mend: Option<&str>| Looked::Not { what, mend: mend.map(str::to_owned) };
    Ok(match (settings.get(URL), settings.get(TOKEN)) {
        (Some(url), Some(token)) => Looked::Found(Source::GitHub(Box::new(GitHub::new(url, token.into())))),
        (Some(_), None) => not(format!("{PLATFORM}: {URL} is set and {TOKEN} is not"), Some(BOTH)),
        (None, Some(_)) => not(format!("{PLATFORM}: {TOKEN} is set and {URL} is not"), Some(BOTH)),
        (None, None) if settings.get("GITHUB_ACTIONS").is_some() => not(
            format!("{PLATFORM}: this job may not ask who it is ({URL} is not set)"),
            Some("add `permissions: { id-token: write }` to the job, beside what else it needs, like `contents: read`"),
        ),
        (None, None) => not(format!("{PLATFORM}: {URL} is not set"), None),
    })
}

impl GitHub {
    fn new(url: String, request_token: Secret<String>) -> Self {
        let options = FetchOptions { timeout: TIMEOUT, max_body: said::MAX_TOKEN, allow_plain_http: false };
        Self { url, request_token, fetch: Fetch::new(options), held: Mutex::new(None) }
    }

    /// A token for the broker of this name.
    pub(super) async fn token(&self, issuer: &str, clock: &Clock) -> Result<Secret<String>, ClientError> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| held.is_good_at(Instant::now())) {
            return Ok(held.token.clone());
        }
        *held = None;
        let token = self.ask(issuer).await?;
        *held = Held::of(&token, clock.now(), Instant::now());
        Ok(token)
    }

    /// Forgets the token it has.
    pub(super) async fn forget(&self) {
        *self.held.lock().await = None;
    }

    /// What must not be handed on: the request token, and the token it brought.
    pub(super) async fn secrets(&self) -> Vec<Secret<String>> {
        let held = self.held.lock().await;
        held.iter().map(|held| held.token.clone()).chain([self.request_token.clone()]).collect()
    }

    async fn ask(&self, issuer: &str) -> Result<Secret<String>, ClientError> {
        let joint = if self.url.contains('?') { '&' } else { '?' };
        let audience: String = form_urlencoded::byte_serialize(issuer.as_bytes()).collect();
        let url = format!("{}{joint}audience={audience}", self.url);
        let mut tries = 0;
        loop {
            let error = match read(self.fetch.get_as(&url, &self.request_token).await) {
                Ok(token) => return Ok(token),
                Err(error) => error,
            };
            tries += 1;
            if tries == TRIES || !error.is_temporary() {
                return Err(error);
            }
            sleep(PAUSE * 2u32.pow(tries - 1)).await;
        }
    }
}

impl Held {
    /// None where the token does not say how long it lives, or has ended by this machine's clock.
    fn of(token: &Secret<String>, now: UnixTime, since: Instant) -> Option<Self> {
        let claims = said::claims(token.expose())?;
        let (iat, exp) = (said::date(&claims, "iat")?, said::date(&claims, "exp")?);
        // By both clocks: where they differ, the shorter time is on the safe side.
        let lives = exp.since(iat).min(exp.since(now));
        let good_for = lives.saturating_sub(MARGIN.min(lives / MARGIN_PART));
        (!good_for.is_zero()).then(|| Self { token: token.clone(), since, good_for })
    }

    fn is_good_at(&self, moment: Instant) -> bool {
        moment.duration_since(self.since) < self.good_for
    }
}

/// The token in an answer. Neither is ever quoted.
fn read(answer: Result<Answer, FetchError>) -> Result<Secret<String>, ClientError> {
    let wrong = |why: &str, is_temporary| ClientError::Platform { platform: PLATFORM, why: why.into(), is_temporary };
    let answer = match answer.map_err(ClientError::from) {
        Ok(answer) => answer,
        Err(error) => return Err(wrong(&error.to_string(), error.is_temporary())),
    };
    match answer.status.as_u16() {
        200 => {}
        401 | 403 => return Err(wrong("the job's request token is not taken; it ends with its job", false)),
        status => {
            let why = format!("the job's identity was asked for, and the answer is HTTP status {status}");
            return Err(wrong(&why, matches!(status, 408 | 429 | 500..=599)));
        }
    }
    let read: TokenAnswer =
        serde_json::from_slice(&answer.body).map_err(|_| wrong("the answer holds no token", false))?;
    let token = Secret::new(read.value);
    match said::claims(token.expose()) {
        Some(_) => Ok(token),
        None => Err(wrong("the answer holds no token", false)),
    }
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHub").field("url", &self.url.split('?').next()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_790_000_000;

    /// For how many seconds a token of these claims is used again.
    fn good_for(claims: &serde_json::Value) -> Option<u64> {
        let (token, since) = (Secret::new(said::tests::token(claims)), Instant::now());
        let held = Held::of(&token, UnixTime::from_secs(NOW), since)?;
        let good = (0..4000).take_while(|second| held.is_good_at(since + Duration::from_secs(*second))).count();
        Some(good as u64)
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end_by_whichever_clock_is_stricter() {
        for (iat, exp, expected) in [
            (NOW, NOW + 300, Some(240)),
            (NOW, NOW + 40, Some(30)),
            (NOW + 100, NOW + 400, Some(240)),
            (NOW - 100, NOW + 200, Some(150)),
            (NOW - 400, NOW - 100, None),
        ] {
            assert_eq!(good_for(&json!({"iat": iat, "exp": exp})), expected, "{iat} {exp}");
        }
        assert_eq!(good_for(&json!({"exp": NOW + 300})), None);
    }
}
