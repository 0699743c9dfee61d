//! Mint: attest, decide, record, witness, sign: in that order and in no other.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::attest::{Caller, ClientAuth, Endpoint, TaskBy, Who};
use crate::audit::{AuditRecord, Event, Outcome, Witnessed};
use crate::keys::SignedToken;
use crate::model::{
    AudienceUri, DecisionId, LeaseId, Position, Reason, Refusal, ScopeSet, TaskId, UnixTime, without_credentials,
};
use crate::policy::{Ask, Grant, PolicySet, SingleUse, Workload};
use crate::store::{LeaseDraft, RecordError, Recorded, Spent, StoreError};

use super::refused::No;
use super::trail::Trail;
use super::{Broker, Refused};

/// A request for a token, as its form tells it.
#[derive(Debug)]
pub struct TokenAsk<'a> {
    /// `grant_type`.
    pub grant_type: Option<&'a str>,
    /// Client authentication.
    pub auth: ClientAuth<'a>,
    /// `task`.
    pub task: Option<&'a str>,
    /// `ttl`, seconds.
    pub ttl: Option<&'a str>,
    /// `scope`.
    pub scope: Option<&'a str>,
    /// Every `resource` (RFC 8707) and `audience`; all must name one resource server.
    pub targets: Vec<&'a str>,
}

/// What was decided, and all that is to be written of it.
pub(super) struct Decided<'a> {
    pub event: Event,
    pub grant: &'a Grant,
    pub caller: &'a Caller,
    /// Where the log stood when it was judged whether the lease to be renewed stands.
    pub judged_at: Option<Position>,
    pub decision: &'a DecisionId,
    pub trail: &'a Trail,
}

/// What a token would be, of which none was made.
#[derive(Debug)]
pub struct Probed {
    /// How long it would live.
    pub ttl: Duration,
    /// What it would allow.
    pub scopes: ScopeSet,
    /// The task it would be for.
    pub task: TaskId,
    /// The lease that was recorded, and was over at once.
    pub lease: LeaseId,
    /// How far the platform's token that was shown would go; a probe uses up none of it.
    pub single_use: Option<SingleUse>,
}

/// A token that may leave.
#[derive(Debug)]
pub struct Issued {
    /// The token and its lease.
    pub token: SignedToken,
    /// The decision.
    pub decision_id: DecisionId,
}

impl Broker {
    /// A token for one task (RFC 6749 §4.4).
    ///
    /// # Errors
    /// [`Refused`], written down.
    pub async fn mint(&self, ask: TokenAsk<'_>) -> Result<Issued, Refused> {
        let decision = self.decision()?;
        match self.try_mint(&ask, &decision).await {
            Ok(token) => {
                self.parts.metrics.mint("granted");
                Ok(Issued { token, decision_id: decision })
            }
            Err(no) => {
                self.parts.metrics.mint(no.refusal.reason.as_str());
                Err(self.refuse(Event::Mint, no, decision).await)
            }
        }
    }

    /// What a token for one task would be: all that a mint asks is asked, and no token is made. Its line in the audit log says that
    /// it was a probe; of one who did not prove who it is, it is a refusal like any other.
    ///
    /// # Errors
    /// [`Refused`], written down.
    pub async fn probe(&self, ask: TokenAsk<'_>) -> Result<Probed, Refused> {
        let decision = self.decision()?;
        match self.try_probe(&ask, &decision).await {
            Ok(probed) => Ok(probed),
            Err(no) => {
                // As in the log: who did not prove who it is was refused like any other.
                if !no.trail.probe {
                    self.parts.metrics.mint(no.refusal.reason.as_str());
                }
                Err(self.refuse(Event::Mint, no, decision).await)
            }
        }
    }

