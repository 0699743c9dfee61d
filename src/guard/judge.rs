//! Who judges a token: a verifier that follows a broker's feed, or a broker itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::model::Position;
use crate::verifier::{Expect, Invalid, VerifiedToken, Verifier};

/// What is known of a token: it is good, or why not.
pub type Verdict = Result<Arc<VerifiedToken>, Invalid>;

/// A verdict that may take a fetch first.
pub type LaterVerdict<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Judges tokens by their own claims, keys, times and the view of revocations; expects nothing else of them.
pub trait Judge: Send + Sync + 'static {
    /// From memory alone; none where it takes more, as for a token under an unknown key.
    fn at_once(&self, token: &str) -> Option<Verdict>;

    /// In any case. An error is the first check that failed; [`Invalid::Stale`] where the view is too old, or there is none.
    fn verify<'a>(&'a self, token: &'a str) -> LaterVerdict<'a>;

    /// Whether the view is young enough to judge by.
    fn is_ready(&self) -> bool;

    /// How old the view is; none before the first.
    fn view_age(&self) -> Option<Duration>;

    /// How many rules the view holds, and up to which position of the log; none before the first view.
    fn view(&self) -> Option<(usize, Position)>;
}

/// A verifier that may not be there yet: until then nothing is known of any token.
#[derive(Debug, Default)]
pub struct Later(OnceLock<Verifier>);

impl Later {
    /// Here it is. Later ones are dropped.
    pub fn set(&self, verifier: Verifier) {
        drop(self.0.set(verifier));
    }
}

impl Judge for Later {
    fn at_once(&self, token: &str) -> Option<Verdict> {
        let Some(verifier) = self.0.get() else { return Some(Err(Invalid::Stale)) };
        Some(verifier.check(token, &Expect::default())).filter(|verdict| !matches!(verdict, Err(Invalid::Key)))
    }

    fn verify<'a>(&'a self, token: &'a str) -> LaterVerdict<'a> {
        Box::pin(async move { self.0.get().ok_or(Invalid::Stale)?.verify(token, &Expect::default()).await })
    }

    fn is_ready(&self) -> bool {
        self.0.get().is_some_and(Verifier::is_fresh)
    }

    fn view_age(&self) -> Option<Duration> {
        self.0.get()?.view_age()
    }

    fn view(&self) -> Option<(usize, Position)> {
        let view = self.0.get()?.view();
        Some((view.len(), view.position()))
    }
}
