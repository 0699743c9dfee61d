//! What a set says of a workload and an audience, as facts: it holds of each request of the one at the other.

use std::collections::HashSet;

use super::facts::{Facts, Test};
use crate::policy::{Audience, IdentityKind, Proof, Workload};

impl Facts {
    /// Its names and words, and what its proofs can show.
    pub fn know_workload(&mut self, workload: &Workload) {
        self.is("principal.id", workload.id.as_str());
        self.is("principal.owner", workload.owner.as_deref().unwrap_or(""));
        self.is("principal.purpose", workload.purpose.as_deref().unwrap_or(""));
        let mut claims = HashSet::new();
        let mut kinds = Vec::new();
        for identity in &workload.identities {
            kinds.push(identity.kind().as_str().to_owned());
            match &identity.proof {
                Proof::Oidc(oidc) => {
                    claims.extend(oidc.keep.iter().map(|name| name.to_string()));
                    claims.insert("iss".to_owned());
                }
                _ if identity.kind() == IdentityKind::PrivateKeyJwt => drop(claims.insert("kid".to_owned())),
                _ => return,
            }
        }
        if !kinds.is_empty() {
            self.must("context.identity.type", Test::OneOf(kinds));
            self.claims = Some(claims);
        }
    }

    /// Its id and its owner.
    pub fn know_audience(&mut self, audience: &Audience) {
        self.is("resource.audience.id", audience.id.as_str());
        self.is("resource.audience.owner", audience.owner.as_deref().unwrap_or(""));
    }
}
