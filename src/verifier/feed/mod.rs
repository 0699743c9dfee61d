//! Reads the revocation feed: the signed snapshot, its parts, and the events behind it, in the order of a stream.
//!
//! Believes nothing before the signature of a snapshot, no part before its hash, and no rule behind a gap. Never changes the
//! view itself, never opens a connection: `session` says what was heard.

mod session;
#[cfg(test)]
mod session_tests;

use std::time::Duration;

use crate::fetch::FetchError;
use crate::jose::es256::VerifyingKey;
use crate::jose::{Alg, Compact, JoseError};
use crate::model::{AudienceUri, Epoch, KeyId, Position, UnixTime};
use crate::revocation::event::{EventError, MAX_LINE};
use crate::revocation::snapshot::{SnapshotClaims, SnapshotError, TYP};
use crate::revocation::{ReplaceError, View};

pub(crate) use session::{News, Place, Session};

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
    /// Something else than a snapshot came first.
    #[error("the stream holds no snapshot")]
    NoSnapshot,
    /// The stream ended.
    #[error("the broker ended the stream")]
    Ended,
    /// No whole first snapshot in time.
    #[error("no whole snapshot came within {} s", .0.as_secs())]
    Late(Duration),
    /// An event where it has no place: before the last part of a snapshot, or a part without one.
    #[error("the event `{0}` came where it has no place")]
    Order(&'static str),
    /// No heartbeat, whatever else may have come.
    #[error("nothing was heard for {} ms that says how things stand", .0.as_millis())]
    Silent(Duration),
    /// An event of another life of the log, without a snapshot of it.
    #[error("an event of epoch {told} came on the feed of epoch {heard}")]
    Epoch {
        /// The event's.
        told: Epoch,
        /// The feed's.
        heard: Epoch,
    },
    /// An event's data are not what its name promises.
    #[error("the event `{0}` is not as it should be: {1}")]
    Form(&'static str, String),
    /// Rules are missing, or came twice.
    #[error("rules are said to follow the one at {told}, but the last one heard stands at {heard}")]
    Gap {
        /// The place that the event follows, by its own word.
        told: Position,
        /// The place of the last rule heard.
        heard: Position,
    },
    /// Another number of rules came than the broker says it sent.
    #[error("the broker says that it sent {told} rules, and {heard} came")]
    Count {
        /// By the broker's word.
        told: u64,
        /// By count.
        heard: u64,
    },
    /// The broker stands behind what was heard before.
    #[error("the broker stands at position {told}, behind {known}, which was heard before")]
    Behind {
        /// Where it stands.
        told: Position,
        /// What was heard.
        known: Position,
    },
    /// A heartbeat of long before the one that was heard before it.
    #[error("a heartbeat is {0} ms older than what was heard before it")]
    Past(u64),
    /// A heartbeat of the future, by this clock.
    #[error("a heartbeat lies {0} ms in the future: compare the clocks")]
    Ahead(u64),
    /// More rules than the view may hold.
    #[error(
        "the log holds {told} live rules, and this view may hold {most}: give it more, or ask for one audience's alone"
    )]
    TooMany {
        /// How many they are.
        told: u64,
        /// How many it may hold.
        most: u64,
    },
    /// The clock was ahead for so long that rules were dropped which may count again.
    #[error("the clock was ahead and is back: rules were dropped that may count again")]
    Dropped,
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
    #[error("the feed is filtered for another audience")]
    Audience,
    /// Made in the future, by this clock.
    #[error("the snapshot was made at {0}, which lies in the future: compare the clocks")]
    Future(UnixTime),
    /// Made so long ago that it is none that a broker signs for whoever asks now.
    #[error("the snapshot was made at {0}, which is long past: it was kept by somebody, or the clocks disagree")]
    Old(UnixTime),
    /// A place to come back to that is not the one heard up to.
    #[error("the place to come back to is said to be {told}, but what was heard ends at {heard}")]
    Place {
        /// By the event's id.
        told: Position,
        /// As it was heard.
        heard: Position,
    },
    /// The parts are not what the snapshot names.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The view does not go back.
    #[error(transparent)]
    Replace(#[from] ReplaceError),
}

impl FeedError {
    /// Whether the feed may be gone on with where it was left: what was heard before this is whole, and what comes next on
    /// another connection may be right.
    pub(super) const fn leaves_no_gap(&self) -> bool {
        use FeedError as E;
        match self {
            E::Fetch(_) | E::Ended | E::Silent(_) | E::Answer(..) => true,
            // A broker, or a clock, that comes round by itself.
            E::Behind { .. } | E::Past(_) | E::Ahead(_) => true,
            // A snapshot, or an event, of which nothing was believed.
            E::Jws(_) | E::Key(_) | E::Signature | E::Issuer(_) | E::Audience | E::Future(_) | E::Old(_) => true,
            _ => false,
        }
    }
}

/// What is believed of a feed, and by whom.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub issuer: &'a str,
    pub audience: Option<&'a AudienceUri>,
    /// Unix milliseconds.
    pub now_ms: u64,
    pub skew: Duration,
    /// How old a view may be that is judged by.
    pub max_staleness: Duration,
    /// So many rules may come in a snapshot.
    pub max_rules: u64,
    pub keys: &'a [(KeyId, VerifyingKey)],
    pub view: &'a View,
}

/// The claims of a snapshot, whose signature, issuer, audience and time are as they must be.
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
    if claims.iat > UnixTime::from_secs(wanted.now_ms / 1000).plus(wanted.skew) {
        return Err(FeedError::Future(claims.iat));
    }
    // A broker signs for each who asks. Whoever kept one could hide all that ended since.
    let oldest = wanted.skew + wanted.max_staleness;
    if claims.iat.plus(oldest) < UnixTime::from_secs(wanted.now_ms / 1000) {
        return Err(FeedError::Old(claims.iat));
    }
    if claims.count > wanted.max_rules {
        return Err(FeedError::TooMany { told: claims.count, most: wanted.max_rules });
    }
    Ok(claims)
}

/// What came from outside, short enough for a log line.
fn shown(raw: &str) -> String {
    raw.chars().take(128).flat_map(char::escape_default).collect()
}
