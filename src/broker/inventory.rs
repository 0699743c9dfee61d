//! What operators see: leases with their state, workloads and audiences.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::audit::{LastGrant, LastGrants, last_grants};
use crate::governance::inventory::{AudienceView, Inventory, WorkloadView as Declared};
use crate::model::{Lease, LeaseRecord, RuleKind, WorkloadId};
use crate::store::{LeaseFilter, Quarantine, StoreError};

use super::Broker;
use super::ended::FirstEnd;
use super::tally::Holders;

/// Whether a lease still stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseState {
    /// Its token is good now.
    Live,
    /// Its time is over.
    Expired,
    /// It was ended before its time.
    Ended,
}

/// A lease and what has become of it.
#[derive(Debug, Clone, Serialize)]
pub struct LeaseView {
    /// The record, but for its end.
    #[serde(flatten)]
    pub record: LeaseRecord,
    /// Whether it stands.
    pub state: LeaseState,
    /// The kind of rule that ended it first.
    pub ended_by: Option<RuleKind>,
    /// Where and when it ended first.
    pub ended: Option<FirstEnd>,
}

/// A page of leases.
#[derive(Debug, Clone, Serialize)]
pub struct LeaseList {
    /// The leases.
    pub leases: Vec<LeaseView>,
    /// Where to go on.
    pub next: Option<String>,
}

/// All workloads.
#[derive(Debug, Clone, Serialize)]
pub struct WorkloadList {
    /// The workloads.
    pub workloads: Vec<WorkloadView>,
    /// Not all leases were looked at: there may be workloads that no file declares and that have some.
    pub more_undeclared: bool,
    /// Other brokers of the store: what they granted stands in their own logs, which this one does not read.
    pub unread: Vec<String>,
}

/// A workload of the inventory.
#[derive(Debug, Clone, Serialize)]
pub struct WorkloadView {
    /// What the policies tell of it.
    #[serde(flatten)]
    pub declared: Declared,
    /// Whether a file of the policies declares it.
    #[serde(rename = "declared")]
    pub is_declared: bool,
    /// The quarantine it is in.
    pub quarantine: Option<Quarantine>,
    /// Its live leases, where one workload is shown, and of one that no file declares, so many as were found in a moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_leases: Option<u64>,
    /// There may be more than were counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_leases: bool,
    /// Its last grant, as far back as was looked.
    pub last_use: Option<LastGrant>,
    /// So far back the audit log was looked through, where no grant was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused_since: Option<String>,
    /// Where one workload is shown: other brokers of the store, whose logs may hold a later grant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// The command that ends all its leases.
    pub revoke: String,
    /// The command that ends them and shuts it out, or lets it in again.
    pub shut: String,
}

/// So many leases are held against the rules in one go.
pub(super) const A_FEW: usize = 32;

impl Broker {
    /// A page of the leases that have not expired, ended ones too where no state is asked for. It may be short, or empty, and
    /// yet have one behind it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leases(
        &self,
        filter: LeaseFilter,
        state: Option<LeaseState>,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<LeaseList, StoreError> {
        self.follower.catch_up().await?;
        let page = self.parts.store.leases(filter, cursor, limit).await?;
        let views = match state {
            // Which rule was the first does not matter of one that stands.
            Some(LeaseState::Live) => self.view_leases(page.leases).await,
            _ => self.view_ends(page.leases).await,
        };
        let leases = views.into_iter().filter(|view| state.is_none_or(|state| state == view.state)).collect();
        Ok(LeaseList { leases, next: page.next })
    }

    /// Many of them, each with its first end.
    async fn view_ends(&self, records: Vec<LeaseRecord>) -> Vec<LeaseView> {
        let first = self.first_ends(&records).await;
        records.into_iter().zip(first).map(|(record, first)| self.view_ended(record, first)).collect()
    }

    /// Many of them with their state, a few at a time: who looks through a million holds up no mint.
    pub(super) async fn view_leases(&self, records: Vec<LeaseRecord>) -> Vec<LeaseView> {
        let mut views = Vec::with_capacity(records.len());
        for (at, record) in (1..).zip(records) {
            views.push(self.view_lease(record));
            if at % A_FEW == 0 {
                tokio::task::yield_now().await;
            }
        }
        views
    }

