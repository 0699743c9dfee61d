//! The brokers' half of the model: who is told what, from where, and what a broker with a planted fault does instead.

use super::wire::{Cursor, Event, Place, Positions};
use super::world::{Fault, Link, State, World};

impl World {
    /// What a broker has for a reader behind a place.
    pub fn behind(&self, state: &State, reader: usize, broker: usize, place: Place) -> Positions {
        let broker = &state.brokers[broker];
        let concerns = state.logs[usize::from(broker.epoch)].concerns[self.readers[reader]];
        broker.live.and(concerns).and(Positions::between(place, broker.upto))
    }

    /// A turn of the hub: everyone who has joined is told what the broker has read since.
    pub fn advance(&self, state: &mut State, at: usize) {
        for reader in 0..self.readers.len() {
            let Some(link) = state.links[reader].as_ref().filter(|link| link.live && link.broker == at) else {
                continue;
            };
            let (epoch, upto) = (state.brokers[at].epoch, state.brokers[at].upto);
            if link.told.epoch != epoch && self.fault != Fault::KeepsStreams {
                self.open(state, reader, at);
                continue;
            }
            let rules = self.behind(state, reader, at, link.told.position);
            let Some(link) = &mut state.links[reader] else { continue };
            link.told.position = upto;
            if rules != Positions::NONE {
                let after = std::mem::replace(&mut link.told.after, rules.last());
                link.count += rules.len();
                self.put(state, reader, Event::Revoke { after, rules });
            }
        }
    }

    pub fn push(&self, state: &mut State, at: usize, event: impl Fn(&Link) -> Event) {
        for reader in 0..self.readers.len() {
            let link = state.links[reader].as_ref().filter(|link| link.live && link.broker == at);
            if let Some(event) = link.map(&event) {
                self.put(state, reader, event);
            }
        }
    }

    /// Puts an event into a bounded queue; whoever has not taken enough of it is cut off.
    pub fn put(&self, state: &mut State, reader: usize, event: Event) {
        let Some(link) = &mut state.links[reader] else { return };
        if link.waiting.len() < self.queue {
            link.waiting.push((event, link.told));
        } else if self.fault != Fault::SkipsWhenFull {
            state.links[reader] = None;
        }
    }

    pub fn connect(&self, state: &mut State, reader: usize, broker: usize) {
        state.readers[reader].connects();
        if self.fault != Fault::ResumesWhereItIs {
            state.catch_up(broker);
        }
        let epoch = state.brokers[broker].epoch;
        let resumable = |cursor: &Cursor| {
            (cursor.epoch == epoch || self.fault == Fault::ResumesAnyEpoch)
                && (cursor.whole || self.fault == Fault::ResumesFromAPart)
        };
        let Some(cursor) = state.readers[reader].cursor.filter(resumable) else {
            return self.open(state, reader, broker);
        };
        let mut told = Cursor { epoch, whole: true, ..cursor };
        if self.fault == Fault::ForgetsAfter {
            let own = self.behind(state, reader, broker, 0).and(Positions::between(0, cursor.position));
            told.after = own.last();
        }
        if self.fault == Fault::ResumesWhereItIs {
            told.position = told.position.min(state.brokers[broker].upto);
        }
        let waiting = vec![(Event::Keys, told)];
        state.links[reader] = Some(Link { broker, waiting, live: false, told, count: 0 });
    }

    /// A snapshot, one rule in each part.
    pub fn open(&self, state: &mut State, reader: usize, broker: usize) {
        let sent = state.links[reader].as_ref().map_or(0, Link::sent);
        let read = state.now();
        state.catch_up(broker);
        let (epoch, position) = (state.brokers[broker].epoch, state.brokers[broker].upto);
        let rules = self.behind(state, reader, broker, 0);
        let told = Cursor { epoch, position, after: position, whole: true };
        let id = |number: u8| Cursor { whole: number == rules.len(), ..told };
        let mut waiting = vec![(Event::Snapshot { position, parts: rules.len(), read }, id(0))];
        for (number, place) in (0..).zip(rules.iter()) {
            waiting.push((Event::Part { number, rules: Positions::NONE.with(place) }, id(number + 1)));
        }
        let count = sent + rules.len();
        state.links[reader] = Some(Link { broker, waiting, live: false, told, count });
    }

    /// The snapshot, or the beginning of a resumed stream, has been sent: the reader is told what lies behind, and joins.
    pub fn join(&self, state: &mut State, reader: usize) -> Option<()> {
        let link = state.links[reader].as_ref().filter(|link| !link.live && link.waiting.is_empty())?;
        let (broker, place) = (link.broker, link.told.position);
        self.advance(state, broker);
        let epoch = state.brokers[broker].epoch;
        let link = state.links[reader].as_mut()?;
        if link.told.epoch != epoch {
            self.open(state, reader, broker);
            return Some(());
        }
        link.live = true;
        let place = if self.fault == Fault::JoinsAtTheHead { state.brokers[broker].upto } else { place };
        let upto = state.brokers[broker].upto;
        let rules = self.behind(state, reader, broker, place);
        let link = state.links[reader].as_mut()?;
        link.told.position = upto;
        if rules != Positions::NONE {
            let after = std::mem::replace(&mut link.told.after, rules.last());
            link.count += rules.len();
            link.waiting.push((Event::Revoke { after, rules }, link.told));
        }
        Some(())
    }
}

impl Link {
    /// How many rules the reader was sent: what waited, and is dropped for a new snapshot, it never was.
    fn sent(&self) -> u8 {
        let waits = |event: &Event| match event {
            Event::Part { rules, .. } | Event::Revoke { rules, .. } => rules.len(),
            _ => 0,
        };
        self.count - self.waiting.iter().map(|(event, _)| waits(event)).sum::<u8>()
    }
}
