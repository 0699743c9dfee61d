//! The timer of one connection: a request's head, its body and its answer are waited for one after the other, over and over, with
//! one timer of the runtime.
//!
//! A head may take half a minute and mostly comes at once: to set a timer of the runtime for each, and to take it back, costs as much
//! as a check of a token seen before. Here it stays set, and is moved on only where it rings too soon.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// The runtime's timer, made when something is first waited for. A std mutex: one connection's task alone takes it.
type Kept = Mutex<Option<Pin<Box<tokio::time::Sleep>>>>;

/// The timer of one connection. What is waited for by it is waited for one after the other.
#[derive(Clone, Default)]
pub(super) struct ConnectionTimer(Arc<Kept>);

impl ConnectionTimer {
    /// What came of `work`; none where that took longer than `limit`.
    pub(super) async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        // What is there at once needs no clock.
        let mut end = None;
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            let end = *end.get_or_insert_with(|| self.now() + limit);
            poll_until(&self.0, end, cx).map(|()| None)
        })
        .await
    }
}

/// Until a moment.
struct Until {
    kept: Arc<Kept>,
    moment: Instant,
}

impl Timer for ConnectionTimer {
    fn sleep(&self, span: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + span)
    }

    fn sleep_until(&self, moment: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until { kept: Arc::clone(&self.0), moment })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, moment: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Until>() {
            Some(mut until) => until.moment = moment,
            None => *sleep = self.sleep_until(moment),
        }
    }
}

impl Sleep for Until {}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        poll_until(&self.kept, self.moment, cx)
    }
}

/// Ready once `moment` has come.
fn poll_until(kept: &Kept, moment: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let moment = tokio::time::Instant::from_std(moment);
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let sleep = kept.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(moment)));
    if sleep.deadline() > moment {
        sleep.as_mut().reset(moment);
    }
    loop {
        // Rings also for work that has used up what a task may do at one go, each time it is asked.
        ready!(pin!(tokio::task::unconstrained(sleep.as_mut())).poll(cx));
        if sleep.deadline() >= moment {
            return Poll::Ready(());
        }
        // It was set for an earlier one, which has come.
        sleep.as_mut().reset(moment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_wait_ends_at_its_own_moment() {
        let timer = ConnectionTimer::default();
        let begun = Instant::now();
        // Given up again and again before it ends, as a head is that comes; the runtime's timer rings in between.
        while begun.elapsed() < Duration::from_millis(60) {
            let waiting = timer.sleep(Duration::from_millis(25));
            let _ = tokio::time::timeout(Duration::from_millis(5), waiting).await;
        }
        let set = Instant::now();
        timer.sleep(Duration::from_millis(40)).await;
        assert!(set.elapsed() >= Duration::from_millis(40));
        let mut waiting = timer.sleep(Duration::from_secs(3600));
        assert!(tokio::time::timeout(Duration::from_millis(1), waiting.as_mut()).await.is_err());
        timer.reset(&mut waiting, Instant::now() + Duration::from_millis(20));
        let patience = Duration::from_secs(20);
        tokio::time::timeout(patience, waiting).await.expect("a later moment gives way to a sooner one");
        tokio::time::timeout(patience, timer.sleep_until(set)).await.expect("a moment that is past has come");
    }

    #[tokio::test]
    async fn work_has_until_its_own_limit_whatever_else_was_waited_for() {
        let timer = ConnectionTimer::default();
        let (soon, long) = (Duration::from_millis(20), Duration::from_secs(3600));
        assert_eq!(timer.within(Duration::ZERO, async { 1 }).await, Some(1), "what is there at once is never late");
        // A head that may take an hour, given up; then work that never ends.
        assert!(tokio::time::timeout(Duration::from_millis(1), timer.sleep(long)).await.is_err());
        let begun = Instant::now();
        assert_eq!(timer.within(soon, std::future::pending::<()>()).await, None);
        assert!(begun.elapsed() >= soon);
        let busy = async {
            loop {
                tokio::task::consume_budget().await;
            }
        };
        let patience = Duration::from_secs(20);
        let outcome = tokio::time::timeout(patience, timer.within::<()>(soon, busy)).await;
        assert_eq!(outcome.expect("work that never rests is ended too"), None);
        // Set for a moment that comes while the next is worked on, which may take longer.
        assert_eq!(timer.within(soon, tokio::task::yield_now()).await, Some(()));
        let slow = async {
            tokio::time::sleep(2 * soon).await;
            2
        };
        assert_eq!(timer.within(long, slow).await, Some(2));
    }
}
