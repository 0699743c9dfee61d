//! The table of all settings: name, form, default, meaning, and where the value goes. File, environment, defaults and
//! `docs/configuration.md` come from it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::value::{
    Given, address, audiences, flag, issuer, names, number, optional, origins, path, put, size, span, store, word,
};
use super::{
    Admin, Audit, Config, Federation, KeyStorage, Keys, Limits, Policies, Server, Store, StoreUrl, Tasks, Telemetry,
    TlsFiles, Tokens,
};
use crate::audit::{Durability, Rotation};
use crate::broker::FeedLimits;
use crate::guard::Proxy;
use crate::store::SAFETY_NAMES;
use crate::telemetry::{Format, check_filter};

/// How a value is written in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Path,
    Flag,
    Number,
    Span,
    Size,
    Names,
}

impl Form {
    /// What to write, for people.
    pub(super) const fn told(self) -> &'static str {
        match self {
            Self::Text => "a string in quotes",
            Self::Path => "a path in quotes",
            Self::Flag => "`true` or `false`",
            Self::Number => "a whole number",
            Self::Span => "a span of time in quotes, like `\"5m\"`",
            Self::Size => "bytes, or a size in quotes, like `\"64KiB\"`",
            Self::Names => "a list of names, like `[\"appendfsync\"]`",
        }
    }
}

/// One setting.
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// As it would be given in the environment; empty: none.
    pub(super) default: &'static str,
    pub(super) meaning: &'static str,
    pub(super) set: fn(&mut Config, &Given<'_>) -> Result<(), String>,
}

impl Key {
    /// Its environment twin.
    pub(super) fn env(&self) -> String {
        format!("JITNEY_{}_{}", self.section, self.name).to_uppercase()
    }
}

/// The sections, and what each is about.
pub(super) const SECTIONS: [(&str, &str); 11] = [
    ("server", "The public listener."),
    ("admin", "The operators' listener."),
    ("store", "Where leases and the revocation log are kept."),
    ("policies", "What may be granted."),
    ("federation", "How platforms are asked for the keys that sign their tokens."),
    ("tokens", "How long tokens live. Policies and audiences may set shorter times, never longer ones."),
    ("tasks", "How tasks end."),
    ("keys", "The keys that sign tokens."),
    ("audit", "The log of decisions."),
    ("limits", "How much is taken in at once, and how long it may take. They hold for each listener on its own."),
    ("telemetry", "What the process says of itself, on standard error."),
];

/// Settings that the contract names and that do not exist yet.
pub(super) const LATER: [(&str, &str, &str); 1] =
    [("admin", "listen", "the admin API on a network address is not built yet: use the Unix socket, `socket`")];

