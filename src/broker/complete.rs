//! Complete: the workload says that a task is over.

use std::borrow::Cow;
use std::time::Instant;

use crate::attest::{ClientAuth, Endpoint};
use crate::audit::{AuditRecord, Event, Outcome};
use crate::model::{AccessClaims, DecisionId, Reason, RuleKind, TaskId, WorkloadId};
use crate::store::{End, EndTarget, Ended, RecordError, Spent};
use crate::verifier::Invalid;

use super::mint::{named, workload_of};
use super::refused::No;
use super::trail::Trail;
use super::{Broker, Refused};

/// A request to complete a task.
#[derive(Debug)]
pub struct CompleteAsk<'a> {
    /// The task's name from the path, decoded.
    pub task: &'a str,
    /// The path as it was called, for an assertion that names it as audience.
    pub path: &'a str,
    /// By what.
    pub credential: Credential<'a>,
}

/// What a caller showed at `/v1/…`.
#[derive(Debug)]
pub enum Credential<'a> {
    /// Client authentication in the form.
    Client(ClientAuth<'a>),
    /// A bearer token (RFC 6750 §2.1).
    Bearer(&'a str),
    /// Nothing.
    None,
}

impl Broker {
    /// Ends every lease of the task and of its children; the name takes no lease for a stated time. Twice is no error.
    ///
    /// # Errors
    /// [`Refused`], written down.
    pub async fn complete(&self, ask: CompleteAsk<'_>) -> Result<DecisionId, Refused> {
        let begun = Instant::now();
        let decision = self.decision()?;
        let mut trail = Trail::default();
        match self.try_complete(&ask, &mut trail).await {
            Ok(ended) => {
                self.parts.metrics.end(RuleKind::Task);
                let mut record = trail.record(AuditRecord::new(Event::Complete, Outcome::Done));
                record = record.decision(decision.clone()).count(ended.rules.len() as u64).took(begun.elapsed());
                record = record.no_effect(ended.rules.is_empty());
                if let Some(rule) = ended.rules.last() {
                    record = record.position(rule.position);
                }
                // The store's log holds the end; its line follows and is never waited for.
                self.parts.audit.post(record);
                Ok(decision)
            }
            Err(no) => Err(self.refuse(Event::Complete, no.with(&trail), decision).await),
        }
    }

    async fn try_complete(&self, ask: &CompleteAsk<'_>, trail: &mut Trail) -> Result<Ended, No> {
        let now = self.parts.clock.now();
        let (workload, task, spent) = match &ask.credential {
            Credential::Client(auth) => {
                let set = self.parts.policies.current();
                let caller = self.attestor.attest_patiently(&set, auth, Endpoint::at(ask.path), now).await?;
                trail.proven_by(&caller);
                trail.task = named(ask.task);
                trail.workload = workload_of(&caller).ok().map(|workload| workload.id.clone());
                let parsed = workload_of(&caller).map(|workload| workload.id.clone()).and_then(|workload| {
                    let task = TaskId::parse(ask.task)?;
                    let attested = caller.task.attested(Some(&task));
                    attested.map_err(|why| No::new(Reason::InvalidRequest, why))?;
                    Ok((workload, task))
                });
                match parsed {
                    Ok((workload, task)) => (workload, task, caller.spent.clone()),
                    Err(no) => return Err(self.spend(caller.spent.clone()).await.err().unwrap_or(no)),
                }
            }
            Credential::Bearer(token) => {
                trail.identity = Some("bearer");
                let (claims, is_over) = self.bearer_of_task(token, ask.task).await?;
                if is_over {
                    return self.complete_again(claims, trail).await;
                }
                (claims.sub, claims.txn, None)
            }
            Credential::None => {
                let mut no = No::new(Reason::MissingToken, "show the task's token, or the workload's client assertion");
                no.trail.unknown = true;
                return Err(no);
            }
        };
        trail.workload = Some(workload.clone());
        trail.task = Some(task.clone());
        self.end_task(workload, task, spent).await
    }

    /// Sets the mark and appends the rule. A workload that keeps completing what never lived sets such marks at a bounded
    /// pace; beyond it, only what lives is ended.
    async fn end_task(&self, workload: WorkloadId, task: TaskId, spent: Option<Spent>) -> Result<Ended, No> {
        let now = self.parts.clock.now();
        let closed_until = now.plus(self.options.closed_for);
        let target = match self.empty_ends.may(&workload, now) {
            true => EndTarget::Task { workload: workload.clone(), task, closed_until },
            false => EndTarget::LiveTask { workload: workload.clone(), task, closed_until },
        };
        let ended = match self.end(End { target, at: now, spent: spent.clone() }).await {
            Ok(ended) => ended,
            // Nothing was written, and the assertion counts once all the same.
            Err(error @ RecordError::NothingLives) => {
                return Err(self.spend(spent).await.err().unwrap_or_else(|| No::from_record(&error)));
            }
            Err(error) => return Err(No::from_record(&error)),
        };
        if ended.rules.is_empty() {
            self.empty_ends.charge(&workload, now);
        }
        self.follower.hear(&ended.rules);
        Ok(ended)
    }

    /// A completion by a token that the end of its task has ended. The name may live again by now, and a token that is
    /// over ends nothing of that. The end it rests on may not have been acknowledged: this answer waits until it is held.
    async fn complete_again(&self, claims: AccessClaims, trail: &mut Trail) -> Result<Ended, No> {
        trail.workload = Some(claims.sub);
        trail.task = Some(claims.txn);
        trail.lease = Some(claims.jti);
        self.parts.store.settle().await.map_err(|error| No::from_record(&error.into()))?;
        Ok(Ended::default())
    }

    /// The claims of a bearer token that may complete `task`, and whether it is over: one that stands, or one that the
    /// task's own end has ended, so that a repeated completion is no error.
    async fn bearer_of_task(&self, token: &str, task: &str) -> Result<(AccessClaims, bool), No> {
        let bad = |why: &Invalid| {
            let why: Cow<'static, str> = format!("this token is not good: {why}").into();
            let mut no = No::new(Reason::InvalidToken, why);
            no.trail.unknown = true;
            no
        };
        // From memory first: what no key of ours has signed is not worth a question to the store.
        let token = self.look(|checker| checker.open(token)).await?.map_err(|why| bad(&why))?;
        let head = self.parts.store.head().await.map_err(|error| No::unavailable(&error.into()))?;
        self.see(head).await?;
        let is_over = match self.checker.judge(&token) {
            Ok(()) => false,
            Err(Invalid::Revoked(RuleKind::Task)) => true,
            Err(why) => return Err(bad(&why)),
        };
        let claims = token.claims();
        let mut no = match claims.txn.as_str() == task {
            true if self.options.bearer_complete => return Ok((claims.clone(), is_over)),
            true => No::new(
                Reason::BearerCannotComplete,
                "a bearer token completes nothing here: use the workload's own credential",
            ),
            false => No::new(Reason::WrongTask, "this token is for another task: it completes the one in its txn"),
        };
        no.trail.workload = Some(claims.sub.clone());
        no.trail.lease = Some(claims.jti);
        Err(no)
    }
}

#[cfg(test)]
#[path = "complete_tests.rs"]
mod tests;
