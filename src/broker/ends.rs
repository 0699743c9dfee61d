//! Which ends of the log this broker made itself: their audit lines come here, and whoever watches is told of them once.
//!
//! Owns the ends that are under way, and the places of those that are done: of many while anybody watches, else of the last few,
//! whose lines may still be on their way when somebody comes. An entry of the log is another broker's once every end that was
//! under way when it was read is done, and none of them says it made it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::model::{Position, Rule};
use crate::store::{End, Ended, RecordError};

use super::Broker;

/// So many places are remembered; a watcher reads the log long before.
pub(super) const KEPT: usize = 1 << 16;

/// So many while nobody watches: no more lines wait to be written.
const LATEST: usize = 1 << 12;

/// The most that watch at once.
const WATCHERS: usize = 32;

#[derive(Default)]
pub(super) struct Ends {
    state: Mutex<State>,
    done: Notify,
    over: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// The number of the next end that begins.
    next: u64,
    under_way: BTreeSet<u64>,
    /// The places of this broker's rules, each with the last one of the same end, which its audit line tells.
    own: BTreeMap<Position, Position>,
    watchers: usize,
}

impl State {
    fn bound(&mut self) {
        let most = if self.watchers > 0 { KEPT } else { LATEST };
        while self.own.len() > most {
            self.own.pop_first();
        }
    }
}

impl Ends {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Call<'_> {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.under_way.insert(number);
        Call { ends: self, number }
    }

    /// One more who watches; none where there are too many.
    pub(super) fn watch(&self) -> Option<Watching<'_>> {
        let mut state = self.state();
        (state.watchers < WATCHERS).then(|| {
            state.watchers += 1;
            Watching(self)
        })
    }

    /// Lets go of all who watch.
    pub(super) fn close(&self) {
        self.over.send_replace(true);
    }

    /// Becomes true when they are let go.
    pub(super) fn over(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }

    /// How many watch.
    pub(super) fn watchers(&self) -> usize {
        self.state().watchers
    }

    /// The log began anew: its places mean something else.
    pub(super) fn forget(&self) {
        self.state().own.clear();
    }

    /// Waits until every end is done that has begun by now.
    pub(super) async fn settled(&self) {
        let upto = self.state().next;
        loop {
            let done = self.done.notified();
            tokio::pin!(done);
            // Before the look, so that no end is done unheard in between.
            done.as_mut().enable();
            if self.state().under_way.first().is_none_or(|first| *first >= upto) {
                return;
            }
            done.await;
        }
    }

    /// Whether this broker made the rule at this place.
    pub(super) fn is_own(&self, position: Position) -> bool {
        self.state().own.contains_key(&position)
    }

    /// The place that the audit line of the rule's end tells, where this broker made it.
    pub(super) fn told_at(&self, position: Position) -> Option<Position> {
        self.state().own.get(&position).copied()
    }
}

/// An end that is under way.
struct Call<'a> {
    ends: &'a Ends,
    number: u64,
}

impl Call<'_> {
    fn made(&self, rules: &[Rule]) {
        let Some(last) = rules.last().map(|rule| rule.position) else { return };
        let mut state = self.ends.state();
        state.own.extend(rules.iter().map(|rule| (rule.position, last)));
        state.bound();
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.ends.state().under_way.remove(&self.number);
        self.ends.done.notify_waiters();
    }
}

/// Somebody who watches, until it is dropped.
pub(super) struct Watching<'a>(&'a Ends);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.watchers -= 1;
        state.bound();
    }
}

impl Broker {
    /// Has the store end something, and remembers that it was this broker's doing.
    pub(super) async fn end(&self, end: End) -> Result<Ended, RecordError> {
        let call = self.ends.begin();
        let ended = self.parts.store.end(end).await?;
        call.made(&ended.rules);
        Ok(ended)
    }
}

#[cfg(test)]
impl Ends {
    /// An end of this broker's with rules at these places.
    pub(super) fn made_for_tests(&self, places: &[u64]) {
        let rule = |at: &u64| {
            let digest = crate::model::RuleDigest::of(crate::model::RuleKind::All, &[]);
            Rule { kind: crate::model::RuleKind::All, digest, position: Position::new(*at), until: None }
        };
        self.begin().made(&places.iter().map(rule).collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::model::{RuleDigest, RuleKind};

    fn rule(at: u64) -> Rule {
        let digest = RuleDigest::of(RuleKind::All, &[]);
        Rule { kind: RuleKind::All, digest, position: Position::new(at), until: None }
    }

    #[test]
    fn an_entry_is_judged_once_the_ends_of_before_it_was_read_are_done() {
        let ends = Ends::default();
        let watching = ends.watch().unwrap();
        let (first, second) = (ends.begin(), ends.begin());
        let mut settled = Box::pin(ends.settled());
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(settled.as_mut().poll(&mut context), Poll::Pending);
        let later = ends.begin();
        first.made(&[rule(7)]);
        drop(first);
        assert_eq!(settled.as_mut().poll(&mut context), Poll::Pending, "the second is under way");
        drop(second);
        assert_eq!(settled.as_mut().poll(&mut context), Poll::Ready(()), "the later one began behind it");
        assert!(ends.is_own(Position::new(7)) && !ends.is_own(Position::new(8)));
        drop(later);
        drop(watching);
        ends.begin().made(&[rule(9), rule(10)]);
        assert_eq!(
            [7, 8, 9, 10].map(|at| ends.told_at(Position::new(at)).map(Position::get)),
            [Some(7), None, Some(10), Some(10)]
        );
    }

    #[test]
    fn places_and_watchers_are_bounded() {
        let ends = Ends::default();
        let all: Vec<_> = (0..WATCHERS).map(|_| ends.watch().unwrap()).collect();
        assert!(ends.watch().is_none());
        let call = ends.begin();
        let rules: Vec<Rule> = (1..=KEPT as u64 + 1).map(rule).collect();
        call.made(&rules);
        assert!(!ends.is_own(Position::new(1)) && ends.is_own(Position::new(2)));
        drop(all);
        let latest = (KEPT - LATEST) as u64 + 1;
        assert!(!ends.is_own(Position::new(latest)) && ends.is_own(Position::new(latest + 1)));
        assert!(ends.watch().is_some());
    }
}
