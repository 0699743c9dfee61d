//! What a guard uses of a core for a request whose token it has seen, beside a server that answers every request with nothing:
//! this program started again, hyper alone, on one thread. Both run on the measured core, and take turns.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request as Asked, Response};
use rustix::process::Pid;

use super::common::{API, ISSUER, Request, clean};
use super::load::{Expect, Load};
use super::measure::{MEASURED_CORE, Spread, Turn};
use super::scene::Failed;
use super::{Rows, Size, prepared};

const EMPTY: &str = "REACH_EMPTY";
/// Requests a turn, for each mint of another part.
const EACH: usize = 5;

/// Where this process is to be the server of nothing: serves until it is killed.
pub fn is_child() -> bool {
    if std::env::var_os(EMPTY).is_none() {
        return false;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut out = std::io::stdout();
        writeln!(out, "listening on http://{}", listener.local_addr().unwrap()).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let nothing = |_: Asked<Incoming>| async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) };
                let stream = hyper_util::rt::TokioIo::new(stream);
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service_fn(nothing)).await;
            });
        }
    });
    true
}

/// A process that says where it listens, on the measured core. It ends with the value.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(mut command: Command) -> Result<Self, Failed> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let mut process = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let said = |line: std::io::Result<String>| line.ok()?.strip_prefix("listening on http://").map(str::to_owned);
        let mut lines = lines.map(said);
        process.address = lines.find_map(|address| address).ok_or("it does not start")?.trim().parse()?;
        // What it says later fits into no pipe that nobody reads.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(process)
    }

    fn turn(&self, requests: &[Vec<u8>]) -> Result<Turn, Failed> {
        let load = Load {
            address: self.address,
            requests: requests.to_vec(),
            expect: Expect { status: 200, text: "" },
            connections: 16,
        };
        Ok(load.turn(&mut load.clients()?, Pid::from_child(&self.child))?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn on_the_core(program: &str) -> Command {
    let mut command = clean("taskset");
    command.args(["-c", MEASURED_CORE, program]);
    command
}

pub fn seen_before(size: &Size, rows: &mut Rows) -> Result<(), Failed> {
    let broker = prepared(None, &[]);
    let token = broker.mint("measured", "guarded");
    let mut command = on_the_core(env!("CARGO_BIN_EXE_jitney"));
    command.args(["guard", "--listen", "127.0.0.1:0", "--audience", API]);
    let guard = Process::start({
        command.env("JITNEY_URL", broker.url()).env("JITNEY_ISSUER", ISSUER);
        command
    })?;
    let mut command = on_the_core(&std::env::current_exe()?.display().to_string());
    command.env(EMPTY, "1");
    let empty = Process::start(command)?;
    let request = Request::get("/v1/forward-auth").bearer(&token.text).bytes();
    let requests = vec![request; size.mints * EACH];
    until_admitted(&guard, &requests[..1])?;
    let (mut ratios, mut guards, mut empties) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=size.rounds {
        let (guarded, nothing) = (guard.turn(&requests)?, empty.turn(&requests)?);
        // The first fills caches.
        if round > 0 {
            ratios.push(guarded.cpu_us() / nothing.cpu_us());
            guards.push(guarded.cpu_us());
            empties.push(nothing.cpu_us());
        }
    }
    let median = |figures: Vec<f64>| Spread::of(figures.into_iter()).median;
    rows.add(
        "CPU of forward-auth at the guard, token seen before / of an empty hyper answer",
        median(ratios),
        "×",
        1.3,
    );
    rows.add("forward-auth at the guard, token seen before", median(guards), "µs", None);
    rows.add("an empty hyper answer", median(empties), "µs", None);
    Ok(())
}

/// Its first view may be on its way.
fn until_admitted(guard: &Process, request: &[Vec<u8>]) -> Result<(), Failed> {
    for _ in 0..500 {
        if guard.turn(request).is_ok() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    guard.turn(request).map(|_| ())
}
