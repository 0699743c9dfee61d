//! The task that moves one connection's bytes. It lets the calls that are ready to be made go first, so that several are one
//! write, and their answers one read, and what these lead to one write of the audit log.
//!
//! Never waits for anything that is not ready: where no other call comes meanwhile, one goes at once; answers always do.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

use tokio::task::{AbortHandle, yield_now};

/// How often those that are ready are let first.
const ROUNDS: usize = 4;
/// With so many calls a write is worth its while: with more, all callers would wait for one answer and the core for them.
const ENOUGH: usize = 8;

/// How many calls were begun on a line so far, over the end of its numbers.
pub(super) type Begun = Arc<AtomicUsize>;

/// The task. It ends with this.
pub(super) struct Driver(AbortHandle);

impl Driver {
    /// Drives a connection, on which the calls of `begun` are made.
    pub(super) fn start(connection: impl Future<Output = ()> + Send + 'static, begun: Begun) -> Self {
        Self(tokio::spawn(drive(connection, begun)).abort_handle())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn drive(connection: impl Future<Output = ()>, begun: Begun) {
    let mut connection = pin!(connection);
    let mut sent = begun.load(Relaxed);
    while poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx))).await.is_pending() {
        woken().await;
        sent = gathered(sent, &begun).await;
    }
}

/// Returns when no more calls come, or enough have, behind those that were `sent`. How many there were by then.
async fn gathered(sent: usize, begun: &AtomicUsize) -> usize {
    let (mut before, mut now) = (sent, begun.load(Relaxed));
    for _ in 0..ROUNDS {
        if now == before || now.wrapping_sub(sent) >= ENOUGH {
            break;
        }
        yield_now().await;
        before = std::mem::replace(&mut now, begun.load(Relaxed));
    }
    now
}

/// Until whatever was polled before wakes this task.
async fn woken() {
    let mut is_woken = false;
    poll_fn(|_| if std::mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

    use super::*;

    /// A connection that takes all there is whenever it is polled, and what it took at each turn.
    fn connection(
        mut from: UnboundedReceiver<usize>,
    ) -> (impl Future<Output = ()> + Send, UnboundedReceiver<Vec<usize>>) {
        let (took, turns) = mpsc::unbounded_channel();
        let connection = poll_fn(move |cx| {
            let mut turn = Vec::new();
            while let Poll::Ready(one) = from.poll_recv(cx) {
                let Some(one) = one else { return Poll::Ready(()) };
                turn.push(one);
            }
            if !turn.is_empty() {
                took.send(turn).unwrap();
            }
            Poll::Pending
        });
        (connection, turns)
    }

    /// A task that makes so many calls and then begins the next one, down to number 0: each is ready behind the driver that
    /// the one before has woken.
    fn chain(number: usize, each: usize, to: UnboundedSender<usize>, begun: Begun) {
        tokio::spawn(async move {
            begun.fetch_add(each, Relaxed);
            (0..each).for_each(|_| to.send(number).unwrap());
            if number > 0 {
                chain(number - 1, each, to, begun);
            }
        });
    }

    #[tokio::test]
    async fn calls_that_are_ready_go_together_and_as_many_as_are_enough_at_once() {
        let (begun, (to, from)) = (Begun::new(usize::MAX.into()), mpsc::unbounded_channel());
        let (connection, mut turns) = connection(from);
        let _driver = Driver::start(connection, Arc::clone(&begun));
        tokio::task::yield_now().await;
        chain(0, 1, to.clone(), Arc::clone(&begun));
        assert_eq!(turns.recv().await.unwrap(), [0], "one alone waits for nobody, and numbers begin anew");
        chain(3, 1, to.clone(), Arc::clone(&begun));
        assert_eq!(turns.recv().await.unwrap(), [3, 2, 1, 0]);
        chain(1, ENOUGH, to.clone(), Arc::clone(&begun));
        assert_eq!(turns.recv().await.unwrap(), [1; ENOUGH]);
        assert_eq!(turns.recv().await.unwrap(), [0; ENOUGH]);
    }

    #[tokio::test]
    async fn what_is_no_call_is_seen_to_at_once() {
        let (to, from) = mpsc::unbounded_channel();
        let (connection, mut turns) = connection(from);
        let _driver = Driver::start(connection, Begun::default());
        tokio::task::yield_now().await;
        to.send(7).unwrap();
        // One turn of the runtime, and no more.
        tokio::task::yield_now().await;
        assert_eq!(turns.try_recv().unwrap(), [7]);
    }

    #[tokio::test]
    async fn it_ends_with_its_connection_and_with_whoever_holds_it() {
        for is_dropped in [false, true] {
            let (to, from) = mpsc::unbounded_channel();
            let (connection, mut turns) = connection(from);
            let driver = Driver::start(connection, Begun::default());
            if is_dropped {
                drop(driver)
            } else {
                drop(to)
            }
            assert_eq!(turns.recv().await, None);
        }
    }
}
