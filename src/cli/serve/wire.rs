//! Every part in its place, in the order in which a failure leaves nothing half-started.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::super::Failure;
use super::super::output::without_secrets;
use super::own::{broker_name, make_folder};
use super::{Setup, announce, dev, since_boot};
use crate::audit::{AuditLog, AuditOptions, AuditRecord, Event, Outcome};
use crate::broker::{Broker, BrokerOptions, Parts, Timed};
use crate::config::{Config, KeyStorage, StoreUrl};
use crate::fetch::foreign::ForeignOptions;
use crate::http;
use crate::keys::{Keyring, KeyringOptions, Storage};
use crate::model::{AudienceUri, Clock};
use crate::net::{self, Shutdown, Supervisor, Tls, unix};
use crate::policy::{Diagnostic, Policies, PolicySet, Reloaded};
use crate::store::LeaseStore;
use crate::store::embedded::{EmbeddedStore, Options as EmbeddedOptions};
use crate::store::redis::{RedisOptions, RedisStore};
use crate::telemetry::Metrics;

/// What helps where the store fails at the start.
const STORE: &str = "see that the store of [store] url is up and may be used, then start again";

/// Serves until a signal, or until something it cannot do without has ended.
pub(super) async fn serve(setup: &Setup) -> Result<(), Failure> {
    let config = &setup.config;
    let shutdown = Shutdown::new(config.limits.drain_timeout);
    // A file at its largest allowed size is a write that fails, and not the end: listened to, the signal kills no more.
    let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
    let signals =
        shutdown.on_signals().map_err(|error| Failure::unexpected(format!("no signal can be taken: {error}")))?;
    let listener = listen(config).await?;
    let tls = tls(config)?;
    let address = listener.local_addr().map_err(|error| Failure::unexpected(error.to_string()))?;
    let url = format!("{}://{address}", if tls.is_some() { "https" } else { "http" });
    let issuer = config.issuer(address);
    let metrics = Arc::new(Metrics::new());
    let clock = Clock::steady(since_boot);
    let (policies, audit_later) = policies(setup, &clock, &metrics)?;
    let socket = admin_socket(setup)?;
    let store: Arc<dyn LeaseStore> = Arc::new(Timed::new(store(config, &clock).await?, metrics.clone()));
    check_safety(setup, &*store).await?;
    let name = broker_name(config)?;
    let audit = audit(config, &name)?;
    let _ = audit_later.set(audit.clone());
    let keys = keys(config, &name, &issuer, &store, &clock).await?;
    let parts = Parts { policies: policies.clone(), store, audit: audit.clone(), keys, metrics, clock };
    let broker = Broker::start(options(config, name, issuer)?, parts);
    let broker = Arc::new(broker.await.map_err(|error| Failure::new(error.to_string(), STORE))?);
    if let Some(tls) = &tls {
        broker.serves(tls);
    }
    let (limits, public) = (config.limits.for_listener(), public(config, broker.clone(), &policies.current()));
    let mut tasks = Supervisor::new(shutdown.clone());
    tasks.spare("signals", signals);
    tasks.spare("reload", reload_on_hangup(policies.clone(), tls.clone(), shutdown.clone()));
    tasks.essential("log", follow(shutdown.clone(), broker.clone()));
    tasks.essential("keys", until(shutdown.clone(), broker.clone().tend()));
    let every = config.audit.checkpoint;
    tasks.essential("checkpoints", until(shutdown.clone(), broker.clone().keep_checkpoints(every)));
    tasks.essential("federation", until(shutdown.clone(), broker.clone().federate()));
    tasks.essential("policies", until(shutdown.clone(), policies.clone().watch(crate::policy::LOOK_EVERY)));
    if let Some(tls) = tls.clone() {
        tasks.spare("certificate", tls.watch(shutdown.clone()));
    }
    let connections = limits.open.clone();
    tasks.spare("connections", until(shutdown.clone(), count(broker.clone(), connections)));
    tasks.essential(
        "admin",
        unix::serve(socket, http::admin::admin(broker.clone()), config.limits.for_listener(), shutdown.clone()),
    );
    tasks.essential("public", net::serve(listener, tls, public, limits, shutdown));
    let pasted = match &setup.dev {
        Some(dir) => Some(dev::write_env(dir, config, &url)?),
        None => None,
    };
    if setup.dev.is_none() {
        let set = policies.current();
        tracing::info!(
            issuer = broker.options().issuer, listen = %url, admin = %config.admin.socket.display(),
            store = %store_address(&config.store.url), workloads = set.workloads().len(),
            audiences = set.audiences().len(), policies = set.policy_count(), "serving"
        );
    }
    announce(&url, pasted.as_ref())?;
    let outcome = tasks.run().await.map_err(|died| {
        Failure::new(died.to_string(), "start it again, as systemd does; the log above says why it died")
    });
    end_log(&broker, &audit).await;
    outcome
}