const fn key(
    section: &'static str,
    name: &'static str,
    form: Form,
    default: &'static str,
    meaning: &'static str,
    set: fn(&mut Config, &Given<'_>) -> Result<(), String>,
) -> Key {
    Key { section, name, form, default, meaning, set }
}

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("server", "listen", Form::Text, "127.0.0.1:8180",
        "Address and port. Port 0 takes a free one. An address other than loopback needs TLS, or `allow_plain_http`.",
        |c, g| put(&mut c.server.listen, address(g))),
    key("server", "issuer", Form::Text, "",
        "The URL clients know the broker by: scheme, host and port, nothing behind them. Left out, it is made of the \
         address listened on, which serves this machine only.",
        |c, g| put(&mut c.server.issuer, optional(g, issuer))),
    key("server", "tls_cert", Form::Path, "",
        "The certificate chain, PEM. Read again when it changes. Also `cert` in `[server.tls]`.",
        |c, g| tls(c, optional(g, path)?, |files| &mut files.cert)),
    key("server", "tls_key", Form::Path, "",
        "The certificate's private key, PEM. Also `key` in `[server.tls]`.",
        |c, g| tls(c, optional(g, path)?, |files| &mut files.key)),
    key("server", "allow_plain_http", Form::Flag, "false",
        "Whether plain HTTP may be spoken with other machines, and the issuer be an `http` URL: only behind a proxy that \
         ends TLS, or in a network you trust with every token.",
        |c, g| put(&mut c.server.allow_plain_http, flag(g))),
    key("server", "accept_endpoint_audience", Form::Flag, "false",
        "Whether the `aud` of a client assertion may be the URL of the endpoint called, for clients that cannot send the \
         issuer.",
        |c, g| put(&mut c.server.accept_endpoint_audience, flag(g))),
    key("server", "forward_auth", Form::Flag, "false",
        "Whether a proxy may ask `GET /v1/forward-auth` here, as it asks `jitney guard`. Whoever reaches the broker can then try \
         which tokens are good, and each question is one to the store: a guard beside the proxy is better. There are no rules \
         by path.",
        |c, g| put(&mut c.server.forward_auth, flag(g))),
    key("server", "forward_auth_audiences", Form::Names, "",
        "The resource servers behind that proxy, by their URIs: tokens for others do not pass.",
        |c, g| put(&mut c.server.forward_auth_audiences, audiences(g))),
    key("server", "forward_auth_proxy", Form::Text, "none",
        "The kind of that proxy: nginx, traefik, caddy, envoy, haproxy or none. Requests with another kind's headers are refused.",
        |c, g| put(&mut c.server.forward_auth_proxy, g.text.parse())),

    key("admin", "socket", Form::Path, ".jitney/admin.sock",
        "The Unix socket, mode 0600.",
        |c, g| put(&mut c.admin.socket, path(g))),

    key("store", "url", Form::Text, "embedded:.jitney/store",
        "`embedded:PATH` for one broker, or `redis://…` or `rediss://…` for any number of brokers. May hold a password, so \
         it is never shown.",
        |c, g| put(&mut c.store.url, store(g))),
    key("store", "ca_file", Form::Path, "",
        "Certificates to trust for `rediss://`, PEM. Left out, the system's are.",
        |c, g| put(&mut c.store.ca_file, optional(g, path))),
    key("store", "accept_unsafe", Form::Names, "",
        "Settings of the store that are accepted though they put acknowledged revocations at risk, by name: see \
         `docs/durability.md`.",
        |c, g| put(&mut c.store.accept_unsafe, names(g, &SAFETY_NAMES))),
    key("store", "min_replicas", Form::Number, "0",
        "So many replicas must hold a revocation before it is acknowledged.",
        |c, g| put(&mut c.store.min_replicas, number(g, 0..=16))),

    key("policies", "dir", Form::Path, "policies",
        "The directory of policies, workloads and audiences.",
        |c, g| put(&mut c.policies.dir, path(g))),

    key("federation", "allow_private", Form::Names, "",
        "Issuers that may lie in private networks or on this machine, like `https://issuer.internal:8443`: scheme, host and \
         port count, and a `jwks_uri` elsewhere is named too. `http://` is taken for this machine only. All other issuers are \
         asked over https at public addresses, and nowhere else.",
        |c, g| put(&mut c.federation.allow_private, origins(g))),
    key("federation", "ca_file", Form::Path, "",
        "Certificates to trust for those issuers, PEM. Left out, the system's are.",
        |c, g| put(&mut c.federation.ca_file, optional(g, path))),

    key("tokens", "default_ttl", Form::Span, "5m",
        "How long a token lives where none is asked, cut to what is allowed.",
        |c, g| put(&mut c.tokens.default_ttl, span(g))),
    key("tokens", "max_ttl", Form::Span, "1h",
        "The longest a token may live.",
        |c, g| put(&mut c.tokens.max_ttl, span(g))),
    key("tokens", "max_lifetime", Form::Span, "8h",
        "The longest a chain of renewals may last, from the first lease on.",
        |c, g| put(&mut c.tokens.max_lifetime, span(g))),

    key("tasks", "closed_for", Form::Span, "10m",
        "How long an ended task takes no new lease.",
        |c, g| put(&mut c.tasks.closed_for, span(g))),
    key("tasks", "bearer_complete", Form::Flag, "true",
        "Whether a plain bearer token of a task may complete it. Every audience the token was sent to has it.",
        |c, g| put(&mut c.tasks.bearer_complete, flag(g))),

    key("keys", "storage", Form::Text, "file",
        "`file`: private keys outlive a restart, in files of mode 0600. `memory`: they are in no file, and a restart makes \
         new ones.",
        |c, g| put(&mut c.keys.storage, word(g, &[("file", KeyStorage::File), ("memory", KeyStorage::Memory)]))),
    key("keys", "dir", Form::Path, ".jitney/keys",
        "The folder of the private keys, where they are in files.",
        |c, g| put(&mut c.keys.dir, path(g))),
    key("keys", "rotation", Form::Span, "30d",
        "The age at which a signing key is replaced.",
        |c, g| put(&mut c.keys.rotation, span(g))),
    key("keys", "jwks_max_age", Form::Span, "10m",
        "How long a verifier may keep the JWKS. A key is published at least that long before it signs.",
        |c, g| put(&mut c.keys.jwks_max_age, span(g))),

    key("audit", "path", Form::Path, ".jitney/audit.jsonl",
        "The file.",
        |c, g| put(&mut c.audit.path, path(g))),
    key("audit", "durability", Form::Text, "write",
        "`write`: a token leaves when the kernel has its line. `sync`: when the disk has it.",
        |c, g| put(&mut c.audit.durability, word(g, &[("write", Durability::Write), ("sync", Durability::Sync)]))),
    key("audit", "rotate_size", Form::Size, "1GiB",
        "At this length the file is closed, as `audit-DAY-NUMBER.jsonl` beside it, and another goes on with its chain. `0`: at \
         no length. From 4KiB on.",
        |c, g| put(&mut c.audit.rotation.size, rotate_size(g))),
    key("audit", "rotate", Form::Text, "never",
        "`daily`: the file is closed with the first line of another day (UTC) too. `never`: for its length alone.",
        |c, g| put(&mut c.audit.rotation.daily, word(g, &[("daily", true), ("never", false)]))),
    key("audit", "keep", Form::Number, "0",
        "So many closed files stay; older ones are removed when another is closed, and a line says which. `0`: all stay.",
        |c, g| put(&mut c.audit.rotation.keep, number(g, 0..=1_000_000).map(|keep: u32| (keep > 0).then_some(keep)))),
    key("audit", "checkpoint", Form::Span, "5m",
        "How often the broker signs for the last line, in `PATH.checkpoints`. It does so too when a file is closed and when it \
         ends.",
        |c, g| put(&mut c.audit.checkpoint, span(g))),

    key("limits", "body", Form::Size, "64KiB",
        "The longest body of a request; more is answered 413.",
        |c, g| put(&mut c.limits.body, size(g, 1024..=16 << 20))),
    key("limits", "header", Form::Size, "16KiB",
        "The longest head of a request; more, or more than 100 headers, is answered 431.",
        |c, g| put(&mut c.limits.header, size(g, 1024..=1 << 20))),
    key("limits", "connections", Form::Number, "4096",
        "Connections at once. One more takes the place of the one that has waited longest for its client; where none waits, it is answered 503 and closed.",
        |c, g| put(&mut c.limits.connections, number(g, 1..=1_000_000))),
    key("limits", "requests", Form::Number, "1024",
        "Requests worked on at once; one more is answered 503.",
        |c, g| put(&mut c.limits.requests, number(g, 1..=1_000_000))),
    key("limits", "handshake_timeout", Form::Span, "10s",
        "How long a TLS handshake may take.",
        |c, g| put(&mut c.limits.handshake_timeout, span(g))),
    key("limits", "header_timeout", Form::Span, "30s",
        "How long a connection may go without a whole request head, or with an answer of which the client takes less than 16 KiB: slow heads, idle connections and slow readers end here.",
        |c, g| put(&mut c.limits.header_timeout, span(g))),
    key("limits", "body_timeout", Form::Span, "10s",
        "How long a body may take to arrive; longer is answered 408.",
        |c, g| put(&mut c.limits.body_timeout, span(g))),
    key("limits", "request_timeout", Form::Span, "10s",
        "How long the work on a request may take; longer is answered 503.",
        |c, g| put(&mut c.limits.request_timeout, span(g))),
    key("limits", "drain_timeout", Form::Span, "10s",
        "How long what is in flight may take at shutdown.",
        |c, g| put(&mut c.limits.drain_timeout, span(g))),

    key("limits", "feed_subscribers", Form::Number, "2048",
        "Streams of the revocation feed at once; one more is answered 503. Each takes a connection.",
        |c, g| put(&mut c.limits.feed.subscribers, number(g, 1..=1_000_000))),
    key("limits", "feed_per_address", Form::Number, "512",
        "Of these, from one address (of IPv6, one /64); one more is answered 503.",
        |c, g| put(&mut c.limits.feed.per_address, number(g, 1..=1_000_000))),
    key("limits", "feed_snapshots_per_address", Form::Number, "32",
        "Snapshots of the feed that are sent to one address at once; one more waits two seconds, and is answered 503 then.",
        |c, g| put(&mut c.limits.feed.snapshots_per_address, number(g, 1..=1_000_000))),

    key("telemetry", "log", Form::Text, "info",
        "A level (`error`, `warn`, `info`, `debug`, `trace`, `off`), or some by target: `info,jitney::store=debug`.",
        |c, g| put(&mut c.telemetry.log, log_filter(g))),
    key("telemetry", "format", Form::Text, "text",
        "`text` for people, `json` for one object a line.",
        |c, g| put(&mut c.telemetry.format, g.text.parse::<Format>())),
];

