//! Introspect (RFC 7662): an audience about tokens meant for it, a workload about its own, and of
//! its own task where the platform attests that; anything else is inactive.

use std::sync::Arc;

use crate::attest::{ClientAuth, Endpoint, Who};
use crate::audit::Event;
use crate::model::{AccessClaims, Reason};
use crate::verifier::{Invalid, VerifiedToken};

use super::refused::No;
use super::revoke::is_own;
use super::trail::Trail;
use super::{Broker, Refused};

/// What is said about a token: its claims where it stands and the caller may know, else nothing but that it does not.
#[derive(Debug)]
pub enum Introspection {
    /// It stands.
    Active(Box<AccessClaims>),
    /// It does not, or is none of the caller's business: which, is not told.
    Inactive,
}

impl Broker {
    /// Says whether a token stands now, revocation included.
    ///
    /// # Errors
    /// [`Refused`], written down, where the caller did not prove who it is, or sent no token.
    pub async fn introspect(&self, auth: ClientAuth<'_>, token: Option<&str>) -> Result<Introspection, Refused> {
        match self.try_introspect(&auth, token).await {
            Ok(answer) => Ok(answer),
            Err(no) => Err(self.refuse(Event::Introspect, no, self.decision()?).await),
        }
    }

    /// Judges a token that a proxy shows, and expects nothing of it; nothing is written down. As ever the log is read up to
    /// its head first, so what has ended anywhere has ended here.
    ///
    /// # Errors
    /// The first check that failed; [`Invalid::Stale`] where the store does not answer, so that nobody knows.
    pub async fn judge(&self, token: &str) -> Result<Arc<VerifiedToken>, Invalid> {
        let judged = async {
            let head = self.spend(None).await?;
            self.see(head).await?;
            self.look(|checker| checker.inspect(token)).await
        };
        judged.await.unwrap_or(Err(Invalid::Stale))
    }

    async fn try_introspect(&self, auth: &ClientAuth<'_>, token: Option<&str>) -> Result<Introspection, No> {
        let set = self.parts.policies.current();
        let now = self.parts.clock.now();
        let caller = self.attestor.attest_patiently(&set, auth, Endpoint::INTROSPECT, now).await?;
        let mut trail = Trail::of(&caller);
        if let Who::Workload(workload) = &caller.who {
            trail.workload = Some(workload.id.clone());
        }
        let head = self.spend(caller.spent.clone()).await.map_err(|no| no.with(&trail))?;
        self.see(head).await.map_err(|no| no.with(&trail))?;
        let token =
            token.ok_or_else(|| No::new(Reason::InvalidRequest, "the parameter token is missing").with(&trail))?;
        let looked = self.look(|checker| checker.inspect(token)).await.map_err(|no| no.with(&trail))?;
        let Ok(token) = looked else { return Ok(Introspection::Inactive) };
        let claims = token.claims();
        let is_theirs = match &caller.who {
            Who::Workload(_) => is_own(&caller, &claims.sub, &claims.txn),
            Who::Audience(audience) => claims.aud == audience.id,
        };
        Ok(if is_theirs { Introspection::Active(Box::new(claims.clone())) } else { Introspection::Inactive })
    }
}
