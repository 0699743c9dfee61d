//! From a witnessed record to a token: the last step of a mint, and the only place where access tokens are signed.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::audit::Witnessed;
use crate::jose::{Signed, sign_es256};
use crate::model::{Lease, LeaseId, Position, ScopeSet, Secret, UnixTime, WorkloadId};
use crate::store::Recorded;

use super::state::HeldKey;
use super::{KeyError, Keyring};

/// A signed access token and the lease behind it.
pub struct SignedToken {
    signed: Signed,
    recorded: Recorded,
}

impl SignedToken {
    /// The token's text.
    pub const fn text(&self) -> &Secret<String> {
        self.signed.text()
    }

    /// The same as what was just signed here.
    pub const fn signed(&self) -> &Signed {
        &self.signed
    }

    /// The lease it was made from.
    pub const fn lease(&self) -> &Lease {
        self.recorded.lease()
    }
}

impl fmt::Debug for SignedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedToken({}, redacted)", self.lease().id)
    }
}

impl Keyring {
    /// Signs the token of a lease that is recorded and witnessed, with the key that the lease names.
    ///
    /// # Errors
    /// [`KeyError::Epoch`] (I5), [`KeyError::Revoked`] (I4), [`KeyError::NotHeld`], [`KeyError::Unpublished`] (I1),
    /// [`KeyError::Jose`].
    pub fn sign(&self, witnessed: Witnessed<Recorded>) -> Result<SignedToken, KeyError> {
        let recorded = witnessed.into_inner();
        let lease = recorded.lease();
        let state = self.state();
        if lease.epoch != state.epoch {
            return Err(KeyError::Epoch { lease: lease.epoch, keys: state.epoch });
        }
        let kid = &lease.kid;
        let Some(held) = state.signing(kid, self.now()) else {
            let revoked = state.revoked.contains(kid);
            return Err(if revoked { KeyError::Revoked(kid.clone()) } else { KeyError::NotHeld(kid.clone()) });
        };
        let until = state.until(kid);
        if lease.expires_at.plus(self.skew()) > until {
            return Err(KeyError::Unpublished { kid: kid.clone(), until });
        }
        let signed = sign_es256(&held.key, &held.token, &Claims::of(self.issuer(), lease))?;
        Ok(SignedToken { signed, recorded })
    }

    /// Signs the claims of a revocation snapshot (`typ` `revocations+jwt`), which no verifier takes for an access token.
    ///
    /// # Errors
    /// [`KeyError::NoKey`] where no published key signs now, [`KeyError::Jose`].
    pub fn sign_snapshot<T: Serialize>(&self, claims: &T) -> Result<String, KeyError> {
        let held = self.signing()?;
        Ok(sign_es256(&held.key, &held.snapshot, claims)?.text().expose().clone())
    }

    /// The key that signs now what is no token.
    pub(super) fn signing(&self) -> Result<Arc<HeldKey>, KeyError> {
        let state = self.state();
        let active = state.active.as_ref().filter(|held| state.until(held.kid()) > self.now());
        active.cloned().ok_or(KeyError::NoKey)
    }
}

/// [`AccessClaims`](crate::model::AccessClaims) borrowed from a lease: a token is signed without a copy of its names.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    client_id: &'a str,
    aud: &'a str,
    iat: UnixTime,
    nbf: UnixTime,
    exp: UnixTime,
    jti: LeaseId,
    scope: Spaced<'a>,
    txn: &'a str,
    rev: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Act<'a>>,
}

impl<'a> Claims<'a> {
    fn of(issuer: &'a str, lease: &'a Lease) -> Self {
        Self {
            iss: issuer,
            sub: lease.workload.as_str(),
            client_id: lease.workload.as_str(),
            aud: lease.audience.as_str(),
            iat: lease.issued_at,
            nbf: lease.issued_at,
            exp: lease.expires_at,
            jti: lease.id,
            scope: Spaced(&lease.scopes),
            txn: lease.task.as_str(),
            rev: lease.position,
            act: Act::of(&lease.actors),
        }
    }
}

/// A scope set as its one text.
struct Spaced<'a>(&'a ScopeSet);

impl Serialize for Spaced<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// The `act` chain (RFC 8693 §4.1) of workloads, the latest actor first; at least one.
struct Act<'a>(&'a WorkloadId, &'a [WorkloadId]);

impl<'a> Act<'a> {
    fn of(actors: &'a [WorkloadId]) -> Option<Self> {
        actors.split_first().map(|(first, rest)| Self(first, rest))
    }
}

impl Serialize for Act<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut link = serializer.serialize_map(None)?;
        link.serialize_entry("sub", self.0.as_str())?;
        if let Some(before) = Act::of(self.1) {
            link.serialize_entry("act", &before)?;
        }
        link.end()
    }
}

#[cfg(test)]
mod tests {
    use crate::model::AccessClaims;

    use super::super::tests::fake::lease;
    use super::*;

    #[test]
    fn the_borrowed_claims_are_the_claims_of_the_model() {
        let mut lease = lease("k", 7, 1000, 300);
        lease.actors = ["deputy", "courier"].map(|name| WorkloadId::parse(name).unwrap()).to_vec();
        let text = serde_json::to_string(&Claims::of("https://issuer.example", &lease)).unwrap();
        let claims: AccessClaims = serde_json::from_str(&text).unwrap();
        assert_eq!(claims.actors().map(WorkloadId::as_str).collect::<Vec<_>>(), ["deputy", "courier"]);
        assert_eq!((claims.iat.secs(), claims.nbf.secs(), claims.exp.secs()), (1000, 1000, 1300));
        assert_eq!((claims.jti, &claims.txn, &claims.scope), (lease.id, &lease.task, &lease.scopes));
        let again: serde_json::Value = serde_json::to_value(&claims).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }
}
