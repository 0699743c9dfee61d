//! A task in the background that ends with whoever holds it, and says so should it end before.

use std::future::Future;

use tokio::task::JoinHandle;

/// A background task, which ends with whoever holds this.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Spawns a task that says so should it ever end, which it does only by a bug.
pub(super) fn named(task: &'static str, work: impl Future<Output = ()> + Send + 'static) -> Task {
    let work = async move {
        work.await;
        tracing::error!(task, "a background task of the verifier ended");
    };
    Task(tokio::spawn(work))
}
