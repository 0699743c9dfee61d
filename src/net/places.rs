//! The places for connections: who waits only for its client gives its place up, the longest first, when all are taken.
//!
//! So idle and slow clients, however many, shut nobody out: a newcomer waits no longer than it takes to close one of
//! them. Never takes a place from a connection whose request is worked on, or whose answer is being streamed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// The connections that have a place, and who of them has waited longest for its client.
#[derive(Default)]
pub(super) struct Places {
    /// The last number given out: each moment in which a connection begins to wait has one.
    last: AtomicU64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// All but those that were told to leave, each under a number no later than it has waited since: who begins to wait anew,
    /// which all do with each request, is not moved. Whoever looks for the one that has waited longest moves it then.
    queue: BTreeMap<u64, Arc<Standing>>,
    /// Those whose answer is being streamed.
    streams: BTreeMap<u64, mpsc::Sender<Handover>>,
}

/// How a connection stands.
struct Standing {
    /// The number since which it waits; [`WORKS`], [`LEAVES`].
    since: AtomicU64,
    /// Where it is in the queue; written under the lock alone.
    at: AtomicU64,
    leave: mpsc::Sender<Handover>,
}

/// It waits for nothing of its client's: a request is worked on. Below every number.
const WORKS: u64 = 0;
/// It was told to leave, and stays told.
const LEAVES: u64 = u64::MAX;

impl Held {
    fn put(&mut self, number: u64, standing: Arc<Standing>) {
        standing.at.store(number, Ordering::Relaxed);
        self.queue.insert(number, standing);
    }
}

impl Places {
    /// Asks the connection that has waited longest to leave; its place comes once it is closed. None where none waits.
    pub(super) fn claim(&self) -> Option<oneshot::Receiver<Entered>> {
        let mut held = self.lock();
        // Whoever stands behind this was looked at, and works.
        let looked_at = self.number();
        while let Some((number, standing)) = held.queue.pop_first() {
            if number > looked_at {
                held.put(number, standing);
                return None;
            }
            match standing.since.load(Ordering::Acquire) {
                since if since == number => {
                    let leaves = standing.since.compare_exchange(since, LEAVES, Ordering::AcqRel, Ordering::Acquire);
                    if leaves.is_err() {
                        // Its request came in this moment.
                        held.put(self.number(), standing);
                        continue;
                    }
                    let (give, place) = oneshot::channel();
                    // It has ended by itself in this moment: then the next one.
                    if standing.leave.try_send(give).is_ok() {
                        return Some(place);
                    }
                }
                WORKS => held.put(self.number(), standing),
                LEAVES => {}
                since => held.put(since, standing),
            }
        }
        None
    }

    /// Asks every connection to leave whose answer is being streamed: it has no other end.
    pub(super) fn cut_streams(&self) {
        for leave in std::mem::take(&mut self.lock().streams).into_values() {
            // Nobody wants its place.
            let (give, _) = oneshot::channel();
            let _ = leave.try_send(give);
        }
    }

    fn number(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's standing among the others. It waits from the beginning.
pub(super) struct Seat {
    places: Arc<Places>,
    standing: Arc<Standing>,
}

impl Seat {
    /// A new connection's, and what tells it to leave.
    pub(super) fn new(places: &Arc<Places>) -> (Arc<Self>, mpsc::Receiver<Handover>) {
        let (leave, told) = mpsc::channel(1);
        let number = places.number();
        let standing = Arc::new(Standing { since: AtomicU64::new(number), at: AtomicU64::new(number), leave });
        places.lock().put(number, Arc::clone(&standing));
        (Arc::new(Self { places: Arc::clone(places), standing }), told)
    }

    /// It waits for its client from now on, behind all others that do.
    pub(super) fn waits(&self) {
        self.stands(self.places.number());
    }

    /// It waits no longer: a request of its client's is worked on. False where it has been told to leave already.
    pub(super) fn works(&self) -> bool {
        self.stands(WORKS)
    }

    /// False where it has been told to leave: that stands.
    fn stands(&self, since: u64) -> bool {
        let anew = |before| (before != LEAVES).then_some(since);
        self.standing.since.fetch_update(Ordering::AcqRel, Ordering::Acquire, anew).is_ok()
    }

    /// It waits again behind this answer; behind its end, where it is streamed.
    pub(super) fn after(self: Arc<Self>, response: Response<Body>) -> Response<Body> {
        if response.body().size_hint().exact().is_some() {
            self.waits();
            return response;
        }
        let number = self.places.number();
        self.places.lock().streams.insert(number, self.standing.leave.clone());
        response.map(|body| Body::new(Streamed { body, seat: self, number }))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.places.lock().queue.remove(&self.standing.at.load(Ordering::Relaxed));
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

    fn is_waiting(seat: &Seat) -> bool {
        !matches!(seat.standing.since.load(Ordering::Acquire), WORKS | LEAVES)
    }

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
    fn the_order_is_that_of_the_last_requests_however_many_there_were() {
        let places = Arc::new(Places::default());
        let mut seats: Vec<_> = (0..50).map(|_| Seat::new(&places)).collect();
        // The first is the last to ask, and of the others every third works.
        for round in 0..7 {
            for at in (0..seats.len()).rev() {
                let (seat, _) = &seats[at];
                assert!(seat.works());
                if at % 3 != 1 || round < 6 {
                    seat.waits();
                }
            }
        }
        for at in (0..seats.len()).rev().filter(|at| at % 3 != 1) {
            drop(places.claim().unwrap());
            let told: Vec<_> = (0..seats.len()).filter(|each| seats[*each].1.try_recv().is_ok()).collect();
            assert_eq!(told, [at]);
        }
        assert!(places.claim().is_none(), "all others work");
        assert!(seats[1].0.works(), "nobody told it to leave");
        seats[1].0.waits();
        drop(places.claim().unwrap());
        assert!(seats[1].1.try_recv().is_ok());
        seats[1].0.waits();
        assert!(!seats[1].0.works(), "told to leave it stays told");
        drop(seats);
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
        assert!(!is_waiting(&streams) && is_waiting(&ended));
        places.cut_streams();
        assert!(told.try_recv().is_ok() && not_told.try_recv().is_err());
        drop(answer);
        assert!(is_waiting(&streams) && places.lock().streams.is_empty());
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
