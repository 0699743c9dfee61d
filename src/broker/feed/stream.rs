//! One subscriber's stream: a snapshot or what lies behind its cursor, then what the hub puts into its queue.
//!
//! Everything is made while it is asked for, so a reader that takes nothing costs nothing. Never pushes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::model::{AudienceUri, Refusal, Rule};
use crate::revocation::Cursor;
use crate::revocation::event::{self, Kind};

use super::super::Broker;
use super::group::{keys_data, last_of};
use super::guests::{Guest, Slot};
use super::hub::{Joined, Place};
use super::queue::{Next, Queue};
use super::snapshot::Snapshot;

/// What is handed out at once, at most: a connection keeps the largest buffer that it ever needed.
const PIECE: usize = 16 << 10;

/// A subscriber's stream of server-sent events.
pub struct Subscription {
    broker: Arc<Broker>,
    guest: Arc<Guest>,
    audience: Option<AudienceUri>,
    once: bool,
    phase: Phase,
    /// Rules that this connection was sent.
    count: u64,
    /// What is left of the event under way.
    rest: [Bytes; 3],
}

/// A snapshot, and its place among those that are sent at once.
type Turn = (Snapshot, Slot);
type Opening = Pin<Box<dyn Future<Output = Result<Turn, Refusal>> + Send>>;

enum Phase {
    /// A snapshot is being made.
    Opening(Opening),
    /// It is being sent.
    Snapshot(Box<Turn>),
    /// What lies behind a place is being sent.
    Behind(Box<Place>),
    /// All has been told; what comes, comes.
    Live(Arc<Queue>),
    Ended,
}

impl Subscription {
    /// One that begins with a snapshot.
    pub(super) fn with_snapshot(broker: Arc<Broker>, guest: Guest, turn: Turn, once: bool) -> Self {
        let audience = turn.0.place.audience.clone();
        let phase = Phase::Snapshot(Box::new(turn));
        Self { broker, guest: Arc::new(guest), audience, once, phase, count: 0, rest: Default::default() }
    }

    /// One that goes on from a cursor's place. The keys may have changed since, so they come first.
    pub(super) fn from_place(broker: Arc<Broker>, guest: Guest, place: Place) -> Self {
        let rest = whole(event::write(Kind::Keys, &cursor_at(&place), &keys_data(&place.keys)));
        let audience = place.audience.clone();
        let phase = Phase::Behind(Box::new(place));
        Self { broker, guest: Arc::new(guest), audience, once: false, phase, count: 0, rest }
    }

    /// The next bytes; none at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(rest) = self.rest.iter_mut().find(|rest| !rest.is_empty()) {
                let piece = rest.split_to(rest.len().min(PIECE));
                self.broker.parts.metrics.feed_sent(piece.len() as u64);
                return Poll::Ready(Some(piece));
            }
            match self.step(cx) {
                Poll::Ready(Some(event)) => {
                    self.broker.parts.metrics.feed_event(event.iter().any(|piece| !piece.is_empty()));
                    self.rest = event;
                }
                Poll::Ready(None) => {
                    self.leave();
                    return Poll::Ready(None);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The next event, which may be empty where only the phase has changed; none at the end.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Option<[Bytes; 3]>> {
        match &mut self.phase {
            // Who asked for the snapshot alone is told all of it, or would take a part for the whole.
            Phase::Opening(_) | Phase::Snapshot(_) if !self.once && self.broker.hub.is_closed() => {
                return Poll::Ready(None);
            }
            Phase::Opening(opening) => match opening.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(turn)) => self.phase = Phase::Snapshot(Box::new(turn)),
                // It comes again, and is told why.
                Poll::Ready(Err(_)) => return Poll::Ready(None),
            },
            Phase::Snapshot(turn) => match turn.0.next() {
                Some((event, rules)) => {
                    self.count += rules;
                    return Poll::Ready(Some(event));
                }
                None if self.once => return Poll::Ready(None),
                None => self.phase = Phase::Behind(Box::new(turn.0.place.clone())),
            },
            Phase::Behind(place) => {
                let keys = self.broker.parts.keys.jwks();
                place.count = self.count;
                match self.broker.hub.join(&self.broker.follower, &keys, place, self.guest.address()) {
                    Joined::Not(rules) => {
                        self.count += rules.len() as u64;
                        place.position = last_of(&rules, place.position);
                        return Poll::Ready(Some(whole(tell(place, &rules))));
                    }
                    Joined::Live(rules, upto, queue) => {
                        self.count += rules.len() as u64;
                        place.position = upto;
                        let event = if rules.is_empty() { Bytes::new() } else { tell(place, &rules) };
                        self.phase = Phase::Live(queue);
                        return Poll::Ready(Some(whole(event)));
                    }
                    Joined::Renewed => self.renew(),
                    Joined::Closed => return Poll::Ready(None),
                }
            }
            Phase::Live(queue) => match queue.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Next::Event(event, rules)) => {
                    self.count += rules;
                    return Poll::Ready(Some(whole(event)));
                }
                Poll::Ready(Next::Renewed) => self.renew(),
                Poll::Ready(Next::Ended) => return Poll::Ready(None),
            },
            Phase::Ended => return Poll::Ready(None),
        }
        Poll::Ready(Some(Default::default()))
    }

    /// The log has another life: the same connection gets a new snapshot.
    fn renew(&mut self) {
        let (broker, guest) = (Arc::clone(&self.broker), Arc::clone(&self.guest));
        let audience = self.audience.clone();
        self.phase = Phase::Opening(Box::pin(async move {
            let slot = guest.slot().await;
            Ok((broker.open_snapshot(audience).await?, slot))
        }));
    }

    fn leave(&mut self) {
        if let Phase::Live(queue) = std::mem::replace(&mut self.phase, Phase::Ended) {
            queue.leave();
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.leave();
    }
}

fn whole(event: Bytes) -> [Bytes; 3] {
    [event, Bytes::new(), Bytes::new()]
}

fn cursor_at(place: &Place) -> Cursor {
    Cursor::new(place.epoch, place.position, place.audience.as_ref()).at(place.position, place.after)
}

/// Tells a reader these rules, and takes note of it: its place has moved behind them already.
fn tell(place: &mut Place, rules: &[Rule]) -> Bytes {
    let after = place.after;
    place.after = last_of(rules, after);
    event::write_revoke(&cursor_at(place), after, rules)
}