/// The setting of this name.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

/// Half of a TLS pair; an empty path stands for the half that is not given.
fn tls(config: &mut Config, file: Option<PathBuf>, half: fn(&mut TlsFiles) -> &mut PathBuf) -> Result<(), String> {
    if let Some(file) = file {
        *half(config.server.tls.get_or_insert_default()) = file;
    }
    Ok(())
}

/// Nothing for 0. What is shorter than a line would close a file with each.
fn rotate_size(given: &Given<'_>) -> Result<Option<u64>, String> {
    const LEAST: usize = 4096;
    match size(given, 0..=1 << 40)? {
        0 => Ok(None),
        bytes @ LEAST.. => Ok(Some(bytes as u64)),
        _ => Err("write 0, or a size from 4096 bytes on, like `64MiB`".into()),
    }
}

fn log_filter(given: &Given<'_>) -> Result<String, String> {
    check_filter(given.text).map_err(|error| error.to_string())?;
    Ok(given.text.to_owned())
}

/// A configuration to write the defaults into: every value here is replaced by the table's.
pub(super) fn blank() -> Config {
    let (none, zero) = (PathBuf::new(), Duration::ZERO);
    Config {
        server: Server {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            issuer: None,
            tls: None,
            allow_plain_http: false,
            accept_endpoint_audience: false,
            forward_auth: false,
            forward_auth_audiences: Vec::new(),
            forward_auth_proxy: Proxy::None,
        },
        admin: Admin { socket: none.clone() },
        store: Store {
            url: StoreUrl::Embedded(none.clone()),
            ca_file: None,
            accept_unsafe: Vec::new(),
            min_replicas: 0,
        },
        policies: Policies { dir: none.clone() },
        federation: Federation { allow_private: Vec::new(), ca_file: None },
        tokens: Tokens { default_ttl: zero, max_ttl: zero, max_lifetime: zero },
        tasks: Tasks { closed_for: zero, bearer_complete: false },
        keys: Keys { storage: KeyStorage::File, dir: none.clone(), rotation: zero, jwks_max_age: zero },
        audit: Audit { path: none, durability: Durability::Write, rotation: Rotation::default(), checkpoint: zero },
        limits: Limits {
            body: 0,
            header: 0,
            connections: 0,
            requests: 0,
            handshake_timeout: zero,
            header_timeout: zero,
            body_timeout: zero,
            request_timeout: zero,
            drain_timeout: zero,
            feed: FeedLimits { subscribers: 0, per_address: 0, snapshots_per_address: 0 },
        },
        telemetry: Telemetry { log: String::new(), format: Format::Text },
    }
}
