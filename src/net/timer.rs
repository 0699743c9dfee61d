//! hyper's timer of one connection: it waits for a request's head, over and over, with one timer of the runtime.
//!
//! A head may take half a minute and mostly comes at once: to set a timer of the runtime for each, and to take it back, costs as much
//! as a check of a token seen before. Here it stays set, and is moved on only where it rings too soon.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// The runtime's timer, made when something is first waited for. A std mutex: one connection's task alone takes it.
type Kept = Mutex<Option<Pin<Box<tokio::time::Sleep>>>>;

/// The timer of one connection. What is waited for by it is waited for one after the other.
#[derive(Default)]
pub(super) struct HeadTimer(Arc<Kept>);

/// Until a moment.
struct Until {
    kept: Arc<Kept>,
    moment: Instant,
}

impl Timer for HeadTimer {
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
        let moment = tokio::time::Instant::from_std(self.moment);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let sleep = kept.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(moment)));
        if sleep.deadline() > moment {
            sleep.as_mut().reset(moment);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= moment {
                return Poll::Ready(());
            }
            // It was set for an earlier one, which has come.
            sleep.as_mut().reset(moment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_wait_ends_at_its_own_moment() {
        let timer = HeadTimer::default();
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
}
