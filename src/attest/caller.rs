//! Who asks, proven; or why not.

use std::sync::Arc;

use crate::model::{Reason, Refusal};
use crate::policy::{Audience, IdentityUsed, TaskNaming, Workload};
use crate::store::Spent;

/// A caller that proved who it is. What it may do, and whether it is in good standing, is for others to say.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub who: Who,
    /// How it proved itself, as policies see it.
    pub identity: IdentityUsed,
    /// Who names its tasks, by the identity it used.
    pub task: TaskNaming,
    /// The assertion, to be used up; none where the proof may be shown repeatedly.
    pub spent: Option<Spent>,
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
    /// Always [`Reason::InvalidClient`].
    pub refusal: Refusal,
    /// What really was wrong.
    pub fault: Fault,
    /// Who it said it was, where that could be read; at most 255 bytes, and anybody's words.
    pub claimed: Option<String>,
}

impl Unproven {
    pub(super) fn named(description: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { refusal: Refusal::new(Reason::InvalidClient, description), fault: Fault::Form, claimed: None }
    }
}

/// Why a caller is unproven. The last four look the same from outside.
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
    /// The signature is not by the client's key.
    BadSignature,
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
        }
    }
}
