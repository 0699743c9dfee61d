//! A checker that keeps itself fresh: fetches the broker's keys, polls its feed, knows how old its view is.
//!
//! Owns two background tasks, which end with it. The check itself waits for nobody, but for the one refetch of keys that
//! an unknown `kid` may cause.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::feed::{self, FeedError, Wanted};
use super::fresh::{Age, Trust};
use super::jwks::{Jwks, JwksError};
use super::{Checker, CheckerOptions, Expect, Invalid, VerifiedToken};
use crate::fetch::{Fetch, FetchOptions};
use crate::model::{AudienceUri, Clock};
use crate::revocation::View;

/// The longest snapshot: some four million rules.
const MAX_SNAPSHOT: usize = 256 << 20;
/// The longest JWKS.
const MAX_JWKS: usize = 256 << 10;

/// How a verifier is set up.
#[derive(Debug, Clone)]
pub struct VerifierOptions {
    /// Where the broker is reached.
    pub url: String,
    /// The one `iss` that is accepted: `url`, unless the broker is reached under another name.
    pub issuer: String,
    /// The resource server's own URI: only rules that can concern its tokens are fetched, and only its tokens pass.
    pub audience: Option<AudienceUri>,
    /// How far `nbf`, `iat` and the feed's `iat` may lie in the future: 5 s, at most [`Checker::MAX_SKEW`].
    pub skew: Duration,
    /// A view older than this says nothing, and every token is refused: 10 s.
    pub max_staleness: Duration,
    /// How often the feed is asked: each second.
    pub poll: Duration,
    /// How long an answer may take: 5 s.
    pub timeout: Duration,
    /// How soon after a fetch of the keys an unknown `kid` may cause another: 10 s.
    pub cool_down: Duration,
    /// How many tokens are remembered: 10 000.
    pub seen: usize,
    /// Whether plain HTTP may be spoken to another machine.
    pub allow_plain_http: bool,
    /// The clock; one that never runs back.
    pub clock: Clock,
}

impl VerifierOptions {
    /// The usual options for the broker at `url`, which is its issuer too.
    pub fn new(url: impl Into<String>) -> Self {
        let url: String = url.into();
        Self {
            issuer: url.clone(),
            url,
            audience: None,
            skew: Duration::from_secs(5),
            max_staleness: Duration::from_secs(10),
            poll: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            cool_down: Duration::from_secs(10),
            seen: 10_000,
            allow_plain_http: false,
            clock: Clock::never_back(),
        }
    }
}

/// Why there is no first view.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The broker's keys could not be fetched.
    #[error("the broker's keys: {0}")]
    Keys(#[from] JwksError),
    /// Its revocations could not.
    #[error("the broker's revocations: {0}")]
    Feed(#[from] FeedError),
}

/// Verifies the tokens of one broker, revocation included. Must be made within a tokio runtime; dropping it ends its tasks.
#[derive(Debug)]
pub struct Verifier {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug)]
struct Shared {
    checker: Checker,
    audience: Option<AudienceUri>,
    skew: Duration,
    max_staleness: Duration,
    patience: Duration,
    feed_url: String,
    feed_fetch: Fetch,
    keys_fetch: Fetch,
    jwks: Jwks,
    trust: Trust,
    age: Age,
    issuer: String,
    problem: ArcSwapOption<FeedError>,
}

impl Verifier {
    /// Fetches keys and a first view, once, and keeps both fresh from then on.
    ///
    /// # Errors
    /// [`ConnectError`]: why there is no first view. Nothing runs on then; the caller may try again.
    pub async fn connect(options: VerifierOptions) -> Result<Self, ConnectError> {
        let (poll, cool_down) = (options.poll, options.cool_down);
        let shared = Arc::new(Shared::new(options));
        let lifetime = shared.fetch_keys().await?;
        shared.poll().await?;
        let keys = named("verifier_keys", keep_keys(Arc::clone(&shared), lifetime, cool_down));
        let feed = named("verifier_feed", keep_view(Arc::clone(&shared), poll));
        Ok(Self { shared, tasks: [keys, feed] })
    }

    /// Checks a token. An unknown `kid` may first have the keys fetched anew, once a cool-down.
    ///
    /// # Errors
    /// The first check that failed; [`Invalid::Stale`] for a good token under a view that is too old.
    pub async fn verify(&self, token: &str, expect: &Expect<'_>) -> Result<Arc<VerifiedToken>, Invalid> {
        match self.check(token, expect) {
            Err(Invalid::Key) if self.shared.jwks.refetch(self.shared.patience).await => self.check(token, expect),
            told => told,
        }
    }

