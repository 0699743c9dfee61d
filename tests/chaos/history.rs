//! What was asked, answered and broken, in order: every event with the moments between which it happened.
//!
//! Owns the record of a run, on one monotonic clock. Judges nothing: that is `check`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use crate::common::Token;

/// Microseconds since the run began.
pub type Micros = u64;

/// A second of them.
pub const SECOND: Micros = 1_000_000;

/// Something that happened between `start` and `end`.
#[derive(Debug, Clone)]
pub struct Event {
    pub start: Micros,
    pub end: Micros,
    pub by: String,
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "some is there for who reads a history that was written down")]
pub enum What {
    /// A token was handed out, for an assertion, in place of another or not.
    Granted { token: Facts, assertion: u64, renews: Option<String> },
    /// A request was refused. `known`: its caller had proved who it is, so a line is promised.
    Refused { op: &'static str, status: u16, error: String, decision: String, known: bool },
    /// A request was not answered.
    Silent { op: &'static str, why: String },
    /// An end was acknowledged.
    Ended { end: End, decision: Option<String>, assertion: Option<u64> },
    /// An end was tried and not acknowledged: it may have been carried out.
    Tried { end: End },
    /// A workload was let out of quarantine, or it was tried.
    Released { workload: String },
    /// A token was judged. For one who judges by a view, the event begins when the view was asked for.
    Judged { jti: String, by: Judge, good: bool, assertion: Option<u64> },
    /// A verifier that follows the feed was shown a token, and says something of it that is to be held against the ends.
    Said { verifier: usize, jti: String, verdict: Verdict },
    /// A verifier is at the head of the log after the last fault, and is asked once more for everything.
    CaughtUp { verifier: usize },
    /// A fault, from its beginning to when it was lifted.
    Fault { kind: &'static str },
    /// A broker was killed.
    Killed { broker: usize },
    /// The audit log could not be written.
    AuditAway,
    /// The store was lost, and with it all that was recorded.
    StoreLost,
    /// The store's disk broke a write off in the middle. Half of that write may count from any later start on, and the
    /// store's epoch end for it.
    HalfWritten,
    /// After the faults before it had been lifted, a token was handed out without anybody's help.
    Recovered,
}

/// Who judged a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// The broker, for a resource server.
    Introspection,
    /// The broker, for the token's bearer who completes its task.
    Bearer,
    /// The tests' own verifier, by a snapshot that was fetched for this.
    Offline,
    /// `jitney::verifier`, by the view it has.
    Live,
}

/// What a verifier says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is good, this long after its end was acknowledged at the latest: the bound that the verifier states.
    Good { within: Micros },
    /// A rule has ended it.
    Ended,
    /// The view is too old to say anything.
    Stale,
    /// It is not good for another reason, though nothing was broken and the view was young.
    BadInPeace(&'static str),
}

/// What a token says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub jti: String,
    pub workload: String,
    pub task: String,
    pub audience: String,
    pub kid: String,
    pub exp: u64,
}

impl Facts {
    pub fn of(token: &Token) -> Self {
        let claim = |name| token.claim(name);
        let (workload, task, audience) = (claim("sub"), claim("txn"), claim("aud"));
        Self { jti: token.lease(), workload, task, audience, kid: token.kid(), exp: token.number("exp") }
    }
}

/// What was to be ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum End {
    Lease(String),
    Task { workload: String, task: String },
    Workload(String),
    Quarantine(String),
    Audience(String),
    Key(String),
    All,
}

/// A run's events, from all its threads.
pub struct History {
    began: Instant,
    events: Mutex<Vec<Event>>,
}

impl History {
    pub fn new() -> Self {
        Self { began: Instant::now(), events: Mutex::default() }
    }

    /// Now.
    pub fn now(&self) -> Micros {
        u64::try_from(self.began.elapsed().as_micros()).unwrap()
    }

    /// Something that began at `start` and has just ended.
    pub fn add(&self, by: &str, start: Micros, what: What) {
        let end = self.now();
        self.events.lock().unwrap().push(Event { start, end, by: by.to_owned(), what });
    }

    /// A fault that began at `start` and has just been lifted.
    pub fn fault(&self, kind: &'static str, start: Micros) {
        self.add("injector", start, What::Fault { kind });
    }

    /// All events, in the order in which they began.
    pub fn events(&self) -> Vec<Event> {
        let mut events = self.events.lock().unwrap().clone();
        events.sort_by_key(|event| (event.start, event.end));
        events
    }

    /// How many faults of each kind there were.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        let mut faults = BTreeMap::new();
        for event in self.events.lock().unwrap().iter() {
            if let What::Fault { kind } = event.what {
                *faults.entry(kind).or_default() += 1;
            }
        }
        faults
    }

    /// Writes it to a file that outlives the test, one event a line; where that is.
    pub fn write_down(&self, name: &str, seed: u64) -> PathBuf {
        let path = std::env::temp_dir().join(format!("jitney-chaos-{name}-{seed}-{}.history", std::process::id()));
        let lines = self.events().into_iter().map(|Event { start, end, by, what }| {
            format!("{:>12.6} {:>12.6} {by} {what:?}\n", start as f64 / 1e6, end as f64 / 1e6)
        });
        std::fs::write(&path, lines.collect::<String>()).unwrap();
        path
    }
}
