//! The places for connections: who waits only for its client gives its place up, the longest first, when all are taken.
//!
//! So idle and slow clients, however many, shut nobody out: a newcomer waits no longer than it takes to close one of
//! them. Never takes a place from a connection whose request is worked on, or whose answer is being streamed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::sync::{mpsc, oneshot};

use super::limits::Entered;

/// Where a place goes that is given up.
type Handover = oneshot::Sender<Entered>;

/// The connections that wait for their clients, the one that has waited longest first.
#[derive(Default)]
pub(super) struct Places(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    next: u64,
    queue: BTreeMap<u64, mpsc::Sender<Handover>>,
    /// Those whose answer is being streamed.
    streams: BTreeMap<u64, mpsc::Sender<Handover>>,
}

impl Waiting {
    const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Places {
    /// Asks the connection that has waited longest to leave; its place comes once it is closed. None where none waits.
    pub(super) fn claim(&self) -> Option<oneshot::Receiver<Entered>> {
        loop {
            let (_, leave) = self.lock().queue.pop_first()?;
            let (give, place) = oneshot::channel();
            // It has ended by itself in this moment: then the next one.
            if leave.try_send(give).is_ok() {
                return Some(place);
            }
        }
    }

    /// Asks every connection to leave whose answer is being streamed: it has no other end.
    pub(super) fn cut_streams(&self) {
        for leave in std::mem::take(&mut self.lock().streams).into_values() {
            // Nobody wants its place.
            let (give, _) = oneshot::channel();
            let _ = leave.try_send(give);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's standing among the others. It waits from the beginning.
pub(super) struct Seat {
    places: Arc<Places>,
    leave: mpsc::Sender<Handover>,
    /// Its number in the queue, while it waits.
    number: Mutex<Option<u64>>,
}

impl Seat {
    /// A new connection's, and what tells it to leave.
    pub(super) fn new(places: &Arc<Places>) -> (Arc<Self>, mpsc::Receiver<Handover>) {
        let (leave, told) = mpsc::channel(1);
        let seat = Self { places: Arc::clone(places), leave, number: Mutex::new(None) };
        seat.waits();
        (Arc::new(seat), told)
    }

    /// It waits for its client from now on, behind all others that do.
    pub(super) fn waits(&self) {
        let mut number = self.number();
        let mut waiting = self.places.lock();
        let own = waiting.number();
        if let Some(before) = number.replace(own) {
            waiting.queue.remove(&before);
        }
        waiting.queue.insert(own, self.leave.clone());
    }

    /// It waits no longer: a request of its client's is worked on. False where it has been told to leave already.
    pub(super) fn works(&self) -> bool {
        let mut number = self.number();
        number.take().is_none_or(|own| self.places.lock().queue.remove(&own).is_some())
    }

    /// It waits again behind this answer; behind its end, where it is streamed.
    pub(super) fn after(self: Arc<Self>, response: Response<Body>) -> Response<Body> {
        if response.body().size_hint().exact().is_some() {
            self.waits();
            return response;
        }
        let mut waiting = self.places.lock();
        let number = waiting.number();
        waiting.streams.insert(number, self.leave.clone());
        drop(waiting);
        response.map(|body| Body::new(Streamed { body, seat: self, number }))
    }

    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.works();
    }
}

/// An answer without an end that is known ahead.
struct Streamed {
    body: Body,
    seat: Arc<Seat>,
    number: u64,
}

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        self.seat.places.lock().streams.remove(&self.number);
        self.seat.waits();
    }
}

#[cfg(test)]
mod tests {
    use super::super::OpenConnections;
    use super::*;

    #[test]
    fn who_has_waited_longest_goes_first_and_who_works_does_not() {
        let places = Arc::new(Places::default());
        let (one, mut told_one) = Seat::new(&places);
        let (two, mut told_two) = Seat::new(&places);
        let (three, mut told_three) = Seat::new(&places);
        assert!(one.works() && two.works());
        two.waits();
        one.waits();
        assert!(three.works());
        drop(places.claim().unwrap());
        assert!(told_two.try_recv().is_ok() && told_one.try_recv().is_err());
        assert!(!two.works(), "it was told to leave before its request came");
        drop(places.claim().unwrap());
        assert!(told_one.try_recv().is_ok());
        assert!(places.claim().is_none() && told_three.try_recv().is_err(), "the third works");
        drop((one, two, three));
        assert!(places.lock().queue.is_empty());
    }

    #[test]
    fn at_the_end_streams_are_asked_to_leave_and_nobody_else() {
        let places = Arc::new(Places::default());
        let (streams, mut told) = Seat::new(&places);
        let (ended, mut not_told) = Seat::new(&places);
        let endless = || Response::new(Body::new(http_body_util::channel::Channel::<Bytes>::new(1).1));
        assert!(streams.works() && ended.works());
        let answer = Arc::clone(&streams).after(endless());
        drop(Arc::clone(&ended).after(endless()));
        assert!(streams.number().is_none() && ended.number().is_some());
        places.cut_streams();
        assert!(told.try_recv().is_ok() && not_told.try_recv().is_err());
        drop(answer);
        assert!(streams.number().is_some() && places.lock().streams.is_empty());
    }

    #[test]
    fn a_connection_that_is_gone_is_not_asked() {
        let places = Arc::new(Places::default());
        let (gone, told) = Seat::new(&places);
        drop(told);
        assert!(places.claim().is_none());
        drop(gone);
        let (_seat, mut told) = Seat::new(&places);
        let place = places.claim().unwrap();
        let open = OpenConnections::default();
        told.try_recv().unwrap().send(open.enter(1).unwrap()).unwrap_or_else(|_| panic!("nobody takes it"));
        assert_eq!(open.get(), 1);
        drop(place);
        assert_eq!(open.get(), 0, "a place that nobody takes is free");
    }
}
