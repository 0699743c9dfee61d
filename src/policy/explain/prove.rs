//! How a workload can prove itself, as far as its file tells: what explanations may tell it to show.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::ask::IdentityUsed;
use super::super::catalogue::{Identity, IdentityKind, Oidc, Proof, TaskNaming, TaskTemplate};
use super::super::set::PolicySet;
use super::Question;
use crate::model::{TaskId, WorkloadId};

/// All that is kept of an assertion.
const KID: &str = "kid";

impl PolicySet {
    /// Whether the workload of the question has an identity that can show what the question says was shown, and have such a task.
    pub fn can_prove(&self, question: &Question) -> bool {
        self.showing(question.workload.as_str(), &question.identity).any(|identity| match &identity.task {
            TaskNaming::Attested(template) => template.may_attest(&question.task, &question.identity.claims),
            _ => true,
        })
    }

    /// The templates of the tasks of those that can show it, where all of them are named by the platform.
    pub fn attested_tasks(&self, question: &Question) -> Option<Vec<Arc<TaskTemplate>>> {
        let templates =
            self.showing(question.workload.as_str(), &question.identity).map(|identity| match &identity.task {
                TaskNaming::Attested(template) => Some(Arc::clone(template)),
                _ => None,
            });
        templates.collect::<Option<Vec<_>>>().filter(|templates| !templates.is_empty())
    }

    /// How a workload is seen that proves itself by `kind`, where one is said, with these claims: by the identity that can show
    /// them, else the first of that kind.
    pub fn used(&self, workload: &str, kind: Option<&str>, said: &BTreeMap<String, String>) -> IdentityUsed {
        let identities = self.workload(workload).map_or(&[][..], |workload| &workload.identities);
        let of_kind = || identities.iter().filter(|identity| kind.is_none_or(|kind| kind == identity.kind().as_str()));
        let shows = |identity: &&Identity| match &identity.proof {
            Proof::Oidc(oidc) => can_show(oidc, &seen_of(oidc, said)),
            _ => said.keys().all(|name| name == KID),
        };
        match (of_kind().find(shows).or_else(|| of_kind().next()).map(|identity| &identity.proof), kind) {
            (Some(Proof::Oidc(oidc)), _) => {
                // What its file says that a token must say, every token that counts says.
                let mut claims = (*IdentityUsed::expected(oidc).claims).clone();
                claims.extend(seen_of(oidc, said));
                IdentityUsed { kind: IdentityKind::Oidc, claims: Arc::new(claims) }
            }
            (None, Some(kind)) if kind == IdentityKind::Oidc.as_str() => {
                IdentityUsed { kind: IdentityKind::Oidc, claims: Arc::new(said.clone()) }
            }
            _ => IdentityUsed::private_key_jwt(said.get(KID).map(String::as_str)),
        }
    }

    /// A task that the workload may have where nobody says one: `otherwise`, or one like those that its platform names.
    pub fn usual_task(&self, workload: &str, used: &IdentityUsed, otherwise: TaskId) -> TaskId {
        match self.showing(workload, used).next().map(|identity| &identity.task) {
            Some(TaskNaming::Attested(template)) => template.example().unwrap_or(otherwise),
            _ => otherwise,
        }
    }

    /// The identities of a workload that can show this.
    fn showing(&self, workload: &str, used: &IdentityUsed) -> impl Iterator<Item = &Identity> {
        let (kind, claims) = (used.kind, Arc::clone(&used.claims));
        let identities = self.workload(workload).map_or(&[][..], |workload| &workload.identities);
        identities.iter().filter(move |identity| match (&identity.proof, kind) {
            (Proof::Oidc(oidc), IdentityKind::Oidc) => can_show(oidc, &claims),
            (Proof::Oidc(_), _) | (_, IdentityKind::Oidc) => false,
            _ => claims.keys().all(|name| name == KID),
        })
    }

    /// Each way in which a workload proves itself, with what is known of its claims before one is seen.
    pub fn ways_to_prove(&self, workload: &WorkloadId) -> Vec<IdentityUsed> {
        let identities = self.workload(workload.as_str()).map_or(&[][..], |workload| &workload.identities);
        let used = identities.iter().map(|identity| match &identity.proof {
            Proof::Oidc(oidc) => IdentityUsed::expected(oidc),
            _ => IdentityUsed::private_key_jwt(None),
        });
        used.collect()
    }
}

/// What policies see of a token whose claims are said: those that are kept. One that is not kept, and says what the file wants, is
/// not seen; any other stays, so that it is found that no token is like that.
fn seen_of(oidc: &Oidc, said: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_kept = |name: &str| name == "iss" || oidc.keep.iter().any(|kept| **kept == *name);
    let mut seen = said.clone();
    seen.retain(|name, value| {
        let mut rules = oidc.claims.iter().filter(|rule| *rule.name == **name).peekable();
        is_kept(name) || rules.peek().is_none() || !rules.all(|rule| rule.takes(value))
    });
    seen
}

fn can_show(oidc: &Oidc, claims: &BTreeMap<String, String>) -> bool {
    claims.iter().all(|(name, value)| match name.as_str() {
        "iss" => **value == *oidc.issuer,
        name => {
            let mut rules = oidc.claims.iter().filter(|rule| *rule.name == *name);
            oidc.keep.iter().any(|kept| **kept == *name) && rules.all(|rule| rule.takes(value))
        }
    })
}
