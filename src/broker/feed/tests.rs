//! Readers of the feed against a broker whose log a test writes: whoever comes, goes, is slow or is sent away and comes
//! back, each knows what the log says to its filter, and was told nothing twice.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::follow::concerns;
use super::super::made::{self, AT};
use super::*;
use crate::jose::EncodedHeader;
use crate::model::{Rule, RuleDigest, RuleKind, UnixTime};
use crate::revocation::event::{Event, Heartbeat, Kind, Reader, Revoke};
use crate::revocation::snapshot::{Incoming, Part, SnapshotClaims};
use crate::store::LogEntry;

const NAMES: [&str; 3] = ["https://a0.example.com", "https://a1.example.com", "https://a2.example.com"];
/// Events that may wait for a reader here: some are too slow.
const ROOM_HERE: usize = 6;

fn audience(at: usize) -> AudienceUri {
    AudienceUri::parse(NAMES[at]).unwrap()
}

/// A broker that knows the audiences, and all that a test has put into its log.
struct World {
    broker: Arc<Broker>,
    log: Vec<LogEntry>,
    position: u64,
    now: UnixTime,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new(room: usize) -> Self {
        let file = |name: &str| format!("id = \"{name}\"\nowner = \"o\"\npurpose = \"p\"\n[scopes]\n\"s\" = \"s\"\n");
        let files = NAMES.iter().enumerate().map(|(n, name)| (format!("audiences/a{n}.toml"), file(name)));
        let dir = tempfile::tempdir().unwrap();
        let mut broker = made::broker(&dir, files.collect()).await;
        broker.hub = Hub::new(room);
        Self { broker: Arc::new(broker), log: Vec::new(), position: 0, now: AT, _dir: dir }
    }

    /// The log grows by a rule that lives for so long, for these audiences; none: any.
    fn append(&mut self, kind: RuleKind, lives: u64, of: &[usize]) {
        self.position += 1;
        let until = (kind != RuleKind::Key).then(|| self.now.plus(Duration::from_secs(lives)));
        let digest = RuleDigest::from_bytes(u128::from(self.position).to_be_bytes());
        let rule = Rule { kind, digest, position: Position::new(self.position), until };
        let entry = LogEntry { rule, audiences: of.iter().map(|at| audience(*at)).collect() };
        self.log.push(entry.clone());
        self.broker.follower.heard(vec![entry], Position::new(self.position));
    }

    fn pass(&mut self, secs: u64) {
        self.now = self.now.plus(Duration::from_secs(secs));
        self.broker.parts.clock.set(self.now);
        self.broker.follower.expire();
    }

    async fn subscribe(&self, filter: Option<usize>, last: Option<&str>) -> Subscription {
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let ask = FeedAsk { from, audience: filter.map(|at| NAMES[at]), last, once: false };
        self.broker.subscribe(ask).await.unwrap()
    }
}

/// A reader that holds each event against what came before it.
struct Follows {
    filter: Option<usize>,
    stream: Option<Subscription>,
    reader: Reader,
    last: String,
    incoming: Option<Incoming>,
    known: BTreeSet<u64>,
    after: Option<u64>,
    count: u64,
}

impl Follows {
    async fn new(world: &World, filter: Option<usize>) -> Self {
        let stream = Some(world.subscribe(filter, None).await);
        let (reader, last, known) = (Reader::default(), String::new(), BTreeSet::new());
        Self { filter, stream, reader, last, incoming: None, known, after: None, count: 0 }
    }

    /// Comes back with the last cursor; one that has none yet starts anew.
    async fn again(&mut self, world: &World) {
        self.stream = None;
        (self.reader, self.count, self.incoming) = (Reader::default(), 0, None);
        let last = Some(self.last.as_str()).filter(|last| !last.is_empty());
        self.stream = Some(world.subscribe(self.filter, last).await);
    }

