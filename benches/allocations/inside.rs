//! A broker within this process, on its own store and audit log: requests go to its endpoints, and no byte over a socket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use jitney::audit::{AuditLog, AuditOptions};
use jitney::broker::{Broker, BrokerOptions, FeedLimits, Parts};
use jitney::fetch::foreign::ForeignOptions;
use jitney::http::Public;
use jitney::keys::{Keyring, KeyringOptions, Storage};
use jitney::model::Clock;
use jitney::net::Application as _;
use jitney::policy::{Limits, Policies, PolicySet};
use jitney::store::LeaseStore;
use jitney::store::embedded::{EmbeddedStore, Options};
use jitney::telemetry::Metrics;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::common::{Ask, Catalogue, ISSUER};
use super::scene::Failed;

/// Requests for tokens, ready to be handed over.
pub struct Mint {
    requests: Vec<Request<Bytes>>,
    public: Public,
    runtime: Runtime,
    _dir: TempDir,
}

impl Mint {
    /// With so many requests, each by a fresh assertion.
    pub fn new(count: usize) -> Result<Self, Failed> {
        let dir = tempfile::tempdir()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let public = runtime.block_on(public(&dir))?;
        let request = |_| {
            Request::post("/oauth2/token")
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(Bytes::from(Ask::of("demo").form()))
        };
        Ok(Self { requests: (0..count).map(request).collect::<Result<_, _>>()?, public, runtime, _dir: dir })
    }

    /// Hands the next one over and reads the answer; whether it is a token.
    pub fn next(&mut self) -> bool {
        let Some(request) = self.requests.pop() else { return false };
        self.runtime.block_on(async {
            let response = self.public.answer(request).await;
            let granted = response.status() == StatusCode::OK;
            granted && response.into_body().collect().await.is_ok()
        })
    }
}

async fn public(dir: &TempDir) -> Result<Public, Failed> {
    let clock = Clock::system();
    let policies = dir.path().join("policies");
    Catalogue::default().write(&policies);
    let (set, _) = PolicySet::load(&policies).map_err(|findings| findings.to_string())?;
    let options = Options { clock: clock.clone(), ..Options::default() };
    let store: Arc<dyn LeaseStore> = Arc::new(EmbeddedStore::open(&dir.path().join("leases"), options)?);
    let options = AuditOptions { clock: clock.clone(), ..AuditOptions::new(dir.path().join("audit.log"), "bench") };
    let audit = Arc::new(AuditLog::open(options)?);
    let keys = KeyringOptions {
        broker: "bench".into(),
        issuer: ISSUER.into(),
        storage: Storage::Memory,
        jwks_max_age: Duration::from_secs(300),
        max_ttl: Limits::default().max_ttl,
        skew: Broker::SKEW,
        rotation: None,
    };
    let keys = Arc::new(Keyring::open(keys, Arc::clone(&store), clock.clone()).await?);
    let policies = Arc::new(Policies::fixed(set, clock.clone()));
    let options = BrokerOptions {
        name: "bench".into(),
        issuer: ISSUER.into(),
        limits: Limits::default(),
        feed: FeedLimits::default(),
        closed_for: Duration::from_secs(3600),
        bearer_complete: true,
        accept_endpoint_audience: false,
        federation: ForeignOptions {
            timeout: Duration::from_secs(3),
            max_body: 256 << 10,
            allow: Vec::new(),
            ca_pem: None,
        },
    };
    let parts = Parts { policies, store, audit, keys, metrics: Arc::new(Metrics::new()), clock };
    Ok(Public::new(Arc::new(Broker::start(options, parts).await?)))
}
