//! The work on one request: what answers it, and that what may change something is finished, whoever left.
//!
//! Never knows how long it may take: whoever waits for it does, and drops it when it is too long.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tower_service::Service as _;

use crate::model::without_credentials;

/// An answer that is being made.
pub type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// What is served behind the doors.
pub trait Application: Send + Sync + 'static {
    /// The whole answer to a request without a body, where it takes memory alone; none where it takes more. It has no
    /// time limit of its own, and nothing is set up for its sake.
    fn at_once(&self, _head: &Parts) -> Option<Response<Body>> {
        None
    }

    /// Begins the answer to a request whose body was read whole.
    fn answer(&self, request: Request<Bytes>) -> Answer;
}

impl Application for Router {
    fn answer(&self, request: Request<Bytes>) -> Answer {
        let answer = self.clone().call(request.map(Body::from));
        Box::pin(async move { answer.await.unwrap_or_else(|never| match never {}) })
    }
}

/// The work on a request, and its place among those worked on at once.
pub(super) struct Work {
    answer: Option<Answer>,
    place: Option<OwnedSemaphorePermit>,
    /// Whether it goes on in a task of its own where it is dropped before its end.
    must_end: bool,
}

/// A mistake of the application's own: it panicked.
#[derive(Debug)]
pub(super) struct Panicked;

impl Work {
    /// Work that ends when nobody waits for it any more.
    pub(super) const fn that_reads(answer: Answer, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { answer: Some(answer), place, must_end: false }
    }

    /// Work that is finished, whoever leaves: dropped between the store and the audit log, an end would stand that no line
    /// tells of.
    pub(super) const fn that_changes(answer: Answer, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { answer: Some(answer), place, must_end: true }
    }
}

impl Future for Work {
    type Output = Result<Response<Body>, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Err(Panicked)) };
        // What panicked is not polled again, and what it shares with others is whole between any two statements.
        let outcome = match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(response)) => Ok(response),
            Err(panic) => {
                tracing::error!(panic = %without_credentials(said(&*panic)), "a request's work died");
                Err(Panicked)
            }
        };
        self.answer = None;
        self.place = None;
        Poll::Ready(outcome)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let (true, Some(answer), Ok(runtime)) = (self.must_end, self.answer.take(), Handle::try_current()) {
            // In a task nobody waits for it, so it is never dropped for another's sake; at the end of all it ends too.
            let rest = Self { answer: Some(answer), place: self.place.take(), must_end: false };
            drop(runtime.spawn(rest));
        }
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{Semaphore, oneshot};

    use super::*;

    /// Work that waits for its first word, and says when it is done.
    fn work(
        places: &Arc<Semaphore>,
    ) -> (Answer, Option<OwnedSemaphorePermit>, oneshot::Sender<()>, oneshot::Receiver<()>) {
        let (begin, begun) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let answer = Box::pin(async move {
            let _ = begun.await;
            let _ = done.send(());
            Response::new(Body::empty())
        });
        (answer, Arc::clone(places).try_acquire_owned().ok(), begin, is_done)
    }

    async fn polled_once(work: &mut Work) {
        assert!(std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *work).poll(cx))).await.is_pending());
    }

    #[tokio::test]
    async fn what_may_change_something_is_finished_and_keeps_its_place_until_then() {
        let places = Arc::new(Semaphore::new(1));
        let (answer, place, begin, is_done) = work(&places);
        let mut work = Work::that_changes(answer, place);
        polled_once(&mut work).await;
        drop(work);
        assert_eq!(places.available_permits(), 0);
        begin.send(()).unwrap();
        is_done.await.unwrap();
        drop(places.acquire().await.unwrap());
    }

    #[tokio::test]
    async fn what_reads_ends_with_whoever_waited() {
        let places = Arc::new(Semaphore::new(1));
        let (answer, place, begin, is_done) = work(&places);
        let mut work = Work::that_reads(answer, place);
        polled_once(&mut work).await;
        drop(work);
        assert_eq!(places.available_permits(), 1);
        assert!(begin.send(()).is_err() && is_done.await.is_err());
    }

    #[tokio::test]
    async fn a_panic_is_the_answer_to_its_own_request_alone() {
        let dies: Answer = Box::pin(async { panic!("{}", "of a kind") });
        assert!(Work::that_changes(dies, None).await.is_err());
    }

    #[test]
    fn work_that_goes_on_ends_with_the_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let places = Arc::new(Semaphore::new(1));
        let (answer, place, begin, _) = work(&places);
        runtime.block_on(async { drop(Work::that_changes(answer, place)) });
        drop(runtime);
        assert!(begin.send(()).is_err());
        assert_eq!(places.available_permits(), 1);
    }
}
