//! The feed: who subscribes, from where, and the turns in which all are told.
//!
//! Owns the snapshot, the resumption by a cursor, and the pushing of events. Never decides what ends.

mod group;
mod guests;
mod hub;
mod queue;
mod snapshot;
mod stream;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::model::{AudienceUri, Position, Reason, Refusal};
use crate::revocation::Cursor;

use super::{Broker, BrokerError};
use hub::Place;
use snapshot::Snapshot;

pub use guests::FeedLimits;
pub(in crate::broker) use guests::Guests;
pub(in crate::broker) use hub::Hub;
pub use stream::Subscription;

/// What a reader of the feed asks for.
#[derive(Debug, Clone, Copy)]
pub struct FeedAsk<'a> {
    /// Where it comes from.
    pub from: IpAddr,
    /// Only what can concern tokens for this audience.
    pub audience: Option<&'a str>,
    /// The last event that it has heard, `Last-Event-ID`.
    pub last: Option<&'a str>,
    /// Only the snapshot.
    pub once: bool,
}

/// The feed at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct FeedView {
    /// How many follow the log now; those who are being told what was before are not among them.
    pub subscribers: usize,
    /// How many places of the log the slowest of them is behind.
    pub max_lag: u64,
    /// Each of them.
    pub each: Vec<SubscriberView>,
}

/// One subscriber of the feed.
#[derive(Debug, Clone, Serialize)]
pub struct SubscriberView {
    /// Its filter; none: it hears of everything.
    pub audience: Option<AudienceUri>,
    /// Where it comes from.
    pub from: IpAddr,
    /// Up to where it has taken the log.
    pub position: Position,
    /// How many places of the log it is behind.
    pub lag: u64,
    /// Events that wait for it.
    pub queued: usize,
    /// Rules that its connection was sent, or that wait.
    pub rules: u64,
}

/// Events that may wait for one subscriber.
pub(in crate::broker) const ROOM: usize = 4096;

/// How long a reader waits for its turn to get a snapshot.
const PATIENCE: Duration = Duration::from_secs(2);

impl Broker {
    /// A stream of the feed: from the cursor where it can be resumed without a gap, else with a snapshot first.
    ///
    /// # Errors
    /// [`Refusal`] where the audience is unknown, the store cannot be asked, or this broker is behind the cursor: an old
    /// snapshot is never handed out as a new one.
    pub async fn subscribe(self: &Arc<Self>, ask: FeedAsk<'_>) -> Result<Subscription, Refusal> {
        let audience = self.filter(ask.audience)?;
        if self.hub.is_closed() {
            return Err(Refusal::new(Reason::Busy, "this broker is shutting down: ask another, or again"));
        }
        let guest = self.guests.enter(ask.from)?;
        let cursor = ask.last.filter(|_| !ask.once).and_then(Cursor::parse);
        if let Some(cursor) = cursor.filter(|cursor| cursor.is_for(audience.as_ref()))
            && let Some(place) = self.resume(cursor, audience.clone()).await?
        {
            return Ok(Subscription::from_place(Arc::clone(self), guest, place));
        }
        let slot = guest.slot_within(PATIENCE).await?;
        let snapshot = self.open_snapshot(audience).await?;
        Ok(Subscription::with_snapshot(Arc::clone(self), guest, (snapshot, slot), ask.once))
    }

    /// Ends all streams of the feed, and begins no other; lets go of all who watch.
    pub fn end_feed(&self) {
        self.hub.close();
        self.ends.close();
    }

    fn filter(&self, audience: Option<&str>) -> Result<Option<AudienceUri>, Refusal> {
        let Some(raw) = audience else { return Ok(None) };
        match self.parts.policies.current().audience(raw) {
            Some(audience) => Ok(Some(audience.id.clone())),
            None => Err(Refusal::new(Reason::UnknownAudience, format!("unknown audience: {raw:.255}"))),
        }
    }

    /// The place of a cursor, where the feed can go on from there; none where its epoch is over.
    async fn resume(&self, cursor: Cursor, audience: Option<AudienceUri>) -> Result<Option<Place>, Refusal> {
        self.catch_up().await.map_err(|error| unavailable(&error))?;
        let (turn, epoch, upto, floor) =
            self.follower.with_rules(|rules| (rules.turn, rules.epoch, rules.upto, rules.floor));
        if epoch != Some(cursor.epoch) || (cursor.position <= floor && floor > Position::START) {
            return Ok(None);
        }
        if upto < cursor.position {
            // It has read the log to its head a moment ago: the store itself is behind what another broker was told.
            let text = "the revocation log is behind the place of Last-Event-ID here: try again";
            return Err(Refusal::new(Reason::StoreUnavailable, text));
        }
        let (position, after, keys) = (cursor.position, cursor.after, self.parts.keys.jwks());
        Ok(Some(Place { turn, epoch: cursor.epoch, audience, position, after, count: 0, keys }))
    }

    async fn open_snapshot(&self, audience: Option<AudienceUri>) -> Result<Snapshot, Refusal> {
        self.make_snapshot(audience).await.map_err(|error| unavailable(&error))
    }

    /// The feed at a glance.
    pub(in crate::broker) fn view_feed(&self) -> FeedView {
        self.hub.view()
    }

    /// Tells all subscribers what this broker has heard since the last time; by how many places of the log that was.
    pub(in crate::broker) fn tell(&self) -> u64 {
        let news = self.hub.advance(&self.follower);
        self.hub.tell_keys(&self.parts.keys.jwks());
        news
    }

    /// Reads the log's head for a heartbeat, and the log up to it: when that began, where there is anybody to tell. The
    /// store must have proved that it is still the one that takes the writes.
    pub(in crate::broker) async fn read_for_beat(&self) -> Option<u64> {
        if self.hub.is_empty() {
            return None;
        }
        let began = self.parts.clock.now_ms();
        let read = async {
            let head = self.parts.store.head_of_primary().await?;
            self.parts.store.writable()?;
            // What this broker has ended itself it knows before the list does that the feed is made of.
            let is_told = self.follower.with_rules(|r| r.epoch == Some(head.epoch) && r.upto >= head.position);
            let is_known = is_told || self.catch_up().await?.epoch == head.epoch;
            Ok::<_, BrokerError>(is_known)
        };
        match read.await {
            Ok(is_known) => is_known.then_some(began),
            Err(error) => {
                tracing::debug!(%error, "no heartbeat");
                None
            }
        }
    }

    /// Tells all subscribers that they know the log as it was when this reading began.
    pub(in crate::broker) fn beat(&self, began: u64) {
        self.tell();
        self.hub.beat(began);
    }

    /// Keeps the feed's figures.
    pub(in crate::broker) fn measure_feed(&self) {
        let FeedView { subscribers, max_lag, .. } = self.hub.view();
        self.parts.metrics.set_feed(subscribers as u64, max_lag);
        self.parts.metrics.feed_cut(self.hub.take_cut());
    }
}

fn unavailable(error: &BrokerError) -> Refusal {
    match error.is_of_the_store() {
        true => tracing::debug!(%error, "the feed cannot be served"),
        false => tracing::warn!(%error, "the feed cannot be served"),
    }
    Refusal::new(Reason::StoreUnavailable, "the revocation log cannot be read: try again")
}

#[cfg(test)]
mod tests;
