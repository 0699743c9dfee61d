//! What a broker is told at its start: a file, environment variables over it, defaults under it.
//!
//! Owns every setting's name, default and meaning, in one table ([`reference`] writes it out). Opens nothing but the file;
//! never reads the environment by itself.

mod check;
mod error;
mod keys;
mod reference;
mod source;
mod value;

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::{ConfigError, Place, Problem};
pub use reference::reference;

use crate::audit::{Durability, Rotation};
use crate::broker::FeedLimits;
use crate::fetch::foreign::Origin;
use crate::guard::Proxy;
use crate::model::{AudienceUri, Secret};
use crate::net;
use crate::telemetry::Format;

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[admin]`
    pub admin: Admin,
    /// `[store]`
    pub store: Store,
    /// `[policies]`
    pub policies: Policies,
    /// `[federation]`
    pub federation: Federation,
    /// `[tokens]`
    pub tokens: Tokens,
    /// `[tasks]`
    pub tasks: Tasks,
    /// `[keys]`
    pub keys: Keys,
    /// `[audit]`
    pub audit: Audit,
    /// `[limits]`
    pub limits: Limits,
    /// `[telemetry]`
    pub telemetry: Telemetry,
}

/// `[server]`: the public listener.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its name in every token; none: [`Config::issuer`] makes it from the bound address.
    pub issuer: Option<String>,
    /// Certificate chain and private key, PEM files: both or none.
    pub tls: Option<TlsFiles>,
    /// Whether plain HTTP may be served to, and issued for, other machines.
    pub allow_plain_http: bool,
    /// Whether an assertion's `aud` may be the URL of the endpoint called.
    pub accept_endpoint_audience: bool,
    /// Whether proxies may ask it about tokens.
    pub forward_auth: bool,
    /// For which resource servers.
    pub forward_auth_audiences: Vec<AudienceUri>,
    /// The kind of proxy that asks.
    pub forward_auth_proxy: Proxy,
}

/// A TLS pair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// `[admin]`: the operators' listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The Unix socket.
    pub socket: PathBuf,
}

/// `[store]`: where leases and the log are.
#[derive(Debug, Clone)]
pub struct Store {
    /// Which store.
    pub url: StoreUrl,
    /// Certificates to trust for `rediss://`, a PEM file; none: the system's.
    pub ca_file: Option<PathBuf>,
    /// Settings of the store's that are accepted though unsafe, by name.
    pub accept_unsafe: Vec<String>,
    /// So many replicas must hold an end before it is acknowledged.
    pub min_replicas: u32,
}

/// Which store.
#[derive(Debug, Clone)]
pub enum StoreUrl {
    /// In this process, its files under this folder.
    Embedded(PathBuf),
    /// A Redis, by its `redis://` or `rediss://` URL.
    Redis(Secret<String>),
}

/// `[policies]`
#[derive(Debug, Clone)]
pub struct Policies {
    /// The directory of policies, workloads and audiences.
    pub dir: PathBuf,
}

/// `[federation]`: how platforms are asked for their keys.
#[derive(Debug, Clone)]
pub struct Federation {
    /// Issuers, and places of their keys, that may lie in private networks: by scheme, host and port.
    pub allow_private: Vec<Origin>,
    /// Certificates to trust for those, a PEM file; none: the system's.
    pub ca_file: Option<PathBuf>,
}

/// `[tokens]`: how long tokens live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Where none is asked.
    pub default_ttl: Duration,
    /// The longest.
    pub max_ttl: Duration,
    /// The longest chain of renewals.
    pub max_lifetime: Duration,
}

/// `[tasks]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tasks {
    /// How long an ended task takes no new lease.
    pub closed_for: Duration,
    /// Whether a plain bearer token of a task may complete it.
    pub bearer_complete: bool,
}

/// `[keys]`: the signing keys.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Where the private halves are.
    pub storage: KeyStorage,
    /// The folder, where they are in files.
    pub dir: PathBuf,
    /// The age at which a key is replaced.
    pub rotation: Duration,
    /// How long a verifier may keep the JWKS; a key is published that long before it signs.
    pub jwks_max_age: Duration,
}

/// Where private keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStorage {
    /// In files of mode 0600.
    File,
    /// In memory alone: a restart makes new ones.
    Memory,
}

