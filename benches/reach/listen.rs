//! Subscribers of the feed as cheap as can be, all on one thread: each notes when it heard of which end, and holds the feed
//! against what the contract says of gaps. They check no signature; what a real verifier makes of it, one beside them shows.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::Value;

use super::load::Void;

/// How long may pass until something is there that must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon the thread notices that it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// Which end, by its number, and when it was heard of.
pub type Heard = Vec<(usize, Instant)>;

/// Subscribers that stand, each with the whole snapshot.
pub struct Listeners {
    stop: Arc<AtomicBool>,
    heard: Arc<AtomicUsize>,
    thread: JoinHandle<Result<Vec<Heard>, Void>>,
}

impl Listeners {
    /// Connects so many, and waits until each has its snapshot. Ends are known by the digests of their rules.
    pub fn start(address: SocketAddr, count: usize, known: HashMap<String, usize>) -> Result<Self, Void> {
        let [ready, heard] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (stop, ready, heard) = (Arc::clone(&stop), Arc::clone(&ready), Arc::clone(&heard));
            std::thread::spawn(move || listen(address, count, &known, &stop, &ready, &heard))
        };
        let listeners = Self { stop, heard, thread };
        match listeners.wait("snapshots", || ready.load(Ordering::Acquire) == count) {
            Ok(()) => Ok(listeners),
            Err(late) => Err(listeners.finish().err().unwrap_or(late)),
        }
    }

    /// Waits until so many ends were heard of, all subscribers together.
    pub fn until(&self, heard: usize) -> Result<(), Void> {
        self.wait("ends", || self.heard.load(Ordering::Acquire) >= heard)
    }

    fn wait(&self, what: &str, is_there: impl Fn() -> bool) -> Result<(), Void> {
        let begun = Instant::now();
        while !is_there() {
            if self.thread.is_finished() || begun.elapsed() > PATIENCE {
                return Err(Void::Other(format!("the subscribers wait for {what} in vain")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// What each of them heard.
    pub fn finish(self) -> Result<Vec<Heard>, Void> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| Void::Other("the subscribers panicked".into()))?
    }
}

fn listen(
    address: SocketAddr,
    count: usize,
    known: &HashMap<String, usize>,
    stop: &AtomicBool,
    ready: &AtomicUsize,
    heard: &AtomicUsize,
) -> Result<Vec<Heard>, Void> {
    let mut poll = Poll::new()?;
    let mut all = (0..count).map(|n| Subscriber::connect(&poll, address, n)).collect::<Result<Vec<_>, _>>()?;
    let mut events = Events::with_capacity(256);
    while !stop.load(Ordering::Acquire) {
        poll.poll(&mut events, Some(LOOK))?;
        for event in &events {
            let Some(subscriber) = all.get_mut(event.token().0) else { continue };
            let (was_ready, before) = (subscriber.is_ready(), subscriber.heard.len());
            subscriber.read(known)?;
            if !was_ready && subscriber.is_ready() {
                ready.fetch_add(1, Ordering::AcqRel);
            }
            heard.fetch_add(subscriber.heard.len() - before, Ordering::AcqRel);
        }
    }
    Ok(all.into_iter().map(|subscriber| subscriber.heard).collect())
}

struct Subscriber {
    stream: TcpStream,
    /// Bytes as they came, behind those that were understood.
    raw: Vec<u8>,
    has_head: bool,
    /// The body's bytes, behind the last whole event.
    text: Vec<u8>,
    /// What the snapshot promised.
    rules: Option<u64>,
    /// The place of the last rule.
    after: u64,
    /// Rules that this connection was sent.
    count: u64,
    heard: Heard,
}

impl Subscriber {
    fn connect(poll: &Poll, address: SocketAddr, n: usize) -> Result<Self, Void> {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(b"GET /v1/revocations HTTP/1.1\r\nhost: broker\r\naccept: text/event-stream\r\n\r\n")?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(n), Interest::READABLE)?;
        let (raw, text, heard) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { stream, raw, has_head: false, text, rules: None, after: 0, count: 0, heard })
    }

    fn is_ready(&self) -> bool {
        self.rules.is_some_and(|rules| self.count >= rules)
    }

    fn read(&mut self, known: &HashMap<String, usize>) -> Result<(), Void> {
        let mut part = [0; 16 << 10];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => return Err(Void::Other("the broker ended a feed".into())),
                Ok(count) => self.raw.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let now = Instant::now();
        self.unwrap()?;
        let mut begun = 0;
        while let Some(length) = self.text[begun..].windows(2).position(|pair| pair == b"\n\n") {
            let event =
                std::str::from_utf8(&self.text[begun..begun + length]).map_err(|error| wrong(&error))?.to_owned();
            begun += length + 2;
            self.event(&event, now, known)?;
        }
        self.text.drain(..begun);
        Ok(())
    }

    /// Takes head and chunks off what came.
    fn unwrap(&mut self) -> Result<(), Void> {
        let mut at = 0;
        if !self.has_head {
            let Some(end) = self.raw.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(()) };
            if !self.raw.starts_with(b"HTTP/1.1 200 ") {
                let head = String::from_utf8_lossy(&self.raw[..end]).into_owned();
                return Err(Void::Other(format!("the feed was refused: {head}")));
            }
            (self.has_head, at) = (true, end + 4);
        }
        while let Some(line) = self.raw[at..].windows(2).position(|pair| pair == b"\r\n") {
            let size = std::str::from_utf8(&self.raw[at..at + line]).map_err(|error| wrong(&error))?;
            let size = usize::from_str_radix(size, 16).map_err(|error| wrong(&error))?;
            let begin = at + line + 2;
            let Some(chunk) = self.raw.get(begin..begin + size + 2) else { break };
            self.text.extend_from_slice(&chunk[..size]);
            at = begin + size + 2;
        }
        self.raw.drain(..at);
        Ok(())
    }

    fn event(&mut self, event: &str, now: Instant, known: &HashMap<String, usize>) -> Result<(), Void> {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let (name, data) = (field("event: "), field("data: "));
        match name {
            "snapshot" => {
                let payload = data.split('.').nth(1).and_then(|payload| B64.decode(payload).ok()).unwrap_or_default();
                let claims: Value = serde_json::from_slice(&payload).map_err(|error| wrong(&error))?;
                self.rules = claims["count"].as_u64();
                self.after = claims["position"].as_u64().unwrap_or(0);
            }
            "part" => {
                let part: Value = serde_json::from_str(data).map_err(|error| wrong(&error))?;
                self.count += part["rules"].as_array().map_or(0, Vec::len) as u64;
            }
            "revoke" => {
                let revoke: Value = serde_json::from_str(data).map_err(|error| wrong(&error))?;
                if revoke["after"] != self.after {
                    return Err(Void::Other(format!("a gap: after {} came {}", self.after, revoke["after"])));
                }
                for rule in revoke["rules"].as_array().into_iter().flatten() {
                    self.after = rule[2].as_u64().unwrap_or(0);
                    self.count += 1;
                    if let Some(number) = rule[1].as_str().and_then(|digest| known.get(digest)) {
                        self.heard.push((*number, now));
                    }
                }
            }
            "heartbeat" => {
                let beat: Value = serde_json::from_str(data).map_err(|error| wrong(&error))?;
                if beat["count"] != self.count {
                    return Err(Void::Other(format!("{} rules came, of {}", self.count, beat["count"])));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn wrong(error: &dyn std::fmt::Display) -> Void {
    Void::Other(format!("the feed cannot be read: {error}"))
}
