//! One connection to the feed, event by event: what each says, and whether it may stand where it stands.
//!
//! Pure: no I/O, no clock, no view of its own. Whoever owns it ends the connection at its first error.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{FeedError, Wanted, verify};
use crate::model::{Epoch, KeyId, Position, Rule};
use crate::revocation::Cursor;
use crate::revocation::event::{Event, Heartbeat, Keys, Kind, Revoke};
use crate::revocation::snapshot::{Incoming, SnapshotClaims};

/// What an event says, once it is believed.
#[derive(Debug)]
pub(crate) enum News {
    /// Nothing yet, or nothing that is known here.
    Nothing,
    /// The whole log comes, part by part, by the broker's signature: of this epoch, up to this place.
    Begin(Epoch, Position),
    /// Rules of it, those that the view knows among them.
    Part(Vec<Rule>),
    /// All of it has come; the rules are those of its last part.
    Whole(Box<SnapshotClaims>, Vec<Rule>),
    /// Rules behind all that was heard, at least one; up to the last one's place all is told.
    Rules(Vec<Rule>),
    /// These keys count from now on.
    Keys(Vec<KeyId>),
    /// The log ended here when the broker began to read it, in Unix milliseconds.
    Beat(Position, u64),
}

/// Where a feed was left: from here it can be gone on with, without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// `Last-Event-ID`.
    pub cursor: String,
    standing: Standing,
}

/// How far a live feed has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    epoch: Epoch,
    /// The place of the last rule; right behind a snapshot, the snapshot's.
    after: Position,
    /// Up to where the log was told.
    upto: Position,
}

/// A connection's state.
#[derive(Debug)]
pub(crate) struct Session {
    stage: Stage,
    /// The id of the last event that was held against those before it; empty before the first.
    cursor: String,
    /// How many rules this connection was sent, those of each snapshot included.
    sent: u64,
    /// The latest moment that the broker told, Unix milliseconds.
    told_ms: u64,
}

#[derive(Debug)]
enum Stage {
    /// Only a snapshot can come.
    Begun,
    /// Its parts come.
    Parts(Box<Incoming>),
    /// All is told; what comes, comes.
    Live(Standing),
}

impl Session {
    /// A connection that begins at a place, or at the beginning. `told_ms` is the latest moment that the feed told before.
    pub(crate) fn new(place: Option<&Place>, told_ms: u64) -> Self {
        let stage = place.map_or(Stage::Begun, |place| Stage::Live(place.standing));
        Self { stage, cursor: place.map(|place| place.cursor.clone()).unwrap_or_default(), sent: 0, told_ms }
    }