    async fn try_probe(&self, ask: &TokenAsk<'_>, decision: &DecisionId) -> Result<Probed, No> {
        let (caller, mut trail, set, now) = self.attested(ask).await?;
        trail.probe = true;
        match self.decide(&set, &caller, ask, now, &mut trail) {
            Ok(grant) => {
                let (event, caller) = (Event::Mint, &*caller);
                let decided = Decided { event, grant: &grant, caller, judged_at: None, decision, trail: &trail };
                let written = self.write_down(&decided).await?;
                let lease = written.get().lease().id;
                let single_use = grant.single_use().filter(|_| caller.token.is_some());
                let (scopes, task) = (grant.scopes().clone(), grant.task().clone());
                Ok(Probed { ttl: grant.ttl(), scopes, task, lease, single_use })
            }
            Err(no) => Err(self.refused(no, &caller, ask, &set, trail).await),
        }
    }

    async fn try_mint(&self, ask: &TokenAsk<'_>, decision: &DecisionId) -> Result<SignedToken, No> {
        let (caller, mut trail, set, now) = self.attested(ask).await?;
        match self.decide(&set, &caller, ask, now, &mut trail) {
            Ok(grant) => {
                let (event, caller) = (Event::Mint, &*caller);
                let decided = Decided { event, grant: &grant, caller, judged_at: None, decision, trail: &trail };
                self.carry_out(&decided).await
            }
            Err(no) => Err(self.refused(no, &caller, ask, &set, trail).await),
        }
    }

    /// What becomes of a decision that is no: the assertion is used up all the same, for it counts once also where it got nothing.
    async fn refused(&self, no: No, caller: &Caller, ask: &TokenAsk<'_>, set: &PolicySet, mut trail: Trail) -> No {
        // Wherever it was refused, these are known of the request; what is no name is told by the refusal.
        trail.task = trail.task.or_else(|| ask.task.and_then(named));
        trail.audience = trail.audience.or_else(|| ask.targets.first().and_then(|asked| declared(set, asked)));
        self.spend(caller.spent.clone()).await.err().unwrap_or(no).with(&trail)
    }

    /// Who asks, and by which set and at what moment that is decided.
    async fn attested(&self, ask: &TokenAsk<'_>) -> Result<(Arc<Caller>, Trail, Arc<PolicySet>, UnixTime), No> {
        match ask.grant_type {
            Some("client_credentials") => {}
            Some(_) => return Err(No::new(Reason::UnsupportedGrantType, "use grant_type client_credentials")),
            None => return Err(No::new(Reason::InvalidRequest, "the parameter grant_type is missing")),
        }
        let now = self.parts.clock.now();
        let set = self.parts.policies.current();
        let caller = self.attestor.attest_patiently(&set, &ask.auth, Endpoint::TOKEN, now).await?;
        let trail = Trail::of(&caller);
        Ok((caller, trail, set, now))
    }

    fn decide(
        &self,
        set: &PolicySet,
        caller: &Caller,
        ask: &TokenAsk<'_>,
        now: UnixTime,
        trail: &mut Trail,
    ) -> Result<Grant, No> {
        let workload = workload_of(caller)?;
        trail.workload = Some(workload.id.clone());
        let task = self.task(ask.task, &caller.task)?;
        trail.task = Some(task.clone());
        let ttl = parse_ttl(ask.ttl)?;
        trail.ttl = ttl;
        let audience = target(set, &ask.targets)?;
        trail.audience = declared(set, audience);
        let scopes = ask.scope.ok_or_else(|| No::new(Reason::UnknownScope, "the parameter scope is missing"))?;
        let scopes = ScopeSet::parse(scopes)?;
        trail.scopes = Some(scopes.clone());
        let grant = set.decide(&Ask {
            workload: &workload.id,
            audience,
            scopes: &scopes,
            task: &task,
            ttl,
            identity: &caller.identity,
            now,
            limits: self.options.limits,
            renews: None,
        })?;
        trail.policies = grant.policies().clone();
        Ok(grant)
    }

