//! A broker for tests of this room: a real store in a temporary folder, and a clock that a test moves.

use std::sync::Arc;
use std::time::Duration;

use super::{Broker, BrokerOptions, FeedLimits, Parts};
use crate::audit::{AuditLog, AuditOptions};
use crate::fetch::foreign::ForeignOptions;
use crate::keys::{Keyring, KeyringOptions, Storage};
use crate::model::{Clock, UnixTime};
use crate::policy::{Limits, Policies, PolicySet};
use crate::store::LeaseStore;
use crate::store::embedded::{EmbeddedStore, Options};
use crate::telemetry::Metrics;

pub(super) const AT: UnixTime = UnixTime::from_secs(1_800_000_000);
pub(super) const SPAN: Duration = Duration::from_secs(300);

/// A broker on an embedded store and a clock that stands, with these files for policies.
pub(super) async fn broker(dir: &tempfile::TempDir, policies: Vec<(String, String)>) -> Broker {
    let (clock, name, issuer) = (Clock::manual(AT), "b1".to_owned(), "https://issuer.example".to_owned());
    let options = Options { clock: clock.clone(), ..Options::default() };
    let store: Arc<dyn LeaseStore> = Arc::new(EmbeddedStore::open(&dir.path().join("store"), options).unwrap());
    let keys = KeyringOptions {
        broker: name.clone(),
        issuer: issuer.clone(),
        storage: Storage::Memory,
        jwks_max_age: SPAN,
        max_ttl: SPAN,
        skew: Broker::SKEW,
        rotation: None,
    };
    let keys = Keyring::open(keys, Arc::clone(&store), clock.clone()).await.unwrap();
    let set = PolicySet::from_sources(policies, AT).unwrap().0;
    let parts = Parts {
        policies: Arc::new(Policies::fixed(set, clock.clone())),
        store,
        audit: Arc::new(AuditLog::open(AuditOptions::new(dir.path().join("audit"), &name)).unwrap()),
        keys: Arc::new(keys),
        metrics: Arc::new(Metrics::new()),
        clock,
    };
    let options = BrokerOptions {
        name,
        issuer,
        limits: Limits { default_ttl: SPAN, max_ttl: SPAN, max_lifetime: SPAN },
        feed: FeedLimits::default(),
        closed_for: SPAN,
        bearer_complete: true,
        accept_endpoint_audience: false,
        federation: ForeignOptions { timeout: SPAN, max_body: 1000, allow: Vec::new(), ca_pem: None },
    };
    Broker::start(options, parts).await.unwrap()
}
