//! Those who hear one filter, and the events that are made for them: once for all who are alike.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::keys::JwksDocument;
use crate::model::{AudienceUri, Position, Rule};
use crate::revocation::Cursor;
use crate::revocation::event::{self, Heartbeat, Keys, Kind};

use super::SubscriberView;
use super::queue::{Put, Queue};

/// Those who hear one filter.
pub(super) struct Group {
    /// A cursor of this epoch and filter.
    cursor: Cursor,
    members: Vec<Member>,
}

/// One of them.
pub(super) struct Member {
    /// The place of the last rule that it was told. Right behind a snapshot that is the snapshot's own; from the next
    /// rule on all agree.
    pub(super) after: Position,
    /// How many rules its connection was sent.
    pub(super) count: u64,
    /// Where it comes from.
    pub(super) from: IpAddr,
    /// What waits for it.
    pub(super) queue: Arc<Queue>,
}

impl Group {
    pub(super) const fn new(cursor: Cursor) -> Self {
        Self { cursor, members: Vec::new() }
    }

    pub(super) fn add(&mut self, member: Member) {
        self.members.push(member);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.members.iter().map(|member| &member.queue)
    }

    /// Tells of new rules, up to `position`; how many members were cut off.
    pub(super) fn revoke(&mut self, rules: &[Rule], position: Position, now: Instant) -> u64 {
        let cursor = self.cursor.at(position, last_of(rules, position));
        let make = |after: &Position| event::write_revoke(&cursor, *after, rules);
        let cut = self.tell(position, rules.len() as u64, now, |member| member.after, make);
        for member in &mut self.members {
            (member.after, member.count) = (cursor.after, member.count + rules.len() as u64);
        }
        cut
    }

    /// Tells of keys; how many members were cut off.
    pub(super) fn keys(&mut self, keys: &JwksDocument, upto: Position, now: Instant) -> u64 {
        let (cursor, data) = (self.cursor, keys_data(keys));
        let make = |after: &Position| event::write(Kind::Keys, &cursor.at(upto, *after), &data);
        self.tell(upto, 0, now, |member| member.after, make)
    }

    /// Tells that the log ended at `upto` at `now_ms`; how many members were cut off.
    pub(super) fn beat(&mut self, upto: Position, now_ms: u64, now: Instant) -> u64 {
        let cursor = self.cursor;
        let make = |&(after, count): &(Position, u64)| {
            let beat = Heartbeat { position: upto, count, now: now_ms };
            event::write(Kind::Heartbeat, &cursor.at(upto, after), &serde_json::to_string(&beat).unwrap_or_default())
        };
        self.tell(upto, 0, now, |member| (member.after, member.count), make)
    }

    /// Puts an event into each member's queue; drops those who are gone, and those who are too slow: how many these were.
    fn tell<K: PartialEq>(
        &mut self,
        position: Position,
        rules: u64,
        now: Instant,
        alike: impl Fn(&Member) -> K,
        make: impl Fn(&K) -> Bytes,
    ) -> u64 {
        let (mut made, mut cut) = (Vec::<(K, Bytes)>::new(), 0);
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
            let put = member.queue.put(event, position, rules, now);
            cut += u64::from(put == Put::Cut);
            put == Put::Done
        });
        cut
    }

    /// Its members at a glance.
    pub(super) fn view(&self, audience: Option<&AudienceUri>, upto: Position) -> impl Iterator<Item = SubscriberView> {
        self.members.iter().map(move |member| {
            let (queued, position) = member.queue.figures();
            let lag = upto.get().saturating_sub(position.get());
            SubscriberView {
                audience: audience.cloned(),
                from: member.from,
                position,
                lag,
                queued,
                rules: member.count,
            }
        })
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
