//! The view: every live rule, read without a lock while another thread adds to it.
//!
//! A log in stretches: each batch of rules becomes a sealed segment, neighbours are merged as they grow, past ones are
//! dropped. So a rule costs 32 bytes, a reader looks into a few segments, and no writer ever holds a reader up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

mod first;
mod refill;

pub use refill::Refill;

use super::TokenDigests;
use super::segment::{Entry, Segment};
use crate::model::{Epoch, Position, Rule, RuleDigest, RuleKind, UnixTime};

/// The largest segment: bounds how long a merge takes (a few milliseconds) and what it needs meanwhile (8 MiB).
const LARGEST: usize = 1 << 18;
/// A segment is merged with the one before it while that is at most so many times its size.
const RATIO: usize = 3;
/// Epochs that were left are not entered again; this many are remembered.
const LEFT: usize = 16;

/// A picture of the revocation log that never moves back within an epoch.
#[derive(Debug)]
pub struct View {
    state: ArcSwap<State>,
    /// The state's generation, readable without loading the state.
    generation: AtomicU64,
    /// As the state's, in Unix seconds.
    lost: AtomicU64,
    /// Writers take turns. A std mutex: what it guards is memory work, and nothing is awaited under it.
    writer: Mutex<()>,
    largest: usize,
}

#[derive(Debug, Clone, Default)]
struct State {
    epoch: Option<Epoch>,
    /// Up to here the log was told, by somebody's word.
    position: Position,
    /// Up to here the rules were told, or a snapshot: the view does not go back behind it.
    sure: Position,
    generation: u64,
    /// In the order of arrival.
    segments: Vec<Arc<Segment>>,
    /// Rules on keys, by digest: few, and for the whole epoch.
    keys: Arc<[(RuleDigest, Position)]>,
    /// The last rule on everything, and until when it matters.
    all: Option<Rule>,
    /// The latest `until` of any rule that was dropped or passed over as past.
    lost: u64,
    left: Arc<[Epoch]>,
}

/// What is past, and how large a segment grows.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    horizon: UnixTime,
    largest: usize,
}

/// Why a view was not replaced. It is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// The same epoch at an earlier place.
    #[error("the view stands at position {have} of this epoch and does not go back to {got}")]
    Backwards {
        /// Where the view stands.
        have: Position,
        /// What was offered.
        got: Position,
    },
    /// An epoch that this view has left.
    #[error("the view has left epoch {0} and does not enter it again")]
    Left(Epoch),
}

impl Default for View {
    fn default() -> Self {
        Self::new()
    }
}

impl View {
    /// How much later than its `until` a rule is dropped: the largest skew a verifier may be set to.
    pub const MARGIN: Duration = Duration::from_secs(30);

    /// An empty view, of no epoch yet.
    pub fn new() -> Self {
        Self::with_largest(LARGEST)
    }

    fn with_largest(largest: usize) -> Self {
        let (generation, lost) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { state: ArcSwap::default(), generation, lost, writer: Mutex::new(()), largest }
    }

    /// Adds rules of this epoch, in any order, known ones included; then the log is told up to `upto`. Whoever adds a
    /// rule out of turn (an end of its own, before what others appended is read) gives the place it had, `position()`.
    /// Rules that are past at `now` are passed over.
    pub fn apply(&self, rules: &[Rule], upto: Position, now: UnixTime) {
        self.write(|state| {
            let bounds = self.bounds(now);
            state.add(rules, Position::START, bounds);
            state.reaches(upto);
        });
    }

    /// The log is said to be told up to `upto`, without a rule of it, or a signature, that says so: what comes later may show
    /// that to be wrong, so it shuts no snapshot out.
    pub fn said_to_reach(&self, upto: Position) {
        if self.position() < upto {
            self.write(|state| state.position = state.position.max(upto));
        }
    }

    /// Makes this the view of `epoch` up to `position`: a new epoch replaces everything; in the same epoch the rules
    /// behind the view's own place are added, for those before are known.
    ///
    /// # Errors
    /// [`ReplaceError`] where that would go back; nothing has changed then.
    pub fn replace(&self, epoch: Epoch, position: Position, rules: &[Rule], now: UnixTime) -> Result<(), ReplaceError> {
        let mut refill = self.begin(epoch, position)?;
        refill.add(rules, now);
        self.finish(refill, now)
    }

    /// Whether [`View::replace`] would take this epoch and place.
    ///
    /// # Errors
    /// [`ReplaceError`], as `replace` would give it.
    pub fn admits(&self, epoch: Epoch, position: Position) -> Result<(), ReplaceError> {
        self.state.load().admits(epoch, position)
    }

