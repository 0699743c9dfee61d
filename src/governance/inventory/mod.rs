//! The inventory: who answers for each workload and audience, why it exists, until when, and what it may do, computed from the
//! policies rather than declared.
//!
//! Owns the documents as the admin API, the command line and the report show them. Never knows what only a broker does:
//! quarantines, leases.

mod due;
mod grants;
mod words;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::jose::JwkSet;
use crate::model::UnixTime;
use crate::policy::{Audience, Day, Identity, KeySource, PolicySet, Proof, TaskNaming, Workload};

pub use due::{Due, Matter, NEAR, due};
pub use grants::{GrantView, PolicyView, WithheldView};

use grants::Policies;

/// A workload, as far as the policies tell of it.
#[derive(Debug, Clone, Serialize)]
pub struct WorkloadView {
    /// Its name.
    pub id: String,
    /// The file it is declared in, relative to the policies' folder.
    pub file: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Why it exists.
    pub purpose: Option<String>,
    /// The last day it gets anything.
    pub expires: Option<String>,
    /// So many days are left, that one counted as 0.
    pub expires_in_days: Option<i64>,
    /// From when on it is to be looked at again.
    pub review: Option<String>,
    /// So many days until then; below 0 where it is overdue.
    pub review_in_days: Option<i64>,
    /// `ok`, `quarantined`, `expired`, `ungoverned`, or `undeclared` where no file names it.
    pub state: &'static str,
    /// How it proves itself.
    pub identities: Vec<IdentityView>,
    /// What some policy could permit it.
    pub grants: Vec<GrantView>,
    /// What some permit names for it and a forbid takes away whole.
    pub withheld: Vec<WithheldView>,
    /// The policies that have to go, or to change, before its file can be deleted, where one workload is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_by: Option<Vec<PolicyView>>,
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
    /// For whom those tokens are; the broker's issuer where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// What they must say, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// Who names the task: `caller`, `auto` (the caller may), or the template that the platform's claims fill.
    pub task: String,
    /// The names of the keys that count, where the file has them; null for one without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kids: Option<Vec<Option<String>>>,
    /// Where the platform's keys come from, else: `discovery`, or an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_from: Option<String>,
}

impl IdentityView {
    fn of(identity: &Identity) -> Self {
        let task = match &identity.task {
            TaskNaming::Caller => "caller".to_owned(),
            TaskNaming::Auto => "auto".to_owned(),
            TaskNaming::Attested(template) => template.to_string(),
        };
        let kids = |set: &JwkSet| Some(set.keys().iter().map(|key| key.kid().map(str::to_owned)).collect());
        let view = Self {
            kind: identity.kind().as_str(),
            issuer: None,
            audience: None,
            claims: Vec::new(),
            task,
            kids: None,
            keys_from: None,
        };
        match &identity.proof {
            Proof::PrivateKeyJwt(jwks) => Self { kids: kids(jwks), ..view },
            Proof::Oidc(oidc) => {
                let (kids, keys_from) = match &oidc.keys {
                    KeySource::Discovery => (None, Some("discovery".to_owned())),
                    KeySource::Uri(address) => (None, Some(address.to_string())),
                    KeySource::Pinned(set, _) => (kids(set), None),
                };
                Self {
                    issuer: Some(oidc.issuer.to_string()),
                    audience: oidc.audience.as_deref().map(str::to_owned),
                    claims: oidc.claims.iter().map(ToString::to_string).collect(),
                    kids,
                    keys_from,
                    ..view
                }
            }
        }
    }
}

/// A resource server of the inventory.
#[derive(Debug, Clone, Serialize)]
pub struct AudienceView {
    /// Its URI.
    pub id: String,
    /// The file it is declared in, relative to the policies' folder.
    pub file: String,
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
    /// Who may ask for what there, where one audience is shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub granted_to: Vec<GrantedTo>,
}

/// A workload's grant, as its audience sees it.
#[derive(Debug, Clone, Serialize)]
pub struct GrantedTo {
    /// Whose.
    pub workload: String,
    /// What.
    #[serde(flatten)]
    pub grant: GrantView,
}

/// A set, ready to be told of: its policies are gone through once.
pub struct Inventory<'a> {
    set: &'a PolicySet,
    policies: Policies<'a>,
    now: UnixTime,
}

