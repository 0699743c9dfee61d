//! How a workload can prove itself, as far as its file tells: what explanations may tell it to show.

use std::collections::BTreeMap;

use super::super::ask::IdentityUsed;
use super::super::catalogue::{IdentityKind, Oidc, Proof};
use super::super::set::PolicySet;
use super::Question;
use crate::model::WorkloadId;

/// All that is kept of an assertion.
const KID: &str = "kid";

impl PolicySet {
    /// Whether the workload of the question has an identity that can show what the question says was shown.
    pub fn can_prove(&self, question: &Question) -> bool {
        let used = &question.identity;
        let identities = self.workload(question.workload.as_str()).map_or(&[][..], |workload| &workload.identities);
        identities.iter().any(|identity| match (&identity.proof, used.kind) {
            (Proof::Oidc(oidc), IdentityKind::Oidc) => can_show(oidc, &used.claims),
            (Proof::Oidc(_), _) | (_, IdentityKind::Oidc) => false,
            _ => used.claims.keys().all(|name| name == KID),
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

fn can_show(oidc: &Oidc, claims: &BTreeMap<String, String>) -> bool {
    claims.iter().all(|(name, value)| match name.as_str() {
        "iss" => **value == *oidc.issuer,
        name => {
            let mut rules = oidc.claims.iter().filter(|rule| *rule.name == *name);
            oidc.keep.iter().any(|kept| **kept == *name) && rules.all(|rule| rule.takes(value))
        }
    })
}
