//! The order of the questions: form, header, claims, key, signature; and only then an answer that tells who.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::jose::{Compact, Header, JoseError, Object};
use crate::model::{AudienceUri, Reason, Refusal, UnixTime};
use crate::policy::{Claims, IdentityUsed, PolicySet, TaskNaming};
use crate::store::Spent;

use super::caller::{Caller, Fault, TaskBy, Unproven};
use super::claims::{Claims as OwnClaims, Expect};
use super::keys::{Decoys, Found, find};
use super::oidc::{self, Issuers, Judged, Proof, Seen, Wish};

/// `client_assertion_type` of RFC 7523 §2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The longest assertion, in bytes: an RSA-4096 signature, an audience's URI twice and the longest `jti` take 4 000.
const MAX_ASSERTION: usize = 8192;

/// The same for every client and key, whether or not there is one.
const NOT_PROVEN: &str = "the assertion is not signed by a key of this client: compare id, key and kid with what the broker \
                          has; its audit log tells which of them it was";

/// The same for every issuer, key, client and rule, whether or not there is one.
const NOBODY_S: &str =
    "the platform token proves no client of this broker: its audit log says why, under this decision_id";

/// The same for every client and rule of that issuer, whether or not there is one. It says that the issuer is trusted here, and
/// nothing of by whom.
const AWAY: &str = "the keys of the platform token's issuer cannot be had now: try again";

/// The form's fields of client authentication, as they were sent.
#[derive(Clone, Copy, Default)]
pub struct ClientAuth<'a> {
    /// `client_assertion_type`.
    pub assertion_type: Option<&'a str>,
    /// `client_assertion`.
    pub assertion: Option<&'a str>,
    /// `client_id`, optional beside an assertion.
    pub client_id: Option<&'a str>,
}

impl fmt::Debug for ClientAuth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuth").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// The endpoint that was called, by its path below the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint<'a>(&'a str);

impl<'a> Endpoint<'a> {
    /// `POST /oauth2/token`.
    pub const TOKEN: Self = Self("/oauth2/token");
    /// `POST /oauth2/introspect`.
    pub const INTROSPECT: Self = Self("/oauth2/introspect");
    /// `POST /oauth2/revoke`.
    pub const REVOKE: Self = Self("/oauth2/revoke");

    /// The endpoint at a path that begins with `/`, as it was called.
    pub const fn at(path: &'a str) -> Self {
        Self(path)
    }
}

/// Judges client assertions and platform tokens: one for the whole broker. Holds settings and decoy keys, and of platforms
/// their keys and the tokens that were proven before.
#[derive(Debug)]
pub struct Attestor {
    issuer: String,
    accept_endpoint_audience: bool,
    skew: Duration,
    decoys: Decoys,
    issuers: Arc<Issuers>,
    seen: Seen,
}

impl Attestor {
    /// How far clocks may differ, by the contract.
    pub const SKEW: Duration = Duration::from_secs(30);

    /// For assertions to `issuer`; with `accept_endpoint_audience`, `aud` may be the URL of the endpoint called too.
    ///
    /// # Errors
    /// [`JoseError`] where a key that is built in cannot be read: a mistake of jitney's own.
    pub fn new(
        issuer: impl Into<String>,
        accept_endpoint_audience: bool,
        skew: Duration,
        issuers: Arc<Issuers>,
    ) -> Result<Self, JoseError> {
        let (issuer, decoys, seen) = (issuer.into(), Decoys::new()?, Seen::new());
        Ok(Self { issuer, accept_endpoint_audience, skew, decoys, issuers, seen })
    }

    /// Proves who asks at `endpoint`, against the clients of `set`.
    ///
    /// What is wrong in the assertion itself is named. Whatever depends on which clients and keys exist has one answer,
    /// after a signature was verified against a key of the client or against a decoy. Single use is not judged here: the
    /// store does, with [`Caller::spent`].
    ///
    /// # Errors
    /// [`Unproven`], with what to tell the caller and what only the audit log.
    pub fn attest(
        &self,
        set: &PolicySet,
        auth: &ClientAuth<'_>,
        endpoint: Endpoint<'_>,
        now: UnixTime,
    ) -> Result<Arc<Caller>, Unproven> {
        self.judge(set, auth, endpoint, now).map_err(|(unproven, _)| unproven)
    }

    /// The same, for a request that may wait: where a platform's token is by a key not known yet, its issuer is asked, at most
    /// once in a while and by one task for all, and then the token is judged again.
    ///
    /// # Errors
    /// As [`Attestor::attest`].
    pub async fn attest_patiently(
        &self,
        set: &PolicySet,
        auth: &ClientAuth<'_>,
        endpoint: Endpoint<'_>,
        now: UnixTime,
    ) -> Result<Arc<Caller>, Unproven> {
        match self.judge(set, auth, endpoint, now) {
            Err((_, Some(wish))) => {
                wish.granted(self.issuers.patience()).await;
                self.attest(set, auth, endpoint, now)
            }
            outcome => outcome.map_err(|(unproven, _)| unproven),
        }
    }

