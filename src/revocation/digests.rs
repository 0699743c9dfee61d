//! The digests under which a rule could end one token: made once, at first sight, and kept beside the token.

use crate::model::{AccessClaims, AudienceUri, KeyId, Lease, LeaseId, RuleDigest, RuleKind, TaskId, WorkloadId};

/// Everything a view is asked about one token: lease, each name of the task's lineage, workload and actors, audience, key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenDigests {
    names: Box<[(RuleKind, RuleDigest)]>,
    key: RuleDigest,
}

impl TokenDigests {
    /// The digests of a token with these claims under the key `kid`.
    pub fn of_claims(claims: &AccessClaims, kid: &KeyId) -> Self {
        Self::under(claims, RuleDigest::of(RuleKind::Key, &[kid.as_str()]))
    }

    /// The same, where the key's own digest is known.
    pub(crate) fn under(claims: &AccessClaims, key: RuleDigest) -> Self {
        Self::build(claims.jti, &claims.sub, claims.actors(), &claims.txn, &claims.aud, key)
    }

    /// The digests of the token that was made from this lease.
    pub fn of_lease(lease: &Lease) -> Self {
        Self::build(
            lease.id,
            &lease.workload,
            lease.actors.iter(),
            &lease.task,
            &lease.audience,
            RuleDigest::of(RuleKind::Key, &[lease.kid.as_str()]),
        )
    }

    pub(super) fn build<'a>(
        lease: LeaseId,
        workload: &WorkloadId,
        actors: impl Iterator<Item = &'a WorkloadId>,
        task: &TaskId,
        audience: &AudienceUri,
        key: RuleDigest,
    ) -> Self {
        let of_workload = |id: &WorkloadId| (RuleKind::Workload, RuleDigest::of(RuleKind::Workload, &[id.as_str()]));
        // As many as there are where nobody acts for another: then nothing is allocated twice.
        let mut names = Vec::with_capacity(3 + task.lineage().count());
        names.push((RuleKind::Lease, RuleDigest::lease(lease)));
        names.extend(task.lineage().map(|name| (RuleKind::Task, RuleDigest::task(workload, name))));
        names.push(of_workload(workload));
        names.extend(actors.map(of_workload));
        names.push((RuleKind::Audience, RuleDigest::of(RuleKind::Audience, &[audience.as_str()])));
        Self { names: names.into(), key }
    }

    /// The digests whose rules count by position, narrowest kind first.
    pub(crate) fn names(&self) -> &[(RuleKind, RuleDigest)] {
        &self.names
    }

    /// The digest of the key, whose rules count whatever their position.
    pub(crate) const fn key(&self) -> RuleDigest {
        self.key
    }
}