    /// Record, witness, sign. What comes in is a decision; what goes out is a token, or nothing.
    pub(super) async fn carry_out(&self, decided: &Decided<'_>) -> Result<SignedToken, No> {
        let witnessed = self.write_down(decided).await?;
        let token = self.parts.keys.sign(witnessed).map_err(|error| {
            tracing::error!(%error, "a recorded lease could not be signed");
            let mut no = No::new(Reason::StoreUnavailable, "no signing key may sign now: try again");
            no.trail.detail = Some(error.to_string());
            no.with(decided.trail)
        })?;
        self.checker.vouch(token.signed());
        Ok(token)
    }

    /// Record, witness: all of it but the token.
    async fn write_down(&self, decided: &Decided<'_>) -> Result<Witnessed<Recorded>, No> {
        let &Decided { event, grant, caller, judged_at, decision, trail } = decided;
        // A probe gets nothing, and binds a platform's token to nothing.
        let single_use = grant.single_use().filter(|_| !trail.probe);
        let spent = caller.spent_for(single_use, grant.task());
        let recorded = match self.record(decided, spent).await {
            Ok(recorded) => recorded,
            Err(RecordError::Replayed) => return Err(replayed(caller, grant).with(trail)),
            // What the store refused it did not write, the assertion neither.
            Err(error @ RecordError::Store(_)) => return Err(No::from_record(&error).with(trail)),
            Err(error) => {
                let no = No::from_record(&error);
                // A platform's token that got nothing is bound to nothing.
                return Err(self.spend(caller.spent.clone()).await.err().unwrap_or(no).with(trail));
            }
        };
        if judged_at.is_some() {
            self.still_stands(&recorded).await.map_err(|no| no.with(trail))?;
        }
        let lease = recorded.lease();
        let mut record = trail.record(AuditRecord::new(event, Outcome::Granted));
        record = record.decision(decision.clone()).lease(lease.id).ttl(grant.ttl()).key(lease.kid.clone());
        record = record.position(lease.position).audience(lease.audience.clone());
        if let Some(predecessor) = lease.predecessor {
            record = record.predecessor(predecessor);
        }
        self.parts.audit.witness(record, recorded).await.map_err(|error| {
            tracing::error!(%error, "the audit log takes no record: no token leaves");
            No::new(Reason::AuditUnavailable, "the audit log cannot be written: try again with a fresh assertion")
                .with(trail)
        })
    }

    async fn record(&self, decided: &Decided<'_>, spent: Option<Spent>) -> Result<Recorded, RecordError> {
        let grant = decided.grant;
        let shard = LeaseId::shard_of(grant.workload());
        let mut tries = 0;
        loop {
            tries += 1;
            let signer = self.parts.keys.signer().map_err(|error| StoreError::Unavailable(error.to_string()))?;
            // A token may not outlive its key's publication. Said here too, so that no lease is recorded for nothing.
            if grant.at().plus(grant.ttl()).plus(Self::SKEW) > signer.published_until {
                return Err(StoreError::Unavailable("no key is published for long enough".into()).into());
            }
            let random = self.random.take().map_err(|_| RecordError::Duplicate)?;
            let id = LeaseId::new(self.parts.clock.now_ms(), shard, u64::from_be_bytes(random));
            let mut draft = LeaseDraft::new(grant, id, signer.kid, signer.epoch).spending(spent.clone());
            if let Some(head) = decided.judged_at {
                draft = draft.judged_at(head);
            }
            if decided.trail.probe {
                draft = draft.over_at_once();
            }
            match self.parts.store.record(draft).await {
                Err(RecordError::Duplicate) if tries < 3 => {}
                // The key was revoked elsewhere a moment ago, or the store lost its publication: the tick takes the next
                // key, or publishes this one again.
                Err(RecordError::KeyRefused(_)) if tries < 3 => {
                    let _ = self.tend_keys().await;
                }
                Err(RecordError::Epoch(_)) if tries < 3 => {
                    let _ = self.catch_up().await;
                }
                other => return other,
            }
        }
    }