fn admin_socket(setup: &Setup) -> Result<unix::Socket, Failure> {
    unix::Socket::bind(&setup.config.admin.socket).map_err(|error| {
        let next = match setup.dev.is_some() {
            true => "a second broker needs a folder of its own: --data DIR",
            false => "give each broker a socket of its own in [admin] socket, in a folder that it can write",
        };
        Failure::new(error.to_string(), next)
    })
}

/// What the public listener serves.
fn public(config: &Config, broker: Arc<Broker>, set: &PolicySet) -> http::Public {
    let (server, public) = (&config.server, http::Public::new(broker));
    if !server.forward_auth {
        return public;
    }
    let audiences = server.forward_auth_audiences.clone();
    for audience in undeclared(set, &audiences) {
        tracing::warn!(
            %audience, "forward_auth_audiences names it, and no file of the policies declares it: no token for it is granted, \
            so none passes; `jitney audience list` has those that are declared"
        );
    }
    public.with_forward_auth(audiences, server.forward_auth_proxy)
}

/// Those of `audiences` that no file of the policies declares.
fn undeclared<'a>(set: &PolicySet, audiences: &'a [AudienceUri]) -> impl Iterator<Item = &'a AudienceUri> {
    audiences.iter().filter(|audience| set.audience(audience.as_str()).is_none())
}

/// Writes the last line, and signs for it.
async fn end_log(broker: &Broker, audit: &AuditLog) {
    // Posted where it cannot be written now: the log keeps trying until it is closed.
    let stop = || AuditRecord::new(Event::Stop, Outcome::Done);
    if audit.note(stop()).await.is_err() {
        return audit.post(stop());
    }
    if let Err(error) = broker.checkpoint(audit.head()).await {
        tracing::warn!(%error, "no checkpoint of the audit log's last line can be made");
    }
}

/// Runs a task that knows no end of its own until the process ends.
async fn until(shutdown: Shutdown, task: impl Future<Output = ()>) {
    tokio::select! {
        () = shutdown.wait() => {}
        () = task => {}
    }
}

/// Follows the log until the process ends; then all who hear of it are let go, so that they find another broker at once.
async fn follow(shutdown: Shutdown, broker: Arc<Broker>) {
    until(shutdown, broker.clone().follow()).await;
    broker.end_feed();
}

async fn count(broker: Arc<Broker>, connections: net::OpenConnections) {
    let mut tick = tokio::time::interval(Duration::from_secs(2));
    loop {
        tick.tick().await;
        broker.metrics().set_connections(connections.get() as u64);
        if let Some(days) = broker.certificate_days_left() {
            broker.metrics().set_certificate(days);
        }
    }
}

async fn listen(config: &Config) -> Result<TcpListener, Failure> {
    let at = config.server.listen;
    TcpListener::bind(at).await.map_err(|error| {
        let next = "stop what listens there, or choose another address with --listen or [server] listen";
        Failure::new(format!("cannot listen on {at}: {error}"), next)
    })
}

fn tls(config: &Config) -> Result<Option<Tls>, Failure> {
    let Some(files) = &config.server.tls else { return Ok(None) };
    let next = "correct `tls_cert` and `tls_key` of [server], or the files";
    Tls::load(&files.cert, &files.key).map(Some).map_err(|error| Failure::new(error.to_string(), next))
}

/// The warnings of the set in use: a reload tells of those that are new.
#[derive(Default)]
struct Warned(Mutex<Vec<String>>);

impl Warned {
    fn tell(&self, warnings: &[Diagnostic]) {
        let now: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), now.clone());
        for warning in now.iter().filter(|warning| !before.contains(warning)) {
            tracing::warn!("{warning}");
        }
    }
}

