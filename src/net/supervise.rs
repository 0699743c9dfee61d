//! Background work by name: none is forgotten, and the process does not outlive what it needs.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{Id, JoinError, JoinSet};

use super::Shutdown;

/// A task the process cannot do without ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the task `{name}` {how}, and nothing works without it")]
pub struct Died {
    /// Its name.
    pub name: &'static str,
    /// What happened to it.
    pub how: String,
}

/// Owns the background tasks of a process.
#[derive(Debug)]
pub struct Supervisor {
    tasks: JoinSet<()>,
    named: HashMap<Id, (&'static str, bool)>,
    shutdown: Shutdown,
}

impl Supervisor {
    /// No tasks yet.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { tasks: JoinSet::new(), named: HashMap::new(), shutdown }
    }

    /// Starts a task that must last until shutdown: its earlier end, however it ends, ends the process.
    pub fn essential(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn(name, true, task);
    }

    /// Starts a task that may end when its work is done. A panic is logged.
    pub fn spare(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn(name, false, task);
    }

    fn spawn(&mut self, name: &'static str, essential: bool, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.named.insert(id, (name, essential));
    }

    /// Runs until shutdown is triggered and every task has ended, or the time to drain is over: what then still runs is
    /// aborted, and named in the log.
    ///
    /// # Errors
    /// [`Died`], where an essential task ended first. Shutdown is then triggered, and the others have drained.
    pub async fn run(mut self) -> Result<(), Died> {
        let mut died = None;
        let shutdown = self.shutdown.clone();
        let drained = shutdown.drained();
        tokio::pin!(drained);
        loop {
            let ended = tokio::select! {
                biased;
                ended = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => ended,
                () = &mut drained => {
                    for (name, _) in self.named.values() {
                        tracing::warn!(task = name, "still at work when the time to drain was over");
                    }
                    break;
                }
                () = shutdown.wait(), if self.tasks.is_empty() => break,
            };
            if let Some(death) = ended.and_then(|ended| self.note(ended)) {
                tracing::error!(task = death.name, how = death.how, "an essential task died");
                died.get_or_insert(death);
                shutdown.trigger();
            }
        }
        died.map_or(Ok(()), Err)
    }

    /// Whether an end is a death.
    fn note(&mut self, ended: Result<(Id, ()), JoinError>) -> Option<Died> {
        let (id, how) = match &ended {
            Ok((id, ())) => (*id, "ended".to_owned()),
            Err(error) if error.is_panic() => (error.id(), "panicked".to_owned()),
            Err(error) => (error.id(), "was aborted".to_owned()),
        };
        let (name, essential) = self.named.remove(&id)?;
        if ended.is_err() {
            tracing::error!(task = name, how, "a task failed");
        }
        (essential && (ended.is_err() || !self.shutdown.is_triggered())).then_some(Died { name, how })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn supervisor() -> (Supervisor, Shutdown) {
        let shutdown = Shutdown::new(Duration::from_millis(50));
        (Supervisor::new(shutdown.clone()), shutdown)
    }

    #[tokio::test]
    async fn an_essential_task_that_ends_or_panics_ends_all() {
        for panics in [false, true] {
            let (mut supervisor, shutdown) = supervisor();
            supervisor.essential("writer", async move { assert!(!panics, "oh") });
            let other = shutdown.clone();
            supervisor.essential("door", async move { other.wait().await });
            let died = supervisor.run().await.unwrap_err();
            assert_eq!((died.name, died.how.as_str()), ("writer", if panics { "panicked" } else { "ended" }));
            assert!(shutdown.is_triggered());
        }
    }

    #[tokio::test]
    async fn a_spare_task_may_end_and_shutdown_is_no_death() {
        let (mut supervisor, shutdown) = supervisor();
        supervisor.spare("once", async {});
        let other = shutdown.clone();
        supervisor.essential("door", async move { other.wait().await });
        shutdown.trigger();
        assert_eq!(supervisor.run().await, Ok(()));
    }

    #[tokio::test]
    async fn without_tasks_it_still_waits_for_shutdown() {
        let (supervisor, shutdown) = supervisor();
        let run = tokio::spawn(supervisor.run());
        tokio::task::yield_now().await;
        assert!(!run.is_finished());
        shutdown.trigger();
        assert_eq!(run.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn what_does_not_drain_is_aborted() {
        let (mut supervisor, shutdown) = supervisor();
        supervisor.essential("stuck", std::future::pending());
        shutdown.trigger();
        assert_eq!(supervisor.run().await, Ok(()));
    }
}
