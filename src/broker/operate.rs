//! What operators do: revoke by every selector, quarantine and release a workload. Each needs a reason.

use std::time::Instant;

use crate::audit::{AuditRecord, Event, Outcome};
use crate::model::{
    AudienceUri, DecisionId, InvalidName, KeyId, LeaseId, Rule, RuleKind, Selector, TaskId, UnixTime, WorkloadId,
    without_credentials,
};
use crate::policy::meant;
use crate::store::{End, EndTarget, Ended, Quarantine, RecordError, StoreError};

use super::tally::{Looks, Tally};
use super::{Broker, LeaseState, LeaseView};

/// What an operator wants ended.
#[derive(Debug, Clone)]
pub enum What {
    /// One lease and its successors.
    Lease(LeaseId),
    /// A task; without its workload where only one runs a task of that name. It takes no new lease for a stated time.
    Task(TaskId, Option<WorkloadId>),
    /// All of a workload's.
    Workload(WorkloadId),
    /// All for a resource server.
    Audience(AudienceUri),
    /// All under a key.
    Key(KeyId),
    /// Everything.
    All,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Revoked {
    /// How many live leases it selected.
    pub selected: Tally,
    /// The rules appended.
    pub rules: Vec<Rule>,
    /// The leases ended by name.
    pub leases: Vec<LeaseId>,
    /// The lease as it was found, where one was named that stood no more.
    pub already: Option<LeaseView>,
    /// The quarantine that the workload was in already.
    pub standing: Option<Quarantine>,
    /// Until when the task's name takes no lease, where it was a task that was ended.
    pub closed_until: Option<UnixTime>,
    /// The decision; none where nothing was done.
    pub decision_id: Option<DecisionId>,
}

/// Why an operator's wish was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorRefusal {
    /// A name that is none, or no reason given.
    #[error("{0}")]
    Invalid(String),
    /// There is nothing of that name.
    #[error("there is no {0}")]
    NotFound(String),
    /// Several workloads run a task of that name.
    #[error("several workloads run a task of that name: name one of them")]
    Ambiguous(Vec<WorkloadId>),
    /// The store failed; the end may have been carried out and may be repeated.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The keys could not be changed.
    #[error("{0}")]
    Keys(#[from] crate::keys::KeyError),
    /// As many as can be are there already.
    #[error("too many {0}: wait until one has gone")]
    Busy(&'static str),
    /// What jitney itself could not do.
    #[error("{0}")]
    Internal(String),
}

impl From<InvalidName> for OperatorRefusal {
    fn from(error: InvalidName) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<RecordError> for OperatorRefusal {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Store(error) => Self::Store(error),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl Broker {
    /// Ends what the operator names, or counts what would end. `actor` is who asks (`uid:1000`).
    ///
    /// # Errors
    /// [`OperatorRefusal`].
    pub async fn revoke_as_operator(
        &self,
        what: What,
        reason: &str,
        actor: &str,
        dry_run: bool,
    ) -> Result<Revoked, OperatorRefusal> {
        let begun = Instant::now();
        said(reason, "a reason is required: say why it ends")?;
        let now = self.parts.clock.now();
        let (selector, target) = self.resolve(what, now).await?;
        // An end among millions does not wait to be counted.
        let selected = if dry_run { self.selected(&selector, Looks::Many).await? } else { self.about(&selector).await };
        if selected == Tally::default() {
            self.refuse_typo(&selector, now).await?;
        }
        let already = match &selector {
            Selector::Lease(id) => self.lease(*id).await?.filter(|view| view.state != LeaseState::Live),
            _ => None,
        };
        if dry_run {
            return Ok(Revoked { selected, already, ..Revoked::default() });
        }
        let decision = self.operator_decision()?;
        let closed_until = match &target {
            EndTarget::Task { closed_until, .. } => Some(*closed_until),
            _ => None,
        };
        let ended = match target {
            EndTarget::Lease(id) => self.end_lease(id, now).await?,
            target => self.end(End { target, at: now, spent: None }).await?,
        };
        let took = begun.elapsed();
        self.follower.hear(&ended.rules);
        if let Selector::Key(kid) = &selector {
            self.parts.keys.revoked(kid.clone()).await?;
            self.checker.set_keys(self.parts.keys.verifying_keys());
        }
        self.parts.metrics.end(selector.kind());
        let record = operator_record(Event::Revoke, &decision, reason, actor, &ended);
        let mut record = selected.counted(name(record, &selector)).took(took).no_effect(ended.rules.is_empty());
        if already.is_some() && ended.rules.is_empty() {
            record = record.detail("it had ended before");
        }
        self.parts.audit.post(record);
        Ok(Revoked { already, ..revoked(selected, ended, closed_until, decision) })
    }

    /// Shuts a workload out, on all brokers, and ends its leases by one rule. One that is in quarantine stays in the one it is
    /// in: what is told then is since when, by whom and why.
    ///
    /// # Errors
    /// [`OperatorRefusal`].
    pub async fn quarantine(&self, workload: &str, reason: &str, actor: &str) -> Result<Revoked, OperatorRefusal> {
        let begun = Instant::now();
        let workload = self.known_workload(workload).await?;
        said(reason, "a reason is required: say why it is shut out")?;
        let now = self.parts.clock.now();
        let decision = self.operator_decision()?;
        let selected = self.about(&Selector::Workload(workload.clone())).await;
        // Kept in the store until the release, and shown: no place for a token that was pasted into it.
        let reason = without_credentials(reason);
        let quarantine = Quarantine {
            workload: workload.clone(),
            reason: reason.clone().into_owned(),
            actor: actor.to_owned(),
            since: now,
        };
        let ended = self.end(End { target: EndTarget::Quarantine(quarantine.clone()), at: now, spent: None }).await?;
        let took = begun.elapsed();
        self.follower.hear(&ended.rules);
        self.parts.metrics.end(RuleKind::Workload);
        let mut record = operator_record(Event::Quarantine, &decision, &reason, actor, &ended);
        let mut standing = None;
        if ended.imposed {
            self.shut.imposed(quarantine);
        } else {
            record = record.detail("it was in quarantine already").no_effect(true);
            // Acknowledged, it is kept here as well, for the day on which the store loses it: the first one, or where that cannot be
            // read now, this one. Released in this moment, it is none any more.
            let told = self.parts.store.quarantines().await.map(|told| told.all);
            match told.map(|all| all.into_iter().find(|each| each.workload == workload)) {
                Ok(found) => standing = found,
                Err(_) => self.shut.imposed(quarantine),
            }
            standing.iter().for_each(|first| self.shut.imposed(first.clone()));
        }
        self.parts.audit.post(selected.counted(record.workload(workload)).took(took));
        Ok(Revoked { standing, ..revoked(selected, ended, None, decision) })
    }

    /// Lets a workload in again. What was ended stays ended. False where it was not shut out.
    ///
    /// # Errors
    /// [`OperatorRefusal`].
    pub async fn release(
        &self,
        workload: &str,
        reason: &str,
        actor: &str,
    ) -> Result<(bool, DecisionId), OperatorRefusal> {
        let workload = WorkloadId::parse(workload)?;
        said(reason, "a reason is required: say why it is let in again")?;
        let decision = self.operator_decision()?;
        let was = self.parts.store.release(workload.clone()).await?;
        self.shut.released(&workload);
        if !was {
            self.known_workload(workload.as_str()).await?;
        }
        let mut record = operator_record(Event::Release, &decision, reason, actor, &Ended::default());
        if !was {
            record = record.detail("it was in no quarantine").no_effect(true);
        }
        self.parts.audit.post(record.workload(workload));
        Ok((was, decision))
    }

    /// Switches to the next signing key, now or as soon as it has been published long enough. `actor` is who asks.
    ///
    /// # Errors
    /// [`KeyError`](crate::keys::KeyError).
    pub async fn rotate(&self, now: bool, actor: &str) -> Result<crate::keys::Rotation, crate::keys::KeyError> {
        let rotation = self.parts.keys.rotate(now).await?;
        self.checker.set_keys(self.parts.keys.verifying_keys());
        if let crate::keys::Rotation::Done(kid) = &rotation {
            self.parts.audit.post(AuditRecord::new(Event::KeyRotate, Outcome::Done).key(kid.clone()).actor(actor));
        }
        Ok(rotation)
    }

    async fn resolve(&self, what: What, now: UnixTime) -> Result<(Selector, EndTarget), OperatorRefusal> {
        Ok(match what {
            What::Lease(id) => {
                self.parts.store.lease(id).await?.ok_or_else(|| OperatorRefusal::NotFound(format!("lease {id}")))?;
                (Selector::Lease(id), EndTarget::Lease(id))
            }
            What::Task(task, workload) => {
                let workload = match workload {
                    Some(workload) => workload,
                    None => self.only_workload(&task, now).await?,
                };
                let closed_until = now.plus(self.options.closed_for);
                let target = EndTarget::Task { workload: workload.clone(), task: task.clone(), closed_until };
                (Selector::Task(workload, task), target)
            }
            What::Workload(workload) => (Selector::Workload(workload.clone()), EndTarget::Workload(workload)),
            What::Audience(audience) => {
                // The declared spelling is the one in the tokens.
                let set = self.parts.policies.current();
                let audience = set.audience(audience.as_str()).map_or(audience, |known| known.id.clone());
                (Selector::Audience(audience.clone()), EndTarget::Audience(audience))
            }
            What::Key(kid) => {
                let known = self.parts.store.keys().await?.iter().any(|key| key.kid == kid);
                if !known {
                    return Err(OperatorRefusal::NotFound(format!("published key {kid}")));
                }
                (Selector::Key(kid.clone()), EndTarget::Key(kid))
            }
            What::All => (Selector::All, EndTarget::All),
        })
    }

    /// A workload or an audience that no file names and no lease was ever for, as far as the store remembers: a typo,
    /// which must not look like an end. The leases of one whose file is gone can still be ended, and ended again.
    async fn refuse_typo(&self, selector: &Selector, now: UnixTime) -> Result<(), OperatorRefusal> {
        let set = self.parts.policies.current();
        let (name, near) = match selector {
            Selector::Workload(id) | Selector::Task(id, _) if set.workload(id.as_str()).is_none() => {
                (format!("workload {id}"), set.near_workload(id.as_str()))
            }
            Selector::Audience(id) if set.audience(id.as_str()).is_none() => {
                (format!("audience {id}"), set.near_audience(id.as_str()))
            }
            _ => return Ok(()),
        };
        let meant = meant(near.as_deref());
        match self.had_some(selector, now).await? {
            false => Err(OperatorRefusal::NotFound(format!("{name}, and no lease of one{meant}"))),
            true => Ok(()),
        }
    }

    /// A workload that is declared, or of which something else is known: its leases may live on without its file.
    async fn known_workload(&self, raw: &str) -> Result<WorkloadId, OperatorRefusal> {
        let declared = self.parts.policies.current().workload(raw).map(|workload| workload.id.clone());
        if let Some(id) = declared {
            return Ok(id);
        }
        match (WorkloadId::parse(raw), self.workload(raw).await?) {
            (Ok(id), Some(_)) => Ok(id),
            _ => Err(self.no_workload(raw)),
        }
    }

    /// There is no such workload, and which was probably meant.
    pub fn no_workload(&self, id: &str) -> OperatorRefusal {
        let near = self.parts.policies.current().near_workload(id);
        OperatorRefusal::NotFound(format!("workload {id}{}", meant(near.as_deref())))
    }

    /// There is no such audience, and which was probably meant.
    pub fn no_audience(&self, uri: &str) -> OperatorRefusal {
        let near = self.parts.policies.current().near_audience(uri);
        OperatorRefusal::NotFound(format!("audience {uri}{}", meant(near.as_deref())))
    }

    fn operator_decision(&self) -> Result<DecisionId, OperatorRefusal> {
        self.decision().map_err(|refused| OperatorRefusal::Internal(refused.refusal.description.into_owned()))
    }
}

/// Whether a reason is one: some words, and no more than an audit line holds of them.
fn said(reason: &str, otherwise: &str) -> Result<(), OperatorRefusal> {
    let most = AuditRecord::MAX_TEXT;
    if reason.trim().is_empty() {
        return Err(OperatorRefusal::Invalid(otherwise.to_owned()));
    }
    if reason.chars().nth(most).is_some() {
        return Err(OperatorRefusal::Invalid(format!(
            "a reason has {most} characters at most: say the rest elsewhere"
        )));
    }
    Ok(())
}

fn revoked(selected: Tally, ended: Ended, closed_until: Option<UnixTime>, decision: DecisionId) -> Revoked {
    let decision_id = Some(decision);
    Revoked { selected, rules: ended.rules, leases: ended.leases, closed_until, decision_id, ..Revoked::default() }
}

fn operator_record(event: Event, decision: &DecisionId, reason: &str, actor: &str, ended: &Ended) -> AuditRecord {
    let mut record = AuditRecord::new(event, Outcome::Done).decision(decision.clone()).reason(reason).actor(actor);
    if let Some(rule) = ended.rules.last() {
        record = record.position(rule.position);
    }
    record
}

/// Adds to a record what the selector names.
fn name(record: AuditRecord, selector: &Selector) -> AuditRecord {
    match selector.clone() {
        Selector::Lease(id) => record.lease(id),
        Selector::Task(workload, task) => record.workload(workload).task(task),
        Selector::Workload(workload) => record.workload(workload),
        Selector::Audience(audience) => record.audience(audience),
        Selector::Key(kid) => record.key(kid),
        Selector::All => record.detail("everything"),
    }
}
