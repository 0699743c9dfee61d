//! One record: what happened, to whom, and how it came out. Built from typed names, so that no field takes a secret.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::model::{AudienceUri, DecisionId, Epoch, KeyId, LeaseId, Position, Reason, ScopeSet, TaskId, WorkloadId};

use super::chain::Stamp;
use super::text::Text;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$item])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The one of this word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|each| each.as_str() == word)
            }

            /// The word in the line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

words!(
    /// What happened.
    Event {
        /// A broker started.
        Start = "start",
        /// A broker stopped in order.
        Stop = "stop",
        /// A token was asked for.
        Mint = "mint",
        /// A lease's renewal was asked for.
        Renew = "renew",
        /// A task was completed.
        Complete = "complete",
        /// A token was asked about.
        Introspect = "introspect",
        /// Leases were revoked.
        Revoke = "revoke",
        /// A workload was put in quarantine.
        Quarantine = "quarantine",
        /// A workload was released from it.
        Release = "release",
        /// A request was refused before it was known what it asked for.
        Refuse = "refuse",
        /// A signing key was published.
        KeyPublish = "key.publish",
        /// Another signing key signs from now on.
        KeyRotate = "key.rotate",
        /// A signing key left the JWKS.
        KeyWithdraw = "key.withdraw",
        /// The store's log began another life.
        EpochStart = "epoch.start",
        /// A policy set was loaded, or refused.
        PolicyReload = "policy.reload",
        /// Something an operator did that has no word of its own.
        Admin = "admin",
        /// The file is another than before: `prev` is the hash of the last line this broker wrote elsewhere.
        ChainContinue = "chain.continue",
        /// `count` closed files were more than `[audit] keep` allows, and are removed; `detail` names them.
        ChainExpire = "chain.expire",
        /// Half a line at the end of the file was set aside.
        ChainTorn = "chain.torn",
        /// The log can be written again; `count` records that someone waited for were not written meanwhile.
        ChainResume = "chain.resume",
        /// `count` refusals to unknown callers since `since`, which were not written one by one.
        RefusedSummary = "refused.summary",
        /// `count` records since `since` did not fit into memory while the log could not be written.
        LostSummary = "lost.summary",
    }
);

words!(
    /// How it came out.
    Outcome {
        /// Decided, recorded, and about to be signed.
        Granted = "granted",
        /// Refused; `refusal` says why.
        Refused = "refused",
        /// Done.
        Done = "done",
        /// Tried and not done.
        Failed = "failed",
    }
);

/// One record, before it has a place in the chain. The log stamps it with the moment it is handed over.
///
/// Boxed: it is put together in some twenty steps and handed from queue to queue, and would be copied by each.
#[derive(Debug, Clone)]
#[must_use = "a record says nothing until a log is given it"]
pub struct AuditRecord(pub(super) Box<Fields>);

#[derive(Debug, Clone)]
pub(super) struct Fields {
    pub(super) event: Event,
    pub(super) outcome: Outcome,
    pub(super) decision_id: Option<DecisionId>,
    pub(super) workload: Option<WorkloadId>,
    pub(super) audience: Option<AudienceUri>,
    pub(super) task: Option<TaskId>,
    pub(super) scope: Option<ScopeSet>,
    pub(super) lease: Option<LeaseId>,
    pub(super) predecessor: Option<LeaseId>,
    pub(super) ttl: Option<u64>,
    pub(super) kid: Option<KeyId>,
    pub(super) epoch: Option<Epoch>,
    pub(super) position: Option<Position>,
    pub(super) policies: Arc<[Arc<str>]>,
    pub(super) refusal: Option<Reason>,
    pub(super) count: Option<u64>,
    pub(super) more: bool,
    pub(super) since: Option<Stamp>,
    pub(super) took_us: Option<u64>,
    pub(super) no_effect: bool,
    pub(super) probe: bool,
    pub(super) actor: Option<Text>,
    pub(super) identity: Option<Text>,
    pub(super) claims: Option<Arc<BTreeMap<String, String>>>,
    pub(super) peer: Option<IpAddr>,
    pub(super) reason: Option<Text>,
    pub(super) detail: Option<Text>,
}

impl AuditRecord {
    /// The longest `detail` and `reason`, in characters; what is longer is cut.
    pub const MAX_TEXT: usize = 1024;
    pub(super) const MAX_NAME: usize = 255;

    /// A record of `event` that came out as `outcome`.
    pub fn new(event: Event, outcome: Outcome) -> Self {
        Self(Box::new(Fields {
            event,
            outcome,
            decision_id: None,
            workload: None,
            audience: None,
            task: None,
            scope: None,
            lease: None,
            predecessor: None,
            ttl: None,
            kid: None,
            epoch: None,
            position: None,
            policies: Arc::default(),
            refusal: None,
            count: None,
            more: false,
            since: None,
            took_us: None,
            no_effect: false,
            probe: false,
            actor: None,
            identity: None,
            claims: None,
            peer: None,
            reason: None,
            detail: None,
        }))
    }

