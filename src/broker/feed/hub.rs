//! The hub: it tells everyone who has joined what the log says, in turns under one lock.
//!
//! What always holds while that lock is held: whoever has joined has been told, or finds in its queue, every rule up to
//! `upto` that concerns it, and nothing behind that. So there is no gap and nothing twice between a snapshot, or a cursor,
//! and the first event that is pushed: who joins is told what lies behind its own place up to `upto`, in the same turn.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::keys::JwksDocument;
use crate::model::{AudienceUri, Epoch, Position, Rule};
use crate::revocation::Cursor;
use crate::revocation::event::{self, Kind};
use crate::revocation::snapshot::MAX_PART;

use super::super::follow::{Follower, concerns};
use super::group::{Group, Member, keys_data, last_of};
use super::queue::Queue;
use super::{FeedView, SubscriberView};

/// All subscribers of one broker.
pub(in crate::broker) struct Hub {
    /// Events that may wait for one subscriber.
    room: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    /// Which list of live rules this is about: the follower counts them.
    turn: u64,
    epoch: Option<Epoch>,
    upto: Position,
    keys: Option<Arc<JwksDocument>>,
    /// Subscribers that were too slow, since it was last asked.
    cut: u64,
    groups: HashMap<Option<AudienceUri>, Group>,
}

/// Where a reader stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Of which list of live rules.
    pub(super) turn: u64,
    /// The log's life.
    pub(super) epoch: Epoch,
    /// Its filter.
    pub(super) audience: Option<AudienceUri>,
    /// Up to where it has been told the log.
    pub(super) position: Position,
    /// The place of the last rule that it was told.
    pub(super) after: Position,
    /// How many rules its connection was sent.
    pub(super) count: u64,
    /// The keys that it was told.
    pub(super) keys: Arc<JwksDocument>,
}

/// What became of a reader that wanted to join.
pub(super) enum Joined {
    /// It is to be told these first, and to ask again: there are more.
    Not(Vec<Rule>),
    /// It is to be told these, and then what comes out of the queue; they tell the log up to this place.
    Live(Vec<Rule>, Position, Arc<Queue>),
    /// Its place is of another life of the log: a snapshot is due.
    Renewed,
    /// The broker ends.
    Closed,
}

impl Hub {
    /// One without subscribers. For each, `room` events may wait.
    pub(in crate::broker) fn new(room: usize) -> Self {
        Self { room, state: Mutex::default() }
    }

    /// Tells everyone what the follower has heard since the last time; by how many places of the log that was.
    pub(super) fn advance(&self, follower: &Follower) -> u64 {
        let mut state = self.lock();
        let before = state.upto;
        state.advance(follower);
        state.upto.get().saturating_sub(before.get())
    }

    /// Tells everyone of the published keys, where they are others than before.
    pub(super) fn tell_keys(&self, keys: &Arc<JwksDocument>) {
        self.lock().tell_keys(keys);
    }

    /// Tells everyone that the log ends where they are: `now_ms` is when the reading began that found it so.
    pub(super) fn beat(&self, now_ms: u64) {
        let mut state = self.lock();
        let (upto, now) = (state.upto, Instant::now());
        state.tell(|group| group.beat(upto, now_ms, now));
    }

    /// Lets a reader in that has been told the log up to its place.
    pub(super) fn join(&self, follower: &Follower, keys: &Arc<JwksDocument>, place: &Place, from: IpAddr) -> Joined {
        let mut state = self.lock();
        state.advance(follower);
        state.tell_keys(keys);
        state.join(follower, place, from, self.room)
    }

