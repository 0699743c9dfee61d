//! A TCP proxy between a broker and its Redis, or a verifier and its broker, that breaks what it is told to: replies,
//! connections, time itself.
//!
//! Owns the faults of the wire. A fault is armed and breaks the next request or reply that passes; it is counted and
//! written down when it has done so, never before.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::history::History;
use super::resp;

/// How long a read waits before the pump looks whether it is to end.
const TURN: Duration = Duration::from_millis(10);

/// What breaks one request or its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The connection is cut before the request arrives.
    CutBefore,
    /// The request arrives, and the connection is cut before the reply: the write happened, its answer is lost.
    LoseReply,
    /// Half of the reply, then the end.
    CutMidway,
    /// The reply, then the end.
    CutAfter,
    /// Half of the reply, then silence, then the rest.
    HalfThenSilence(Duration),
    /// Byte by byte.
    Drip,
    /// Late.
    Delay(Duration),
    /// Carried out, and answered by this all the same.
    Lie(&'static [u8]),
    /// Not carried out, and answered by this.
    Refuse(&'static [u8]),
}

struct Armed {
    how: Break,
    kind: &'static str,
}

/// What the reply to a request is to become.
enum Expected {
    Reply(Option<Armed>),
    Fake(&'static [u8]),
}

/// What all threads of a proxy share.
struct Shared {
    upstream: Mutex<SocketAddr>,
    /// Bytes pass as they come: nothing is known of what they say.
    plain: bool,
    armed: Mutex<VecDeque<Armed>>,
    links: Mutex<Vec<[TcpStream; 2]>>,
    silent: AtomicBool,
    refusing: AtomicBool,
    slow_ms: AtomicU64,
    closed: AtomicBool,
    fired: AtomicU64,
    history: Arc<History>,
}

/// The proxy. It ends with the value.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// In front of this Redis.
    pub fn start(upstream: SocketAddr, history: Arc<History>) -> Self {
        Self::begin(upstream, false, history)
    }

    /// In front of this broker.
    pub fn plain(upstream: SocketAddr, history: Arc<History>) -> Self {
        Self::begin(upstream, true, history)
    }

    fn begin(upstream: SocketAddr, plain: bool, history: Arc<History>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            plain,
            armed: Mutex::default(),
            links: Mutex::default(),
            silent: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            slow_ms: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            fired: AtomicU64::new(0),
            history,
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.closed.load(Ordering::SeqCst) {
                    break;
                }
                if !accepting.refusing.load(Ordering::SeqCst) {
                    let _ = accepting.link(client);
                }
            }
        });
        Self { address, shared }
    }

    /// Where it is reached.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go there from now on.
    pub fn lead_to(&self, upstream: SocketAddr) {
        *self.shared.upstream.lock().unwrap() = upstream;
    }

    /// For `--store`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Breaks the next request or reply that passes.
    pub fn arm(&self, kind: &'static str, how: Break) {
        self.shared.armed.lock().unwrap().push_back(Armed { how, kind });
    }

    /// How many armed faults have not found anything to break yet.
    pub fn waiting(&self) -> usize {
        self.shared.armed.lock().unwrap().len()
    }

    /// Takes back what is armed still; how many armed faults have broken something so far.
    pub fn disarm(&self) -> u64 {
        self.shared.armed.lock().unwrap().clear();
        self.shared.fired.load(Ordering::SeqCst)
    }

    /// Nothing passes in either direction, and nothing is closed.
    pub fn silence(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::SeqCst);
    }

    /// Every reply is late by this.
    pub fn slow(&self, by: Duration) {
        self.shared.slow_ms.store(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Cuts all connections, and takes no new one for as long as it is told so.
    pub fn refuse(&self, refusing: bool) {
        self.shared.refusing.store(refusing, Ordering::SeqCst);
        if refusing {
            self.cut();
        }
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        for link in self.shared.links.lock().unwrap().drain(..) {
            sever(&link);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.silence(false);
        self.cut();
        let _ = TcpStream::connect(self.address);
    }
}

/// Closes both sides, whatever still waits in between.
fn sever(link: &[TcpStream; 2]) {
    for side in link {
        let _ = side.shutdown(Shutdown::Both);
    }
}

/// One connection through the proxy.
struct Link {
    shared: Arc<Shared>,
    ends: [TcpStream; 2],
    expected: Mutex<VecDeque<Expected>>,
}

impl Shared {
    fn link(self: &Arc<Self>, client: TcpStream) -> std::io::Result<()> {
        let upstream = *self.upstream.lock().unwrap();
        let server = TcpStream::connect(upstream)?;
        for side in [&client, &server] {
            side.set_nodelay(true)?;
            side.set_read_timeout(Some(TURN))?;
        }
        self.links.lock().unwrap().push([client.try_clone()?, server.try_clone()?]);
        let ends = [client.try_clone()?, server.try_clone()?];
        let link = Arc::new(Link { shared: Arc::clone(self), ends, expected: Mutex::default() });
        let back = Arc::clone(&link);
        thread::spawn(move || link.requests(client));
        thread::spawn(move || back.replies(server));
        Ok(())
    }

    /// Waits while nothing may pass.
    fn hold(&self) {
        while self.silent.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn fired(&self, armed: &Armed, since: u64) {
        self.fired.fetch_add(1, Ordering::SeqCst);
        self.history.fault(armed.kind, since);
    }
}

impl Link {
    /// Reads whole messages and hands each on, until either side is closed; between reads it looks at `idle`.
    fn pump(&self, mut from: &TcpStream, mut each: impl FnMut(Option<&[u8]>) -> std::io::Result<()>) {
        let (mut held, mut buffer) = (Vec::new(), [0; 16384]);
        let outcome: std::io::Result<()> = (|| loop {
            self.shared.hold();
            match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => held.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
            self.shared.hold();
            if self.shared.plain && !held.is_empty() {
                each(Some(&held))?;
                held.clear();
            }
            while let Some(length) = resp::length(&held).filter(|_| !held.is_empty()) {
                each(Some(&held[..length]))?;
                held.drain(..length);
            }
            each(None)?;
        })();
        drop(outcome);
        sever(&self.ends);
    }

    fn requests(&self, from: TcpStream) {
        self.pump(&from, |request| {
            let Some(request) = request else { return Ok(()) };
            if self.shared.plain || resp::is_subscribe(request) {
                return (&self.ends[1]).write_all(request);
            }
            let since = self.shared.history.now();
            let armed = self.shared.armed.lock().unwrap().pop_front();
            match armed {
                Some(armed) if armed.how == Break::CutBefore => {
                    self.shared.fired(&armed, since);
                    Err(ErrorKind::ConnectionAborted.into())
                }
                Some(Armed { how: Break::Refuse(with), kind }) => {
                    self.shared.fired(&Armed { how: Break::Refuse(with), kind }, since);
                    self.expected.lock().unwrap().push_back(Expected::Fake(with));
                    Ok(())
                }
                armed => {
                    self.expected.lock().unwrap().push_back(Expected::Reply(armed));
                    (&self.ends[1]).write_all(request)
                }
            }
        });
    }

    fn replies(&self, from: TcpStream) {
        self.pump(&from, |reply| {
            if let Some(reply) = reply {
                if self.shared.plain || resp::is_push(reply) {
                    return self.say(reply);
                }
                self.fakes()?;
                let expected = self.expected.lock().unwrap().pop_front();
                let slow = self.shared.slow_ms.load(Ordering::SeqCst);
                if slow > 0 {
                    thread::sleep(Duration::from_millis(slow));
                }
                match expected {
                    Some(Expected::Reply(Some(armed))) => self.broken(reply, &armed)?,
                    _ => self.say(reply)?,
                }
            }
            self.fakes()
        });
    }

    /// Answers what was never asked of Redis, where its turn has come.
    fn fakes(&self) -> std::io::Result<()> {
        loop {
            let mut expected = self.expected.lock().unwrap();
            let Some(Expected::Fake(reply)) = expected.front() else { return Ok(()) };
            let reply = *reply;
            expected.pop_front();
            drop(expected);
            self.say(reply)?;
        }
    }

    fn say(&self, reply: &[u8]) -> std::io::Result<()> {
        self.shared.hold();
        (&self.ends[0]).write_all(reply)
    }

    fn broken(&self, reply: &[u8], armed: &Armed) -> std::io::Result<()> {
        let since = self.shared.history.now();
        let cut = || Err(ErrorKind::ConnectionAborted.into());
        let (half, rest) = reply.split_at(reply.len() / 2);
        let outcome = match armed.how {
            Break::LoseReply => cut(),
            Break::CutMidway => self.say(half).and_then(|()| cut()),
            Break::CutAfter => self.say(reply).and_then(|()| cut()),
            Break::HalfThenSilence(pause) => self.say(half).and_then(|()| {
                thread::sleep(pause);
                self.say(rest)
            }),
            Break::Drip => reply.iter().try_for_each(|byte| {
                thread::sleep(Duration::from_micros(200));
                self.say(&[*byte])
            }),
            Break::Delay(pause) => {
                thread::sleep(pause);
                self.say(reply)
            }
            Break::Lie(with) | Break::Refuse(with) => self.say(with),
            Break::CutBefore => Ok(()),
        };
        self.shared.fired(armed, since);
        outcome
    }
}

/// Waits until a proxy has broken all it was armed for, for at most this long.
pub fn drained(proxies: &[&Proxy], patience: Duration) {
    let until = Instant::now() + patience;
    while proxies.iter().any(|proxy| proxy.waiting() > 0) && Instant::now() < until {
        thread::sleep(Duration::from_millis(1));
    }
}
