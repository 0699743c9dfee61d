//! Sixteen clients that ask as soon as they are answered, each on a connection that it keeps.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::common::Http;
use super::measure::cpu_us;

const CONNECTIONS: usize = 16;

/// Requests that are ready to be sent.
pub struct Load {
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
}

/// What a turn of it took.
#[derive(Clone)]
pub struct Turn {
    cpu_us: f64,
    took: Duration,
    /// Of each answer, in order of size.
    times: Vec<Duration>,
}

impl Load {
    pub const fn of(address: SocketAddr, requests: Vec<Vec<u8>>) -> Self {
        Self { address, requests }
    }

    /// Sends all of them. Each must be granted.
    pub fn turn(&self, pid: Pid) -> Turn {
        let (before, begun) = (cpu_us(pid), Instant::now());
        let mut times: Vec<Duration> = std::thread::scope(|scope| {
            let clients: Vec<_> = self
                .requests
                .chunks(self.requests.len().div_ceil(CONNECTIONS))
                .map(|requests| scope.spawn(|| client(self.address, requests)))
                .collect();
            clients.into_iter().flat_map(|client| client.join().expect("a client that is served")).collect()
        });
        times.sort_unstable();
        Turn { took: begun.elapsed(), cpu_us: cpu_us(pid) - before, times }
    }
}

fn client(address: SocketAddr, requests: &[Vec<u8>]) -> Vec<Duration> {
    let mut http = Http::tcp(address).unwrap();
    let one = |request: &Vec<u8>| {
        let begun = Instant::now();
        http.send(request).unwrap();
        http.answer().unwrap().expect(200);
        begun.elapsed()
    };
    requests.iter().map(one).collect()
}

impl Turn {
    /// CPU of the server a request, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.cpu_us / self.count()
    }

    pub fn p50_us(&self) -> f64 {
        self.percentile(50)
    }

    pub fn p99_us(&self) -> f64 {
        self.percentile(99)
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.count() / self.took.as_secs_f64()
    }

    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    fn count(&self) -> f64 {
        self.times.len() as f64
    }

    fn percentile(&self, percent: usize) -> f64 {
        self.times[(self.times.len() * percent / 100).min(self.times.len() - 1)].as_secs_f64() * 1e6
    }
}
