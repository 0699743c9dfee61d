//! Reads the feed's snapshot (`GET /v1/revocations?once=1`): signature, issuer, parts; gives its claims and rules.
//!
//! Believes nothing before the signature, and no part before its hash. Never changes the view itself.

use std::time::Duration;

use crate::fetch::FetchError;
use crate::jose::es256::VerifyingKey;
use crate::jose::{Alg, Compact, JoseError};
use crate::model::{AudienceUri, KeyId, Position, Rule, UnixTime};
use crate::revocation::event::{EventError, Kind, MAX_LINE, Reader};
use crate::revocation::snapshot::{Incoming, SnapshotClaims, SnapshotError, TYP};
use crate::revocation::{ReplaceError, View};

/// How much of the stream is looked at in one step, so that a bad one is left at its first bad line.
const CHUNK: usize = 64 << 10;

/// Why the feed was not believed. The view is as it was, and ages.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// No answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An answer that is no feed.
    #[error("the feed answered with status {0} and content type `{1}`")]
    Answer(u16, String),
    /// No event stream within the bounds.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A part, or the end, came before any snapshot.
    #[error("the stream holds no snapshot")]
    NoSnapshot,
    /// The snapshot is no JWS of the right kind.
    #[error("the snapshot is no JWS as it should be: {0}")]
    Jws(String),
    /// It is signed by a key that is not in the JWKS, or not one of its own `kids`, or was revoked.
    #[error("the snapshot is signed by the key {0}, which the broker does not publish")]
    Key(String),
    /// The signature does not fit.
    #[error("the snapshot's signature does not fit")]
    Signature,
    /// Another issuer's.
    #[error("the snapshot is issued by `{0}`")]
    Issuer(String),
    /// For another audience than was asked for.
    #[error("the snapshot is filtered for another audience")]
    Audience,
    /// Made in the future, by this clock.
    #[error("the snapshot was made at {0}, which lies in the future: compare the clocks")]
    Future(UnixTime),
    /// The parts are not what the snapshot names.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The view does not go back.
    #[error(transparent)]
    Replace(#[from] ReplaceError),
}

/// What a snapshot must be.
pub(crate) struct Wanted<'a> {
    pub issuer: &'a str,
    pub audience: Option<&'a AudienceUri>,
    pub now: UnixTime,
    pub skew: Duration,
    pub keys: &'a [(KeyId, VerifyingKey)],
    pub view: &'a View,
}

/// Reads a whole stream. The rules are those that the view does not know yet.
///
/// # Errors
/// [`FeedError`]: the first thing that is wrong.
pub(crate) fn read(stream: &[u8], wanted: &Wanted<'_>) -> Result<(SnapshotClaims, Vec<Rule>), FeedError> {
    let mut reader = Reader::default();
    let mut incoming: Option<(Incoming, Position)> = None;
    let mut rules = Vec::new();
    for chunk in stream.chunks(CHUNK) {
        for event in reader.push(chunk)? {
            match (event.kind, &mut incoming) {
                (Some(Kind::Snapshot), None) => {
                    let claims = verify(&event.data, wanted)?;
                    wanted.view.admits(claims.epoch, claims.position)?;
                    let same = wanted.view.epoch() == Some(claims.epoch);
                    let known = if same { wanted.view.position() } else { Position::START };
                    incoming = Some((Incoming::new(claims)?, known));
                }
                (Some(Kind::Part), Some((incoming, known))) => {
                    rules.extend(incoming.part(&event.data)?.into_iter().filter(|rule| rule.position > *known));
                }
                (Some(Kind::Part), None) => return Err(FeedError::NoSnapshot),
                // Whatever else a broker says has no place in one snapshot, and is not believed without a signature.
                _ => {}
            }
        }
    }
    let (incoming, _) = incoming.ok_or(FeedError::NoSnapshot)?;
    Ok((incoming.finish()?, rules))
}

fn verify(jws: &str, wanted: &Wanted<'_>) -> Result<SnapshotClaims, FeedError> {
    let bad = |error: JoseError| FeedError::Jws(error.to_string());
    let compact = Compact::parse_within(jws, MAX_LINE).map_err(bad)?;
    if compact.header.alg != Alg::Es256 {
        return Err(bad(JoseError::Algorithm));
    }
    if compact.header.typ.as_deref() != Some(TYP) {
        return Err(FeedError::Jws(format!("its `typ` is not {TYP}")));
    }
    let kid = compact.header.kid.as_deref().unwrap_or_default();
    let unknown = || FeedError::Key(shown(kid));
    // A thief of a revoked key could otherwise write the view anew.
    let (_, key) = wanted.keys.iter().find(|(own, _)| own.as_str() == kid).ok_or_else(unknown)?;
    if wanted.view.ends_key(kid) {
        return Err(unknown());
    }
    let signature = compact.signature_bytes().map_err(bad)?;
    key.verify(compact.signing_input.as_bytes(), &signature).map_err(|_| FeedError::Signature)?;
    let claims: SnapshotClaims =
        serde_json::from_slice(&compact.payload).map_err(|error| FeedError::Jws(error.to_string()))?;
    if !claims.kids.iter().any(|own| own.as_str() == kid) {
        return Err(unknown());
    }
    if claims.iss != wanted.issuer {
        return Err(FeedError::Issuer(shown(&claims.iss)));
    }
    if claims.audience.as_ref() != wanted.audience {
        return Err(FeedError::Audience);
    }
    if claims.iat > wanted.now.plus(wanted.skew) {
        return Err(FeedError::Future(claims.iat));
    }
    Ok(claims)
}

/// What came from outside, short enough for a log line.
fn shown(raw: &str) -> String {
    raw.chars().take(128).flat_map(char::escape_default).collect()
}
