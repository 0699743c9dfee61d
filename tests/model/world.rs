//! The world's half of the model: the log, brokers that read it page by page, queues and cursors, and what may go wrong.
//!
//! One step is what nothing else can interrupt: a page of the log, a turn of the hub, one event on the wire.

use stateright::{Model, Property};

use super::reader::{Checks, Reader};
use super::wire::{Cursor, Event, Moment, Place, Positions};

pub const MISSED: &str = "what was appended before the time that a view is good for is in it";
pub const BACK: &str = "no view goes back";
pub const TWICE: &str = "no rule comes twice";
pub const REFUSED_NOTHING: &str = "nothing is refused where nothing is broken";
pub const KNOWN: &str = "every rule of the last epoch is known";
pub const REFUSED_WHAT_IS_BROKEN: &str = "what is broken is refused";

/// One life of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Log {
    pub head: Place,
    /// Rules that can concern tokens of a filter's audience; the others concern none of it.
    pub concerns: [Positions; 2],
    /// Rules that are past their `until`.
    pub past: Positions,
}

/// A broker: what it has read, and what of it is still in its list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Broker {
    pub epoch: u8,
    pub upto: Place,
    pub live: Positions,
    /// A reading is under way, begun then.
    pub reading: Option<Moment>,
    /// Its last page ended where the log did then.
    pub ended: bool,
}

/// A connection, seen from its broker: what waits for the reader, and what it has been told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Link {
    pub broker: usize,
    pub waiting: Vec<(Event, Cursor)>,
    /// It has joined the hub: what comes is pushed.
    pub live: bool,
    pub told: Cursor,
    pub count: u8,
}

/// All there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub logs: Vec<Log>,
    pub brokers: Vec<Broker>,
    pub readers: Vec<Reader>,
    pub links: Vec<Option<Link>>,
    /// The one thing that goes wrong has happened.
    pub broken: bool,
}

/// What is wrong with the brokers, or with what lies between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    /// Once, one event does not arrive.
    Drops,
    /// Once, one arrives twice.
    Doubles,
    /// Once, two arrive in the wrong order.
    Swaps,
    /// A cursor from within a snapshot is taken for one behind it.
    ResumesFromAPart,
    /// A broker that is behind a cursor goes on from where itself is.
    ResumesWhereItIs,
    /// On resuming, the last rule of the broker's own list is taken for the last one that was sent.
    ForgetsAfter,
    /// A cursor is resumed whatever its epoch.
    ResumesAnyEpoch,
    /// An open connection hears nothing of a new epoch.
    KeepsStreams,
    /// Who joins is told only what comes from then on.
    JoinsAtTheHead,
    /// `now` is when the reading ended.
    LateNow,
    /// A heartbeat needs no reading of the log.
    BeatsBlindly,
    /// What does not fit into a queue is left out, and its subscriber stays.
    SkipsWhenFull,
    /// Compaction takes a rule that is not past.
    DropsLiveRules,
}

/// The bounds of a model, its fault, and what its readers check.
#[derive(Debug, Clone)]
pub struct World {
    pub appends: u8,
    pub epochs: u8,
    pub brokers: usize,
    /// The filter of each reader: one of two audiences.
    pub readers: Vec<usize>,
    pub queue: usize,
    /// Whether the log is read page by page, with turns of the hub between; and whether keys change, which is told by an
    /// event that no check holds against the others.
    pub busy: bool,
    pub fault: Fault,
    pub checks: Checks,
}

/// What can happen next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A rule is appended; its end is acknowledged at some time after this. It concerns these filters.
    Append([bool; 2]),
    Expire(Place),
    Compact(usize),
    LoseTheLog,
    BeginReading(usize),
    ReadAPage(usize),
    /// The hub takes its turn before the log has been read to its end.
    Tell(usize),
    EndReading(usize),
    BeatBlindly(usize),
    TellKeys(usize),
    Connect(usize, usize),
    Join(usize),
    Deliver(usize),
    Cut(usize),
    Break(usize, usize),
}