    /// Takes at most so many pieces of what is there; whether the stream has ended.
    fn take(&mut self, pieces: usize) -> bool {
        let Some(stream) = &mut self.stream else { return true };
        let (mut taken, mut idle) = (Vec::new(), 0);
        let mut has_ended = false;
        while taken.len() < pieces && idle < 3 {
            match stream.poll_next(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(piece)) => taken.push(piece),
                Poll::Ready(None) => {
                    has_ended = true;
                    break;
                }
                // A snapshot that is being made gives others their turn.
                Poll::Pending => idle += 1,
            }
        }
        for piece in taken {
            for event in self.reader.push(&piece).unwrap() {
                self.hear(event);
            }
        }
        has_ended
    }

    fn hear(&mut self, event: Event) {
        self.last.clone_from(&event.id);
        let cursor = Cursor::parse(&event.id).unwrap();
        match event.kind.unwrap() {
            Kind::Snapshot => {
                let claims: SnapshotClaims = serde_json::from_slice(&payload(&event.data)).unwrap();
                assert_eq!(claims.audience, self.filter.map(audience));
                self.known.clear();
                self.after = Some(claims.position.get());
                self.incoming = Some(Incoming::new(claims).unwrap());
            }
            Kind::Part => {
                let incoming = self.incoming.as_mut().expect("a snapshot comes first");
                incoming.part(&event.data).unwrap();
                let Part { rules } = serde_json::from_str(&event.data).unwrap();
                self.add(&rules);
            }
            Kind::Revoke => {
                let Revoke { after, rules } = serde_json::from_str(&event.data).unwrap();
                assert_eq!(Some(after.get()), self.after, "a gap");
                self.add(&rules);
                self.after = rules.last().map(|rule| rule.position.get());
            }
            Kind::Heartbeat => {
                let Heartbeat { position, count, .. } = serde_json::from_str(&event.data).unwrap();
                assert_eq!((count, position), (self.count, cursor.position));
            }
            Kind::Keys => {}
        }
        let is_whole = self.is_whole();
        assert_eq!(cursor.is_for(self.filter.map(audience).as_ref()), is_whole);
        if is_whole {
            assert_eq!(Some(cursor.after.get()), self.after);
        }
    }

    /// Whether no part of a snapshot is missing.
    fn is_whole(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_complete)
    }

    fn has_reached(&self, position: u64) -> bool {
        let cursor = Cursor::parse(&self.last);
        self.is_whole() && cursor.is_some_and(|cursor| cursor.position.get() >= position)
    }

    fn add(&mut self, rules: &[Rule]) {
        self.count += rules.len() as u64;
        for rule in rules {
            assert!(self.known.insert(rule.position.get()), "{rule:?} came twice");
        }
    }

    /// Holds all that it knows against the log.
    fn check(&self, world: &World) {
        let filter = self.filter.map(audience);
        for LogEntry { rule, audiences } in &world.log {
            let is_known = self.known.contains(&rule.position.get());
            let is_mine = concerns(rule.kind, audiences, filter.as_ref());
            let may_be_left_out = rule.is_past(world.now, Broker::SKEW);
            assert!(is_known == is_mine || (is_mine && may_be_left_out), "{rule:?} {audiences:?} for {filter:?}");
        }
    }
}

/// The claims of a compact JWS.
fn payload(jws: &str) -> Vec<u8> {
    use base64::Engine as _;
    let _ = EncodedHeader::es256;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(jws.split('.').nth(1).unwrap()).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    /// The log grows; rules of these kinds, lives and audiences.
    Append(Vec<(RuleKind, u64, Vec<usize>)>),
    /// All who have joined are told.
    Tell,
    Beat,
    Join(Option<usize>),
    /// A reader takes some of what waits for it.
    Take(usize, usize),
    /// A reader's connection breaks, and it comes back.
    Break(usize),
    Pass(u64),
    /// The broker reads its log anew.
    Anew,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        4 => Just(RuleKind::Task), 4 => Just(RuleKind::Lease), 1 => Just(RuleKind::Workload), 1 => Just(RuleKind::Key),
        1 => Just(RuleKind::All),
    ];
    let rule = (kind, 1..200u64, prop::collection::vec(0..NAMES.len(), 0..3));
    let step = prop_oneof![
        6 => prop::collection::vec(rule, 1..5).prop_map(Step::Append),
        5 => Just(Step::Tell),
        2 => Just(Step::Beat),
        3 => prop::option::of(0..NAMES.len()).prop_map(Step::Join),
        6 => (0..8usize, 1..9usize).prop_map(|(who, pieces)| Step::Take(who, pieces)),
        3 => (0..8usize).prop_map(Step::Break),
        1 => (1..60u64).prop_map(Step::Pass),
        1 => Just(Step::Anew),
    ];
    prop::collection::vec(step, 1..80)
}

async fn play(world: &mut World, steps: Vec<Step>) {
    let mut readers: Vec<Follows> = Vec::new();
    for step in steps {
        let count = readers.len();
        match step {
            Step::Append(rules) => rules.iter().for_each(|(kind, lives, of)| world.append(*kind, *lives, of)),
            Step::Tell => drop(world.broker.tell()),
            Step::Beat => world.broker.beat(world.now.secs() * 1000),
            Step::Join(filter) if count < 8 => readers.push(Follows::new(world, filter).await),
            Step::Take(who, pieces) if count > 0 => {
                let reader = &mut readers[who % count];
                if reader.take(pieces) {
                    reader.again(world).await;
                }
            }
            Step::Break(who) if count > 0 => readers[who % count].again(world).await,
            Step::Pass(secs) => world.pass(secs),
            Step::Anew => world.broker.follower.replaced(),
            _ => {}
        }
    }
    world.broker.tell();
    world.broker.beat(world.now.secs() * 1000);
    for reader in &mut readers {
        while reader.take(usize::MAX) {
            reader.again(world).await;
        }
        reader.check(world);
    }
}