    fn judge(
        &self,
        set: &PolicySet,
        auth: &ClientAuth<'_>,
        endpoint: Endpoint<'_>,
        now: UnixTime,
    ) -> Result<Arc<Caller>, (Unproven, Option<Wish>)> {
        let named = |wrong| (Unproven::named(wrong), None);
        let assertion = assertion(auth).map_err(named)?;
        let is_trusting = set.issuers().next().is_some();
        if let Some(caller) = is_trusting.then(|| self.seen.again(assertion, auth.client_id, set, now)).flatten() {
            return Ok(caller);
        }
        // Algorithms other than the four, `crit`, and headers that bring a key are refused here, by name.
        let compact =
            Compact::parse(assertion).map_err(|error| named(format!("the assertion is refused: {error}").into()))?;
        let payload = Object::strict(&compact.payload)
            .map_err(|error| named(format!("the assertion's claims are refused: {error}").into()))?;
        if !oidc::is_platform_token(&payload) {
            return self
                .own_assertion(set, auth, endpoint, now, &compact, &payload)
                .map_err(|unproven| (unproven, None));
        }
        let expect = oidc::Expect { broker: &self.issuer, skew: self.skew, now };
        let (name, digest) = Seen::digests(assertion, auth.client_id);
        let token = oidc::Token::judge((&compact, digest), &payload, set, &expect).map_err(named)?;
        match oidc::judge(&self.issuers, &self.decoys, set, &token, auth.client_id) {
            Judged::Proven(caller, trust) => {
                let proof = Proof::new(name, set.shared_digest(), token.ends, trust, caller.clone());
                self.seen.put(assertion, auth.client_id, proof);
                Ok(caller)
            }
            Judged::Not(fault, why) => Err((nobody_s(&token, fault, why), None)),
            Judged::Unsure(wish, fault, why) => Err((nobody_s(&token, fault, why), wish)),
        }
    }

    /// An assertion that the client signed itself (`private_key_jwt`).
    fn own_assertion(
        &self,
        set: &PolicySet,
        auth: &ClientAuth<'_>,
        endpoint: Endpoint<'_>,
        now: UnixTime,
        compact: &Compact<'_>,
        payload: &Claims<'_>,
    ) -> Result<Arc<Caller>, Unproven> {
        check_own(auth.assertion.map_or(0, str::len), compact).map_err(Unproven::named)?;
        let url = format!("{}{}", self.issuer.trim_end_matches('/'), endpoint.0);
        let expect = Expect {
            issuer: &self.issuer,
            endpoint: &url,
            accept_endpoint_audience: self.accept_endpoint_audience,
            skew: self.skew,
            now,
        };
        let claims = OwnClaims::judge(payload, &expect).map_err(Unproven::named)?;
        if auth.client_id.is_some_and(|id| !is_same_client(claims.client, id)) {
            return Err(Unproven::named(
                "client_id is another than the assertion's sub: send the same, or leave it out",
            ));
        }
        self.prove(set, compact, &claims)
    }

    /// From here on there is one answer to everything that is not proven.
    fn prove(&self, set: &PolicySet, compact: &Compact<'_>, claims: &OwnClaims<'_>) -> Result<Arc<Caller>, Unproven> {
        let header = &compact.header;
        let found = find(set, &self.decoys, claims.client, header);
        let is_signed = self.decoys.verify(compact, found.as_ref().ok().map(|found| found.key));
        let fault = match found {
            Ok(found) if is_signed => return Ok(Arc::new(caller(found, header, claims))),
            Ok(_) => Fault::BadSignature,
            Err(fault) => fault,
        };
        Err(Unproven { fault, claimed: Some(claims.client.to_owned()), ..Unproven::named(NOT_PROVEN) })
    }
}

fn caller(found: Found<'_>, header: &Header, claims: &OwnClaims<'_>) -> Caller {
    // By the catalogue's spelling: one audience, one corner of the store.
    let spent = Spent::new(found.who.id(), claims.jti, claims.until).usable_from(claims.from);
    Caller {
        who: found.who,
        identity: IdentityUsed::private_key_jwt(header.kid.as_deref()),
        task: match found.identity.task {
            TaskNaming::Auto => TaskBy::Auto,
            _ => TaskBy::Caller,
        },
        spent: Some(spent),
        token: None,
    }
}

/// What the audit log alone is told of: which fault, and who it said it was.
fn nobody_s(token: &oidc::Token<'_>, fault: Fault, why: String) -> Unproven {
    let refusal = match fault {
        Fault::IssuerAway => Refusal::new(Reason::IssuerUnavailable, AWAY),
        _ => Refusal::new(Reason::InvalidClient, NOBODY_S),
    };
    let claimed = format!("{} of {}", token.sub, token.iss).chars().take(255).collect();
    Unproven { refusal, fault, claimed: Some(claimed), detail: (!why.is_empty()).then_some(why) }
}

/// The assertion in the form's fields.
fn assertion<'a>(auth: &ClientAuth<'a>) -> Result<&'a str, Cow<'static, str>> {
    match (auth.assertion_type, auth.assertion) {
        (_, None) => Err("a client authenticates by client_assertion (private_key_jwt); there is none".into()),
        (Some(JWT_BEARER), Some(assertion)) => Ok(assertion),
        _ => Err(format!("client_assertion_type must be {JWT_BEARER}").into()),
    }
}

/// Length and type of a client's own assertion (RFC 8725 §3.11).
fn check_own(len: usize, compact: &Compact<'_>) -> Result<(), Cow<'static, str>> {
    if len > MAX_ASSERTION {
        return Err(format!("the assertion is longer than {MAX_ASSERTION} bytes").into());
    }
    if !is_assertion(compact.header.typ.as_deref()) {
        return Err("the assertion's typ must be JWT, client-authentication+jwt, or absent".into());
    }
    Ok(())
}

/// `typ` compares without case, and `application/` may be left out (RFC 7515 §4.1.9).
fn is_assertion(typ: Option<&str>) -> bool {
    let Some(typ) = typ.map(str::to_ascii_lowercase) else { return true };
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "client-authentication+jwt")
}

/// `client_id` equals `sub`; where that is a URI, a path of `/` equals none.
fn is_same_client(sub: &str, client_id: &str) -> bool {
    sub == client_id || AudienceUri::parse(sub).is_ok_and(|uri| uri.matches(client_id))
}