impl Model for World {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let (readers, links) = (vec![Reader::default(); self.readers.len()], vec![None; self.readers.len()]);
        let brokers = vec![Broker::default(); self.brokers];
        vec![State { logs: vec![Log::default()], brokers, readers, links, broken: false }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let log = state.log();
        let appended: u8 = state.logs.iter().map(|log| log.head).sum();
        if appended < self.appends {
            let kinds: &[[bool; 2]] = match self.readers.len() {
                1 => &[[true, false], [false, true]],
                _ => &[[true, true], [true, false], [false, true]],
            };
            steps.extend(kinds.iter().map(|concerns| Step::Append(*concerns)));
        }
        steps.extend(Positions::between(0, log.head).without(log.past).iter().map(Step::Expire));
        if state.logs.len() < usize::from(self.epochs) {
            steps.push(Step::LoseTheLog);
        }
        for at in 0..self.brokers {
            steps.extend([
                Step::Compact(at),
                Step::BeginReading(at),
                Step::ReadAPage(at),
                Step::Tell(at),
                Step::EndReading(at),
            ]);
            if self.busy {
                steps.extend([Step::ReadAPage(at), Step::TellKeys(at), Step::Tell(at)]);
            }
            if self.fault == Fault::BeatsBlindly {
                steps.push(Step::BeatBlindly(at));
            }
        }
        for (at, link) in state.links.iter().enumerate() {
            match link {
                None => steps.extend((0..self.brokers).map(|broker| Step::Connect(at, broker))),
                Some(link) => {
                    steps.extend([Step::Join(at), Step::Deliver(at), Step::Cut(at)]);
                    if self.breaks_the_wire() && !state.broken {
                        steps.extend((0..link.waiting.len()).map(|event| Step::Break(at, event)));
                    }
                }
            }
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Append(concerns) => state.append(concerns),
            Step::Expire(place) => {
                let log = state.logs.last_mut()?;
                log.past = log.past.with(place);
            }
            Step::Compact(at) => self.compact(&mut state, at),
            Step::LoseTheLog => state.logs.push(Log::default()),
            Step::BeginReading(at) => {
                let now = state.now();
                if state.brokers[at].reading.is_none() {
                    (state.brokers[at].reading, state.brokers[at].ended) = (Some(now), false);
                }
            }
            Step::ReadAPage(at) => {
                state.brokers[at].reading?;
                state.read_a_page(at);
            }
            Step::Tell(at) => self.advance(&mut state, at),
            Step::EndReading(at) => {
                if !self.busy && state.brokers[at].reading.is_some() {
                    state.catch_up(at);
                    state.brokers[at].ended = true;
                }
                let read = state.brokers[at].reading.take().filter(|_| state.brokers[at].ended)?;
                state.brokers[at].ended = false;
                let now = if self.fault == Fault::LateNow { state.now() } else { read };
                self.advance(&mut state, at);
                self.push(&mut state, at, |link| Event::Heartbeat {
                    position: link.told.position,
                    count: link.count,
                    read: now,
                });
            }
            Step::BeatBlindly(at) => {
                let read = state.now();
                self.push(&mut state, at, |link| Event::Heartbeat {
                    position: link.told.position,
                    count: link.count,
                    read,
                });
            }
            Step::TellKeys(at) => {
                self.advance(&mut state, at);
                self.push(&mut state, at, |_| Event::Keys);
            }
            Step::Connect(reader, broker) => self.connect(&mut state, reader, broker),
            Step::Join(reader) => self.join(&mut state, reader)?,
            Step::Deliver(reader) => self.deliver(&mut state, reader)?,
            Step::Cut(reader) => state.links[reader] = None,
            Step::Break(reader, event) => self.break_wire(&mut state, reader, event)?,
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(MISSED, |world: &Self, state| {
                (0..world.readers.len()).all(|reader| !world.misses(state, reader))
            }),
            Property::always(BACK, |_, state: &State| state.readers.iter().all(|one| !one.back)),
            Property::always(TWICE, |_, state: &State| state.readers.iter().all(|one| !one.twice)),
            Property::always(REFUSED_NOTHING, |_, state: &State| {
                state.broken || state.readers.iter().all(|one| !one.alarmed)
            }),
            Property::sometimes(KNOWN, |world: &Self, state: &State| {
                state.logs.len() == usize::from(world.epochs)
                    && (0..world.readers.len()).all(|reader| world.knows_all(state, reader))
            }),
            Property::sometimes(REFUSED_WHAT_IS_BROKEN, |world: &Self, state: &State| {
                !world.breaks_the_wire() || state.broken && state.readers.iter().any(|one| one.alarmed)
            }),
        ]
    }
}