    /// Ends all streams, and lets nobody in any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let groups = std::mem::take(&mut state.groups);
        groups.values().flat_map(Group::queues).for_each(|queue| queue.end());
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Whether nobody has joined.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().groups.is_empty()
    }

    /// How many were cut off since this was last asked.
    pub(super) fn take_cut(&self) -> u64 {
        std::mem::take(&mut self.lock().cut)
    }

    /// Who has joined, and how far each is behind.
    pub(super) fn view(&self) -> FeedView {
        let state = self.lock();
        let groups = state.groups.iter();
        let each = groups.flat_map(|(audience, group)| group.view(audience.as_ref(), state.upto));
        let each: Vec<SubscriberView> = each.collect();
        let max_lag = each.iter().map(|one| one.lag).max().unwrap_or(0);
        FeedView { subscribers: each.len(), max_lag, each }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn advance(&mut self, follower: &Follower) {
        let news = follower.with_rules(|rules| {
            if rules.turn != self.turn {
                self.renew();
                (self.turn, self.epoch, self.upto) = (rules.turn, rules.epoch, rules.upto);
                return Vec::new();
            }
            let before = std::mem::replace(&mut self.upto, rules.upto);
            let news = |audience: &Option<AudienceUri>| -> Vec<Rule> {
                let all = rules.live.behind(before);
                let mine = all.filter(|(rule, of)| concerns(rule.kind, of, audience.as_ref()));
                mine.map(|(rule, _)| rule).collect()
            };
            match rules.upto > before {
                true => self.groups.keys().map(|audience| (audience.clone(), news(audience))).collect(),
                false => Vec::new(),
            }
        });
        let now = Instant::now();
        for (audience, rules) in news {
            let Some(group) = self.groups.get_mut(&audience) else { continue };
            let mut pages = rules.chunks(MAX_PART).peekable();
            while let Some(page) = pages.next() {
                // The last event says that all of this reading has been told.
                let position = if pages.peek().is_none() { self.upto } else { last_of(page, self.upto) };
                self.cut += group.revoke(page, position, now);
            }
        }
        self.groups.retain(|_, group| !group.is_empty());
    }

    /// Everyone begins again, with a snapshot.
    fn renew(&mut self) {
        let groups = std::mem::take(&mut self.groups);
        groups.values().flat_map(Group::queues).for_each(|queue| queue.renew());
    }

    fn tell_keys(&mut self, keys: &Arc<JwksDocument>) {
        if self.keys.as_ref().is_none_or(|told| told.kids != keys.kids) {
            self.keys = Some(Arc::clone(keys));
            let (upto, now) = (self.upto, Instant::now());
            self.tell(|group| group.keys(keys, upto, now));
        }
    }

    /// Tells each group something, and forgets those whose last member is gone.
    fn tell(&mut self, mut what: impl FnMut(&mut Group) -> u64) {
        self.cut += self.groups.values_mut().map(&mut what).sum::<u64>();
        self.groups.retain(|_, group| !group.is_empty());
    }

    fn join(&mut self, follower: &Follower, place: &Place, from: IpAddr, room: usize) -> Joined {
        if self.is_closed {
            return Joined::Closed;
        }
        if (self.turn, self.epoch) != (place.turn, Some(place.epoch)) {
            return Joined::Renewed;
        }
        let upto = self.upto;
        let rules: Vec<Rule> = follower.with_rules(|rules| {
            // The follower may have gone on; whoever has joined is not told of that yet, either.
            let behind = rules.live.behind(place.position).filter(|(rule, _)| rule.position <= upto);
            let mine = behind.filter(|(rule, of)| concerns(rule.kind, of, place.audience.as_ref()));
            mine.map(|(rule, _)| rule).take(MAX_PART).collect()
        });
        if rules.len() == MAX_PART {
            return Joined::Not(rules);
        }
        let now = Instant::now();
        let queue = Arc::new(Queue::new(room, upto, now));
        let (after, count) = (last_of(&rules, place.after), place.count + rules.len() as u64);
        let cursor = Cursor::new(place.epoch, upto, place.audience.as_ref());
        if let Some(keys) = self.keys.as_ref().filter(|keys| keys.kids != place.keys.kids) {
            queue.put(event::write(Kind::Keys, &cursor.at(upto, after), &keys_data(keys)), upto, 0, now);
        }
        let group = self.groups.entry(place.audience.clone()).or_insert_with(|| Group::new(cursor));
        group.add(Member { after, count, from, queue: Arc::clone(&queue) });
        Joined::Live(rules, upto, queue)
    }
}
