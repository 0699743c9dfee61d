//! A checker that keeps itself fresh: fetches the broker's keys, follows its feed, knows how old its view is.
//!
//! Owns two background tasks, which end with it. The check itself waits for nobody, but for the one refetch of keys that
//! an unknown `kid` may cause.

use std::sync::Arc;
use std::time::Duration;

use super::follow::{self, Shared};
use super::task::Task;
use super::{ConnectError, Expect, FeedError, Invalid, VerifiedToken, VerifierOptions, WhenStale};
use crate::model::{AudienceUri, UnixTime};
use crate::revocation::View;

/// Verifies the tokens of one broker, revocation included. Must be made within a tokio runtime; dropping it ends its tasks.
#[derive(Debug)]
pub struct Verifier {
    shared: Arc<Shared>,
    /// Keys and view, kept fresh.
    _tasks: [Task; 2],
}

impl Verifier {
    /// Fetches the keys, follows the feed until a whole first view is here, and keeps both fresh from then on.
    ///
    /// # Errors
    /// [`ConnectError`]: why there is no first view. Nothing runs on then; the caller may try again.
    pub async fn connect(options: VerifierOptions) -> Result<Self, ConnectError> {
        let shared = Arc::new(Shared::new(options));
        let tasks = follow::begin(&shared).await?;
        Ok(Self { shared, _tasks: tasks })
    }

    /// Checks a token. An unknown `kid` may first have the keys fetched anew, once a cool-down.
    ///
    /// # Errors
    /// The first check that failed; [`Invalid::Stale`] for a good token under a view that is too old.
    pub async fn verify(&self, token: &str, expect: &Expect<'_>) -> Result<Arc<VerifiedToken>, Invalid> {
        let mut outcome = self.judge(token, expect);
        if matches!(outcome, Err(Invalid::Key)) && self.refetch_keys().await {
            outcome = self.judge(token, expect);
        }
        self.observed(outcome)
    }

    /// Checks a token from memory alone.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub fn check(&self, token: &str, expect: &Expect<'_>) -> Result<Arc<VerifiedToken>, Invalid> {
        self.observed(self.judge(token, expect))
    }

    pub(super) fn judge(&self, token: &str, expect: &Expect<'_>) -> Result<Arc<VerifiedToken>, Invalid> {
        let own = self.shared.options.audience.as_ref();
        let audience = expect.audience.or(own.map(AudienceUri::as_str));
        // One look at the clock for all: it is the dearest part of a check of a token seen before. It may be put back, and what
        // the broker told of the time not: so what is over stays over.
        let now_ms = self.shared.checker.clock().now_ms().max(self.shared.age.told_ms());
        let now = UnixTime::from_secs(now_ms / 1000);
        let verified = self.shared.checker.check_at(token, &Expect { audience, ..*expect }, now)?;
        // The view holds only the rules that can concern its own audience: of other tokens it knows nothing.
        if own.is_some_and(|own| *own != verified.claims().aud) {
            return Err(Invalid::Audience);
        }
        match self.shared.options.when_stale {
            WhenStale::Refuse if !self.is_fresh_at(now_ms) => Err(Invalid::Stale),
            _ => Ok(verified),
        }
    }

    pub(super) fn observed(&self, outcome: Result<Arc<VerifiedToken>, Invalid>) -> Result<Arc<VerifiedToken>, Invalid> {
        if let Some(observer) = &self.shared.options.observer {
            observer.checked(&outcome);
        }
        outcome
    }

    /// Has the keys fetched anew, outside the cool-down, and waits for it. Whether that was done.
    async fn refetch_keys(&self) -> bool {
        self.shared.jwks.refetch(self.shared.options.timeout).await
    }

    /// How old the view is; none before the first.
    pub fn view_age(&self) -> Option<Duration> {
        self.shared.age.at(self.shared.checker.clock().now_ms())
    }

    /// Whether the view is young enough to say anything.
    pub fn is_fresh(&self) -> bool {
        self.is_fresh_at(self.shared.checker.clock().now_ms())
    }

    fn is_fresh_at(&self, now_ms: u64) -> bool {
        self.shared.age.at(now_ms).is_some_and(|age| age <= self.shared.options.max_staleness)
    }

    /// The view itself, for figures.
    pub fn view(&self) -> &View {
        self.shared.checker.view()
    }

    /// The options it was made with.
    pub fn options(&self) -> &VerifierOptions {
        &self.shared.options
    }

    /// Why the feed is not heard now; none while it is.
    pub fn problem(&self) -> Option<Arc<FeedError>> {
        self.shared.problem.load_full()
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "live_bounds_tests.rs"]
mod bounds_tests;
