//! Who is asked: a broker on either store, the floor, the peer. Each is a process of its own on the measured core.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::process::Pid;
use serde_json::json;

use super::common::{Broker, Redis, Setup, key_of, key_of_kind, workload, workload_path};
use super::floor::{Authentication, Floor};
use super::load::Void;
use super::measure::MEASURED_CORE;
use super::peer::{Format, Peer};

/// An issuer whose keys the broker has in a file, so that nobody is asked for them.
pub const PLATFORM: &str = "https://platform.example.com";

/// Settings of a Redis that no disk holds up.
const IN_MEMORY: [&str; 4] = ["--appendonly", "no", "--maxmemory-policy", "noeviction"];

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    OnRedis,
    Embedded,
    Floor(Authentication),
    Peer(Format),
}

impl Party {
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnRedis => "broker on Redis",
            Self::Embedded => "broker, embedded store",
            Self::Floor(_) => "floor",
            Self::Peer(Format::Jwt) => "peer, JWT",
            Self::Peer(Format::Opaque) => "peer, opaque",
        }
    }
}

enum Process {
    Broker(Broker),
    Floor(Floor),
    Peer(Peer),
}

/// Those of one bout, with a Redis of their own. They end with it.
pub struct Parties {
    all: HashMap<Party, Process>,
    redis: Redis,
    peer: Option<PathBuf>,
}

impl Parties {
    /// None yet. `peer` is where the peer is installed; `synced`, that Redis syncs before it answers.
    pub fn new(peer: Option<PathBuf>, synced: bool) -> Self {
        let redis = if synced { Redis::start() } else { Redis::with(&IN_MEMORY) };
        Self { all: HashMap::new(), redis, peer }
    }

    /// Starts one, where it does not run yet. Whether it can be had here.
    pub fn start(&mut self, party: Party) -> Result<bool, Void> {
        if self.all.contains_key(&party) {
            return Ok(true);
        }
        let process = match (party, &self.peer) {
            (Party::OnRedis, _) => Process::Broker(broker(Some(self.redis.url()))),
            (Party::Embedded, _) => Process::Broker(broker(None)),
            (Party::Floor(authentication), _) => Process::Floor(Floor::start(authentication, &self.redis)),
            (Party::Peer(format), Some(home)) => Process::Peer(Peer::start(home, format, &self.redis)?),
            (Party::Peer(_), None) => return Ok(false),
        };
        self.all.insert(party, process);
        Ok(true)
    }

    /// Where one that runs listens, and its process.
    pub fn at(&self, party: Party) -> (SocketAddr, Pid) {
        match &self.all[&party] {
            Process::Broker(broker) => (broker.address(), broker.pid()),
            Process::Floor(floor) => (floor.address(), floor.pid()),
            Process::Peer(peer) => (peer.address(), peer.pid()),
        }
    }
}

/// A broker with two workloads.
fn broker(store: Option<String>) -> Broker {
    let keys = json!({"keys": [key_of_kind("rsa").jwk(Some("rsa"))]}).to_string();
    let platform = format!(
        "owner = \"team-bench@example.com\"\npurpose = \"Is measured with a platform's token\"\nexpires = 2099-12-31\n\
         [[identity]]\ntype = \"oidc\"\nissuer = \"{PLATFORM}\"\nclaims = {{ sub = \"a-job\" }}\n\
         jwks_file = \"../keys/platform.jwks.json\"\n"
    );
    Setup::default()
        .policy(&workload_path("measured"), workload("measured", "2099-12-31", &key_of("measured").jwks(), ""))
        .policy(&workload_path("platform"), platform)
        .policy("keys/platform.jwks.json", keys)
        .under(&["taskset", "-c", MEASURED_CORE])
        .start_on(store)
}