    /// Drops rules that select no token that could still live at `now`. By and by: a past rule may stay for a while.
    pub fn expire(&self, now: UnixTime) {
        let bounds = self.bounds(now);
        let horizon = bounds.horizon;
        let due = |segment: &Arc<Segment>| segment.is_half_past(horizon);
        let all_due = |state: &State| state.all.is_some_and(|rule| rule.is_past(now, Self::MARGIN));
        {
            let state = self.state.load();
            if !state.segments.iter().any(due) && !all_due(&state) {
                return;
            }
        }
        self.write(|state| {
            for segment in std::mem::take(&mut state.segments) {
                state.lose(segment.last_past(horizon));
                if segment.is_past(horizon) {
                    continue;
                }
                let kept = if due(&segment) { segment.without_past(horizon).map(Arc::new) } else { Some(segment) };
                if let Some(segment) = kept {
                    state.push(segment, bounds);
                }
            }
            if all_due(state) {
                let past = state.all.take().and_then(|rule| rule.until);
                state.lose(past.map_or(0, UnixTime::secs));
            }
        });
    }

    /// The kind of the narrowest rule that ends the token, if any does: a rule on one of its digests, or on everything,
    /// at a position greater than `rev`, or one on its key at any.
    pub fn ends(&self, token: &TokenDigests, rev: Position) -> Option<RuleKind> {
        self.judge(token, rev, 0).err()
    }

    /// As [`View::ends`], for a token that this view let pass in generation `since`: only what arrived after that is
    /// looked at. Gives the generation in which it passes now.
    ///
    /// # Errors
    /// The kind of the rule that ends it.
    pub fn judge(&self, token: &TokenDigests, rev: Position, since: u64) -> Result<u64, RuleKind> {
        let state = self.state.load();
        let mut ended: Option<RuleKind> = None;
        let mut note = |kind: RuleKind| ended = Some(ended.map_or(kind, |narrower| narrower.min(kind)));
        for segment in state.segments.iter().filter(|each| each.newest() > since && each.greatest() > rev) {
            for (kind, digest) in token.names() {
                if segment.position_of(*digest).is_some_and(|position| position > rev) {
                    note(*kind);
                }
            }
        }
        if state.key_position(token.key()).is_some() {
            note(RuleKind::Key);
        }
        if state.all.is_some_and(|rule| rule.position > rev) {
            note(RuleKind::All);
        }
        ended.map_or(Ok(state.generation), Err)
    }

    /// Whether a rule of this epoch ends the key itself.
    pub fn ends_key(&self, kid: &str) -> bool {
        self.state.load().key_position(RuleDigest::of(RuleKind::Key, &[kid])).is_some()
    }

    /// Up to when a token's `exp` would have to lie for a dropped rule to have ended it. Rules are dropped once that is past;
    /// where the clock was ahead then, and is back, this view does not know whether such a token stands.
    pub fn lost(&self) -> UnixTime {
        UnixTime::from_secs(self.lost.load(Ordering::Acquire))
    }

    /// Adds all live rules up to `upto`, read anew since the clock went back. Those that are past at `now` are passed over
    /// and lost again, for the clock may go back further.
    pub fn restore(&self, rules: &[Rule], upto: Position, now: UnixTime) {
        self.write(|state| {
            state.lost = 0;
            state.add(rules, Position::START, self.bounds(now));
            state.reaches(upto);
        });
    }

    /// Grows whenever rules were added: a token that passed in this generation passes again without a look-up.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The epoch, once there is one.
    pub fn epoch(&self) -> Option<Epoch> {
        self.state.load().epoch
    }

    /// The place up to which the log has been told.
    pub fn position(&self) -> Position {
        self.state.load().position
    }

    /// How many rules it holds; past ones that were not dropped yet count.
    pub fn len(&self) -> usize {
        self.state.load().len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rules it holds, of one digest the last, by position.
    pub fn rules(&self) -> Vec<Rule> {
        let state = self.state.load_full();
        let of_key = |&(digest, position): &_| Rule { kind: RuleKind::Key, digest, position, until: None };
        let mut rules: Vec<Rule> = state.segments.iter().flat_map(|segment| segment.rules()).collect();
        rules.extend(state.keys.iter().map(of_key));
        rules.extend(state.all);
        rules.sort_unstable_by_key(|rule| rule.position);
        rules
    }

    const fn bounds(&self, now: UnixTime) -> Bounds {
        Bounds { horizon: now.minus(Self::MARGIN), largest: self.largest }
    }

    /// Changes a copy of the state and puts it in place.
    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let _turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = State::clone(&self.state.load());
        let told = change(&mut state);
        let (generation, lost) = (state.generation, state.lost);
        // Before the rules leave, and taken back after others have come.
        self.lost.fetch_max(lost, Ordering::AcqRel);
        // Before the rules are in place: who sees by the position that they are must not take a token for judged by them that
        // passed before. Who looks at the old ones under the new generation notes theirs, and looks again.
        self.generation.store(generation, Ordering::Release);
        self.state.store(Arc::new(state));
        self.lost.store(lost, Ordering::Release);
        told
    }
}

