//! The one behavioural suite that every store passes: `store_suite!(make_fixture())` makes a test of each case.
//!
//! Owns what `LeaseStore` promises, case by case, and the builders of leases and ends. Knows no store: a [`Fixture`]
//! opens and restarts it. Times are the system's, for a server judges expiry by its own clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{End, EndTarget, Ended, LeaseDraft, LeaseStore, PublishedKey, Quarantine, Quarantines, RecordError, Spent};
use crate::model::{AudienceUri, Clock, Epoch, KeyId, Lease, LeaseId, TaskId, UnixTime, WorkloadId};
use crate::policy::grant_for_tests;

pub(crate) mod ends;
pub(crate) mod log;
pub(crate) mod mints;
pub(crate) mod order;
pub(crate) mod restart;
pub(crate) mod shelves;

/// One store with nothing in it, and how to reach it.
pub(crate) trait Fixture {
    /// A handle, as one broker would hold it; several are several brokers on one store.
    async fn open(&self) -> Arc<dyn LeaseStore>;

    /// Stops the store and starts it again with what it had. Handles opened before are dropped by the caller.
    async fn restart(&self);
}

/// Makes a test of each case; `$make` is an expression that gives a future of a fresh fixture.
macro_rules! store_suite {
    ($make:expr) => {
        crate::store::suite::store_cases! { $make;
            mints::a_recorded_lease_reads_back_as_it_was_written,
            mints::a_lease_carries_the_head_that_was_read,
            mints::a_lease_judged_at_an_older_head_takes_that_one,
            mints::another_epoch_is_refused,
            mints::a_key_that_is_not_published_is_refused,
            mints::a_quarantined_workload_gets_no_lease_until_it_is_released,
            mints::an_ended_task_and_its_children_take_no_lease,
            mints::an_ended_task_takes_leases_again_after_its_time,
            mints::an_assertion_counts_once,
            mints::what_is_bound_to_a_purpose_counts_for_that_one_alone,
            mints::an_assertion_spent_elsewhere_mints_nothing,
            mints::a_store_that_lost_no_memory_asks_not_how_old_an_assertion_is,
            mints::of_sixteen_at_once_with_one_assertion_exactly_one_wins,
            mints::a_duplicate_id_is_refused_and_uses_nothing_up,
            mints::a_renewal_names_its_successor_once,
            mints::a_renewal_of_what_is_unknown_or_ended_is_refused,
            mints::of_two_renewals_at_once_one_wins,
            ends::a_completed_task_has_a_rule_that_covers_its_leases,
            ends::a_second_completion_appends_nothing,
            ends::a_task_that_woke_again_ends_again,
            ends::ending_the_parent_covers_the_children,
            ends::a_completion_without_a_lease_appends_nothing_and_closes_the_name,
            ends::an_assertion_ends_something_once,
            ends::a_lease_ends_with_its_successors_and_without_its_predecessor,
            ends::an_unknown_lease_ends_nothing,
            ends::workload_audience_and_all_append_one_rule_each,
            ends::a_quarantine_appends_a_rule_and_is_told,
            ends::a_second_quarantine_leaves_the_first_as_it_is,
            ends::a_quarantine_is_restored_where_it_is_missing_and_once,
            ends::what_was_released_in_this_epoch_is_not_restored,
            ends::an_end_of_what_lives_writes_nothing_where_nothing_does,
            ends::settling_changes_nothing_and_tells_nobody,
            ends::a_revoked_key_is_gone_for_good,
            ends::no_rule_ends_before_the_last_lease_it_selects,
            log::pages_come_in_order_without_a_gap,
            log::rules_tell_the_audiences_they_concern,
            log::another_broker_hears_that_the_log_moved,
            shelves::keys_are_published_extended_and_withdrawn,
            shelves::a_key_of_another_epoch_is_not_published,
            shelves::leases_are_filtered,
            shelves::paging_shows_each_lease_once,
            shelves::a_list_loses_nothing_while_leases_come,
            shelves::a_cursor_that_no_page_gave_is_refused,
            shelves::a_selector_counts_what_it_would_end,
            shelves::figures_and_settings_are_told,
            restart::leases_and_their_ends_survive,
            restart::marks_survive,
            restart::the_log_survives,
            restart::keys_and_quarantine_survive,
            restart::the_replay_memory_survives,
            order::before_and_after_a_workloads_end_are_told_by_positions,
            order::no_lease_is_recorded_after_a_completion_is_acknowledged,
        }
    };
}

/// One test a line.
macro_rules! store_cases {
    ($make:expr; $($module:ident::$case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::store::suite::$module::$case($make.await).await;
            }
        )*
    };
}

pub(crate) use {store_cases, store_suite};

/// The workload of most cases.
pub(crate) const WORKLOAD: &str = "nightly-report";
/// The resource server of most cases.
pub(crate) const AUDIENCE: &str = "https://api.example.com";
/// The key that signs in most cases.
pub(crate) const KEY: &str = "key-1";

/// The system's time.
pub(crate) fn now() -> UnixTime {
    Clock::system().now()
}

/// A workload's name.
pub(crate) fn workload(raw: &str) -> WorkloadId {
    WorkloadId::parse(raw).expect("workload")
}

/// A task's name.
pub(crate) fn task(raw: &str) -> TaskId {
    TaskId::parse(raw).expect("task")
}