    /// A refused `event`: outcome `refused`, and `reason` as `refusal`.
    pub fn refused(event: Event, reason: Reason) -> Self {
        Self::new(event, Outcome::Refused).refusal(reason)
    }

    /// The decision it explains.
    pub fn decision(mut self, id: DecisionId) -> Self {
        self.0.decision_id = Some(id);
        self
    }
    /// Whose lease or request it is.
    pub fn workload(mut self, id: WorkloadId) -> Self {
        self.0.workload = Some(id);
        self
    }
    /// The resource server it is about.
    pub fn audience(mut self, uri: AudienceUri) -> Self {
        self.0.audience = Some(uri);
        self
    }
    /// The task it is about.
    pub fn task(mut self, task: TaskId) -> Self {
        self.0.task = Some(task);
        self
    }
    /// The scopes asked for, or granted.
    pub fn scopes(mut self, scopes: ScopeSet) -> Self {
        self.0.scope = Some(scopes);
        self
    }
    /// The lease it is about.
    pub fn lease(mut self, id: LeaseId) -> Self {
        self.0.lease = Some(id);
        self
    }
    /// The lease that was renewed.
    pub fn predecessor(mut self, id: LeaseId) -> Self {
        self.0.predecessor = Some(id);
        self
    }
    /// How long the token lives, or was asked to live, whole seconds.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.0.ttl = Some(ttl.as_secs());
        self
    }
    /// The signing key it is about.
    pub fn key(mut self, kid: KeyId) -> Self {
        self.0.kid = Some(kid);
        self
    }
    /// The life of the store's log.
    pub fn epoch(mut self, epoch: Epoch) -> Self {
        self.0.epoch = Some(epoch);
        self
    }
    /// The place in the revocation log: a token's `rev`, or the last rule of an end.
    pub fn position(mut self, position: Position) -> Self {
        self.0.position = Some(position);
        self
    }
    /// The policies that determined it, by `@id`; the names beyond the first 4 KiB are left out and counted as `+n`.
    pub fn policies(mut self, ids: impl Into<Arc<[Arc<str>]>>) -> Self {
        self.0.policies = ids.into();
        self
    }
    /// Why it was refused.
    pub fn refusal(mut self, reason: Reason) -> Self {
        self.0.refusal = Some(reason);
        self
    }
    /// How many leases or rules it touched.
    pub fn count(mut self, count: u64) -> Self {
        self.0.count = Some(count);
        self
    }
    /// There may have been more than `count` says: not all were looked at.
    pub fn more(mut self, more: bool) -> Self {
        self.0.more = more;
        self
    }
    /// Who did it where no workload did (`uid:1000`, an audience's URI); at most 255 characters.
    pub fn actor(mut self, actor: &str) -> Self {
        self.0.actor = Some(Text::new(actor, Self::MAX_NAME));
        self
    }
    /// How the caller proved itself (`private_key_jwt`, and the `kid`); at most 255 characters.
    pub fn identity(mut self, identity: &str) -> Self {
        self.0.identity = Some(Text::new(identity, Self::MAX_NAME));
        self
    }
    /// What was kept from a platform's token; of each no more than 255 characters, and no more than 4 KiB of all.
    pub fn claims(mut self, claims: Arc<BTreeMap<String, String>>) -> Self {
        self.0.claims = Some(claims);
        self
    }
    /// Where the request came from.
    pub fn peer(mut self, peer: IpAddr) -> Self {
        self.0.peer = Some(peer);
        self
    }
    /// How long an end took, from the request to the store's word that it is held; whole microseconds.
    pub fn took(mut self, span: Duration) -> Self {
        self.0.took_us = u64::try_from(span.as_micros()).ok();
        self
    }
    /// It was done before, or there was nothing to do: no lease, rule or quarantine is another than before.
    pub fn no_effect(mut self, nothing: bool) -> Self {
        self.0.no_effect = nothing;
        self
    }
    /// It was asked what would be granted: no token was made, whatever came out.
    pub fn probe(mut self, probe: bool) -> Self {
        self.0.probe = probe;
        self
    }
    /// Why, in an operator's words.
    pub fn reason(mut self, words: &str) -> Self {
        self.0.reason = Some(Text::new(words, Self::MAX_TEXT));
        self
    }
    /// What else there is to say: what was refused and by which rule. Never what was sent as a credential.
    pub fn detail(mut self, words: &str) -> Self {
        self.0.detail = Some(Text::new(words, Self::MAX_TEXT));
        self
    }

    /// Since when `count` counts.
    pub(super) fn since(mut self, ms: u64) -> Self {
        self.0.since = Some(Stamp(ms));
        self
    }

    /// Why it was refused, if it was.
    pub(super) const fn refused_for(&self) -> Option<Reason> {
        self.0.refusal
    }
}
