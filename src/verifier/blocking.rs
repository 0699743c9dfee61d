//! The same verifier for programs without tokio: it brings one thread of its own, which fetches keys and follows the feed.
//!
//! A check happens on the caller's thread, from memory. Never to be waited for inside of a tokio runtime, which has
//! [`super::Verifier`].
//! `docs/rust.md` shows it at work.

use std::ops::Deref;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::{ConnectError, Expect, Invalid, VerifiedToken, VerifierOptions};

/// [`super::Verifier`], with a thread of its own. Derefs to it for all that needs no waiting: `check`, `view_age`, `problem`.
#[derive(Debug)]
pub struct Verifier {
    inner: super::Verifier,
    runtime: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why there is no verifier.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockingError {
    /// Its thread could not be started.
    #[error("no thread for the verifier: {0}")]
    Thread(#[from] std::io::Error),
    /// There is no first view.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Its thread died, which is a bug.
    #[error("the verifier's thread died")]
    Died,
}

impl Verifier {
    /// As [`super::Verifier::connect`]; waits for it.
    ///
    /// # Errors
    /// [`BlockingError`]. Nothing runs on then.
    pub fn connect(options: VerifierOptions) -> Result<Self, BlockingError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ends) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        let work = move || {
            runtime.block_on(async {
                let connected = super::Verifier::connect(options).await;
                let is_connected = connected.is_ok();
                if tell.send(connected).is_ok() && is_connected {
                    // The tasks run for as long as this waits.
                    let _ = ends.await;
                }
            });
        };
        let thread = std::thread::Builder::new().name("jitney-verifier".into()).spawn(work)?;
        let inner = told.recv().map_err(|_| BlockingError::Died)??;
        Ok(Self { inner, runtime: handle, end: Some(end), thread: Some(thread) })
    }

    /// Checks a token on this thread. An unknown `kid` may first have the keys fetched anew, once a cool-down: only then does
    /// it wait.
    ///
    /// # Errors
    /// As [`super::Verifier::verify`].
    pub fn verify(&self, token: &str, expect: &Expect<'_>) -> Result<Arc<VerifiedToken>, Invalid> {
        match self.inner.judge(token, expect) {
            Err(Invalid::Key) => self.runtime.block_on(self.inner.verify(token, expect)),
            outcome => self.inner.observed(outcome),
        }
    }
}

impl Deref for Verifier {
    type Target = super::Verifier;

    fn deref(&self) -> &super::Verifier {
        &self.inner
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It died of a bug, or ends now; in both cases it has said so.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::fixtures::{NOW, Snapshot, key, revoke, rule, token};
    use super::super::stub::Stub;
    use super::*;
    use crate::model::{Clock, RuleKind, UnixTime};

    fn options(stub: &Stub) -> VerifierOptions {
        VerifierOptions {
            issuer: "https://broker".into(),
            clock: Clock::manual(UnixTime::from_secs(NOW)),
            ..VerifierOptions::new(&stub.url)
        }
    }

    #[test]
    fn without_a_runtime_of_the_callers_it_follows_checks_and_ends() {
        let key = key();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let stub = runtime.block_on(Stub::start());
        stub.put_keys(&[&key]);
        stub.put_feed(&Snapshot::new(&key, 5, &[rule("ended", 5)]).bytes());
        let verifier = Verifier::connect(options(&stub)).unwrap();
        let (live, expect) = (token(&key, "live"), Expect::default());
        assert_eq!(verifier.verify(&live, &expect).unwrap().claims().txn.as_str(), "live");
        let stranger = token(&super::super::fixtures::key(), "live");
        assert_eq!(verifier.verify(&stranger, &expect).err(), Some(Invalid::Key));
        stub.push(&revoke(5, &[rule("live", 6)]));
        let begun = Instant::now();
        while verifier.check(&live, &expect).is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the end is heard");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(verifier.verify(&live, &expect).err(), Some(Invalid::Revoked(RuleKind::Task)));
        // Returns once its thread has ended.
        drop(verifier);
    }

    #[test]
    fn without_a_first_view_it_says_why() {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let stub = runtime.block_on(Stub::start());
        let told = Verifier::connect(options(&stub));
        assert!(matches!(told, Err(BlockingError::Connect(ConnectError::Keys(_)))), "{told:?}");
    }
}
