//! Clients that ask as soon as they are answered, each on a connection that it keeps, all on one thread: a thread for each
//! would cost more to switch between than the broker does.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::process::Pid;

use super::measure::{Turn, cpu_us};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a run counts for nothing.
#[derive(Debug, thiserror::Error)]
pub enum Void {
    #[error("{path} was answered by {status}, not {expected}: {body}")]
    Answer { path: String, status: u16, expected: Expect, body: String },
    #[error("no answer for {PATIENCE:?}")]
    Silence,
    #[error("{0}")]
    Other(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What each answer must be: a status, and a text in its body.
#[derive(Debug, Clone, Copy)]
pub struct Expect {
    pub status: u16,
    pub text: &'static str,
}

impl std::fmt::Display for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {:?}", self.status, self.text)
    }
}

/// Requests that are ready to be sent.
pub struct Load {
    pub address: SocketAddr,
    pub requests: Vec<Vec<u8>>,
    pub expect: Expect,
    pub connections: usize,
}

impl Load {
    /// Clients that can send them.
    pub fn clients(&self) -> Result<Clients, Void> {
        Clients::connected(self.address, self.connections)
    }

    /// Sends all of them by these clients, and tells what that took of this process.
    pub fn turn(&self, clients: &mut Clients, pid: Pid) -> Result<Turn, Void> {
        let own = Pid::from_raw(std::process::id().cast_signed()).ok_or_else(|| Void::Other("no process".into()))?;
        let (before, own_before, begun) = (cpu_us(pid), cpu_us(own), Instant::now());
        let mut times = Vec::with_capacity(self.requests.len());
        self.drive(clients, |took, _| times.push(took))?;
        let (took, cpu_us, load_us) = (begun.elapsed(), cpu_us(pid) - before, cpu_us(own) - own_before);
        Ok(Turn::new(cpu_us, load_us, took, times))
    }

    /// Sends all of them, and gives the answers' bodies.
    pub fn answers(&self) -> Result<Vec<String>, Void> {
        let mut clients = self.clients()?;
        let mut bodies = Vec::with_capacity(self.requests.len());
        self.drive(&mut clients, |_, body| bodies.push(body.to_owned()))?;
        Ok(bodies)
    }

    fn drive(&self, clients: &mut Clients, mut seen: impl FnMut(Duration, &str)) -> Result<(), Void> {
        let mut next = 0;
        for client in clients.all.iter_mut().take(self.requests.len()) {
            client.ask(next, &self.requests)?;
            next += 1;
        }
        let (mut events, mut answered) = (Events::with_capacity(128), 0);
        while answered < self.requests.len() {
            clients.poll.poll(&mut events, Some(PATIENCE))?;
            if events.is_empty() {
                return Err(Void::Silence);
            }
            for event in &events {
                let Some(client) = clients.all.get_mut(event.token().0) else { continue };
                if !client.has_answer()? {
                    continue;
                }
                let took = client.begun.elapsed();
                seen(took, self.checked(client)?);
                answered += 1;
                if next < self.requests.len() {
                    client.ask(next, &self.requests)?;
                    next += 1;
                }
            }
        }
        Ok(())
    }

    /// The body of an answer that is as it must be.
    fn checked<'a>(&self, client: &'a Client) -> Result<&'a str, Void> {
        let (status, head, _) = head_of(&client.read)?.ok_or(Void::Silence)?;
        let body = std::str::from_utf8(&client.read[head..]).map_err(|error| Void::Other(error.to_string()))?;
        if status == self.expect.status && body.contains(self.expect.text) {
            return Ok(body);
        }
        let request = String::from_utf8_lossy(&self.requests[client.asked]);
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        Err(Void::Answer { path, status, expected: self.expect, body: body.to_owned() })
    }
}

/// Those who ask. They keep their connections from turn to turn: what a connection costs is no part of a request.
pub struct Clients {
    poll: Poll,
    all: Vec<Client>,
}

impl Clients {
    /// So many, connected there.
    fn connected(address: SocketAddr, count: usize) -> Result<Self, Void> {
        let poll = Poll::new()?;
        let one = |n| {
            let stream = std::net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(n), Interest::READABLE)?;
            Ok(Client { stream, asked: 0, begun: Instant::now(), read: Vec::with_capacity(4096) })
        };
        let all = (0..count).map(one).collect::<Result<_, std::io::Error>>()?;
        Ok(Self { poll, all })
    }
}

struct Client {
    stream: TcpStream,
    /// The request that is under way.
    asked: usize,
    begun: Instant,
    read: Vec<u8>,
}

impl Client {
    fn ask(&mut self, n: usize, requests: &[Vec<u8>]) -> Result<(), Void> {
        self.read.clear();
        self.asked = n;
        self.begun = Instant::now();
        // One request at a time always fits into a socket.
        Ok(self.stream.write_all(&requests[n])?)
    }

    /// Reads what there is; whether it is a whole answer.
    fn has_answer(&mut self) -> Result<bool, Void> {
        let mut part = [0; 4096];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => return Err(Void::Other("a connection was closed".into())),
                Ok(count) => self.read.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            if let Some((_, head, body)) = head_of(&self.read)?
                && self.read.len() >= head + body
            {
                return Ok(true);
            }
        }
    }
}

/// Status, length of the head, and length of the body, once the head is there.
fn head_of(bytes: &[u8]) -> Result<Option<(u16, usize, usize)>, Void> {
    let mut headers = [httparse::EMPTY_HEADER; 40];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|error| Void::Other(error.to_string()))?;
    let httparse::Status::Complete(head) = parsed else { return Ok(None) };
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok()).unwrap_or(0);
    Ok(Some((response.code.unwrap_or_default(), head, length)))
}
