//! What operators see: leases with their state, workloads and audiences.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{LeaseId, LeaseRecord, RuleKind};
use crate::policy::{Audience, Identity, Proof, Workload};
use crate::revocation::TokenDigests;
use crate::store::{LeaseFilter, Quarantine, StoreError};

use super::Broker;

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
    /// The record.
    #[serde(flatten)]
    pub record: LeaseRecord,
    /// Whether it stands.
    pub state: LeaseState,
    /// The kind of rule that ended it.
    pub ended_by: Option<RuleKind>,
}

/// A page of leases.
#[derive(Debug, Clone, Serialize)]
pub struct LeaseList {
    /// The leases.
    pub leases: Vec<LeaseView>,
    /// Where to go on.
    pub next: Option<String>,
}

/// A workload of the inventory.
#[derive(Debug, Clone, Serialize)]
pub struct WorkloadView {
    /// Its name.
    pub id: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Why it exists.
    pub purpose: Option<String>,
    /// The last day it gets anything.
    pub expires: Option<String>,
    /// From when on it is to be looked at again.
    pub review: Option<String>,
    /// `ok`, `quarantined`, `expired` or `ungoverned`.
    pub state: &'static str,
    /// The quarantine it is in.
    pub quarantine: Option<Quarantine>,
    /// How it proves itself.
    pub identities: Vec<IdentityView>,
    /// What some policy could permit it.
    pub grants: Vec<GrantView>,
    /// Its live leases, where one workload is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_leases: Option<u64>,
    /// There may be more than were counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_leases: bool,
    /// The command that ends all its leases.
    pub revoke: String,
}

/// One way to prove itself.
#[derive(Debug, Clone, Serialize)]
pub struct IdentityView {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The platform that signs its tokens, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

impl IdentityView {
    fn of(identity: &Identity) -> Self {
        let issuer = match &identity.proof {
            Proof::Oidc(oidc) => Some(oidc.issuer.to_string()),
            _ => None,
        };
        Self { kind: identity.kind().as_str(), issuer }
    }
}

/// One scope that some policy could permit.
#[derive(Debug, Clone, Serialize)]
pub struct GrantView {
    /// The resource server.
    pub audience: String,
    /// The scope.
    pub scope: String,
    /// By which policy.
    pub policy: String,
    /// The longest token, seconds, where the policy obliges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<u64>,
    /// Whether the policy has conditions besides.
    pub conditional: bool,
}

/// A resource server of the inventory.
#[derive(Debug, Clone, Serialize)]
pub struct AudienceView {
    /// Its URI.
    pub id: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Why it exists.
    pub purpose: Option<String>,
    /// The longest token, seconds.
    pub max_ttl: Option<u64>,
    /// The longest chain of renewals, seconds.
    pub max_lifetime: Option<u64>,
    /// What each scope means.
    pub scopes: BTreeMap<String, String>,
    /// How it proves itself for introspection.
    pub identities: Vec<IdentityView>,
}

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
        let views = page.leases.into_iter().map(|record| self.view_lease(record));
        let leases = views.filter(|view| state.is_none_or(|state| state == view.state)).collect();
        Ok(LeaseList { leases, next: page.next })
    }

    /// One lease.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lease(&self, id: LeaseId) -> Result<Option<LeaseView>, StoreError> {
        self.follower.catch_up().await?;
        Ok(self.parts.store.lease(id).await?.map(|record| self.view_lease(record)))
    }

    pub(super) fn view_lease(&self, record: LeaseRecord) -> LeaseView {
        let lease = &record.lease;
        let by_rule = self.follower.view().ends(&TokenDigests::of_lease(lease), lease.position);
        let by_epoch = (Some(lease.epoch) != self.follower.view().epoch()).then_some(RuleKind::All);
        let ended_by = by_rule.or(record.ended.as_ref().map(|_| RuleKind::Lease)).or(by_epoch);
        let state = match ended_by {
            Some(_) => LeaseState::Ended,
            None if lease.expires_at <= self.parts.clock.now() => LeaseState::Expired,
            None => LeaseState::Live,
        };
        LeaseView { record, state, ended_by }
    }

    /// All workloads.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn workloads(&self) -> Result<Vec<WorkloadView>, StoreError> {
        let set = self.parts.policies.current();
        let mut quarantines = self.parts.store.quarantines().await?.all;
        Ok(set
            .workloads()
            .map(|workload| {
                let at = quarantines.iter().position(|each| each.workload == workload.id);
                self.view_workload(workload, at.map(|at| quarantines.swap_remove(at)))
            })
            .collect())
    }

    /// One workload, with the number of its live leases.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn workload(&self, id: &str) -> Result<Option<WorkloadView>, StoreError> {
        let set = self.parts.policies.current();
        let Some(workload) = set.workload(id) else { return Ok(None) };
        let quarantines = self.parts.store.quarantines().await?.all;
        let quarantine = quarantines.into_iter().find(|each| each.workload == workload.id);
        let selector = crate::model::Selector::Workload(workload.id.clone());
        let live = self.selected(&selector, super::tally::Looks::Few).await?;
        Ok(Some(WorkloadView {
            live_leases: Some(live.count),
            more_leases: live.more,
            ..self.view_workload(workload, quarantine)
        }))
    }

    fn view_workload(&self, workload: &Workload, quarantine: Option<Quarantine>) -> WorkloadView {
        let grants = self.parts.policies.current().grants_of(workload.id.as_str());
        let state = match (&quarantine, workload.state(self.parts.clock.now())) {
            (Some(_), _) => "quarantined",
            (None, Ok(())) => "ok",
            (None, Err(reason)) => reason.as_str(),
        };
        WorkloadView {
            id: workload.id.to_string(),
            owner: workload.owner.clone(),
            purpose: workload.purpose.clone(),
            expires: workload.expires.map(|day| day.to_string()),
            review: workload.review.map(|day| day.to_string()),
            state,
            quarantine,
            identities: workload.identities.iter().map(IdentityView::of).collect(),
            grants: grants
                .into_iter()
                .map(|grant| GrantView {
                    audience: grant.audience.to_string(),
                    scope: grant.scope.to_string(),
                    policy: grant.policy.to_string(),
                    max_ttl: grant.max_ttl.map(|ttl| ttl.as_secs()),
                    conditional: grant.conditional,
                })
                .collect(),
            live_leases: None,
            more_leases: false,
            revoke: format!("jitney lease revoke --workload {} --reason …", workload.id),
        }
    }

    /// All audiences.
    pub fn audiences(&self) -> Vec<AudienceView> {
        self.parts.policies.current().audiences().map(|audience| view_audience(audience)).collect()
    }

    /// One audience.
    pub fn audience(&self, id: &str) -> Option<AudienceView> {
        self.parts.policies.current().audience(id).map(|audience| view_audience(audience))
    }
}

fn view_audience(audience: &Audience) -> AudienceView {
    AudienceView {
        id: audience.id.to_string(),
        owner: audience.owner.clone(),
        purpose: audience.purpose.clone(),
        max_ttl: audience.max_ttl.map(|ttl| ttl.as_secs()),
        max_lifetime: audience.max_lifetime.map(|span| span.as_secs()),
        scopes: audience.scopes.iter().map(|scope| (scope.name.to_string(), scope.about.to_string())).collect(),
        identities: audience.identities.iter().map(IdentityView::of).collect(),
    }
}
