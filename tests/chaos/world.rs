//! Brokers under load: what all threads of a run share, and how a run ends.
//!
//! Owns the brokers, the tokens handed out so far, the recording of answers, and the gathering of evidence.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use super::check::{Evidence, violations};
use super::history::{End, Facts, History, Micros, What};
use crate::common::{Answer, Ask, Assertion, Audit, Broker, Chance, Http, Request, Token, now};

/// A token in somebody's hands.
#[derive(Debug, Clone)]
pub struct Held {
    pub facts: Facts,
    pub token: Token,
}

/// A broker's place: it may be killed and started again, with another address each time.
pub struct Seat {
    pub broker: Mutex<Broker>,
    address: RwLock<SocketAddr>,
    admin: PathBuf,
    audit: PathBuf,
}

impl Seat {
    fn new(broker: Broker) -> Self {
        let (address, admin) = (RwLock::new(broker.address()), broker.data().join("admin.sock"));
        let (usual, other) = (broker.audit_path(), broker.data().join("log/audit.jsonl"));
        let audit = if usual.exists() { usual } else { other };
        Self { broker: Mutex::new(broker), address, admin, audit }
    }

    pub fn address(&self) -> SocketAddr {
        *self.address.read().unwrap()
    }

    /// The admin socket's path.
    pub fn admin_path(&self) -> &Path {
        &self.admin
    }

    pub fn ask(&self, request: &Request) -> io::Result<Answer> {
        Http::tcp(self.address())?.ask(request)
    }

    pub fn admin(&self, request: &Request) -> io::Result<Answer> {
        Http::unix(&self.admin)?.ask(request)
    }

    pub fn signal(&self, signal: Signal) {
        self.broker.lock().unwrap().signal(signal);
    }

    pub fn pid(&self) -> Pid {
        self.broker.lock().unwrap().pid()
    }

    fn start_again(&self) {
        let mut broker = self.broker.lock().unwrap();
        broker.start_again();
        *self.address.write().unwrap() = broker.address();
    }
}

/// What all threads of a run share.
pub struct World {
    pub name: &'static str,
    pub seed: u64,
    pub history: Arc<History>,
    pub seats: Vec<Seat>,
    pub stop: AtomicBool,
    /// The tasks that are being worked on are numbered up from here.
    pub task: AtomicU64,
    held: Mutex<Vec<Held>>,
    assertions: AtomicU64,
    /// Audit logs that were moved aside.
    pub aside: Mutex<Vec<PathBuf>>,
}

/// So many tokens are kept to be shown again.
const KEPT: usize = 400;

impl World {
    pub fn new(name: &'static str, seed: u64, history: Arc<History>, brokers: Vec<Broker>) -> Self {
        Self {
            name,
            seed,
            history,
            seats: brokers.into_iter().map(Seat::new).collect(),
            stop: AtomicBool::new(false),
            task: AtomicU64::new(0),
            held: Mutex::default(),
            assertions: AtomicU64::new(0),
            aside: Mutex::default(),
        }
    }

    pub fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// A fresh assertion of this client, and its number in the history.
    pub fn assertion(&self, client: &str) -> (u64, String) {
        (self.assertions.fetch_add(1, Ordering::SeqCst), Assertion::of(client).text())
    }

    pub fn seat(&self, chance: &mut Chance) -> &Seat {
        chance.pick(&self.seats)
    }

    pub fn hold(&self, held: Held, chance: &mut Chance) {
        let mut all = self.held.lock().unwrap();
        if all.len() == KEPT {
            all.remove(usize::try_from(chance.below(KEPT as u64)).unwrap());
        }
        all.push(held);
    }

    /// One of the tokens that were handed out, ended or not; the late ones as often as all others.
    pub fn any(&self, chance: &mut Chance) -> Option<Held> {
        let all = self.held.lock().unwrap();
        let from = if chance.below(2) == 0 { all.len().saturating_sub(20) } else { 0 };
        (!all.is_empty()).then(|| chance.pick(&all[from..]).clone())
    }

    /// The latest of the tokens that this end selects, as far as their names tell.
    pub fn ended_by(&self, end: &End) -> Vec<Held> {
        let is_meant = |facts: &Facts| match end {
            End::Lease(jti) => facts.jti == *jti,
            End::Task { workload, task } => facts.workload == *workload && facts.task == *task,
            End::Workload(workload) | End::Quarantine(workload) => facts.workload == *workload,
            End::Audience(audience) => facts.audience == *audience,
            End::Key(kid) => facts.kid == *kid,
            End::All => true,
        };
        self.held.lock().unwrap().iter().rev().filter(|held| is_meant(&held.facts)).cloned().collect()
    }

    /// All that are kept.
    pub fn all(&self) -> Vec<Held> {
        self.held.lock().unwrap().clone()
    }

    pub fn some(&self, most: usize, chance: &mut Chance) -> Vec<Held> {
        (0..most).filter_map(|_| self.any(chance)).collect()
    }

