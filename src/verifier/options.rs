//! How a verifier is set up, and what it tells of itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::feed::FeedError;
use super::jwks::JwksError;
use super::{Invalid, VerifiedToken};
use crate::model::{AudienceUri, Clock};

/// How a verifier is set up.
#[derive(Debug, Clone)]
pub struct VerifierOptions {
    /// Where the broker is reached.
    pub url: String,
    /// The one `iss` that is accepted: `url`, unless the broker is reached under another name.
    pub issuer: String,
    /// The resource server's own URI: only rules that can concern its tokens are followed, and only its tokens pass.
    pub audience: Option<AudienceUri>,
    /// How far `nbf`, `iat` and the feed's moments may lie in the future: 5 s, at most [`super::Checker::MAX_SKEW`].
    pub skew: Duration,
    /// A view older than this is stale: 10 s. Ends are heard within milliseconds; this bounds how late they can be heard
    /// where the broker, or the way to it, is gone.
    pub max_staleness: Duration,
    /// What becomes of good tokens under a stale view: they are refused.
    pub when_stale: WhenStale,
    /// How long [`super::Verifier::connect`] waits for a whole first view: 30 s.
    pub start_within: Duration,
    /// How long an answer may take, and how long the feed, which beats twice a second, may be silent: 5 s.
    pub timeout: Duration,
    /// How soon after a fetch of the keys an unknown `kid` may cause another: 10 s.
    pub cool_down: Duration,
    /// How many tokens are remembered: 10 000.
    pub seen: usize,
    /// How many rules the view may hold: 8 000 000, of 32 bytes each. A feed with more is left, so that the view ages and
    /// nobody is let through: a machine without memory helps nobody either.
    pub max_rules: u64,
    /// Whether plain HTTP may be spoken to another machine.
    pub allow_plain_http: bool,
    /// The clock: [`Clock::steady_while_awake`]. A jump drops no rule before it has lasted. Tokens and the view's age are judged
    /// by its [`Clock::later`], so while the system's clock is ahead nobody is let through, and all is well when it is back.
    pub clock: Clock,
    /// Who hears what the verifier does, for figures.
    pub observer: Option<Arc<dyn Observer>>,
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
            when_stale: WhenStale::Refuse,
            start_within: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            cool_down: Duration::from_secs(10),
            seen: 10_000,
            max_rules: 8_000_000,
            allow_plain_http: false,
            clock: Clock::steady_while_awake(),
            observer: None,
        }
    }
}

/// What becomes of tokens that are good as far as a stale view knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WhenStale {
    /// They are refused, [`Invalid::Stale`]: what cannot be known is not allowed.
    #[default]
    Refuse,
    /// They are accepted until their `exp`: where a broker that is away must not stop a service that can live with an end
    /// that comes late. What the view knows to have ended stays ended.
    Accept,
}

/// Hears what a verifier does. Called where it happens, so a method counts and returns.
pub trait Observer: fmt::Debug + Send + Sync {
    /// A token was checked.
    fn checked(&self, outcome: &Result<Arc<VerifiedToken>, Invalid>) {
        let _ = outcome;
    }

    /// The feed was begun, with a snapshot where `anew`, or gone on with where it was left.
    fn connected(&self, anew: bool) {
        let _ = anew;
    }

    /// So many new rules were heard.
    fn heard(&self, rules: usize) {
        let _ = rules;
    }

    /// The feed broke off or was not believed; the view ages until it is begun again.
    fn lost(&self, why: &FeedError) {
        let _ = why;
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