impl<'a> Inventory<'a> {
    /// The inventory of a set at a moment.
    pub fn of(set: &'a PolicySet, now: UnixTime) -> Self {
        Self { set, policies: Policies::of(set), now }
    }

    /// All workloads, by name.
    pub fn workloads(&self) -> impl Iterator<Item = WorkloadView> {
        self.set.workloads().map(|workload| self.view(workload))
    }

    /// One workload.
    pub fn workload(&self, id: &str) -> Option<WorkloadView> {
        let workload = self.set.workload(id)?;
        let kept_by = self.set.keepers_of(id).into_iter().map(|id| self.policies.named(id)).collect();
        Some(WorkloadView { kept_by: Some(kept_by), ..self.view(workload) })
    }

    /// One that no file declares, or none any more, and that has leases or a story all the same.
    pub fn undeclared(id: &str) -> WorkloadView {
        WorkloadView {
            id: id.to_owned(),
            file: file_of(id),
            owner: None,
            purpose: None,
            expires: None,
            expires_in_days: None,
            review: None,
            review_in_days: None,
            state: "undeclared",
            identities: Vec::new(),
            grants: Vec::new(),
            withheld: Vec::new(),
            kept_by: None,
        }
    }

    /// All audiences, by URI, without who may ask there.
    pub fn audiences(&self) -> impl Iterator<Item = AudienceView> {
        self.set.audiences().map(|audience| view_audience(audience))
    }

    /// One audience, with who may ask for what there.
    pub fn audience(&self, uri: &str) -> Option<AudienceView> {
        let audience = self.set.audience(uri)?;
        let all = self.set.workloads().flat_map(|workload| {
            let grants = self.grants(workload).0.into_iter().filter(|grant| grant.audience == audience.id.as_str());
            grants.map(|grant| GrantedTo { workload: workload.id.to_string(), grant }).collect::<Vec<_>>()
        });
        Some(AudienceView { granted_to: all.collect(), ..view_audience(audience) })
    }

    /// What it could be granted, and what is withheld from it.
    fn grants(&self, workload: &Workload) -> (Vec<GrantView>, Vec<WithheldView>) {
        let mut permits = self.set.permits_of(workload.id.as_str());
        permits.retain(|permit| {
            let audience = self.set.audience(permit.audience.as_str());
            self.policies.can_apply(workload, audience.map(|audience| &**audience), permit)
        });
        let (grants, taken): (Vec<_>, Vec<_>) = permits.into_iter().partition(|permit| permit.taken_by.is_empty());
        let withheld = taken.iter().map(|permit| self.policies.withheld(permit)).collect();
        (grants.into_iter().map(|grant| self.policies.view(grant)).collect(), withheld)
    }

    fn view(&self, workload: &Workload) -> WorkloadView {
        let left = |day: Option<Day>| day.map(|day| due::days_until(day, self.now));
        let (grants, withheld) = self.grants(workload);
        WorkloadView {
            id: workload.id.to_string(),
            file: file_of(workload.id.as_str()),
            owner: workload.owner.clone(),
            purpose: workload.purpose.clone(),
            expires: workload.expires.map(|day| day.to_string()),
            expires_in_days: left(workload.expires),
            review: workload.review.map(|day| day.to_string()),
            review_in_days: left(workload.review),
            state: workload.state(self.now).map_or_else(|reason| reason.as_str(), |()| "ok"),
            identities: workload.identities.iter().map(IdentityView::of).collect(),
            grants,
            withheld,
            kept_by: None,
        }
    }
}

/// Where a workload is declared, relative to the policies' folder.
fn file_of(id: &str) -> String {
    format!("workloads/{id}.toml")
}

fn view_audience(audience: &Audience) -> AudienceView {
    AudienceView {
        id: audience.id.to_string(),
        file: format!("audiences/{}", audience.file),
        owner: audience.owner.clone(),
        purpose: audience.purpose.clone(),
        max_ttl: audience.max_ttl.map(|ttl| ttl.as_secs()),
        max_lifetime: audience.max_lifetime.map(|span| span.as_secs()),
        scopes: audience.scopes.iter().map(|scope| (scope.name.to_string(), scope.about.to_string())).collect(),
        identities: audience.identities.iter().map(IdentityView::of).collect(),
        granted_to: Vec::new(),
    }
}
