//! Revoke (RFC 7009): a workload ends one of its own tokens.

use crate::attest::{ClientAuth, Endpoint, Who};
use crate::audit::{AuditRecord, Event, Outcome};
use crate::model::{DecisionId, LeaseId, Reason, RuleKind};
use crate::store::{End, EndTarget, Ended};

use super::refused::No;
use super::trail::Trail;
use super::{Broker, Refused};

impl Broker {
    /// Ends the lease of a token, and its successors. An unknown token or another's: nothing is done, and nothing told.
    ///
    /// # Errors
    /// [`Refused`], written down, where the caller did not prove who it is, or sent no token.
    pub async fn revoke(&self, auth: ClientAuth<'_>, token: Option<&str>) -> Result<DecisionId, Refused> {
        let decision = self.decision()?;
        let mut trail = Trail::default();
        match self.try_revoke(&auth, token, &mut trail).await {
            Ok(Some(ended)) => {
                self.parts.metrics.end(RuleKind::Lease);
                let mut record = trail.record(AuditRecord::new(Event::Revoke, Outcome::Done));
                record = record.decision(decision.clone()).count(ended.leases.len() as u64);
                if let Some(rule) = ended.rules.last() {
                    record = record.position(rule.position);
                }
                self.parts.audit.post(record);
                Ok(decision)
            }
            Ok(None) => Ok(decision),
            Err(no) => Err(self.refuse(Event::Revoke, no.with(&trail), decision).await),
        }
    }

    async fn try_revoke(
        &self,
        auth: &ClientAuth<'_>,
        token: Option<&str>,
        trail: &mut Trail,
    ) -> Result<Option<Ended>, No> {
        let set = self.parts.policies.current();
        let now = self.parts.clock.now();
        let caller = self.attestor.attest_patiently(&set, auth, Endpoint::REVOKE, now).await?;
        trail.proven_by(&caller);
        if let Who::Workload(workload) = &caller.who {
            trail.workload = Some(workload.id.clone());
        }
        let Some(lease) = self.own_lease(&caller.who, token).await? else {
            self.spend(caller.spent).await?;
            let missing = || No::new(Reason::InvalidRequest, "the parameter token is missing");
            return token.map(|_| None).ok_or_else(missing);
        };
        trail.lease = Some(lease);
        let end = End { target: EndTarget::Lease(lease), at: now, spent: caller.spent };
        let ended = self.parts.store.end(end).await.map_err(|error| No::from_record(&error))?;
        self.follower.hear(&ended.rules);
        Ok(Some(ended))
    }

    /// The lease of a token that is the caller's own. Expired and revoked ones are found too: ending them is no error.
    async fn own_lease(&self, who: &Who, token: Option<&str>) -> Result<Option<LeaseId>, No> {
        let (Who::Workload(workload), Some(token)) = (who, token) else { return Ok(None) };
        let Ok(token) = self.look(|checker| checker.open(token)).await? else { return Ok(None) };
        Ok((token.claims().sub == workload.id).then_some(token.claims().jti))
    }
}