    /// All workloads that are declared, and those that are so no more and are in quarantine, or have live leases.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn workloads(&self) -> Result<WorkloadList, StoreError> {
        let set = self.parts.policies.current();
        let all = self.parts.store.quarantines().await?.all;
        let mut quarantines: BTreeMap<_, _> =
            all.into_iter().map(|each| (each.workload.as_str().to_owned(), each)).collect();
        let mut names: BTreeSet<String> = set.workloads().map(|workload| workload.id.to_string()).collect();
        let unread = self.others().await?;
        let Holders { mut live, newest, more: more_undeclared } = self.holders(|id| names.contains(id)).await?;
        names.extend(quarantines.keys().chain(live.keys()).cloned());
        let uses = self.last_uses(names.into_iter().collect(), FOR_ALL).await;
        let inventory = Inventory::of(&set, self.parts.clock.now());
        let declared = inventory.workloads().map(|declared| {
            let quarantine = quarantines.remove(&declared.id);
            view_workload(declared, quarantine, &uses)
        });
        let mut views: Vec<WorkloadView> = declared.collect();
        let left: BTreeSet<String> = quarantines.keys().chain(live.keys()).cloned().collect();
        views.extend(left.into_iter().map(|id| {
            let view = view_workload(Inventory::undeclared(&id), quarantines.remove(&id), &uses);
            let live_leases = Some(live.remove(&id).unwrap_or_default());
            WorkloadView { live_leases, more_leases: more_undeclared, ..view }
        }));
        views.iter_mut().for_each(|view| view.take_newer(newest.get(&view.declared.id)));
        Ok(WorkloadList { workloads: views, more_undeclared, unread })
    }

    /// One workload, with the number of its live leases. One that no file declares is told of while anything is known of it: a
    /// lease, a quarantine, a grant in the audit log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn workload(&self, id: &str) -> Result<Option<WorkloadView>, StoreError> {
        let set = self.parts.policies.current();
        let known = Inventory::of(&set, self.parts.clock.now()).workload(id);
        let is_declared = known.is_some();
        let declared = match (known, WorkloadId::parse(id)) {
            (Some(declared), _) => declared,
            (None, Ok(_)) => Inventory::undeclared(id),
            (None, Err(_)) => return Ok(None),
        };
        let quarantines = self.parts.store.quarantines().await?.all;
        let quarantine = quarantines.into_iter().find(|each| each.workload.as_str() == id);
        let uses = self.last_uses(vec![declared.id.clone()], FOR_ONE).await;
        let mut view = view_workload(declared, quarantine, &uses);
        let Ok(workload) = WorkloadId::parse(id) else { return Ok(Some(view)) };
        let live = self.recent(workload).await?;
        let is_known = is_declared || view.quarantine.is_some() || view.last_use.is_some();
        if !is_known && live.newest.is_none() && !live.tally.more {
            return Ok(None);
        }
        view.take_newer(live.newest.as_ref());
        view.unread = self.others().await?;
        Ok(Some(WorkloadView { live_leases: Some(live.tally.count), more_leases: live.tally.more, ..view }))
    }

    /// The other brokers of the store, as far as their keys tell: those of one that is gone stay published for a while.
    async fn others(&self) -> Result<Vec<String>, StoreError> {
        let keys = self.parts.store.keys().await?.into_iter();
        let names: BTreeSet<String> = keys.map(|key| key.broker).filter(|name| *name != self.options.name).collect();
        Ok(names.into_iter().collect())
    }

    /// The last grants of `names`, from the last `most` bytes of this broker's audit log. Where it cannot be read, nothing is
    /// known.
    async fn last_uses(&self, names: Vec<String>, most: u64) -> LastGrants {
        let path = self.parts.audit.path().to_owned();
        let read = move || {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            last_grants(&path, &names, most)
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(%error, "when workloads were last used cannot be told");
                LastGrants::default()
            }
            Err(_) => LastGrants::default(),
        }
    }

    /// All audiences.
    pub fn audiences(&self) -> Vec<AudienceView> {
        let set = self.parts.policies.current();
        Inventory::of(&set, self.parts.clock.now()).audiences().collect()
    }

    /// One audience, with who may ask for what there.
    pub fn audience(&self, id: &str) -> Option<AudienceView> {
        let set = self.parts.policies.current();
        Inventory::of(&set, self.parts.clock.now()).audience(id)
    }
}

/// So much of the audit log is looked through, from its end, for the last grants of all, and for that of one: fractions of a
/// second of work, on a thread that nobody else waits for.
const FOR_ALL: u64 = 64 << 20;
const FOR_ONE: u64 = 256 << 20;

impl WorkloadView {
    /// Another broker's grant stands in its own log, and its lease in the store that all share.
    fn take_newer(&mut self, newest: Option<&Lease>) {
        if let Some(newest) = newest.filter(|lease| self.is_older_than(lease)) {
            self.last_use = Some(grant_of(newest));
            self.unused_since = None;
        }
    }

    /// Whether its last grant as the audit log has it came before that of `lease`. The log's moments have milliseconds more.
    fn is_older_than(&self, lease: &Lease) -> bool {
        let issued = lease.issued_at.rfc3339();
        let second = issued.trim_end_matches('Z');
        self.last_use.as_ref().is_none_or(|last| last.at.get(..second.len()).is_none_or(|at| at < second))
    }
}

fn grant_of(lease: &Lease) -> LastGrant {
    LastGrant {
        at: lease.issued_at.rfc3339(),
        audience: lease.audience.to_string(),
        scope: lease.scopes.to_string(),
        task: lease.task.to_string(),
        lease: Some(lease.id.to_string()),
    }
}

fn view_workload(mut declared: Declared, quarantine: Option<Quarantine>, uses: &LastGrants) -> WorkloadView {
    let id = declared.id.clone();
    let is_declared = declared.state != "undeclared";
    if quarantine.is_some() {
        declared.state = "quarantined";
    }
    let verb = if quarantine.is_some() { "release" } else { "quarantine" };
    let last_use = uses.of.get(&id).cloned();
    WorkloadView {
        is_declared,
        unused_since: if last_use.is_none() { uses.since.clone() } else { None },
        last_use,
        quarantine,
        live_leases: None,
        more_leases: false,
        unread: Vec::new(),
        revoke: format!("jitney lease revoke --workload {id} --reason …"),
        shut: format!("jitney workload {verb} {id} --reason …"),
        declared,
    }
}