    /// Checks a token from memory alone.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub fn check(&self, token: &str, expect: &Expect<'_>) -> Result<Arc<VerifiedToken>, Invalid> {
        let own = self.shared.audience.as_ref().map(AudienceUri::as_str);
        let verified = self.shared.checker.check(token, &Expect { audience: expect.audience.or(own), ..*expect })?;
        // The view holds only the rules that can concern its own audience: of other tokens it knows nothing.
        if self.shared.audience.as_ref().is_some_and(|own| *own != verified.claims().aud) {
            return Err(Invalid::Audience);
        }
        match self.view_age() {
            Some(age) if age <= self.shared.max_staleness => Ok(verified),
            _ => Err(Invalid::Stale),
        }
    }

    /// How old the view is; none before the first.
    pub fn view_age(&self) -> Option<Duration> {
        self.shared.age.at(self.shared.checker.clock().now_ms())
    }

    /// Whether the view is young enough to say anything.
    pub fn is_fresh(&self) -> bool {
        self.view_age().is_some_and(|age| age <= self.shared.max_staleness)
    }

    /// The view itself, for figures.
    pub fn view(&self) -> &View {
        self.shared.checker.view()
    }

    /// What was wrong with the feed the last time it was asked; none where all was well.
    pub fn problem(&self) -> Option<Arc<FeedError>> {
        self.shared.problem.load_full()
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn new(options: VerifierOptions) -> Self {
        let VerifierOptions { url, issuer, audience, clock, timeout, allow_plain_http, .. } = options;
        let base = url.trim_end_matches('/');
        let mut feed_url = format!("{base}/v1/revocations?once=1");
        if let Some(audience) = &audience {
            feed_url.push_str("&audience=");
            feed_url.extend(form_urlencoded::byte_serialize(audience.as_str().as_bytes()));
        }
        let skew = options.skew.min(Checker::MAX_SKEW);
        let checker = CheckerOptions { issuer: issuer.clone(), clock, skew, seen: options.seen };
        let bounds = |max_body| FetchOptions { timeout, max_body, allow_plain_http };
        Self {
            checker: Checker::new(checker, Arc::default()),
            audience,
            skew,
            max_staleness: options.max_staleness,
            patience: timeout,
            feed_url,
            feed_fetch: Fetch::new(bounds(MAX_SNAPSHOT)),
            keys_fetch: Fetch::new(bounds(MAX_JWKS)),
            jwks: Jwks::new(format!("{base}/oauth2/jwks"), options.cool_down),
            trust: Trust::default(),
            age: Age::new(),
            issuer,
            problem: ArcSwapOption::empty(),
        }
    }

    /// Fetches the keys and puts them in place; gives how long they may be kept.
    async fn fetch_keys(&self) -> Result<Duration, JwksError> {
        let fetched = self.jwks.fetch(&self.keys_fetch).await;
        let kept = fetched.map(|(keys, lifetime)| {
            self.trust.set_jwks(keys, &self.checker);
            lifetime
        });
        self.jwks.done();
        kept
    }

    /// Asks the feed once and takes in what it says.
    async fn poll(&self) -> Result<(), FeedError> {
        let asked = Instant::now();
        let answer = self.feed_fetch.get(&self.feed_url).await?;
        let content_type = answer.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default();
        if answer.status != http::StatusCode::OK || !content_type.starts_with("text/event-stream") {
            return Err(FeedError::Answer(answer.status.as_u16(), content_type.to_owned()));
        }
        match self.take_in(&answer.body, asked) {
            Err(FeedError::Key(_)) if self.jwks.refetch(self.patience).await => self.take_in(&answer.body, asked),
            told => told,
        }
    }

    fn take_in(&self, stream: &[u8], asked: Instant) -> Result<(), FeedError> {
        let (view, now) = (self.checker.view(), self.checker.clock().now());
        let (issuer, audience, skew) = (self.issuer.as_str(), self.audience.as_ref(), self.skew);
        let keys = self.trust.jwks();
        let (claims, rules) = feed::read(stream, &Wanted { issuer, audience, now, skew, keys: &keys, view })?;
        // Keys first: a new epoch's view holds no rule of the old one, so the old one's tokens must be out by then.
        self.trust.set_kids(&claims.kids, &self.checker);
        view.replace(claims.epoch, claims.position, &rules, now)?;
        view.expire(now);
        self.age.heard(asked, claims.iat);
        if self.trust.lacks_a_key() {
            self.jwks.want();
        }
        Ok(())
    }
}

/// Fetches the keys whenever they are due; after a failure, once the cool-down is over.
async fn keep_keys(shared: Arc<Shared>, mut lifetime: Duration, cool_down: Duration) {
    loop {
        shared.jwks.due(lifetime).await;
        lifetime = match shared.fetch_keys().await {
            Ok(lifetime) => lifetime,
            Err(error) => {
                tracing::warn!(%error, "the broker's keys were not fetched; those known stay");
                cool_down
            }
        };
    }
}

/// Polls the feed. What is wrong with it is told once, and again when it changes.
async fn keep_view(shared: Arc<Shared>, poll: Duration) {
    let mut ticks = tokio::time::interval(poll.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let told = shared.poll().await.err().map(Arc::new);
        let before = shared.problem.swap(told.clone());
        match (before.map(|error| error.to_string()), told) {
            (before, Some(error)) if before != Some(error.to_string()) => {
                tracing::warn!(%error, "the view of revocations was not renewed and ages");
            }
            (Some(_), None) => tracing::info!("the view of revocations is renewed again"),
            _ => {}
        }
        // Also while the feed is away.
        shared.checker.view().expire(shared.checker.clock().now());
    }
}

/// Spawns a task that says so should it ever end, which it does only by a bug.
fn named(task: &'static str, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let work = async move {
        work.await;
        tracing::error!(task, "a background task of the verifier ended");
    };
    tokio::spawn(work)
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
