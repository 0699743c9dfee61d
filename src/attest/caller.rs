//! Who asks, proven; or why not.

use std::sync::Arc;

use crate::model::{Reason, Refusal, TaskId, UnixTime};
use crate::policy::{Audience, Client, IdentityUsed, SingleUse, Workload};
use crate::store::Spent;

/// A caller that proved who it is. What it may do, and whether it is in good standing, is for others to say.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub who: Who,
    /// How it proved itself, as policies see it.
    pub identity: IdentityUsed,
    /// Who names its tasks, by the identity it used.
    pub task: TaskBy,
    /// The assertion, to be used up; none where the proof may be shown repeatedly.
    pub spent: Option<Spent>,
    /// The platform's token, which may be; a policy can still bind it.
    pub token: Option<PlatformToken>,
}

impl Caller {
    /// What is used up where a grant for `task` says how far a platform's token goes; an assertion always is.
    pub fn spent_for(&self, single_use: Option<SingleUse>, task: &TaskId) -> Option<Spent> {
        match (&self.token, single_use) {
            (Some(token), Some(how_far)) => Some(token.spent(how_far, task)),
            _ => self.spent.clone(),
        }
    }
}

/// Who names the task of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskBy {
    /// The caller.
    Caller,
    /// The caller, or the broker where it does not.
    Auto,
    /// The platform: this one; or why its token names none.
    Platform(Result<TaskId, String>),
}

impl TaskBy {
    /// The task for what was `asked`, where it is not the caller's or the broker's to name: the attested one, or the asked
    /// one where that is a child of it. None where the platform names none.
    ///
    /// # Errors
    /// A sentence for the caller.
    pub fn attested(&self, asked: Option<&TaskId>) -> Result<Option<TaskId>, String> {
        match (self, asked) {
            (Self::Caller | Self::Auto, _) => Ok(None),
            (Self::Platform(Err(why)), _) => Err(format!("{why}: no task is attested")),
            (Self::Platform(Ok(task)), None) => Ok(Some(task.clone())),
            (Self::Platform(Ok(task)), Some(asked)) if asked.is_within(task) => Ok(Some(asked.clone())),
            (Self::Platform(Ok(task)), Some(asked)) => Err(format!(
                "the platform attests the task {task}, not {asked}: leave task out, or ask for {task} or {task}/STEP"
            )),
        }
    }

    /// Whether a token of its own workload is this caller's: where the platform names the task, one of another run is not.
    pub fn owns(&self, task: &TaskId) -> bool {
        match self {
            Self::Caller | Self::Auto => true,
            Self::Platform(named) => named.as_ref().is_ok_and(|named| task.is_within(named)),
        }
    }
}

/// A platform's token that was shown, by its digest and issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformToken {
    issuer: Arc<str>,
    digest: [u8; 32],
    from: UnixTime,
    until: UnixTime,
}

impl PlatformToken {
    pub(super) fn new(issuer: &Arc<str>, digest: [u8; 32], (from, until): (UnixTime, UnixTime)) -> Self {
        Self { issuer: issuer.clone(), digest, from, until }
    }

    /// The memory of it, of the token alone: whichever of several clients it proves, it is one token. It lies in the corner of
    /// its issuer, whose tokens share a few keys of the store. No client's own assertion is remembered by such a name: no id
    /// begins with a NUL.
    fn spent(&self, how_far: SingleUse, task: &TaskId) -> Spent {
        let Self { issuer, digest, from, until } = self;
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let token = Spent::new(&format!("\0platform of {issuer}"), &digest, *until).usable_from(*from);
        match how_far {
            SingleUse::Task => token.unless(task.as_str()),
            _ => token,
        }
    }
}

/// A workload or a resource server.
#[derive(Debug, Clone)]
pub enum Who {
    /// A workload.
    Workload(Arc<Workload>),
    /// A resource server: its URI is its `client_id`.
    Audience(Arc<Audience>),
}

impl Who {
    pub(super) fn of(client: &Client) -> Self {
        match client {
            Client::Workload(workload) => Self::Workload(workload.clone()),
            Client::Audience(audience) => Self::Audience(audience.clone()),
        }
    }

    /// The client id, as the catalogue writes it.
    pub fn id(&self) -> &str {
        match self {
            Self::Workload(workload) => workload.id.as_str(),
            Self::Audience(audience) => audience.id.as_str(),
        }
    }
}

/// A caller that did not prove who it is. The refusal is for the caller, all else for the audit log alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{refusal}")]
pub struct Unproven {
    /// [`Reason::InvalidClient`]; [`Reason::IssuerUnavailable`] where it may be proven once its issuer is back.
    pub refusal: Refusal,
    /// What really was wrong.
    pub fault: Fault,
    /// Who it said it was, where that could be read; at most 255 bytes, and anybody's words.
    pub claimed: Option<String>,
    /// More, for the audit log.
    pub detail: Option<String>,
}

impl Unproven {
    pub(super) fn named(description: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self {
            refusal: Refusal::new(Reason::InvalidClient, description),
            fault: Fault::Form,
            claimed: None,
            detail: None,
        }
    }
}

/// Why a caller is unproven. All but `Form` and `IssuerAway` look the same from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The assertion or what came with it is not as it must be, whoever sent it.
    Form,
    /// There is no such workload or audience.
    UnknownClient,
    /// The client has no key for this `kid` and `alg`.
    UnknownKey,
    /// Without `kid`, several keys would do.
    AmbiguousKey,
    /// The signature is not by the client's key, or the issuer's.
    BadSignature,
    /// Nobody here proves himself by tokens of this issuer.
    UnknownIssuer,
    /// The issuer's keys cannot be had now.
    IssuerAway,
    /// A platform's token is good, and its claims or audience are no client's.
    Claims,
    /// A platform's token is good, and several clients' rules fit.
    AmbiguousClient,
}

impl Fault {
    /// Its name in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::UnknownClient => "unknown_client",
            Self::UnknownKey => "unknown_key",
            Self::AmbiguousKey => "ambiguous_key",
            Self::BadSignature => "bad_signature",
            Self::UnknownIssuer => "unknown_issuer",
            Self::IssuerAway => "issuer_away",
            Self::Claims => "claims",
            Self::AmbiguousClient => "ambiguous_client",
        }
    }
}
