//! The hub: it makes each event once for each filter, and puts it into the queue of everyone who hears that filter.
//!
//! What always holds while its lock is held: whoever has joined has been told, or finds in its queue, every rule up to
//! `upto` that concerns it and nothing behind that. So there is no gap and nothing twice between a snapshot, or a cursor,
//! and the first event that is pushed: who joins is told what lies behind its own place up to `upto`, in the same turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use crate::keys::JwksDocument;
use crate::model::{AudienceUri, Epoch, Position, Rule};
use crate::revocation::Cursor;
use crate::revocation::event::{self, Heartbeat, Keys, Kind};
use crate::revocation::snapshot::MAX_PART;

use super::super::follow::{Follower, concerns};
use super::queue::{Put, Queue};
use super::{FeedView, SubscriberView};

/// All subscribers of one broker.
#[derive(Default)]
pub(in crate::broker) struct Hub(Mutex<State>);

#[derive(Default)]
struct State {
    is_closed: bool,
    /// Which list of live rules this is about: [`Follower`] counts them.
    turn: u64,
    epoch: Option<Epoch>,
    upto: Position,
    keys: Option<Arc<JwksDocument>>,
    groups: HashMap<Option<AudienceUri>, Group>,
}

/// Those who hear one filter.
struct Group {
    /// A cursor of this epoch and filter.
    cursor: Cursor,
    members: Vec<Member>,
}

struct Member {
    after: Position,
    count: u64,
    queue: Arc<Queue>,
}

/// Where a reader stands that wants to join.
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
    /// How many rules it was sent on this connection.
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
    /// Tells everyone what the follower has heard since the last time.
    pub(super) fn advance(&self, follower: &Follower) {
        self.lock().advance(follower);
    }

    /// Tells everyone of the published keys, where they are others than before.
    pub(super) fn tell_keys(&self, keys: &Arc<JwksDocument>) {
        self.lock().tell_keys(keys);
    }

    /// Tells everyone that the log ends where they are: `now` is when the reading began that found it so.
    pub(in crate::broker) fn beat(&self, now: u64) {
        self.lock().beat(now);
    }

    /// Lets a reader in that has been told the log up to its place.
    pub(super) fn join(&self, follower: &Follower, keys: &Arc<JwksDocument>, place: &Place) -> Joined {
        let mut state = self.lock();
        state.advance(follower);
        state.tell_keys(keys);
        state.join(follower, place)
    }

    /// Ends all streams, and lets nobody in any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let groups = std::mem::take(&mut state.groups);
        groups.values().flat_map(|group| &group.members).for_each(|member| member.queue.end());
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Who has joined, and how far each is behind.
    pub(in crate::broker) fn view(&self) -> FeedView {
        let state = self.lock();
        let members =
            state.groups.iter().flat_map(|(audience, group)| group.members.iter().map(move |m| (audience, m)));
        let each: Vec<SubscriberView> = members.map(|(audience, member)| member.view(audience, state.upto)).collect();
        let max_lag = each.iter().map(|one| one.lag).max().unwrap_or(0);
        FeedView { subscribers: each.len(), max_lag, each }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn advance(&mut self, follower: &Follower) {
        let upto = self.upto;
        let news = follower.with_rules(|rules| {
            if rules.turn != self.turn {
                self.renew();
                (self.turn, self.epoch, self.upto) = (rules.turn, rules.epoch, rules.upto);
                return Vec::new();
            }
            self.upto = rules.upto;
            let news = |audience: &Option<AudienceUri>| -> Vec<Rule> {
                let all = rules.live.behind(upto);
                let mine = all.filter(|(rule, of)| concerns(rule.kind, of, audience.as_ref()));
                mine.map(|(rule, _)| rule).collect()
            };
            match rules.upto > upto {
                true => self.groups.keys().map(|audience| (audience.clone(), news(audience))).collect(),
                false => Vec::new(),
            }
        });
        let (upto, now) = (self.upto, Instant::now());
        for (audience, rules) in news {
            let Some(group) = self.groups.get_mut(&audience) else { continue };
            let mut pages = rules.chunks(MAX_PART).peekable();
            while let Some(page) = pages.next() {
                // The last event says that all of this reading has been told.
                let position = if pages.peek().is_none() { upto } else { last_of(page, upto) };
                group.revoke(page, position, now);
            }
        }
        self.drop_empty();
    }

    /// Everyone begins again, with a snapshot.
    fn renew(&mut self) {
        let groups = std::mem::take(&mut self.groups);
        groups.values().flat_map(|group| &group.members).for_each(|member| member.queue.renew());
    }

    fn tell_keys(&mut self, keys: &Arc<JwksDocument>) {
        if self.keys.as_ref().is_some_and(|told| told.kids == keys.kids) {
            return;
        }
        self.keys = Some(Arc::clone(keys));
        let (data, now, upto) = (keys_data(keys), Instant::now(), self.upto);
        for group in self.groups.values_mut() {
            let cursor = group.cursor;
            group.tell(
                upto,
                now,
                |member| member.after,
                |after| event::write(Kind::Keys, &cursor.at(upto, *after), &data),
            );
        }
        self.drop_empty();
    }

    fn beat(&mut self, now_ms: u64) {
        let (now, upto) = (Instant::now(), self.upto);
        for group in self.groups.values_mut() {
            let cursor = group.cursor;
            group.tell(
                upto,
                now,
                |member| (member.after, member.count),
                |(after, count)| {
                    let beat = Heartbeat { position: upto, count: *count, now: now_ms };
                    let data = serde_json::to_string(&beat).unwrap_or_default();
                    event::write(Kind::Heartbeat, &cursor.at(upto, *after), &data)
                },
            );
        }
        self.drop_empty();
    }

    fn join(&mut self, follower: &Follower, place: &Place) -> Joined {
        if self.is_closed {
            return Joined::Closed;
        }
        if (self.turn, self.epoch) != (place.turn, Some(place.epoch)) {
            return Joined::Renewed;
        }
        let upto = self.upto;
        let rules: Vec<Rule> = follower.with_rules(|rules| {
            let behind = rules.live.behind(place.position).filter(|(rule, _)| rule.position <= upto);
            let mine = behind.filter(|(rule, of)| concerns(rule.kind, of, place.audience.as_ref()));
            mine.map(|(rule, _)| rule).take(MAX_PART).collect()
        });
        if rules.len() == MAX_PART {
            return Joined::Not(rules);
        }
        let now = Instant::now();
        let queue = Arc::new(Queue::new(upto, now));
        let (after, count) = (last_of(&rules, place.after), place.count + rules.len() as u64);
        let cursor = Cursor::new(place.epoch, upto, place.audience.as_ref());
        if let Some(keys) = self.keys.as_ref().filter(|keys| keys.kids != place.keys.kids) {
            queue.put(event::write(Kind::Keys, &cursor.at(upto, after), &keys_data(keys)), upto, now);
        }
        let group = self.groups.entry(place.audience.clone()).or_insert_with(|| Group { cursor, members: Vec::new() });
        group.members.push(Member { after, count, queue: Arc::clone(&queue) });
        Joined::Live(rules, upto, queue)
    }

    fn drop_empty(&mut self) {
        self.groups.retain(|_, group| !group.members.is_empty());
    }
}

