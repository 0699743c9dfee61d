//! The end of the process: one signal for all, and one deadline.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

/// The wish to end, shared by clones. Once triggered it stays so.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begun: watch::Sender<bool>,
    drain: Duration,
    deadline: OnceLock<Instant>,
}

impl Shutdown {
    /// Not triggered; `drain` is how long what is in flight may take once it is.
    pub fn new(drain: Duration) -> Self {
        Self(Arc::new(Inner { begun: watch::Sender::new(false), drain, deadline: OnceLock::new() }))
    }

    /// Begins the end: listeners close, what is in flight is finished. A second call changes nothing.
    pub fn trigger(&self) {
        self.0.deadline.get_or_init(|| Instant::now() + self.0.drain);
        self.0.begun.send_replace(true);
    }

    /// Whether the end has begun.
    pub fn is_triggered(&self) -> bool {
        *self.0.begun.borrow()
    }

    /// Returns when the end has begun; at once where it has already.
    pub async fn wait(&self) {
        let mut begun = self.0.begun.subscribe();
        // The sender lives in self, so this cannot fail.
        let _ = begun.wait_for(|begun| *begun).await;
    }

    /// Returns when the end has begun and the time to drain is over.
    pub async fn drained(&self) {
        self.wait().await;
        if let Some(deadline) = self.0.deadline.get() {
            tokio::time::sleep_until(*deadline).await;
        }
    }

    /// Takes SIGTERM and SIGINT from now on: either triggers. The future ends when the end has begun.
    ///
    /// # Errors
    /// The system's, where a handler cannot be set.
    pub fn on_signals(&self) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let this = self.clone();
        Ok(async move {
            let name = tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = int.recv() => "SIGINT",
                () = this.wait() => return,
            };
            tracing::info!(signal = name, "shutting down");
            this.trigger();
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_clones_end_together_and_late_waiters_at_once() {
        let shutdown = Shutdown::new(Duration::from_millis(50));
        let other = shutdown.clone();
        let waiter = tokio::spawn(async move { other.wait().await });
        assert!(!shutdown.is_triggered());
        let begun = Instant::now();
        shutdown.trigger();
        waiter.await.unwrap();
        shutdown.wait().await;
        shutdown.drained().await;
        assert!(begun.elapsed() >= Duration::from_millis(50));
    }
}
