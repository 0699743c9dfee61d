//! A broker under attack, a well-behaved client beside it, and what must hold throughout and at the end.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::common::{Ask, Backing, Broker, Http, Request, Setup, eventually};

/// Every well-behaved request is answered within this time, whatever goes on.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A pause of the well-behaved client between two requests, so that it takes no processor from the broker.
const PAUSE: Duration = Duration::from_millis(50);

/// Descriptors that a broker may have opened for itself meanwhile.
const OWN_DESCRIPTORS: usize = 4;

/// A broker, and who must not notice.
pub struct Siege {
    broker: Broker,
    descriptors: usize,
    over: Arc<AtomicBool>,
    witness: Option<JoinHandle<Result<usize, String>>>,
    rows: AtomicUsize,
}

impl Siege {
    /// With the usual bounds.
    pub fn begin() -> Self {
        Self::of(Setup::default())
    }

    /// With bounds on time of so many seconds.
    pub fn timed(seconds: u64) -> Self {
        let limit = format!("{seconds}s");
        let names = ["HEADER_TIMEOUT", "BODY_TIMEOUT", "HANDSHAKE_TIMEOUT"];
        Self::of(names.iter().fold(Setup::default(), |setup, name| setup.set(&format!("JITNEY_LIMITS_{name}"), &limit)))
    }

    /// With this setup.
    pub fn of(setup: Setup) -> Self {
        let broker = setup.start(&Backing::Embedded);
        broker.mint("demo", "before");
        let descriptors = descriptors(&broker);
        let over = Arc::new(AtomicBool::new(false));
        let (address, until) = (broker.address(), Arc::clone(&over));
        let witness = Some(std::thread::spawn(move || witness(address, &until)));
        Self { broker, descriptors, over, witness, rows: AtomicUsize::new(0) }
    }

    pub const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Goes on only if a token is granted on a fresh connection, in time.
    #[track_caller]
    pub fn survived(&self, attack: &str) {
        self.rows.fetch_add(1, Ordering::Relaxed);
        if let Err(why) = token(self.broker.address(), "demo") {
            panic!("after {attack}: {why}");
        }
    }

    /// Ends it: the witness was answered throughout, and the broker is as it was.
    #[track_caller]
    #[allow(clippy::disallowed_macros, reason = "a test tells how much it tried")]
    pub fn end(mut self) {
        self.over.store(true, Ordering::Relaxed);
        match self.witness.take().unwrap().join().unwrap() {
            Ok(answered) => {
                println!("{} attacks, {answered} well-behaved requests beside them", self.rows.load(Ordering::Relaxed))
            }
            Err(why) => panic!("beside the attacks: {why}"),
        }
        self.broker.get("/livez").expect(200);
        let state = fs::read_to_string(format!("/proc/{}/stat", self.broker.pid().as_raw_nonzero())).unwrap();
        assert!(state.contains("(jitney) ") && !state.contains(") Z "), "{state}");
        let said = self.broker.stderr();
        for bad in ["panicked", "panic", "work died"] {
            assert!(!said.contains(bad), "{bad} in {said}");
        }
        let most = self.descriptors + OWN_DESCRIPTORS;
        eventually("its descriptors are free again", || (descriptors(&self.broker) <= most).then_some(()));
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Asks for tokens until it is over; how many came.
fn witness(address: SocketAddr, over: &AtomicBool) -> Result<usize, String> {
    let mut answered = 0;
    while !over.load(Ordering::Relaxed) {
        token(address, "other")?;
        answered += 1;
        std::thread::sleep(PAUSE);
    }
    Ok(answered)
}

/// A token on a connection of its own, and another request on the same one.
fn token(address: SocketAddr, workload: &str) -> Result<(), String> {
    let begun = Instant::now();
    let mut http = Http::tcp(address).map_err(|error| format!("no connection: {error}"))?;
    for request in [Ask::of(workload).request(), Request::get("/livez")] {
        let answer = http.ask(&request).map_err(|error| format!("no answer: {error}"))?;
        if answer.status != 200 {
            return Err(format!("refused: {} {}", answer.status, answer.text()));
        }
    }
    let took = begun.elapsed();
    if took > PATIENCE { Err(format!("answered only after {took:?}")) } else { Ok(()) }
}

fn descriptors(broker: &Broker) -> usize {
    fs::read_dir(format!("/proc/{}/fd", broker.pid().as_raw_nonzero())).unwrap().count()
}
