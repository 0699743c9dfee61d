//! One connection to the feed, event by event: what each says, and whether it may stand where it stands.
//!
//! Pure: no I/O, no clock, no view of its own. Whoever owns it ends the connection at its first error.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{FeedError, Wanted, verify};
use crate::model::{KeyId, Position, Rule};
use crate::revocation::event::{Event, Heartbeat, Keys, Kind, Revoke};
use crate::revocation::snapshot::{Incoming, SnapshotClaims};

/// What an event says, once it is believed.
#[derive(Debug)]
pub(crate) enum News {
    /// Nothing yet, or nothing that is known here.
    Nothing,
    /// The whole log, by the broker's signature: the rules are those that the view does not know.
    Snapshot(Box<SnapshotClaims>, Vec<Rule>),
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
    after: Position,
}

/// A connection's state.
#[derive(Debug)]
pub(crate) struct Session {
    stage: Stage,
    /// The id of the last event that was held against those before it; empty before the first.
    cursor: String,
    /// The latest moment that the broker told, Unix milliseconds.
    told_ms: u64,
}

#[derive(Debug)]
enum Stage {
    /// Only a snapshot can come.
    Begun,
    /// Its parts come.
    Parts { incoming: Box<Incoming>, known: Position, rules: Vec<Rule> },
    /// All is told up to here; what comes, comes.
    Live { after: Position, count: u64 },
}

impl Session {
    /// A connection that begins at a place, or at the beginning. `told_ms` is the latest moment that the feed told before.
    pub(crate) fn new(place: Option<&Place>, told_ms: u64) -> Self {
        let stage = place.map_or(Stage::Begun, |place| Stage::Live { after: place.after, count: 0 });
        Self { stage, cursor: place.map(|place| place.cursor.clone()).unwrap_or_default(), told_ms }
    }

    /// Whether all is told up to some place: the first snapshot has come whole.
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live { .. })
    }

    /// Where the feed can be gone on with, should the connection end now. None within a snapshot.
    pub(crate) fn place(&self) -> Option<Place> {
        match self.stage {
            Stage::Live { after, .. } if !self.cursor.is_empty() => Some(Place { cursor: self.cursor.clone(), after }),
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
            Some(Kind::Revoke) => self.revoke(read(Kind::Revoke, &event.data)?)?,
            Some(Kind::Keys) => {
                self.live(Kind::Keys)?;
                let Keys { kids } = read(Kind::Keys, &event.data)?;
                News::Keys(kids)
            }
            Some(Kind::Heartbeat) => self.heartbeat(read(Kind::Heartbeat, &event.data)?, wanted)?,
        };
        // Nothing holds the keys against the rules before them: were one of those lost, who came back to this place would
        // never hear of it.
        if event.kind != Some(Kind::Keys) {
            event.id.clone_into(&mut self.cursor);
        }
        Ok(news)
    }

    /// The log anew: at the beginning, or in the middle where it has another life.
    fn snapshot(&mut self, data: &str, wanted: &Wanted<'_>) -> Result<News, FeedError> {
        if matches!(self.stage, Stage::Parts { .. }) {
            return Err(FeedError::Order(Kind::Snapshot.as_str()));
        }
        let claims = verify(data, wanted)?;
        wanted.view.admits(claims.epoch, claims.position)?;
        let is_same = wanted.view.epoch() == Some(claims.epoch);
        let known = if is_same { wanted.view.position() } else { Position::START };
        self.stage = Stage::Parts { incoming: Box::new(Incoming::new(claims)?), known, rules: Vec::new() };
        self.whole()
    }

    fn part(&mut self, data: &str) -> Result<News, FeedError> {
        match &mut self.stage {
            Stage::Parts { incoming, known, rules } => {
                rules.extend(incoming.part(data)?.into_iter().filter(|rule| rule.position > *known));
                self.whole()
            }
            Stage::Begun => Err(FeedError::NoSnapshot),
            Stage::Live { .. } => Err(FeedError::Order(Kind::Part.as_str())),
        }
    }

    /// The snapshot, where all of it is here.
    fn whole(&mut self) -> Result<News, FeedError> {
        let is_whole = matches!(&self.stage, Stage::Parts { incoming, .. } if incoming.is_complete());
        if !is_whole {
            return Ok(News::Nothing);
        }
        let Stage::Parts { incoming, rules, .. } = std::mem::replace(&mut self.stage, Stage::Begun) else {
            return Ok(News::Nothing);
        };
        let claims = incoming.finish()?;
        self.stage = Stage::Live { after: claims.position, count: claims.count };
        self.told_ms = self.told_ms.max(claims.iat.secs().saturating_mul(1000));
        Ok(News::Snapshot(Box::new(claims), rules))
    }

    fn revoke(&mut self, Revoke { after: told, rules }: Revoke) -> Result<News, FeedError> {
        let (after, count) = self.live(Kind::Revoke)?;
        if told != *after {
            return Err(FeedError::Gap { told, heard: *after });
        }
        let in_order = rules.iter().try_fold(*after, |last, rule| (rule.position > last).then_some(rule.position));
        match in_order {
            Some(last) if !rules.is_empty() => {
                *after = last;
                *count += rules.len() as u64;
                Ok(News::Rules(rules))
            }
            _ => Err(FeedError::Form(Kind::Revoke.as_str(), "its rules are none, or out of order".into())),
        }
    }

    fn heartbeat(&mut self, beat: Heartbeat, wanted: &Wanted<'_>) -> Result<News, FeedError> {
        let Heartbeat { position, count: told, now } = beat;
        let (after, count) = self.live(Kind::Heartbeat)?;
        if told != *count {
            return Err(FeedError::Count { told, heard: *count });
        }
        let known = wanted.view.position().max(*after);
        if position < known {
            return Err(FeedError::Behind { told: position, known });
        }
        let skew = millis(wanted.skew);
        // Two brokers' clocks may be off by as much, each its own way.
        if now.saturating_add(2 * skew) < self.told_ms {
            return Err(FeedError::Past(self.told_ms - now));
        }
        if now > wanted.now_ms.saturating_add(skew) {
            return Err(FeedError::Ahead(now - wanted.now_ms));
        }
        self.told_ms = self.told_ms.max(now);
        Ok(News::Beat(position, now))
    }

    /// The place of the last rule, and how many came; an error where `kind` came before a snapshot was whole.
    const fn live(&mut self, kind: Kind) -> Result<(&mut Position, &mut u64), FeedError> {
        match &mut self.stage {
            Stage::Live { after, count } => Ok((after, count)),
            Stage::Begun => Err(FeedError::NoSnapshot),
            Stage::Parts { .. } => Err(FeedError::Order(kind.as_str())),
        }
    }
}

fn read<T: DeserializeOwned>(kind: Kind, data: &str) -> Result<T, FeedError> {
    serde_json::from_str(data).map_err(|error| FeedError::Form(kind.as_str(), error.to_string()))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
