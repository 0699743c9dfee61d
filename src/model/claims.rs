//! The claims of an access token (RFC 9068, with `txn` of RFC 8417 and jitney's `rev`).

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{AudienceUri, LeaseId, Position, ScopeSet, TaskId, UnixTime, WorkloadId};

/// What a token says. Unknown claims are passed over, as RFC 7519 §4 asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// The broker that signed.
    pub iss: String,
    /// The workload.
    pub sub: WorkloadId,
    /// The workload again, as RFC 9068 §2.2 requires.
    pub client_id: WorkloadId,
    /// The one resource server it is for.
    pub aud: AudienceUri,
    /// Signed at.
    pub iat: UnixTime,
    /// Not good before.
    pub nbf: UnixTime,
    /// Not good from this second on.
    pub exp: UnixTime,
    /// The lease.
    pub jti: LeaseId,
    /// What it allows.
    pub scope: ScopeSet,
    /// The task it is for.
    pub txn: TaskId,
    /// The revocation log's position when the lease was recorded: a rule at a greater one ends this token.
    pub rev: Position,
    /// On whose behalf whom (RFC 8693 §4.1), where it applies.
    #[serde(default, deserialize_with = "link", skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
}

/// Claims as introspection tells them of a token that stands (RFC 7662 §2.2).
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Introspected<'a> {
    active: bool,
    token_type: &'static str,
    #[serde(flatten)]
    claims: &'a AccessClaims,
}

impl<'a> From<&'a AccessClaims> for Introspected<'a> {
    fn from(claims: &'a AccessClaims) -> Self {
        Self { active: true, token_type: "Bearer", claims }
    }
}

/// One link of an `act` chain (RFC 8693 §4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The workload that acts.
    pub sub: WorkloadId,
    /// The one that acted before it.
    #[serde(default, deserialize_with = "link", skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

impl AccessClaims {
    /// The acting workloads, the latest first.
    pub fn actors(&self) -> impl Iterator<Item = &WorkloadId> {
        std::iter::successors(self.act.as_ref(), |link| link.act.as_deref()).map(|link| &link.sub)
    }
}

/// A derived reader takes a list for a struct's fields in their order; a link is an object and nothing else.
fn link<'de, D: Deserializer<'de>, L: From<Actor>>(from: D) -> Result<Option<L>, D::Error> {
    let Some(members) = Option::<Map<String, Value>>::deserialize(from)? else { return Ok(None) };
    let link = Actor::deserialize(Value::Object(members)).map_err(D::Error::custom)?;
    Ok(Some(link.into()))
}