impl State {
    fn admits(&self, epoch: Epoch, position: Position) -> Result<(), ReplaceError> {
        if self.left.contains(&epoch) {
            return Err(ReplaceError::Left(epoch));
        }
        if self.epoch == Some(epoch) && position < self.sure {
            return Err(ReplaceError::Backwards { have: self.sure, got: position });
        }
        Ok(())
    }

    fn reaches(&mut self, upto: Position) {
        self.position = self.position.max(upto);
        self.sure = self.sure.max(upto);
    }

    /// Adds the rules behind `known`; those that say nothing new change nothing.
    fn add(&mut self, rules: &[Rule], known: Position, bounds: Bounds) {
        let generation = self.generation + 1;
        let mut grown = false;
        let mut batch: Vec<Entry> = Vec::new();
        let past = |rule: &Rule| rule.kind != RuleKind::Key && rule.until.is_some_and(|until| until < bounds.horizon);
        for rule in rules.iter().filter(|rule| rule.position > known) {
            if past(rule) {
                self.lose(rule.until.map_or(0, UnixTime::secs));
                continue;
            }
            match rule.kind {
                RuleKind::Key => grown |= self.add_key(rule),
                RuleKind::All => grown |= self.add_all(rule),
                // What lies behind the view's place cannot be known yet, so it needs no look-up.
                _ if rule.position > self.position || self.is_news(rule) => batch.push(Entry::new(rule)),
                _ => {}
            }
            if batch.len() == bounds.largest {
                grown |= self.seal(std::mem::take(&mut batch), generation, bounds);
            }
        }
        grown |= self.seal(batch, generation, bounds);
        if grown {
            self.generation = generation;
        }
    }

    fn len(&self) -> usize {
        let segments: usize = self.segments.iter().map(|segment| segment.len()).sum();
        segments + self.keys.len() + usize::from(self.all.is_some())
    }

    fn lose(&mut self, until: u64) {
        self.lost = self.lost.max(until);
    }

    fn is_news(&self, rule: &Rule) -> bool {
        !self.segments.iter().any(|each| each.covers(rule))
    }

    fn add_key(&mut self, rule: &Rule) -> bool {
        match self.keys.binary_search_by_key(&rule.digest, |(digest, _)| *digest) {
            Ok(_) => false,
            Err(at) => {
                let mut keys = self.keys.to_vec();
                keys.insert(at, (rule.digest, rule.position));
                self.keys = keys.into();
                true
            }
        }
    }

    fn add_all(&mut self, rule: &Rule) -> bool {
        // None, no end, is the longest.
        let later = |a: Option<UnixTime>, b: Option<UnixTime>| a.zip(b).map(|(a, b)| a.max(b));
        let merged = self.all.map_or(*rule, |all| {
            let (position, until) = (all.position.max(rule.position), later(all.until, rule.until));
            Rule { position, until, ..all }
        });
        self.all.replace(merged) != Some(merged)
    }

    fn seal(&mut self, batch: Vec<Entry>, generation: u64, bounds: Bounds) -> bool {
        let sealed = Segment::seal(batch, generation);
        let grown = sealed.is_some();
        if let Some(segment) = sealed {
            self.push(Arc::new(segment), bounds);
        }
        grown
    }

    /// Adds a segment, merged with its neighbours until each is much larger than the next, or as large as one may be:
    /// the number of segments then grows with the logarithm of the number of rules.
    fn push(&mut self, mut last: Arc<Segment>, bounds: Bounds) {
        while let Some(before) = self.segments.pop() {
            if before.len() > RATIO * last.len() || before.len() + last.len() > bounds.largest {
                self.segments.push(before);
                break;
            }
            self.lose(before.last_past(bounds.horizon).max(last.last_past(bounds.horizon)));
            match before.merge(&last, bounds.horizon) {
                Some(merged) => last = Arc::new(merged),
                // All of both was past.
                None => return,
            }
        }
        self.segments.push(last);
    }

    fn key_position(&self, digest: RuleDigest) -> Option<Position> {
        let at = self.keys.binary_search_by_key(&digest, |(digest, _)| *digest).ok()?;
        self.keys.get(at).map(|(_, position)| *position)
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
