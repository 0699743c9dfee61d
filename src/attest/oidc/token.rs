//! What a platform's token says of itself: by whom, for whom, when. Judged before any key or client is looked up, by its
//! own text, the clock, and the audiences that are accepted at all: so whatever is wrong here may be named.

use std::time::Duration;

use crate::jose::{Compact, Json, Object};
use crate::model::UnixTime;
use crate::policy::PolicySet;

use super::super::claims::{Wrong, text, time};

/// How far ahead `exp` may lie: a token that lives longer is a standing credential.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What a token is held against.
pub(in crate::attest) struct Expect<'a> {
    /// The broker's issuer.
    pub(in crate::attest) broker: &'a str,
    pub(in crate::attest) skew: Duration,
    pub(in crate::attest) now: UnixTime,
}

/// A token that is good in itself; whose it is, is not yet known.
pub(in crate::attest) struct Token<'a> {
    pub(super) compact: &'a Compact<'a>,
    /// SHA-256 of what of it is signed.
    pub(super) digest: [u8; 32],
    pub(super) claims: &'a Object<'a>,
    pub(in crate::attest) iss: &'a str,
    pub(in crate::attest) sub: &'a str,
    pub(super) aud: &'a str,
    pub(super) broker: &'a str,
    /// From this moment on it has expired here.
    pub(in crate::attest) ends: UnixTime,
    /// It was not made before this moment, by its maker's clock.
    pub(super) from: UnixTime,
    /// No broker accepts it after this moment, whichever way its clock is off.
    pub(super) until: UnixTime,
}

/// Whether claims are a platform's: `iss` is a URL, and `sub` is something else. A client's own assertion has both alike.
pub(in crate::attest) fn is_platform_token(claims: &Object<'_>) -> bool {
    let iss = claims.text("iss").unwrap_or_default();
    (iss.starts_with("https://") || iss.starts_with("http://")) && claims.text("sub") != Some(iss)
}

impl<'a> Token<'a> {
    /// Reads and judges a token, in the order form, by whom, for whom, when.
    pub(in crate::attest) fn judge(
        (compact, digest): (&'a Compact<'a>, [u8; 32]),
        claims: &'a Object<'a>,
        set: &PolicySet,
        expect: &Expect<'a>,
    ) -> Result<Self, Wrong> {
        if compact.header.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err("the platform token's typ must be JWT, or absent".into());
        }
        let (iss, sub) = (text(claims, "iss")?, text(claims, "sub")?);
        let aud = audience(claims, set, expect.broker)?;
        let (from, ends) = times(claims, expect)?;
        Ok(Self {
            compact,
            digest,
            claims,
            iss,
            sub,
            aud,
            broker: expect.broker,
            ends,
            from,
            until: ends.plus(expect.skew),
        })
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.compact.header.kid.as_deref()
    }
}

/// One audience, and one that is accepted here at all: whoever else is named could use the token here too.
fn audience<'a>(claims: &'a Object<'a>, set: &PolicySet, broker: &str) -> Result<&'a str, Wrong> {
    let aud = match claims.get("aud") {
        Some(Json::Text(aud)) => aud,
        Some(Json::List(list)) => match list.as_slice() {
            [Json::Text(aud)] => aud,
            _ => {
                let mend = "ask the platform for a token with no other, for each of them could show it here";
                return Err(format!("the platform token's aud must name this broker alone: {mend}").into());
            }
        },
        Some(_) => return Err("the platform token's aud must be a string".into()),
        None => return Err("the platform token has no aud".into()),
    };
    if aud == broker || set.names_audience(aud) {
        return Ok(aud);
    }
    Err(format!("the platform token's aud must be this broker's issuer, {broker}: ask the platform for one with that")
        .into())
}

/// Judges `exp`, `iat` and `nbf`; gives the moment when the token was made at the earliest, and the one from which it has
/// expired, skew included.
fn times(claims: &Object<'_>, expect: &Expect<'_>) -> Result<(UnixTime, UnixTime), Wrong> {
    let &Expect { now, skew, .. } = expect;
    let exp = time(claims, "exp")?.ok_or("the platform token has no exp")?;
    let ends = exp.plus(skew);
    if now >= ends {
        return Err("the platform token has expired: ask for a fresh one".into());
    }
    if exp > now.plus(LONGEST + skew) {
        return Err(
            "the platform token expires more than a day ahead: ask the platform for one that lives shorter".into()
        );
    }
    let (iat, nbf) = (time(claims, "iat")?, time(claims, "nbf")?);
    for (at, what) in [(iat, "was issued in the future"), (nbf, "is not valid yet")] {
        if at.is_some_and(|at| at > now.plus(skew)) {
            return Err(format!("the platform token {what}: check both clocks").into());
        }
    }
    // Without `iat`, `exp` tells: no broker whose clock is right has taken it earlier than that.
    Ok((iat.unwrap_or_else(|| exp.minus(LONGEST + skew)), ends))
}
