//! What a decision is asked: who, where, what, for which task, how long, proven how.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::catalogue::{IdentityKind, Oidc};
use crate::model::{LeaseId, ScopeSet, TaskId, UnixTime, WorkloadId};

/// One question for [`PolicySet::decide`](super::PolicySet::decide).
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Who asks.
    pub workload: &'a WorkloadId,
    /// The resource server, as the caller spelled it.
    pub audience: &'a str,
    /// What is asked; each scope must be permitted on its own.
    pub scopes: &'a ScopeSet,
    /// The task it is for.
    pub task: &'a TaskId,
    /// How long the token shall live, where that was asked.
    pub ttl: Option<Duration>,
    /// How the workload proved itself.
    pub identity: &'a IdentityUsed,
    /// Now.
    pub now: UnixTime,
    /// What the configuration allows.
    pub limits: Limits,
    /// The lease that is renewed, where one is.
    pub renews: Option<Renewed>,
}

/// The configuration's `[tokens]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Where no `ttl` is asked; cut to what is allowed.
    pub default_ttl: Duration,
    /// The longest a token may live.
    pub max_ttl: Duration,
    /// The longest a chain of renewals may live.
    pub max_lifetime: Duration,
}

impl Default for Limits {
    /// 5 minutes, an hour, 8 hours.
    fn default() -> Self {
        Self {
            default_ttl: Duration::from_secs(300),
            max_ttl: Duration::from_secs(3600),
            max_lifetime: Duration::from_secs(8 * 3600),
        }
    }
}

/// The lease that a renewal follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// The predecessor.
    pub lease: LeaseId,
    /// The latest `exp` of its chain, as it was recorded with the first lease.
    pub chain_limit: UnixTime,
}

/// How a caller proved itself, and what was kept from the proof; policies see it as `context.identity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityUsed {
    /// By which means.
    pub kind: IdentityKind,
    /// Claims kept for policies and the audit log, by name; only those the schema declares can be spoken of.
    pub claims: Arc<BTreeMap<String, String>>,
}

impl IdentityUsed {
    /// An assertion signed with the caller's own key; `kid` where it named one.
    pub fn private_key_jwt(kid: Option<&str>) -> Self {
        let claims: BTreeMap<_, _> = kid.map(|kid| ("kid".to_owned(), kid.to_owned())).into_iter().collect();
        Self { kind: IdentityKind::PrivateKeyJwt, claims: claims.into() }
    }

    /// A token that the platform `iss` signed, and the claims kept from it.
    pub fn oidc(iss: &str, kept: impl Iterator<Item = (String, String)>) -> Self {
        let claims: BTreeMap<_, _> = kept.chain([("iss".to_owned(), iss.to_owned())]).collect();
        Self { kind: IdentityKind::Oidc, claims: claims.into() }
    }

    /// What is known of a platform's token before one is seen: what the workload's file says that it must say, of what is kept.
    pub(crate) fn expected(oidc: &Oidc) -> Self {
        let kept = oidc.claims.iter().filter(|rule| oidc.keep.contains(&rule.name));
        let said = kept.filter_map(|rule| Some((rule.name.to_string(), rule.exact()?.to_owned())));
        Self::oidc(&oidc.issuer, said)
    }
}