    fn task(&self, asked: Option<&str>, named_by: &TaskBy) -> Result<TaskId, No> {
        let asked = asked.map(TaskId::parse).transpose()?;
        let attested = named_by.attested(asked.as_ref()).map_err(|why| No::new(Reason::InvalidRequest, why))?;
        match (attested.or(asked), named_by) {
            (Some(task), _) => Ok(task),
            (None, TaskBy::Auto) => {
                let random: [u8; 10] =
                    self.random.take().map_err(|_| No::new(Reason::Internal, "the system has no randomness"))?;
                let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
                Ok(TaskId::parse(&format!("auto-{hex}"))?)
            }
            (None, _) => {
                Err(No::new(Reason::InvalidRequest, "the parameter task is missing: name the task the token is for"))
            }
        }
    }
}

/// An assertion, or a platform's token that the policies which permit this bind to what it was first used for.
fn replayed(caller: &Caller, grant: &Grant) -> No {
    let why = match (&caller.token, grant.single_use()) {
        (Some(_), Some(SingleUse::Task)) => {
            "this platform token is bound to another task, or to one lease: ask the platform for a fresh one"
        }
        (Some(_), _) => "this platform token is bound to the lease it got before: ask the platform for a fresh one",
        (None, _) => return No::from_record(&RecordError::Replayed),
    };
    let by = grant.policies().join(", ");
    No::new(Reason::InvalidClient, format!("{why} (@single_use, by policies {by})"))
}

/// The workload behind a caller; a resource server gets no tokens.
pub(super) fn workload_of(caller: &Caller) -> Result<&Workload, No> {
    match &caller.who {
        Who::Workload(workload) => Ok(workload),
        Who::Audience(_) => Err(No::new(Reason::Ungoverned, "a resource server gets no tokens: ask as a workload")),
    }
}

/// The task that was asked, for the audit line: not what has the form of a token, which was put into the wrong parameter.
pub(super) fn named(asked: &str) -> Option<TaskId> {
    TaskId::parse(asked).ok().filter(|_| without_credentials(asked) == asked)
}

/// The audience that was asked, for the audit line.
fn declared(set: &PolicySet, asked: &str) -> Option<AudienceUri> {
    set.audience(asked).map_or_else(|| unknown(asked), |known| Some(known.id.clone()))
}

/// What was asked where no such audience is declared, for the audit line: a URI in form, and nothing that may hold a secret.
fn unknown(asked: &str) -> Option<AudienceUri> {
    let is_plain = !asked.contains(['@', '?']) && without_credentials(asked) == asked;
    AudienceUri::parse(asked).ok().filter(|_| is_plain)
}

/// `ttl`: whole seconds, one at least.
pub(crate) fn parse_ttl(raw: Option<&str>) -> Result<Option<Duration>, Refusal> {
    let Some(raw) = raw else { return Ok(None) };
    let is_plain = (1..=9).contains(&raw.len()) && raw.bytes().all(|byte| byte.is_ascii_digit());
    match raw.parse::<u64>() {
        Ok(secs) if is_plain && secs > 0 => Ok(Some(Duration::from_secs(secs))),
        _ => Err(Refusal::new(Reason::InvalidRequest, "ttl: whole seconds, 1 at least, in digits")),
    }
}

/// The one resource server that all of `resource` and `audience` name.
fn target<'a>(set: &PolicySet, targets: &[&'a str]) -> Result<&'a str, No> {
    let Some((first, rest)) = targets.split_first() else {
        let why: Cow<'static, str> = "the parameter resource (or audience) is missing: name the resource server".into();
        return Err(No::new(Reason::InvalidRequest, why));
    };
    let known = set.audience(first);
    let is_same = |other: &&&str| known.map_or(**other == *first, |audience| audience.id.matches(other));
    match rest.iter().find(|other| !is_same(other)) {
        None => Ok(first),
        Some(_) => {
            Err(No::new(Reason::InvalidRequest, "resource and audience differ: a token is for one resource server"))
        }
    }
}