type AuditLater = Arc<std::sync::OnceLock<Arc<AuditLog>>>;

/// Loads the policies. Their reloads are counted and written down once the audit log is open.
fn policies(setup: &Setup, clock: &Clock, metrics: &Arc<Metrics>) -> Result<(Arc<Policies>, AuditLater), Failure> {
    let later = AuditLater::default();
    let (audit, metrics) = (later.clone(), metrics.clone());
    let dir = setup.config.policies.dir.clone();
    let shown = dir.display().to_string();
    let warned = Arc::new(Warned::default());
    let at_start = warned.clone();
    let on_reload = Box::new(move |reloaded: Reloaded<'_>| {
        let record = match &reloaded {
            Reloaded::Loaded(set, warnings) => {
                metrics.policy_reload(true);
                warned.tell(warnings);
                tracing::info!(digest = set.digest(), warnings = warnings.len(), "the policies were reloaded");
                AuditRecord::new(Event::PolicyReload, Outcome::Done).detail(set.digest())
            }
            Reloaded::Refused(diagnostics) => {
                metrics.policy_reload(false);
                tracing::error!("the changed policies in {shown} are refused, the old ones stay:\n{diagnostics}");
                AuditRecord::new(Event::PolicyReload, Outcome::Failed).detail(&diagnostics.first_error())
            }
        };
        if let Some(audit) = audit.get() {
            audit.post(record);
        }
    });
    let opened = Policies::open(dir.clone(), clock.clone(), on_reload);
    let (policies, warnings) = opened.map_err(|diagnostics| {
        let next = match dir.exists() {
            true => format!("mend them; `jitney policy check {}` says the same", dir.display()),
            false => "name the folder in [policies] dir; to try jitney out: jitney serve --dev".into(),
        };
        Failure::new(format!("the policies cannot be loaded from {}\n{diagnostics}", dir.display()), next)
    })?;
    at_start.tell(&warnings);
    Ok((Arc::new(policies), later))
}

async fn store(config: &Config, clock: &Clock) -> Result<Arc<dyn LeaseStore>, Failure> {
    let failed = |error: crate::store::StoreError| {
        let at = store_address(&config.store.url);
        Failure::new(error.to_string(), format!("check [store] url, and that the store at {at} is up and may be used"))
    };
    match &config.store.url {
        StoreUrl::Embedded(folder) => {
            make_folder(Some(folder))?;
            let options = EmbeddedOptions { clock: clock.clone(), ..EmbeddedOptions::default() };
            let path = folder.join("leases.redb");
            let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&path, options)).await;
            let opened = opened.map_err(|error| Failure::unexpected(format!("opening the store: {error}")))?;
            Ok(Arc::new(opened.map_err(failed)?))
        }
        StoreUrl::Redis(url) => {
            let ca_pem = certificates("[store] ca_file", config.store.ca_file.as_deref())?;
            let options = RedisOptions {
                ca_pem,
                min_replicas: config.store.min_replicas,
                clock: clock.clone(),
                ..RedisOptions::new(url.expose().clone())
            };
            Ok(Arc::new(RedisStore::open(&options).await.map_err(failed)?))
        }
    }
}

/// Where the store is, without the user and password that its URL may hold.
fn store_address(url: &StoreUrl) -> String {
    match url {
        StoreUrl::Embedded(folder) => format!("embedded:{}", folder.display()),
        StoreUrl::Redis(url) => without_secrets(url.expose()).replace("[redacted]@", ""),
    }
}

/// What the store's settings do not promise is refused, unless it was accepted by name; with `--dev` it is a warning.
async fn check_safety(setup: &Setup, store: &dyn LeaseStore) -> Result<(), Failure> {
    let safety = store.safety().await.map_err(|error| Failure::new(error.to_string(), STORE))?;
    let accepted = |setting: &str| setup.config.store.accept_unsafe.iter().any(|name| name == setting);
    let found: Vec<_> = safety.iter().filter(|each| !each.safe && !accepted(&each.setting)).collect();
    for each in found.iter().filter(|_| setup.dev.is_some()) {
        tracing::warn!(setting = each.setting, value = each.value, "the store is not safe: {}", each.mend);
    }
    for each in safety.iter().filter(|each| each.safe && !each.mend.is_empty()) {
        tracing::info!(setting = each.setting, value = each.value, "the store could be set better: {}", each.mend);
    }
    if found.is_empty() || setup.dev.is_some() {
        return Ok(());
    }
    let names: Vec<String> = found.iter().map(|each| format!("\"{}\"", each.setting)).collect();
    let why: Vec<String> =
        found.iter().map(|each| format!("{} is {}: {}", each.setting, each.value, each.mend)).collect();
    Err(Failure::new(
        format!("the store would not keep what is acknowledged: {}", why.join("; ")),
        format!("mend the store, or accept it by name: [store] accept_unsafe = [{}]", names.join(", ")),
    ))
}