#[test]
fn each_reader_knows_what_the_log_says_to_it_whatever_happens() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = std::cell::RefCell::new(runtime.block_on(World::new(ROOM_HERE)));
    let cases = if std::env::var("PROPTEST_CASES").is_ok() { Config::default().cases } else { 300 };
    let config = Config { cases, source_file: Some(file!()), ..Config::default() };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        let mut world = world.borrow_mut();
        runtime.block_on(async {
            world.broker.tend_keys().await.unwrap();
            play(&mut world, steps).await;
        });
        Ok(())
    });
    outcome.unwrap();
    assert!(world.borrow().broker.hub.take_cut() > 0, "nobody was ever too slow");
}

/// Hundreds join in all the ways there are while the log grows, on several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_is_missed_or_doubled_by_hundreds_who_join_while_the_log_grows() {
    const READERS: usize = 300;
    const RULES: u64 = 3000;
    let mut world = World::new(ROOM).await;
    let broker = Arc::clone(&world.broker);
    let (done, is_done) = tokio::sync::watch::channel(0u64);
    let readers: Vec<_> = (0..READERS)
        .map(|n| {
            let (broker, mut is_done) = (Arc::clone(&broker), is_done.clone());
            tokio::spawn(async move {
                let filter = (n % 4).checked_sub(1);
                // Each joins at a moment of its own.
                is_done.wait_for(|told| *told >= (n as u64 * 7919) % RULES).await.unwrap();
                let from = IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(n).unwrap()));
                let first = FeedAsk { from, audience: filter.map(|at| NAMES[at]), last: None, once: false };
                let stream = Some(broker.subscribe(first).await.unwrap());
                let (reader, last, known) = (Reader::default(), String::new(), BTreeSet::new());
                let mut follows =
                    Follows { filter, stream, reader, last, incoming: None, known, after: None, count: 0 };
                let mut events = 0;
                while !follows.has_reached(RULES) {
                    let stream = follows.stream.as_mut().unwrap();
                    let piece = std::future::poll_fn(|cx| stream.poll_next(cx)).await.unwrap();
                    for event in follows.reader.push(&piece).unwrap() {
                        follows.hear(event);
                        events += 1;
                    }
                    let is_whole = follows.is_whole();
                    if events > 20 && n % 2 == 0 && is_whole {
                        // Comes back where it was.
                        events = 0;
                        let again = FeedAsk { last: Some(&follows.last), ..first };
                        follows.stream = Some(broker.subscribe(again).await.unwrap());
                        (follows.reader, follows.count, follows.incoming) = (Reader::default(), 0, None);
                    }
                }
                follows
            })
        })
        .collect();
    let kinds = [RuleKind::Task, RuleKind::Lease, RuleKind::Task, RuleKind::Audience];
    for n in 0..RULES {
        let of: Vec<usize> = (0..NAMES.len()).filter(|at| n >> at & 1 == 1).collect();
        world.append(kinds[usize::try_from(n % 4).unwrap()], 10_000, &of);
        // Whoever joins may be the first to tell.
        if n % 3 != 0 {
            broker.tell();
        }
        done.send_replace(n + 1);
        tokio::task::yield_now().await;
    }
    broker.tell();
    broker.beat(1);
    for reader in readers {
        reader.await.unwrap().check(&world);
    }
}

/// Who asked for the snapshot alone would take a part for the whole; who follows on comes back and goes on.
#[tokio::test]
async fn a_snapshot_asked_for_alone_is_told_whole_while_the_broker_ends() {
    const RULES: u64 = 5000;
    let mut world = World::new(ROOM).await;
    (0..RULES).for_each(|_| world.append(RuleKind::Task, 600, &[]));
    let mut on = Follows::new(&world, None).await;
    let mut alone = Follows::new(&world, None).await;
    let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let ask = FeedAsk { from, audience: None, last: None, once: true };
    alone.stream = Some(world.broker.subscribe(ask).await.unwrap());
    world.broker.end_feed();
    assert!(alone.take(usize::MAX) && alone.is_whole() && alone.has_reached(RULES));
    assert!(on.take(usize::MAX) && on.known.is_empty());
    assert!(world.broker.subscribe(ask).await.is_err(), "nobody else begins");
}