impl Group {
    fn revoke(&mut self, rules: &[Rule], position: Position, now: Instant) {
        let cursor = self.cursor;
        let last = last_of(rules, position);
        // Right behind a snapshot, its position is the last place; from the next event on all agree.
        self.tell(
            position,
            now,
            |member| member.after,
            |after| event::write_revoke(&cursor.at(position, last), *after, rules),
        );
        for member in &mut self.members {
            (member.after, member.count) = (last, member.count + rules.len() as u64);
        }
    }

    /// Puts an event into each member's queue, made once for all who are alike; drops those who are gone or too slow.
    fn tell<K: PartialEq>(
        &mut self,
        position: Position,
        now: Instant,
        alike: impl Fn(&Member) -> K,
        make: impl Fn(&K) -> Bytes,
    ) {
        let mut made: Vec<(K, Bytes)> = Vec::new();
        self.members.retain(|member| {
            let kind = alike(member);
            let event = match made.iter().find(|(other, _)| *other == kind) {
                Some((_, event)) => event.clone(),
                None => {
                    let event = make(&kind);
                    made.push((kind, event.clone()));
                    event
                }
            };
            member.queue.put(event, position, now) == Put::Done
        });
    }
}

impl Member {
    fn view(&self, audience: &Option<AudienceUri>, upto: Position) -> SubscriberView {
        let (queued, position) = self.queue.figures();
        let lag = upto.get().saturating_sub(position.get());
        SubscriberView { audience: audience.clone(), position, lag, queued, rules: self.count }
    }
}

/// The `data` of an event that tells of keys.
pub(super) fn keys_data(keys: &JwksDocument) -> String {
    serde_json::to_string(&Keys { kids: keys.kids.clone() }).unwrap_or_default()
}

/// The place of the last of these rules; `before` where there are none.
pub(super) fn last_of(rules: &[Rule], before: Position) -> Position {
    rules.last().map_or(before, |rule| rule.position)
}