    /// Takes down what came of a request; the answer, where it did what was asked.
    pub fn told(&self, by: &str, op: &'static str, start: Micros, answer: io::Result<Answer>) -> Option<Answer> {
        let answer = match answer {
            Ok(answer) if (200..300).contains(&answer.status) => return Some(answer),
            Ok(answer) => answer,
            Err(error) => {
                self.history.add(by, start, What::Silent { op, why: error.to_string() });
                return None;
            }
        };
        let (status, error, decision) = (answer.status, answer.field("error"), answer.field("decision_id"));
        // A 401 went to somebody who proved nothing, unless it is about an assertion that was good once.
        let known = status != 401 || answer.field("error_description").contains("used before");
        self.history.add(by, start, What::Refused { op, status, error, decision, known });
        None
    }

    /// A token was handed out.
    pub fn granted(&self, by: &str, start: Micros, answer: &Answer, assertion: u64, renews: Option<String>) -> Held {
        let token = Token::of(answer);
        let facts = Facts::of(&token);
        self.history.add(by, start, What::Granted { token: facts.clone(), assertion, renews });
        Held { facts, token }
    }

    /// Kills a broker, and starts it again on what it left.
    pub fn kill(&self, at: usize) {
        let start = self.history.now();
        self.seats[at].broker.lock().unwrap().kill();
        self.history.add("injector", start, What::Killed { broker: at });
        self.seats[at].start_again();
    }

    /// Stops a broker in order, and starts it again on what it left.
    pub fn restart(&self, at: usize) {
        let status = self.seats[at].broker.lock().unwrap().stop();
        assert!(status.success(), "I4: broker {at} ended with {status}{}", self.left());
        self.seats[at].start_again();
    }

    /// Waits until every broker hands out a token by itself.
    pub fn recovers(&self) {
        let mut chance = Chance::seeded(self.seed);
        for (at, seat) in self.seats.iter().enumerate() {
            let (start, deadline) = (self.history.now(), Instant::now() + Duration::from_secs(30));
            let mut last = String::new();
            loop {
                assert!(
                    Instant::now() < deadline,
                    "I4: broker {at} hands out no token for 30 s: {last}{}",
                    self.left()
                );
                let (assertion, text) = self.assertion("demo");
                let (begun, ask) = (self.history.now(), Ask::of("demo").assertion(text));
                let answer = seat.ask(&ask.task(&format!("calm-{assertion}")).request());
                last = answer.as_ref().map_or_else(ToString::to_string, Answer::text);
                if let Some(answer) = self.told("calm", "mint", begun, answer) {
                    let held = self.granted("calm", begun, &answer, assertion, None);
                    self.hold(held, &mut chance);
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            self.history.add(&format!("broker-{at}"), start, What::Recovered);
        }
    }

    /// Where the history was written to, for a message.
    fn left(&self) -> String {
        format!("\nthe history: {}", self.history.write_down(self.name, self.seed).display())
    }

    /// What the store says of every lease at the end.
    fn leases(&self) -> (HashMap<String, String>, Micros) {
        let (mut leases, mut cursor) = (HashMap::new(), String::new());
        loop {
            let path = format!("/admin/v1/leases?limit=1000{cursor}");
            let page = self.seats[0].admin(&Request::get(&path)).unwrap().expect(200).json();
            for lease in page["leases"].as_array().unwrap() {
                let member =
                    |name: &str| lease[name].as_str().unwrap_or_else(|| panic!("no {name}: {lease}")).to_owned();
                leases.insert(member("id"), member("state"));
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return (leases, self.history.now()),
            }
        }
    }

    /// The keys that count at the end.
    fn kids(&self) -> HashSet<String> {
        let jwks = self.seats[0].ask(&Request::get("/oauth2/jwks")).unwrap().expect(200).json();
        let kids = jwks["keys"].as_array().unwrap().iter();
        kids.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    /// Ends the run: gathers what it left, stops the brokers in order, and holds the invariants against all of it.
    pub fn is_sound(&self) {
        let (leases, asked) = self.leases();
        let (kids, wall) = (self.kids(), now());
        let mut paths = self.aside.lock().unwrap().clone();
        for (at, seat) in self.seats.iter().enumerate() {
            let mut broker = seat.broker.lock().unwrap();
            let status = broker.stop();
            assert!(status.success(), "I4: broker {at} ended with {status}{}", self.left());
            paths.push(seat.audit.clone());
        }
        let mut lines: Vec<Value> = Vec::new();
        for path in &paths {
            lines.extend_from_slice(Audit::read(path).lines());
            let shown = path.to_str().unwrap();
            let verified = crate::common::jitney(Path::new("/"), &[], &["audit", "verify", "--file", shown]);
            let said = String::from_utf8_lossy(&verified.stderr);
            assert!(verified.status.success(), "I3: `jitney audit verify` says of {shown}: {said}{}", self.left());
        }
        let evidence = Evidence { lines, leases, kids, asked, wall };
        let found = violations(&self.history.events(), &evidence);
        let (shown, count) = (found.iter().take(20).map(|each| format!("\n  {each}")).collect::<String>(), found.len());
        assert!(found.is_empty(), "{count} violations, JITNEY_CHAOS_SEED={}:{shown}{}", self.seed, self.left());
    }
}
