//! How those who wait for their records are answered: the writer tells one of them, and that one all others.
//!
//! The writer has a thread of its own, and to wake a task from outside of its runtime takes a system call each time; from
//! within, it takes none.

use tokio::sync::oneshot;

use super::error::AuditError;

/// Whether a record was written.
type Written = Result<(), AuditError>;

/// The writer's side of a record that somebody waits for.
pub(super) struct Answer(oneshot::Sender<Told>);

/// The side of whoever waits.
pub(super) struct Awaited(oneshot::Receiver<Told>);

/// What one is told, and who is still to hear the same. They do when this is dropped, by whomever.
struct Told {
    written: Written,
    others: Vec<Answer>,
}

/// Both sides of an answer.
pub(super) fn awaited() -> (Answer, Awaited) {
    let (answer, awaited) = oneshot::channel();
    (Answer(answer), Awaited(awaited))
}

/// Answers all of them alike. Whoever waited may be gone.
pub(super) fn tell(written: Written, mut all: Vec<Answer>) {
    if let Some(first) = all.pop() {
        // Where it is gone, the others are told here.
        drop(first.0.send(Told { written, others: all }));
    }
}

impl Awaited {
    /// The answer; none where the writer is no more.
    pub(super) async fn answer(self) -> Option<Written> {
        Some(self.0.await.ok()?.written.clone())
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        for other in self.others.drain(..) {
            drop(other.0.send(Self { written: self.written.clone(), others: Vec::new() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    fn several(count: usize) -> (Vec<Answer>, Vec<Awaited>) {
        (0..count).map(|_| awaited()).unzip()
    }

    #[tokio::test]
    async fn all_are_told_and_the_writer_tells_one() {
        let (answers, mut waiting) = several(5);
        tell(Err(AuditError::QueueFull), answers);
        let has_word = |one: &mut Awaited| one.0.try_recv();
        assert!(waiting[..4].iter_mut().all(|one| has_word(one).is_err()), "nobody was told but one");
        let last = waiting.pop().unwrap();
        assert!(matches!(last.answer().await, Some(Err(AuditError::QueueFull))));
        for one in waiting {
            assert!(matches!(one.answer().await, Some(Err(AuditError::QueueFull))));
        }
    }

    #[tokio::test]
    async fn whoever_is_gone_keeps_nobody_waiting() {
        // Gone before the writer speaks; gone before it has listened; gone while it waits.
        for when in 0..3 {
            let (answers, mut waiting) = several(3);
            let mut last = Some(waiting.pop().unwrap());
            if when == 0 {
                last = None;
            }
            let mut listening = last.take().map(|last| Box::pin(last.answer()));
            if when == 2 {
                let listening = listening.as_mut().unwrap();
                assert!(listening.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            tell(Ok(()), answers);
            drop(listening);
            for one in waiting {
                assert!(matches!(one.answer().await, Some(Ok(()))), "{when}");
            }
        }
    }

    #[tokio::test]
    async fn a_writer_that_is_no_more_is_noticed() {
        let (answers, mut waiting) = several(1);
        drop(answers);
        assert!(waiting.pop().unwrap().answer().await.is_none());
        tell(Ok(()), Vec::new());
    }
}
