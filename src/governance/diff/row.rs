//! One row of the table: who gains, loses or keeps what, in which circumstances, and how sure that is.

use std::time::Duration;

use serde_json::{Value, json};

use super::proof::Shown;
use crate::governance::logic::request::Request;
use crate::governance::logic::sides::{FREE, Stand, Standing};
use crate::model::time::format_span;
use crate::policy::is;

/// What kind of access a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// A scope at an audience.
    Grant,
    /// Who can be a workload.
    Identity,
    /// How long a workload gets anything.
    Expiry,
    /// Who can ask about tokens as an audience.
    Introspection,
}

impl Access {
    /// As documents and statements write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Identity => "identity",
            Self::Expiry => "expiry",
            Self::Introspection => "introspection",
        }
    }
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Turn {
    /// There was nothing.
    Gains,
    /// There is nothing any more.
    Loses,
    /// There was and is something.
    Changes,
}

impl Turn {
    /// As documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gains => "gains",
            Self::Loses => "loses",
            Self::Changes => "changes",
        }
    }
}

/// Whether more is possible than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// Surely.
    Wider,
    /// Nobody has proven that it is not.
    MayBeWider,
    /// Surely not.
    NotWider,
}

impl Width {
    /// As documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wider => "widens",
            Self::MayBeWider => "may widen",
            Self::NotWider => "not wider",
        }
    }
}

/// One change of access, and everybody whom it concerns alike.
#[derive(Debug, Clone)]
pub struct Row {
    /// What kind.
    pub access: Access,
    /// What becomes of it.
    pub turn: Turn,
    /// Whether it is more.
    pub width: Width,
    /// Whom it concerns; nobody where it is about an audience itself.
    pub workloads: Vec<String>,
    /// The audience's URI.
    pub audience: Option<String>,
    /// The scope, or the open scope whose instances it is about.
    pub scope: Option<String>,
    /// What stood, a line for each policy.
    pub before: Vec<String>,
    /// What stands.
    pub after: Vec<String>,
    /// The policies of HEAD that can speak.
    pub policies: Vec<String>,
    /// A request that is allowed now, or allowed more, and was not.
    pub request: Option<Request>,
    /// An assertion or token that is taken now, and was not.
    pub proof: Option<Shown>,
    /// By which statement of the change, where one covers all of it.
    pub stated: Option<String>,
}

impl Row {
    /// Whether it must be stated.
    pub fn widens(&self) -> bool {
        self.width != Width::NotWider
    }

    /// Whether somebody must still state it.
    pub fn is_open(&self) -> bool {
        self.widens() && self.stated.is_none()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "access": self.access.as_str(), "turn": self.turn.as_str(), "width": self.width.as_str(),
            "workloads": self.workloads, "audience": self.audience, "scope": self.scope,
            "before": self.before, "after": self.after, "policies": self.policies,
            "request": self.request.as_ref().map(Request::json),
            "proof": self.proof.as_ref().map(Shown::json), "stated": self.stated,
        })
    }
}

/// What stands, a line for each policy.
pub(super) fn lines(stand: &Stand) -> Vec<String> {
    let permits = stand.permits.iter().map(permit);
    let forbids = stand.forbids.iter().map(|forbid| match is(&forbid.left, true) {
        true => format!("{}: never", forbid.id),
        false => format!("{}: never when {}", forbid.id, condition(forbid)),
    });
    // A forbid takes away only what something gives.
    if stand.permits.is_empty() { Vec::new() } else { permits.chain(forbids).collect() }
}

fn permit(permit: &Standing) -> String {
    let when = match is(&permit.left, true) {
        true => "always".to_owned(),
        false => format!("when {}", condition(permit)),
    };
    let [ttl, lifetime, uses] = permit.reach;
    let span = |secs: u64, of: &str| match secs {
        FREE => String::new(),
        secs => format!(", {} {of}", format_span(Duration::from_secs(secs))),
    };
    let uses = match uses {
        0 => ", one lease a platform token",
        1 => ", one task a platform token",
        _ => "",
    };
    format!("{}: {when}{}{}{uses}", permit.id, span(ttl, "a token"), span(lifetime, "a chain"))
}

fn condition(standing: &Standing) -> String {
    standing.left.to_string()
}
