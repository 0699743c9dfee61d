//! A reader of the feed that stays connected: one event at a time, by the contract's text.

use std::collections::{HashSet, VecDeque};
use std::net::TcpStream;

use serde_json::Value;

use super::{Broker, Feed, Http, Jwks, Request, Rule};

/// An event as it came.
#[derive(Debug, Clone)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: String,
}

impl Event {
    /// Its data as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }

    fn read(text: &str) -> Self {
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value.unwrap_or_else(|| panic!("no {name} in {text:?}")).to_owned()
        };
        Self { name: field("event"), id: field("id"), data: field("data") }
    }
}

/// A connection to `/v1/revocations`, and all that it has been told. Every event is held against the contract.
pub struct Stream {
    http: Http<TcpStream>,
    pending: Vec<u8>,
    events: VecDeque<Event>,
    /// The last cursor.
    pub last: String,
    /// The last snapshot's claims; null before the first.
    pub claims: Value,
    /// All rules, those of before a resumption too.
    pub rules: Vec<Rule>,
    /// The keys that count.
    pub kids: Vec<String>,
    /// The place of the last rule, as the next `after` must name it.
    after: Option<u64>,
    /// Rules on this connection.
    count: u64,
    seen: HashSet<u64>,
}

impl Stream {
    /// Connects, with this query (`""` or `"?audience=…"`), and reads the snapshot.
    #[track_caller]
    pub fn open(broker: &Broker, query: &str) -> Self {
        let mut stream = Self::connect(broker, query, None).unwrap();
        stream.snapshot(broker);
        stream
    }

    /// Connects, with `Last-Event-ID` where there is one. The status of a refusal where it is refused.
    pub fn connect(broker: &Broker, query: &str, last: Option<&str>) -> Result<Self, u16> {
        let mut http = broker.connect();
        let request = Request::get(&format!("/v1/revocations{query}")).header("Accept", "text/event-stream");
        let request = last.into_iter().fold(request, |request, id| request.header("Last-Event-ID", id));
        http.send(&request.bytes()).unwrap();
        let (status, headers) = http.head().unwrap();
        if status != 200 {
            return Err(status);
        }
        let header = |name: &str| headers.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str());
        assert_eq!(header("content-type"), Some("text/event-stream"));
        assert_eq!((header("cache-control"), header("x-accel-buffering")), (Some("no-store"), Some("no")));
        Ok(Self {
            http,
            pending: Vec::new(),
            events: VecDeque::new(),
            last: String::new(),
            claims: Value::Null,
            rules: Vec::new(),
            kids: Vec::new(),
            after: None,
            count: 0,
            seen: HashSet::new(),
        })
    }

    /// Leaves, and comes back with the last cursor, at this broker or another: what was known is kept.
    #[track_caller]
    pub fn resume(self, broker: &Broker, query: &str) -> Self {
        let mut fresh = Self::connect(broker, query, Some(&self.last)).unwrap();
        let Self { last, claims, rules, kids, after, seen, .. } = self;
        (fresh.last, fresh.claims, fresh.rules, fresh.kids) = (last, claims, rules, kids);
        (fresh.after, fresh.seen) = (after, seen);
        fresh
    }

    /// Lets the system keep next to nothing of what comes and is not read yet.
    pub fn shrink(&mut self) {
        self.http.shrink();
    }

    /// The next event; none at the end of the stream.
    #[track_caller]
    pub fn next(&mut self) -> Option<Event> {
        while self.events.is_empty() {
            if !self.http.chunk(&mut self.pending).ok()? {
                return None;
            }
            while let Some(end) = self.pending.windows(2).position(|pair| pair == b"\n\n") {
                let text: Vec<u8> = self.pending.drain(..end + 2).collect();
                self.events.push_back(Event::read(std::str::from_utf8(&text).unwrap()));
            }
        }
        let event = self.events.pop_front()?;
        self.last.clone_from(&event.id);
        self.take(&event);
        Some(event)
    }

    /// Reads on until this holds, which is asked after each event.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        while !holds(self) {
            assert!(self.next().is_some(), "the stream ended before {what}: {} rules", self.rules.len());
        }
    }

    /// Reads on to the next event of this name.
    #[track_caller]
    pub fn next_of(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("the stream ended before a {name}"));
            if event.name == name {
                return event;
            }
        }
    }

    /// Reads a snapshot and its parts, which come next. Signature, hashes and counts are checked.
    #[track_caller]
    pub fn snapshot(&mut self, broker: &Broker) {
        let first = self.next().expect("a snapshot");
        assert_eq!(first.name, "snapshot", "{first:?}");
        let parts = self.claims["parts"].as_array().unwrap().len();
        let mut events = vec![first];
        events.extend((0..parts).map(|_| self.next().expect("a part")));
        let text: String = events
            .iter()
            .map(|Event { name, id, data }| format!("event: {name}\nid: {id}\ndata: {data}\n\n"))
            .collect();
        Feed::check(&Jwks::fetch(broker), &text).unwrap();
    }

    /// Holds an event against what came before it.
    #[track_caller]
    fn take(&mut self, event: &Event) {
        let json = event.json();
        let rules = |json: &Value| json["rules"].as_array().unwrap().iter().map(Rule::read).collect::<Vec<_>>();
        match event.name.as_str() {
            "snapshot" => {
                self.claims = super::Token::read(&event.data).claims;
                self.rules.clear();
                self.seen.clear();
                self.after = self.claims["position"].as_u64();
                self.kids = kids(&self.claims);
            }
            "part" => self.add(rules(&json)),
            "revoke" => {
                assert_eq!(json["after"].as_u64(), self.after, "a gap before {json}");
                let rules = rules(&json);
                assert!(!rules.is_empty() && rules.is_sorted_by(|a, b| a.position < b.position), "{json}");
                self.after = rules.last().map(|rule| rule.position);
                self.add(rules);
            }
            "keys" => self.kids = kids(&json),
            "heartbeat" => assert_eq!(json["count"].as_u64(), Some(self.count), "rules were lost before {json}"),
            other => panic!("an event {other}"),
        }
    }

    #[track_caller]
    fn add(&mut self, rules: Vec<Rule>) {
        self.count += rules.len() as u64;
        for rule in rules {
            assert!(self.seen.insert(rule.position), "{rule:?} came twice");
            self.rules.push(rule);
        }
    }

    /// The positions of all rules, in the order in which they came.
    pub fn positions(&self) -> Vec<u64> {
        self.rules.iter().map(|rule| rule.position).collect()
    }
}

fn kids(json: &Value) -> Vec<String> {
    let mut kids: Vec<_> =
        json["kids"].as_array().unwrap().iter().map(|kid| kid.as_str().unwrap().to_owned()).collect();
    kids.sort();
    kids
}