/// A resource server's name.
pub(crate) fn audience(raw: &str) -> AudienceUri {
    AudienceUri::parse(raw).expect("audience")
}

/// A key's name.
pub(crate) fn kid(raw: &str) -> KeyId {
    KeyId::parse(raw).expect("kid")
}

/// An assertion of the usual workload.
pub(crate) fn assertion(jti: &str) -> Spent {
    Spent::new(WORKLOAD, jti, now().plus(Duration::from_secs(330)))
}

/// A lease id nobody has.
pub(crate) fn fresh_id(of: &str) -> LeaseId {
    let mut random = [0; 8];
    SystemRandom::new().fill(&mut random).expect("randomness");
    LeaseId::new(Clock::system().now_ms(), LeaseId::shard_of(&workload(of)), u64::from_ne_bytes(random))
}

/// A key as a broker publishes it, for a day.
pub(crate) fn published(name: &str) -> PublishedKey {
    PublishedKey {
        kid: kid(name),
        point: B64.encode([4; 65]),
        broker: "b1".to_owned(),
        published_at: now(),
        signs_from: now(),
        published_until: now().plus(Duration::from_secs(86_400)),
        retired_at: None,
    }
}

/// A handle on a store where [`KEY`] is published, and the store's epoch.
pub(crate) async fn ready<F: Fixture>(fixture: &F) -> (Arc<dyn LeaseStore>, Epoch) {
    let store = fixture.open().await;
    let epoch = store.head().await.expect("head").epoch;
    store.publish(published(KEY), epoch).await.expect("publish");
    (store, epoch)
}

/// What a lease is asked for; the boring parts have defaults.
#[derive(Clone)]
pub(crate) struct Ask {
    workload: String,
    audience: String,
    task: String,
    at: UnixTime,
    ttl: Duration,
    kid: String,
    epoch: Epoch,
    id: Option<LeaseId>,
    renews: Option<LeaseId>,
    spent: Option<Spent>,
}

impl Ask {
    /// Five minutes of `orders:read` for `task`.
    pub(crate) fn task(task: &str, epoch: Epoch) -> Self {
        Self {
            workload: WORKLOAD.to_owned(),
            audience: AUDIENCE.to_owned(),
            task: task.to_owned(),
            at: now(),
            ttl: Duration::from_secs(300),
            kid: KEY.to_owned(),
            epoch,
            id: None,
            renews: None,
            spent: None,
        }
    }

    pub(crate) fn workload(mut self, workload: &str) -> Self {
        workload.clone_into(&mut self.workload);
        self
    }

    pub(crate) fn audience(mut self, audience: &str) -> Self {
        audience.clone_into(&mut self.audience);
        self
    }

    pub(crate) fn at(mut self, at: UnixTime) -> Self {
        self.at = at;
        self
    }

    pub(crate) fn ttl(mut self, secs: u64) -> Self {
        self.ttl = Duration::from_secs(secs);
        self
    }

    pub(crate) fn kid(mut self, kid: &str) -> Self {
        kid.clone_into(&mut self.kid);
        self
    }

    pub(crate) fn id(mut self, id: LeaseId) -> Self {
        self.id = Some(id);
        self
    }

    pub(crate) fn renews(mut self, lease: LeaseId) -> Self {
        self.renews = Some(lease);
        self
    }

    pub(crate) fn spending(mut self, spent: Spent) -> Self {
        self.spent = Some(spent);
        self
    }

    /// The draft, as a broker makes it from a grant of this moment.
    pub(crate) fn draft(self) -> LeaseDraft {
        let mut grant = grant_for_tests(&self.workload, &self.audience, "orders:read", &self.task, self.at, self.ttl);
        if let Some(lease) = self.renews {
            grant = grant.renewing(lease);
        }
        let id = self.id.unwrap_or_else(|| fresh_id(&self.workload));
        LeaseDraft::new(&grant, id, kid(&self.kid), self.epoch).spending(self.spent)
    }

    /// Records it and gives the lease as the store wrote it.
    pub(crate) async fn record(self, store: &Arc<dyn LeaseStore>) -> Result<Lease, RecordError> {
        store.record(self.draft()).await.map(|recorded| recorded.lease().clone())
    }
}

/// Ends `target` now, without an assertion.
pub(crate) async fn end(store: &Arc<dyn LeaseStore>, target: EndTarget) -> Ended {
    store.end(End { target, at: now(), spent: None }).await.expect("end")
}

/// Completes a task of the usual workload; its name stays closed for an hour.
pub(crate) async fn complete(store: &Arc<dyn LeaseStore>, name: &str) -> Ended {
    end(store, completion(name)).await
}

/// What [`complete`] ends.
pub(crate) fn completion(name: &str) -> EndTarget {
    let closed_until = now().plus(Duration::from_secs(3600));
    EndTarget::Task { workload: workload(WORKLOAD), task: task(name), closed_until }
}

/// What an operator's quarantine ends.
pub(crate) fn quarantine(of: &str) -> Quarantine {
    Quarantine { workload: workload(of), reason: "seen elsewhere".into(), actor: "uid:1000".into(), since: now() }
}

/// A number that grows with each call: who reads a smaller one came first.
#[derive(Default)]
pub(crate) struct Ticks(AtomicU64);

impl Ticks {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}
