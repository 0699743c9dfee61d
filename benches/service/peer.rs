//! The peer: a provider that others wrote, in Node (`benches/peer`). Where there is no Node, or npm cannot fetch it, its rows
//! are left out.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Pid;

use super::common::{API, ISSUER, Redis, clean, key_of};
use super::load::Void;
use super::measure::MEASURED_CORE;

/// What its tokens are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Signed, and recorded nowhere.
    Jwt,
    /// Random, and recorded in Redis.
    Opaque,
}

/// Programs, and the lock file of what they need.
const SOURCES: &str = "benches/peer";
/// Where that is installed.
const HOME: &str = "target/bench/peer";
/// The Node of the tests, which is newer than most systems' own.
const NODE: &str = "target/clients/node";

/// Installs the peer's libraries, exactly those of the lock file, where they are not there yet; where they are, or why not.
pub fn installed(may_fetch: bool) -> Result<PathBuf, String> {
    let home = root().join(HOME);
    if !is_made(&home) {
        if !may_fetch {
            return Err("it is not installed".into());
        }
        fetch(&home)?;
    }
    Ok(home)
}

/// Whether they were made from the lock file as it is now; `tests/run` writes the same list.
fn is_made(home: &Path) -> bool {
    let list = home.join("node_modules/made-from");
    let lists_the_lock = std::fs::read_to_string(&list).is_ok_and(|text| text.contains(SOURCES));
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--status", "--strict"]).arg(list).current_dir(root());
    lists_the_lock && check.status().is_ok_and(|status| status.success())
}

fn fetch(home: &Path) -> Result<(), String> {
    let say = |error: std::io::Error| error.to_string();
    std::fs::create_dir_all(home).map_err(say)?;
    let files = ["package.json", "package-lock.json"].map(|name| format!("{SOURCES}/{name}"));
    for file in &files {
        let from = root().join(file);
        std::fs::copy(&from, home.join(from.file_name().unwrap_or_default())).map_err(say)?;
    }
    let node = std::fs::canonicalize(root().join(NODE));
    let mut npm = match &node {
        Ok(node) => {
            let mut npm = Command::new(node);
            npm.arg(node.with_file_name("../lib/node_modules/npm/bin/npm-cli.js"));
            npm
        }
        Err(_) => Command::new("npm"),
    };
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--no-update-notifier"]);
    let fetched = npm.current_dir(home).stdin(Stdio::null()).output().map_err(|error| format!("npm: {error}"))?;
    if !fetched.status.success() {
        return Err(format!("npm ci: {}", String::from_utf8_lossy(&fetched.stderr).trim()));
    }
    let sums = Command::new("sha256sum").args(&files).current_dir(root()).output().map_err(say)?;
    std::fs::write(home.join("node_modules/made-from"), sums.stdout).map_err(say)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The process. It ends with the value.
pub struct Peer {
    child: Child,
    address: SocketAddr,
}

impl Peer {
    /// Starts it on the core where brokers are measured. Its one client is the workload `measured`.
    pub fn start(home: &Path, format: Format, redis: &Redis) -> Result<Self, Void> {
        // Node looks for libraries from where a program lies.
        for program in ["server.mjs", "redis.mjs"] {
            std::fs::copy(root().join(SOURCES).join(program), home.join(program))?;
        }
        let node = root().join(NODE);
        let node = if node.exists() { node } else { "node".into() };
        let mut child = clean("taskset")
            .args(["-c", MEASURED_CORE])
            .arg(node)
            .arg(home.join("server.mjs"))
            .env("NODE_ENV", "production")
            .env("PEER_ISSUER", ISSUER)
            .env("PEER_AUDIENCE", API)
            .env("PEER_CLIENT_JWKS", key_of("measured").jwks())
            .env("PEER_FORMAT", if format == Format::Jwt { "jwt" } else { "opaque" })
            .env("PEER_REDIS", redis.url())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(home.join("stderr"))?)
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or_else(|| Void::Other("no output".into()))?).lines();
        let mut lines = lines.map_while(Result::ok);
        let says = lines.find_map(|line| line.strip_prefix("listening on ")?.parse().ok());
        // What it says later is read and dropped: it dies of a reader who has gone.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(address) = says else {
            let _ = child.kill();
            let _ = child.wait();
            let why = std::fs::read_to_string(home.join("stderr")).unwrap_or_default();
            return Err(Void::Other(format!("the peer does not start: {why}")));
        };
        Ok(Self { child, address })
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
