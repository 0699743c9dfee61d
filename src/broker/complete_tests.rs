//! A workload that completes what never lived is slowed down, and its live tasks end all the same.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::{AuditLog, AuditOptions};
use crate::broker::pace::Pace;
use crate::broker::{Broker, BrokerOptions, Parts};
use crate::fetch::foreign::ForeignOptions;
use crate::keys::{Keyring, KeyringOptions, Storage};
use crate::model::{Clock, LeaseId, Reason, TaskId, UnixTime, WorkloadId};
use crate::policy::{Limits, Policies, PolicySet, grant_for_tests};
use crate::store::embedded::{EmbeddedStore, Options};
use crate::store::{LeaseDraft, LeaseStore, Spent};
use crate::telemetry::Metrics;

const AT: UnixTime = UnixTime::from_secs(1_800_000_000);
const SPAN: Duration = Duration::from_secs(300);

/// A broker on an embedded store and a clock that stands, which takes two empty ends at once and one a second.
async fn broker(dir: &tempfile::TempDir) -> Broker {
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
    let set = PolicySet::from_sources(Vec::<(String, String)>::new(), AT).unwrap().0;
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
        closed_for: SPAN,
        bearer_complete: true,
        accept_endpoint_audience: false,
        federation: ForeignOptions { timeout: SPAN, max_body: 1000, allow: Vec::new(), ca_pem: None },
    };
    let mut broker = Broker::start(options, parts).await.unwrap();
    broker.empty_ends = Pace::new(2, 1);
    broker
}

async fn complete(broker: &Broker, task: &str, jti: &str) -> Result<usize, Reason> {
    let (workload, task) = (WorkloadId::parse("w").unwrap(), TaskId::parse(task).unwrap());
    let spent = Spent::new("w", jti, AT.plus(SPAN));
    let ended = broker.end_task(workload, task, Some(spent)).await;
    ended.map(|ended| ended.rules.len()).map_err(|no| no.refusal.reason)
}

async fn begin(broker: &Broker, task: &str) {
    let grant = grant_for_tests("w", "https://api.example.com", "orders:read", task, AT, Duration::from_secs(60));
    let signer = broker.keys().signer().unwrap();
    let id = LeaseId::new(0, LeaseId::shard_of(grant.workload()), task.len() as u64);
    let recorded = broker.parts.store.record(LeaseDraft::new(&grant, id, signer.kid, signer.epoch)).await;
    assert!(recorded.is_ok(), "{recorded:?}");
}

#[tokio::test]
async fn whoever_ends_nothing_too_often_still_ends_what_lives() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(&dir).await;
    begin(&broker, "live").await;
    begin(&broker, "parent/child").await;
    for task in ["a", "b"] {
        assert_eq!(complete(&broker, task, task).await, Ok(0));
    }
    assert_eq!(complete(&broker, "c", "c").await, Err(Reason::Busy), "a third is too much at once");
    assert_eq!(complete(&broker, "c", "c").await, Err(Reason::InvalidClient), "its assertion counted all the same");
    begin(&broker, "c").await;
    assert_eq!(complete(&broker, "live", "live").await, Ok(1), "what lives ends, however busy");
    assert_eq!(complete(&broker, "parent", "parent").await, Ok(1), "also by its child alone");
    assert_eq!(complete(&broker, "live", "again").await, Err(Reason::Busy), "what has ended finds nothing");
    broker.parts.clock.set(AT.plus(Duration::from_secs(1)));
    assert_eq!(complete(&broker, "d", "d").await, Ok(0), "a second later there is room for one");
}
