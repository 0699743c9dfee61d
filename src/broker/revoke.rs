//! Revoke (RFC 7009): a workload ends one of its own tokens; where the platform attests its task, one of that task.

use std::time::Instant;

use crate::attest::{Caller, ClientAuth, Endpoint, Who};
use crate::audit::{AuditRecord, Event, Outcome};
use crate::jose::Compact;
use crate::model::{DecisionId, LeaseId, Reason, RuleKind, TaskId, WorkloadId};
use crate::store::{End, EndTarget, Ended};
use crate::verifier::Invalid;

use super::refused::No;
use super::trail::Trail;
use super::{Broker, Refused};

impl Broker {
    /// Ends the lease of a token, and its successors. An unknown token or another's: nothing is done, and nothing told.
    ///
    /// # Errors
    /// [`Refused`], written down, where the caller did not prove who it is, or sent no token.
    pub async fn revoke(&self, auth: ClientAuth<'_>, token: Option<&str>) -> Result<DecisionId, Refused> {
        let begun = Instant::now();
        let decision = self.decision()?;
        let mut trail = Trail::default();
        match self.try_revoke(&auth, token, &mut trail).await {
            Ok(Some(ended)) => {
                self.parts.metrics.end(RuleKind::Lease);
                let mut record = trail.record(AuditRecord::new(Event::Revoke, Outcome::Done));
                record = record.decision(decision.clone()).count(ended.leases.len() as u64).took(begun.elapsed());
                record = record.no_effect(ended.rules.is_empty());
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
        let Some(lease) = self.own_lease(&caller, token).await? else {
            self.spend(caller.spent.clone()).await?;
            let missing = || No::new(Reason::InvalidRequest, "the parameter token is missing");
            return token.map(|_| None).ok_or_else(missing);
        };
        trail.lease = Some(lease);
        // Straight to the store: of a lease that has ended by a wider rule one more says nothing that counts, and to look
        // first would cost each of the others two questions.
        let end = End { target: EndTarget::Lease(lease), at: now, spent: caller.spent.clone() };
        let ended = self.end(end).await.map_err(|error| No::from_record(&error))?;
        self.follower.hear(&ended.rules);
        if ended.leases.is_empty() {
            self.ended_before(token).await?;
        }
        Ok(Some(ended))
    }

    /// Sees that a token whose lease the store found nothing to end of has ended already, or is past. One that still stands
    /// has no record any more, and is not to be told ended: no rule would end it.
    async fn ended_before(&self, token: Option<&str>) -> Result<(), No> {
        let Some(token) = token else { return Ok(()) };
        self.catch_up().await.map_err(|error| No::unavailable(&error))?;
        match self.look(|checker| checker.inspect(token)).await? {
            Ok(_) => Err(No::new(
                Reason::StoreUnavailable,
                "the store has no record of this token's lease, so nothing was ended: complete its task instead",
            )),
            Err(_) => Ok(()),
        }
    }

    /// The lease of a token that is the caller's own. Expired and revoked ones are found too: ending them is no error.
    async fn own_lease(&self, caller: &Caller, token: Option<&str>) -> Result<Option<LeaseId>, No> {
        let Some(token) = token else { return Ok(None) };
        match self.look(|checker| checker.open(token)).await? {
            Ok(token) => {
                let claims = token.claims();
                Ok(is_own(caller, &claims.sub, &claims.txn).then_some(claims.jti))
            }
            Err(Invalid::Key) => self.lease_named_in(token, caller).await,
            Err(_) => Ok(None),
        }
    }

    /// The lease that a token names whose key was revoked, if the store has it as this workload's. Such a key ends the
    /// tokens under it, but not the leases that renewed theirs. Nobody vouches for what such a token says; so all it can
    /// end is what is the caller's to end.
    async fn lease_named_in(&self, token: &str, caller: &Caller) -> Result<Option<LeaseId>, No> {
        let named = lease_named(token).filter(|(kid, _)| self.follower.view().ends_key(kid));
        let Some((_, id)) = named else { return Ok(None) };
        let record = self.parts.store.lease(id).await.map_err(|error| No::unavailable(&error.into()))?;
        Ok(record.filter(|record| is_own(caller, &record.lease.workload, &record.lease.task)).map(|_| id))
    }
}

/// Whether what is of this workload and task is the caller's.
pub(super) fn is_own(caller: &Caller, workload: &WorkloadId, task: &TaskId) -> bool {
    matches!(&caller.who, Who::Workload(own) if own.id == *workload) && caller.task.owns(task)
}

/// The `kid` and the `jti` of a token that nothing vouches for.
fn lease_named(token: &str) -> Option<(String, LeaseId)> {
    let token = Compact::parse(token).ok()?;
    let id = LeaseId::parse(token.claims().ok()?.get("jti")?.as_str()?)?;
    Some((token.header.kid?, id))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

    use super::*;

    #[test]
    fn a_lease_is_named_by_a_whole_jws_and_nothing_else() {
        let id = "0190163d-8694-839b-aea5-966c26f8ad91";
        let token =
            |payload: &str| format!("{}.{}.AAAA", B64.encode(r#"{"alg":"ES256","kid":"k"}"#), B64.encode(payload));
        let found = LeaseId::parse(id).map(|id| ("k".to_owned(), id));
        assert_eq!(lease_named(&token(&format!(r#"{{"jti":"{id}"}}"#))), found);
        for bad in [
            id.to_owned(),
            token("{}"),
            token(&format!(r#"{{"jti":["{id}"]}}"#)),
            token(&format!(r#"{{"jti":"{}"}}"#, id.to_uppercase())),
            token(&format!(r#"{{"jti":"{id}","jti":"{id}"}}"#)),
            token(&format!(r#"{{"jti":"{id}"}}"#)) + ".x",
        ] {
            assert_eq!(lease_named(&bad), None, "{bad}");
        }
    }
}
