//! How long a well-behaved client waits for a token while hostile ones go about: beside its time when all is quiet.
//!
//! `cargo bench --bench hostile`. Goal: p99 within three times the quiet one.

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{Ask, Backing, Broker, Http, Request};

/// Quiet and each attack take turns, so that what else the machine does falls on all alike.
const ROUNDS: usize = 5;
/// Tokens a turn.
const TOKENS: usize = 400;
/// How much p99 may grow.
const GOAL: f64 = 3.0;

/// Connections that say nothing, or have been served and stay.
const IDLE: usize = 600;
/// Connections that send a byte now and then.
const SLOW: usize = 200;
/// Between two bytes of a slow one.
const DRIP: Duration = Duration::from_millis(50);
/// Requests a second that are refused.
const FLOOD: u32 = 500;

type Attacker = fn(SocketAddr, &AtomicBool);

const ATTACKS: [(&str, &[Attacker]); 5] = [
    ("600 idle connections", &[idle]),
    ("200 slow heads", &[slow_heads]),
    ("200 slow bodies", &[slow_bodies]),
    ("500 malformed requests a second", &[flood]),
    ("all of these", &[idle, slow_heads, slow_bodies, flood]),
];

fn main() -> std::io::Result<()> {
    let broker = Broker::start(&Backing::Embedded);
    let address = broker.address();
    drop(tokens(address, TOKENS));
    let mut quiet = Vec::new();
    let mut under: [Vec<Duration>; ATTACKS.len()] = Default::default();
    for _ in 0..ROUNDS {
        for ((_, attackers), times) in ATTACKS.iter().zip(&mut under) {
            quiet.extend(tokens(address, TOKENS / ATTACKS.len()));
            let siege = Siege::begin(address, attackers);
            times.extend(tokens(address, TOKENS));
            siege.end();
        }
    }
    let mut out = std::io::stdout();
    let (half, most) = (percentile(&mut quiet, 50), percentile(&mut quiet, 99));
    writeln!(out, "a token on a connection of its own, quiet: p50 {half:.2?}, p99 {most:.2?}")?;
    for ((name, _), times) in ATTACKS.iter().zip(&mut under) {
        let (p50, p99) = (percentile(times, 50), percentile(times, 99));
        let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
        let verdict = if ratio(p99, most) <= GOAL { "within" } else { "NOT within" };
        writeln!(
            out,
            "{name}: p50 {p50:.2?} ({:.2} x), p99 {p99:.2?} ({:.2} x, {verdict} {GOAL} x)",
            ratio(p50, half),
            ratio(p99, most)
        )?;
    }
    Ok(())
}

/// The time of each of so many tokens. What the client itself computes is not counted.
fn tokens(address: SocketAddr, count: usize) -> Vec<Duration> {
    let one = || {
        let request = Ask::of("demo").request();
        let begun = Instant::now();
        let answer = Http::tcp(address).and_then(|mut http| http.ask(&request));
        let took = begun.elapsed();
        answer.expect("an answer").expect(200);
        took
    };
    (0..count).map(|_| one()).collect()
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// Attackers at work.
struct Siege {
    over: Arc<AtomicBool>,
    attackers: Vec<JoinHandle<()>>,
}

impl Siege {
    fn begin(address: SocketAddr, attackers: &[Attacker]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let start = |attacker: &Attacker| {
            let (attacker, over) = (*attacker, Arc::clone(&over));
            std::thread::spawn(move || attacker(address, &over))
        };
        let attackers = attackers.iter().map(start).collect();
        // Until all of them are connected: a few hundred connections on loopback.
        std::thread::sleep(Duration::from_millis(200));
        Self { over, attackers }
    }

    fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.attackers.into_iter().for_each(|attacker| drop(attacker.join()));
        // What they held is closed by the broker, too, before the next turn.
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn idle(address: SocketAddr, over: &AtomicBool) {
    let mut held = Vec::new();
    for n in 0..IDLE {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        if n % 2 == 0 {
            let _ = stream.write_all(&Request::get("/livez").bytes());
        }
        held.push(stream);
    }
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn slow_heads(address: SocketAddr, over: &AtomicBool) {
    drip(address, over, b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nX: ");
}

fn slow_bodies(address: SocketAddr, over: &AtomicBool) {
    let form = "Content-Type: application/x-www-form-urlencoded";
    let head = format!("POST /oauth2/token HTTP/1.1\r\nHost: x\r\n{form}\r\nContent-Length: 60000\r\n\r\n");
    drip(address, over, head.as_bytes());
}

/// Sends this on many connections, then a byte at a time; who is cut off comes again.
fn drip(address: SocketAddr, over: &AtomicBool, first: &[u8]) {
    let connect = || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(first)?;
        stream.set_nonblocking(true)?;
        std::io::Result::Ok(stream)
    };
    let mut held: Vec<TcpStream> = (0..SLOW).filter_map(|_| connect().ok()).collect();
    while !over.load(Ordering::Relaxed) {
        for stream in &mut held {
            if stream.write(b"x").is_err()
                && let Ok(again) = connect()
            {
                *stream = again;
            }
        }
        std::thread::sleep(DRIP);
    }
}

fn flood(address: SocketAddr, over: &AtomicBool) {
    let form = "Content-Type: application/x-www-form-urlencoded";
    let rows = [
        "GARBAGE\r\n\r\n".to_owned(),
        "GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".to_owned(),
        format!("POST /oauth2/token HTTP/1.1\r\nHost: x\r\n{form}\r\nContent-Length: 3\r\n\r\na=%"),
        format!("POST /oauth2/token HTTP/1.1\r\nHost: x\r\n{form}\r\nContent-Length: 70000\r\n\r\n"),
        format!("POST /oauth2/token HTTP/1.1\r\nHost: x\r\n{form}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        "DELETE /oauth2/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
        format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(20_000)),
    ];
    let begun = Instant::now();
    for (n, row) in (0_u32..).zip(rows.iter().cycle()) {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let due = Duration::from_secs(1) * n / FLOOD;
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let _ = stream.write_all(row.as_bytes());
        let _ = stream.read(&mut [0; 512]);
    }
}
