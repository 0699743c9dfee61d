//! Renew: a successor for a lease that stands, decided again, within what its chain has left.

use crate::attest::{ClientAuth, Endpoint};
use crate::audit::Event;
use crate::keys::SignedToken;
use crate::model::{DecisionId, LeaseId, LeaseRecord, Reason};
use crate::policy::{Ask, Renewed};
use crate::revocation::TokenDigests;
use crate::store::Recorded;

use super::mint::{Decided, parse_ttl, workload_of};
use super::refused::No;
use super::trail::Trail;
use super::{Broker, Issued, Refused};

impl Broker {
    /// Renews a lease for the workload whose it is.
    ///
    /// # Errors
    /// [`Refused`], written down.
    pub async fn renew(&self, lease: &str, auth: ClientAuth<'_>, ttl: Option<&str>) -> Result<Issued, Refused> {
        let decision = self.decision()?;
        match self.try_renew(lease, &auth, ttl, &decision).await {
            Ok(token) => {
                self.parts.metrics.mint("granted");
                Ok(Issued { token, decision_id: decision })
            }
            Err(no) => {
                self.parts.metrics.mint(no.refusal.reason.as_str());
                Err(self.refuse(Event::Renew, no, decision).await)
            }
        }
    }

    async fn try_renew(
        &self,
        lease: &str,
        auth: &ClientAuth<'_>,
        ttl: Option<&str>,
        decision: &DecisionId,
    ) -> Result<SignedToken, No> {
        let now = self.parts.clock.now();
        let set = self.parts.policies.current();
        let path = format!("/v1/leases/{lease}/renew");
        let caller = self.attestor.attest_patiently(&set, auth, Endpoint::at(&path), now).await?;
        let mut trail = Trail::of(&caller);
        let decided = async {
            let workload = workload_of(&caller)?;
            trail.workload = Some(workload.id.clone());
            // The head comes first: an end that falls between this judgement and the record ends the successor too.
            let head = self.parts.store.head().await.map_err(|error| No::unavailable(&error.into()))?;
            self.see(head).await?;
            let predecessor = self.standing(lease, &workload.id).await?;
            trail.lease = Some(predecessor.lease.id);
            trail.task = Some(predecessor.lease.task.clone());
            trail.audience = Some(predecessor.lease.audience.clone());
            trail.scopes = Some(predecessor.lease.scopes.clone());
            // One run renews nothing of another: its tokens would say what no platform attested.
            let attested = caller.task.attested(Some(&predecessor.lease.task));
            attested.map_err(|why| No::new(Reason::InvalidGrant, why))?;
            let grant = set.decide(&Ask {
                workload: &workload.id,
                audience: predecessor.lease.audience.as_str(),
                scopes: &predecessor.lease.scopes,
                task: &predecessor.lease.task,
                ttl: parse_ttl(ttl)?,
                identity: &caller.identity,
                now,
                limits: self.options.limits,
                renews: Some(Renewed { lease: predecessor.lease.id, chain_limit: predecessor.lease.chain_limit }),
            })?;
            trail.policies = grant.policies().clone();
            Ok::<_, No>((grant, head.position))
        };
        let outcome = decided.await;
        match outcome {
            Ok((grant, head)) => {
                let (event, caller, judged_at) = (Event::Renew, &*caller, Some(head));
                self.carry_out(&Decided { event, grant: &grant, caller, judged_at, decision, trail: &trail }).await
            }
            Err(no) => Err(self.spend(caller.spent.clone()).await.err().unwrap_or(no).with(&trail)),
        }
    }

    /// Holds a lease that was recorded below the log's head against the rules in between. Such a rule knew nothing of it,
    /// so it may be dropped before the lease's `exp`: what it selects is not signed at all.
    pub(super) async fn still_stands(&self, recorded: &Recorded) -> Result<(), No> {
        self.catch_up().await.map_err(|error| No::unavailable(&error))?;
        let lease = recorded.lease();
        match self.follower.view().ends(&TokenDigests::of_lease(lease), lease.position) {
            None => Ok(()),
            Some(_) => Err(No::new(
                Reason::InvalidGrant,
                "the lease to renew was ended meanwhile: ask for a new token, for a task that stands",
            )),
        }
    }

    /// The lease of this name, if it is the workload's and stands now; whatever else it is, the answer is the same.
    async fn standing(&self, raw: &str, workload: &crate::model::WorkloadId) -> Result<LeaseRecord, No> {
        let no =
            || No::new(Reason::InvalidGrant, "no lease of this workload stands under this name: ask for a new token");
        let id = LeaseId::parse(raw).ok_or_else(no)?;
        let record = self.parts.store.lease(id).await.map_err(|error| No::unavailable(&error.into()))?;
        let record = record.filter(|record| record.lease.workload == *workload).ok_or_else(no)?;
        if record.successor.is_some() {
            return Err(No::new(Reason::InvalidGrant, "this lease was renewed before: renew its successor"));
        }
        let lease = &record.lease;
        let is_ended = record.ended.is_some()
            || lease.expires_at <= self.parts.clock.now()
            || Some(lease.epoch) != self.follower.view().epoch()
            || self.follower.view().ends(&TokenDigests::of_lease(lease), lease.position).is_some();
        if is_ended { Err(no()) } else { Ok(record) }
    }
}