    /// Whether all is told up to some place: the first snapshot has come whole.
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live(_))
    }

    /// Where the feed can be gone on with, should the connection end now. None within a snapshot.
    pub(crate) fn place(&self) -> Option<Place> {
        match self.stage {
            Stage::Live(standing) if !self.cursor.is_empty() => Some(Place { cursor: self.cursor.clone(), standing }),
            _ => None,
        }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// [`FeedError`]: nothing of this connection is to be believed any more, but that [`FeedError::Key`] leaves all as it
    /// was, so that the same event may be shown again once the keys were fetched anew.
    pub(crate) fn take(&mut self, event: &Event, wanted: &Wanted<'_>) -> Result<News, FeedError> {
        let news = match event.kind {
            // A later broker may say more; what it means is not known here.
            None => return Ok(News::Nothing),
            Some(Kind::Snapshot) => self.snapshot(&event.data, wanted)?,
            Some(Kind::Part) => self.part(&event.data)?,
            Some(kind) => {
                self.live(kind)?.fits(&event.id, wanted)?;
                match kind {
                    Kind::Revoke => self.revoke(read(kind, &event.data)?)?,
                    Kind::Keys => News::Keys(read::<Keys>(kind, &event.data)?.kids),
                    _ => self.heartbeat(read(kind, &event.data)?, wanted)?,
                }
            }
        };
        if let (Some(kind @ (Kind::Heartbeat | Kind::Revoke)), Stage::Live(standing)) = (event.kind, &self.stage) {
            standing.agrees(kind, &event.id)?;
        }
        // Nothing holds the keys against the rules before them: were one of those lost, who came back to this place would
        // never hear of it.
        if event.kind != Some(Kind::Keys) {
            event.id.clone_into(&mut self.cursor);
        }
        Ok(news)
    }

    /// The log anew: at the beginning, or in the middle where it has another life.
    fn snapshot(&mut self, data: &str, wanted: &Wanted<'_>) -> Result<News, FeedError> {
        if matches!(self.stage, Stage::Parts(_)) {
            return Err(FeedError::Order(Kind::Snapshot.as_str()));
        }
        let claims = verify(data, wanted)?;
        let (epoch, position) = (claims.epoch, claims.position);
        wanted.view.admits(epoch, position)?;
        self.stage = Stage::Parts(Box::new(Incoming::new(claims)?));
        Ok(self.whole()?.map_or(News::Begin(epoch, position), |claims| News::Whole(claims, Vec::new())))
    }

    fn part(&mut self, data: &str) -> Result<News, FeedError> {
        let rules = match &mut self.stage {
            Stage::Parts(incoming) => incoming.part(data)?,
            Stage::Begun => return Err(FeedError::NoSnapshot),
            Stage::Live(_) => return Err(FeedError::Order(Kind::Part.as_str())),
        };
        Ok(match self.whole()? {
            Some(claims) => News::Whole(claims, rules),
            None => News::Part(rules),
        })
    }

    /// The claims of the snapshot, where all of it is here: from then on the feed is live.
    fn whole(&mut self) -> Result<Option<Box<SnapshotClaims>>, FeedError> {
        let stage = std::mem::replace(&mut self.stage, Stage::Begun);
        let incoming = match stage {
            Stage::Parts(incoming) if incoming.is_complete() => incoming,
            other => {
                self.stage = other;
                return Ok(None);
            }
        };
        let claims = incoming.finish()?;
        let SnapshotClaims { epoch, position, count, iat, .. } = claims;
        self.stage = Stage::Live(Standing { epoch, after: position, upto: position });
        self.sent = self.sent.saturating_add(count);
        self.told_ms = self.told_ms.max(iat.secs().saturating_mul(1000));
        Ok(Some(Box::new(claims)))
    }

    fn revoke(&mut self, Revoke { after: told, rules }: Revoke) -> Result<News, FeedError> {
        let standing = self.live(Kind::Revoke)?;
        if told != standing.after {
            return Err(FeedError::Gap { told, heard: standing.after });
        }
        // A heartbeat may have said that all was told up to a place behind the last rule: no other comes before it.
        let in_order =
            rules.iter().try_fold(standing.upto, |last, rule| (rule.position > last).then_some(rule.position));
        match in_order {
            Some(last) if !rules.is_empty() => {
                (standing.after, standing.upto) = (last, last);
                self.sent = self.sent.saturating_add(rules.len() as u64);
                Ok(News::Rules(rules))
            }
            _ => Err(FeedError::Form(Kind::Revoke.as_str(), "its rules are none, or out of order".into())),
        }
    }

    fn heartbeat(&mut self, beat: Heartbeat, wanted: &Wanted<'_>) -> Result<News, FeedError> {
        let Heartbeat { position, count: told, now } = beat;
        let (told_ms, heard) = (self.told_ms, self.sent);
        let standing = self.live(Kind::Heartbeat)?;
        if told != heard {
            return Err(FeedError::Count { told, heard });
        }
        let known = wanted.view.position().max(standing.upto);
        if position < known {
            return Err(FeedError::Behind { told: position, known });
        }
        let skew = millis(wanted.skew);
        // Two brokers' clocks may be off by as much, each its own way.
        if now.saturating_add(2 * skew) < told_ms {
            return Err(FeedError::Past(told_ms - now));
        }
        if now > wanted.now_ms.saturating_add(skew) {
            return Err(FeedError::Ahead(now - wanted.now_ms));
        }
        standing.upto = position;
        self.told_ms = told_ms.max(now);
        Ok(News::Beat(position, now))
    }

    /// How far the feed is; an error where `kind` came before a snapshot was whole.
    const fn live(&mut self, kind: Kind) -> Result<&mut Standing, FeedError> {
        match &mut self.stage {
            Stage::Live(standing) => Ok(standing),
            Stage::Begun => Err(FeedError::NoSnapshot),
            Stage::Parts(_) => Err(FeedError::Order(kind.as_str())),
        }
    }
}

impl Standing {
    /// Whether an event is of this feed, as far as its cursor tells: one that is not understood tells nothing.
    fn fits(&self, id: &str, wanted: &Wanted<'_>) -> Result<(), FeedError> {
        match Cursor::parse(id) {
            Some(cursor) if cursor.epoch != self.epoch => {
                Err(FeedError::Epoch { told: cursor.epoch, heard: self.epoch })
            }
            Some(cursor) if !cursor.is_for(wanted.audience) => Err(FeedError::Audience),
            _ => Ok(()),
        }
    }

    /// Whether an event's cursor is of what was heard. A heartbeat's reaches no further than the heartbeat says: whoever came back to
    /// a later place would miss what lies between. None names a rule as the last that was not heard, and that of rules names the
    /// last of them.
    fn agrees(&self, kind: Kind, id: &str) -> Result<(), FeedError> {
        let Some(cursor) = Cursor::parse(id) else { return Ok(()) };
        if kind == Kind::Heartbeat && cursor.position > self.upto {
            return Err(FeedError::Place { told: cursor.position, heard: self.upto });
        }
        if cursor.after > self.after || (kind == Kind::Revoke && cursor.after < self.after) {
            return Err(FeedError::Place { told: cursor.after, heard: self.after });
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(kind: Kind, data: &str) -> Result<T, FeedError> {
    serde_json::from_str(data).map_err(|error| FeedError::Form(kind.as_str(), error.to_string()))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