/// `[audit]`
#[derive(Debug, Clone)]
pub struct Audit {
    /// The file.
    pub path: PathBuf,
    /// When a line counts as written.
    pub durability: Durability,
    /// When the file is closed and another goes on.
    pub rotation: Rotation,
    /// How often the broker signs for the last line.
    pub checkpoint: Duration,
}

/// `[limits]`: see [`net::Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest body, in bytes.
    pub body: usize,
    /// The longest request head, in bytes.
    pub header: usize,
    /// Connections at once.
    pub connections: usize,
    /// Requests at once.
    pub requests: usize,
    /// For a TLS handshake.
    pub handshake_timeout: Duration,
    /// For a request head; also how long a connection may be idle.
    pub header_timeout: Duration,
    /// For a body.
    pub body_timeout: Duration,
    /// For the work on a request.
    pub request_timeout: Duration,
    /// For what is in flight at shutdown.
    pub drain_timeout: Duration,
    /// For the revocation feed.
    pub feed: FeedLimits,
}

impl Limits {
    /// The bounds for a listener, with a count of its own.
    pub fn for_listener(&self) -> net::Limits {
        net::Limits {
            connections: self.connections,
            requests: self.requests,
            body: self.body,
            header: self.header,
            handshake_timeout: self.handshake_timeout,
            header_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
            request_timeout: self.request_timeout,
            open: net::OpenConnections::default(),
        }
    }
}

/// `[telemetry]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// The filter of the log, as [`crate::telemetry::init`] reads it.
    pub log: String,
    /// Its form.
    pub format: Format,
}

/// A configuration's text; none is longer than 1 MiB, whatever else may stand at its path.
fn text_of(file: &Path) -> std::io::Result<String> {
    const LONGEST: u64 = 1 << 20;
    let mut text = String::new();
    let read = std::fs::File::open(file)?.take(LONGEST + 1).read_to_string(&mut text)?;
    match read as u64 > LONGEST {
        true => Err(std::io::Error::other("it is longer than 1 MiB: no configuration is")),
        false => Ok(text),
    }
}

impl Config {
    /// Reads `file` (none: defaults alone), with `env` over it: of each `JITNEY_SECTION_KEY` the last one holds. Relative
    /// paths start at the file's folder where the file gives them, at the working directory elsewhere.
    ///
    /// # Errors
    /// [`ConfigError`], with everything that is wrong.
    pub fn load(file: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        Self::read(file.map(|file| (file, text_of(file))), env)
    }

    /// The same of a file that was read already, or could not be.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub(crate) fn read(
        file: Option<(&Path, std::io::Result<String>)>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut read = source::Read::default();
        if let Some((file, text)) = file {
            read.file(file, text);
        }
        read.env(env);
        let (config, places, mut problems) = read.into_config(|_| {});
        check::mixes(&config, &places, &mut problems);
        config.unless(problems)
    }

    /// What `--dev` runs on: no file, everything under `data`, this machine only, and `env` over that. What the command
    /// line says may be passed as further pairs behind the environment's.
    ///
    /// # Errors
    /// [`ConfigError`], with everything that is wrong.
    pub fn dev(data: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut read = source::Read::default();
        read.env(env);
        let (config, places, mut problems) = read.into_config(|config| {
            config.store.url = StoreUrl::Embedded(data.join("store"));
            config.policies.dir = data.join("policies");
            config.audit.path = data.join("audit.jsonl");
            config.keys.dir = data.join("keys");
            config.admin.socket = data.join("admin.sock");
        });
        let before = problems.len();
        check::dev(&config, &places, &mut problems);
        // Where `--dev` refuses, what a broker for other machines would need besides is no help.
        if problems.len() == before {
            check::mixes(&config, &places, &mut problems);
        }
        config.unless(problems)
    }

    fn unless(self, problems: Vec<Problem>) -> Result<Self, ConfigError> {
        if problems.is_empty() { Ok(self) } else { Err(ConfigError { problems }) }
    }

    /// The issuer: the one configured, or made of the address that the listener was bound to.
    pub fn issuer(&self, bound: SocketAddr) -> String {
        let scheme = if self.server.tls.is_some() { "https" } else { "http" };
        self.server.issuer.clone().unwrap_or_else(|| format!("{scheme}://{bound}"))
    }
}

#[cfg(test)]
mod tests;