fn audit(config: &Config, name: &str) -> Result<Arc<AuditLog>, Failure> {
    make_folder(config.audit.path.parent())?;
    let (durability, rotation) = (config.audit.durability, config.audit.rotation);
    let options = AuditOptions { durability, rotation, ..AuditOptions::new(&config.audit.path, name) };
    let next = "let the broker's user write [audit] path, which no other broker writes";
    AuditLog::open(options).map(Arc::new).map_err(|error| Failure::new(error.to_string(), next))
}

async fn keys(
    config: &Config,
    name: &str,
    issuer: &str,
    store: &Arc<dyn LeaseStore>,
    clock: &Clock,
) -> Result<Arc<Keyring>, Failure> {
    let storage = match config.keys.storage {
        KeyStorage::File => Storage::File(config.keys.dir.clone()),
        KeyStorage::Memory => Storage::Memory,
    };
    let options = KeyringOptions {
        broker: name.to_owned(),
        issuer: issuer.to_owned(),
        storage,
        jwks_max_age: config.keys.jwks_max_age,
        max_ttl: config.tokens.max_ttl,
        skew: Broker::SKEW,
        rotation: Some(config.keys.rotation),
    };
    let keyring = Keyring::open(options, store.clone(), clock.clone()).await;
    let next = "see that [keys] dir is this broker's own, mode 0700, and that the store is up";
    keyring.map(Arc::new).map_err(|error| Failure::new(error.to_string(), next))
}

fn options(config: &Config, name: String, issuer: String) -> Result<BrokerOptions, Failure> {
    Ok(BrokerOptions {
        name,
        issuer,
        limits: crate::policy::Limits {
            default_ttl: config.tokens.default_ttl,
            max_ttl: config.tokens.max_ttl,
            max_lifetime: config.tokens.max_lifetime,
        },
        closed_for: config.tasks.closed_for,
        feed: config.limits.feed,
        bearer_complete: config.tasks.bearer_complete,
        accept_endpoint_audience: config.server.accept_endpoint_audience,
        federation: ForeignOptions {
            timeout: Duration::from_secs(3),
            max_body: 256 << 10,
            allow: config.federation.allow_private.clone(),
            ca_pem: certificates("[federation] ca_file", config.federation.ca_file.as_deref())?,
        },
    })
}

/// A file of certificates to trust, which the setting `key` names.
fn certificates(key: &str, file: Option<&Path>) -> Result<Option<Vec<u8>>, Failure> {
    let read = |path: &Path| {
        let next = || format!("correct {key}, or let the broker's user read it");
        fs::read(path).map_err(|error| Failure::new(format!("{}: {error}", path.display()), next()))
    };
    file.map(read).transpose()
}

/// Reloads policies and certificate on SIGHUP.
async fn reload_on_hangup(policies: Arc<Policies>, tls: Option<Tls>, shutdown: Shutdown) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            heard = hangups.recv() => if heard.is_none() { return },
        }
        let (policies, tls) = (policies.clone(), tls.clone());
        // Both read files; what came of it they write down themselves.
        let _ = tokio::task::spawn_blocking(move || {
            drop(policies.reload());
            tls.map(|tls| tls.look())
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;

    #[test]
    fn where_the_store_is_is_told_without_its_password() {
        for (url, told) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("rediss://u:hush@redis.example.com:6380/2", "rediss://redis.example.com:6380/2"),
            ("redis://:a/b?c#d@e@h", "redis://h"),
        ] {
            assert_eq!(store_address(&StoreUrl::Redis(Secret::new(url.to_owned()))), told);
        }
        assert_eq!(
            store_address(&StoreUrl::Embedded("/var/lib/jitney/store".into())),
            "embedded:/var/lib/jitney/store"
        );
    }
}