impl World {
    fn breaks_the_wire(&self) -> bool {
        matches!(self.fault, Fault::Drops | Fault::Doubles | Fault::Swaps)
    }

    /// Whether a reader that believes its view to be as young as `told` lacks a rule from before that, or knows nothing of
    /// the log's life then. Fresh means that `told` is no further back than the bound; so does missed mean later than the
    /// end's acknowledgement plus the bound.
    fn misses(&self, state: &State, reader: usize) -> bool {
        let Some(view) = &state.readers[reader].view else { return false };
        if view.epoch != view.told.epoch {
            return view.epoch < view.told.epoch;
        }
        let log = &state.logs[usize::from(view.epoch)];
        let due = Positions::between(0, view.told.head).and(log.concerns[self.readers[reader]]).without(log.past);
        !view.rules.holds(due)
    }

    fn knows_all(&self, state: &State, reader: usize) -> bool {
        let log = state.log();
        let due = log.concerns[self.readers[reader]];
        let view = state.readers[reader].view.as_ref().filter(|view| usize::from(view.epoch) + 1 == state.logs.len());
        state.appended() == self.appends && due != Positions::NONE && view.is_some_and(|view| view.rules.holds(due))
    }

    fn compact(&self, state: &mut State, at: usize) {
        let past = state.logs[usize::from(state.brokers[at].epoch)].past;
        let live = &mut state.brokers[at].live;
        *live = if self.fault == Fault::DropsLiveRules { Positions::NONE } else { live.without(past) };
    }

    fn deliver(&self, state: &mut State, reader: usize) -> Option<()> {
        let link = state.links[reader].as_mut().filter(|link| !link.waiting.is_empty())?;
        let (event, id) = link.waiting.remove(0);
        if state.readers[reader].hear(&event, id, self.checks).is_err() {
            state.links[reader] = None;
        }
        Some(())
    }

    fn break_wire(&self, state: &mut State, reader: usize, at: usize) -> Option<()> {
        let waiting = &mut state.links[reader].as_mut()?.waiting;
        match self.fault {
            Fault::Drops => drop(waiting.remove(at)),
            Fault::Doubles => waiting.insert(at, waiting[at].clone()),
            Fault::Swaps if at + 1 < waiting.len() && waiting[at] != waiting[at + 1] => waiting.swap(at, at + 1),
            _ => return None,
        }
        state.broken = true;
        Some(())
    }
}

impl State {
    pub fn log(&self) -> &Log {
        self.logs.last().expect("there is always a log")
    }

    pub fn now(&self) -> Moment {
        Moment { epoch: self.logs.len() as u8 - 1, head: self.log().head }
    }

    fn appended(&self) -> u8 {
        self.logs.iter().map(|log| log.head).sum()
    }

    fn append(&mut self, concerns: [bool; 2]) {
        let log = self.logs.last_mut().expect("there is always a log");
        log.head += 1;
        for (mine, concerned) in log.concerns.iter_mut().zip(concerns) {
            if concerned {
                *mine = mine.with(log.head);
            }
        }
    }

    fn has_read_all(&self, at: usize) -> bool {
        let now = self.now();
        (self.brokers[at].epoch, self.brokers[at].upto) == (now.epoch, now.head)
    }

    /// One rule further; or into the log's new life. What is past, the store may have dropped.
    pub fn read_a_page(&mut self, at: usize) {
        let now = self.now();
        let past = self.log().past;
        let broker = &mut self.brokers[at];
        if broker.epoch != now.epoch {
            let reading = broker.reading;
            *broker = Broker { epoch: now.epoch, reading, ..Broker::default() };
        } else if broker.upto < now.head {
            broker.upto += 1;
            broker.live |= Positions::NONE.with(broker.upto).without(past);
        }
        broker.ended = broker.reading.is_some() && broker.upto == now.head;
    }

    pub fn catch_up(&mut self, at: usize) {
        while !self.has_read_all(at) {
            self.read_a_page(at);
        }
    }
}
