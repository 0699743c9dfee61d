//! A workload that completes what never lived is slowed down, and its live tasks end all the same.

use std::time::Duration;

use crate::broker::Broker;
use crate::broker::made::{self, AT, SPAN};
use crate::broker::pace::Pace;
use crate::model::{LeaseId, Reason, TaskId, WorkloadId};
use crate::policy::grant_for_tests;
use crate::store::{LeaseDraft, Spent};

/// A broker which takes two empty ends at once and one a second.
async fn broker(dir: &tempfile::TempDir) -> Broker {
    let mut broker = made::broker(dir, Vec::new()).await;
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
