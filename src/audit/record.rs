//! One record: what happened, to whom, and how it came out. Built from typed names, so that no field takes a secret.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use crate::model::{AudienceUri, DecisionId, Epoch, KeyId, LeaseId, Position, Reason, ScopeSet, TaskId, WorkloadId};

use super::chain::Stamp;
use super::text::{Text, told};

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
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
#[must_use = "a record says nothing until a log is given it"]
pub struct AuditRecord(Box<Fields>);

#[derive(Debug, Clone, Serialize)]
struct Fields {
    event: Event,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    decision_id: Option<DecisionId>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    workload: Option<WorkloadId>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    audience: Option<AudienceUri>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    task: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "listed")]
    scope: Option<ScopeSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<LeaseId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    predecessor: Option<LeaseId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    kid: Option<KeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "bounded_names")]
    policies: Arc<[Arc<str>]>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "reason_name")]
    refusal: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Stamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_us: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_effect: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "bounded_claims")]
    claims: Option<Arc<BTreeMap<String, String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Text>,
}

impl AuditRecord {
    /// The longest `detail` and `reason`, in characters; what is longer is cut.
    pub const MAX_TEXT: usize = 1024;
    const MAX_NAME: usize = 255;

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
            since: None,
            took_us: None,
            no_effect: false,
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

/// Writes a name as it stands: the derived way would copy it into a `String` first.
fn shown<T: Borrow<str>, S: Serializer>(value: &Option<T>, s: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => s.serialize_str(value.borrow()),
        None => s.serialize_none(),
    }
}

/// Writes scopes with a space between them.
fn listed<S: Serializer>(scopes: &Option<ScopeSet>, s: S) -> Result<S::Ok, S::Error> {
    let mut all = scopes.iter().flat_map(ScopeSet::iter);
    match (all.next(), all.next()) {
        (Some(one), None) => s.serialize_str(one.as_str()),
        _ => s.serialize_str(&scopes.as_ref().map_or_else(String::new, ToString::to_string)),
    }
}

fn reason_name<S: Serializer>(value: &Option<Reason>, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(value.map_or("", Reason::as_str))
}

/// Claims are a platform's words: told like any others, bounded and without control characters.
fn bounded_claims<S: Serializer>(claims: &Option<Arc<BTreeMap<String, String>>>, s: S) -> Result<S::Ok, S::Error> {
    const ROOM: usize = 4 * 1024;
    let mut map = s.serialize_map(None)?;
    let mut used = 0;
    for (name, text) in claims.iter().flat_map(|claims| claims.iter()) {
        let (name, text) = (told(name, AuditRecord::MAX_NAME), told(text, AuditRecord::MAX_NAME));
        used += name.len() + text.len();
        if used > ROOM {
            break;
        }
        map.serialize_entry(&name, &text)?;
    }
    map.end()
}

/// Keeps a line shorter than what the log reads back at open, however many policies there are and whatever they are
/// called: JSON writes a byte as six at the most.
fn bounded_names<S: Serializer>(names: &[Arc<str>], s: S) -> Result<S::Ok, S::Error> {
    const ROOM: usize = 4 * 1024;
    let mut seq = s.serialize_seq(None)?;
    let mut used = 0;
    for (at, name) in names.iter().enumerate() {
        used += name.len() + 3;
        if used > ROOM {
            seq.serialize_element(&format_args!("+{}", names.len() - at))?;
            break;
        }
        seq.serialize_element(&**name)?;
    }
    seq.end()
}
