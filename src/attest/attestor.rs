//! The order of the questions: form, header, claims, key, signature; and only then an answer that tells who.

use std::borrow::Cow;
use std::fmt;
use std::hint::black_box;
use std::time::Duration;

use crate::jose::{self, Compact, Header, JoseError, json};
use crate::model::{AudienceUri, UnixTime};
use crate::policy::{IdentityUsed, PolicySet};
use crate::store::Spent;

use super::caller::{Caller, Fault, Unproven};
use super::claims::{Claims, Expect};
use super::keys::{Decoys, Found, find};

/// `client_assertion_type` of RFC 7523 §2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The longest assertion, in bytes: an RSA-4096 signature, an audience's URI twice and the longest `jti` take 4 000.
const MAX_ASSERTION: usize = 8192;

/// The same for every client and key, whether or not there is one.
const NOT_PROVEN: &str = "the assertion is not signed by a key of this client: compare id, key and kid with what the broker \
                          has; its audit log tells which of them it was";

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

/// Judges client assertions. Holds settings and decoy keys only: one for the whole broker.
#[derive(Debug)]
pub struct Attestor {
    issuer: String,
    accept_endpoint_audience: bool,
    skew: Duration,
    decoys: Decoys,
}

impl Attestor {
    /// How far clocks may differ, by the contract.
    pub const SKEW: Duration = Duration::from_secs(30);

    /// For assertions to `issuer`; with `accept_endpoint_audience`, `aud` may be the URL of the endpoint called too.
    ///
    /// # Errors
    /// [`JoseError`] where a key that is built in cannot be read: a mistake of jitney's own.
    pub fn new(issuer: impl Into<String>, accept_endpoint_audience: bool, skew: Duration) -> Result<Self, JoseError> {
        Ok(Self { issuer: issuer.into(), accept_endpoint_audience, skew, decoys: Decoys::new()? })
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
    ) -> Result<Caller, Unproven> {
        let compact = parse(auth).map_err(Unproven::named)?;
        let payload = json::strict(&compact.payload)
            .map_err(|error| Unproven::named(format!("the assertion's claims are refused: {error}")))?;
        let url = format!("{}{}", self.issuer.trim_end_matches('/'), endpoint.0);
        let expect = Expect {
            issuer: &self.issuer,
            endpoint: &url,
            accept_endpoint_audience: self.accept_endpoint_audience,
            skew: self.skew,
            now,
        };
        let claims = Claims::judge(&payload, &expect).map_err(Unproven::named)?;
        if auth.client_id.is_some_and(|id| !is_same_client(claims.client, id)) {
            return Err(Unproven::named(
                "client_id is another than the assertion's sub: send the same, or leave it out",
            ));
        }
        self.prove(set, &compact, &claims)
    }

    /// From here on there is one answer to everything that is not proven.
    fn prove(&self, set: &PolicySet, compact: &Compact<'_>, claims: &Claims<'_>) -> Result<Caller, Unproven> {
        let header = &compact.header;
        let found = find(set, &self.decoys, claims.client, header);
        // An RSA signature of another length than the key's is refused at once, and checking a long one takes longer: so
        // that only what was sent decides how long this takes, a decoy of the right length is checked instead.
        let len = compact.signature_bytes().map_or(0, |bytes| bytes.len());
        let is_signed = match &found {
            Ok(found) if found.key.signature_len() == len => jose::verify(compact, found.key).is_ok(),
            _ => {
                let decoy = self.decoys.of(header.alg, len);
                let _ = black_box(decoy.map(|decoy| jose::verify(compact, decoy)));
                // Whatever came of it.
                false
            }
        };
        let fault = match found {
            Ok(found) if is_signed => return Ok(caller(found, header, claims)),
            Ok(_) => Fault::BadSignature,
            Err(fault) => fault,
        };
        Err(Unproven { fault, claimed: Some(claims.client.to_owned()), ..Unproven::named(NOT_PROVEN) })
    }
}

fn caller(found: Found<'_>, header: &Header, claims: &Claims<'_>) -> Caller {
    // By the catalogue's spelling: one audience, one corner of the store.
    let spent = Spent::new(found.who.id(), claims.jti, claims.until).usable_from(claims.from);
    Caller {
        who: found.who,
        identity: IdentityUsed::private_key_jwt(header.kid.as_deref()),
        task: found.identity.task,
        spent: Some(spent),
    }
}

/// The fields, then the assertion's form and header (RFC 8725 §3.1, §3.10, §3.11).
fn parse<'a>(auth: &ClientAuth<'a>) -> Result<Compact<'a>, Cow<'static, str>> {
    let assertion = match (auth.assertion_type, auth.assertion) {
        (_, None) => return Err("a client authenticates by client_assertion (private_key_jwt); there is none".into()),
        (Some(JWT_BEARER), Some(assertion)) => assertion,
        _ => return Err(format!("client_assertion_type must be {JWT_BEARER}").into()),
    };
    if assertion.len() > MAX_ASSERTION {
        return Err(format!("the assertion is longer than {MAX_ASSERTION} bytes").into());
    }
    // Algorithms other than the four, `crit`, and headers that bring a key are refused here, by name.
    let compact = Compact::parse(assertion).map_err(|error| format!("the assertion is refused: {error}"))?;
    if !is_assertion(compact.header.typ.as_deref()) {
        return Err("the assertion's typ must be JWT, client-authentication+jwt, or absent".into());
    }
    Ok(compact)
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
