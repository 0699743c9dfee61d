//! A snapshot on its way into the view: its rules are taken in part by part, beside the view, and put in place at once.
//!
//! So a million rules are there once, as segments of 32 bytes a rule, and never as a list. What is not finished is dropped,
//! and the view is as it was.

use std::sync::Arc;

use super::{Bounds, LEFT, ReplaceError, State, View};
use crate::model::{Epoch, Position, Rule, RuleKind, UnixTime};

/// Rules that have come so far. Nobody judges by them before [`View::finish`].
#[derive(Debug)]
pub struct Refill {
    epoch: Epoch,
    position: Position,
    /// Rules up to here are in the view already.
    known: Position,
    /// Whether it takes the place of all rules of its epoch, none of which counts as known.
    whole: bool,
    largest: usize,
    state: State,
}

impl Refill {
    /// Takes in more rules, in any order; those that the view knows and those that are past at `now` are passed over.
    pub fn add(&mut self, rules: &[Rule], now: UnixTime) {
        let bounds = Bounds { horizon: now.minus(View::MARGIN), largest: self.largest };
        self.state.add(rules, self.known, bounds);
    }

    /// How many rules it holds that the view may not know.
    pub fn len(&self) -> usize {
        self.state.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl View {
    /// Begins to take in the snapshot of `epoch` at `position`.
    ///
    /// # Errors
    /// [`ReplaceError`] where the view would go back.
    pub fn begin(&self, epoch: Epoch, position: Position) -> Result<Refill, ReplaceError> {
        let state = self.state.load();
        state.admits(epoch, position)?;
        let known = if state.epoch == Some(epoch) { state.sure } else { Position::START };
        Ok(Refill { epoch, position, known, whole: false, largest: self.largest, state: State::default() })
    }

    /// The same, where the clock was ahead and is back: rules that were dropped meanwhile may count again, so all of the
    /// snapshot is taken in, and takes the place of what is there.
    ///
    /// # Errors
    /// As [`View::begin`].
    pub fn begin_anew(&self, epoch: Epoch, position: Position) -> Result<Refill, ReplaceError> {
        Ok(Refill { known: Position::START, whole: true, ..self.begin(epoch, position)? })
    }

    /// Makes what has come the view: a new epoch replaces everything; in the same epoch the new rules are added, or take the
    /// place of all others where it was begun anew.
    ///
    /// # Errors
    /// [`ReplaceError`] where the view has gone on meanwhile and would go back; nothing has changed then.
    pub fn finish(&self, refill: Refill, now: UnixTime) -> Result<(), ReplaceError> {
        let Refill { epoch, position, whole, state: mut fresh, .. } = refill;
        self.write(|state| {
            state.admits(epoch, position)?;
            // The generation grows with a new epoch even without rules: whatever was judged is judged again.
            let generation = state.generation + 1;
            for segment in &mut fresh.segments {
                Arc::make_mut(segment).arrive(generation);
            }
            match state.epoch {
                Some(own) if own == epoch && whole => {
                    (state.segments, state.lost) = (Vec::new(), 0);
                    state.join(fresh, generation, self.bounds(now));
                    state.generation = generation;
                }
                Some(own) if own == epoch => state.join(fresh, generation, self.bounds(now)),
                own => {
                    let left = own.into_iter().chain(state.left.iter().copied()).take(LEFT).collect();
                    *state = State { epoch: Some(epoch), generation, left, ..fresh };
                }
            }
            (state.position, state.sure) = (position, position);
            Ok(())
        })
    }
}

impl State {
    /// Adds what came beside it, all of it news but for rules on keys and on everything.
    fn join(&mut self, fresh: Self, generation: u64, bounds: Bounds) {
        let mut grown = !fresh.segments.is_empty();
        for &(digest, position) in fresh.keys.iter() {
            grown |= self.add_key(&Rule { kind: RuleKind::Key, digest, position, until: None });
        }
        if let Some(all) = fresh.all {
            grown |= self.add_all(&all);
        }
        for segment in fresh.segments {
            self.push(segment, bounds);
        }
        self.lose(fresh.lost);
        if grown {
            self.generation = generation;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RuleDigest;

    fn rule(n: u64, until: u64) -> Rule {
        let digest = RuleDigest::of(RuleKind::Lease, &[&n.to_string()]);
        let until = Some(UnixTime::from_secs(until));
        Rule { kind: RuleKind::Lease, digest, position: Position::new(n), until }
    }

    fn rules(range: std::ops::RangeInclusive<u64>) -> Vec<Rule> {
        range.map(|n| rule(n, 1000)).collect()
    }

    const NOW: UnixTime = UnixTime::from_secs(100);

    #[test]
    fn part_by_part_is_as_all_at_once() {
        let (whole, parted) = (View::with_largest(64), View::with_largest(64));
        for view in [&whole, &parted] {
            view.replace(Epoch::from_bits(1), Position::new(50), &rules(1..=50), NOW).unwrap();
        }
        whole.replace(Epoch::from_bits(1), Position::new(300), &rules(1..=300), NOW).unwrap();
        let mut refill = parted.begin(Epoch::from_bits(1), Position::new(300)).unwrap();
        for part in rules(1..=300).chunks(37) {
            refill.add(part, NOW);
        }
        assert_eq!((parted.len(), parted.position()), (50, Position::new(50)), "nothing is there before its end");
        let before = parted.generation();
        parted.finish(refill, NOW).unwrap();
        assert!(parted.generation() > before);
        assert_eq!((parted.rules(), parted.position()), (whole.rules(), whole.position()));
        assert_eq!(parted.len(), 300, "no rule is there twice");
    }

    #[test]
    fn what_is_not_finished_changes_nothing_and_what_was_overtaken_is_refused() {
        let view = View::new();
        view.replace(Epoch::from_bits(1), Position::new(5), &rules(1..=5), NOW).unwrap();
        let mut dropped = view.begin(Epoch::from_bits(2), Position::new(9)).unwrap();
        dropped.add(&rules(1..=9), NOW);
        drop(dropped);
        let mut late = view.begin(Epoch::from_bits(1), Position::new(7)).unwrap();
        late.add(&rules(1..=7), NOW);
        view.apply(&rules(6..=9), Position::new(9), NOW);
        assert!(matches!(view.finish(late, NOW), Err(ReplaceError::Backwards { .. })));
        assert_eq!((view.epoch(), view.position(), view.len()), (Some(Epoch::from_bits(1)), Position::new(9), 9));
    }

    #[test]
    fn a_place_that_was_only_said_to_be_reached_shuts_no_snapshot_out_and_makes_no_rule_known() {
        let (epoch, far) = (Epoch::from_bits(1), Position::new(u64::MAX));
        let view = View::new();
        view.replace(epoch, Position::new(5), &rules(1..=5), NOW).unwrap();
        view.said_to_reach(far);
        view.said_to_reach(Position::new(6));
        assert_eq!((view.position(), view.admits(epoch, Position::new(5))), (far, Ok(())));
        assert!(view.admits(epoch, Position::new(4)).is_err());
        view.replace(epoch, Position::new(9), &rules(1..=9), NOW).unwrap();
        assert_eq!((view.position(), view.len()), (Position::new(9), 9));
        view.said_to_reach(far);
        view.apply(&rules(10..=10), Position::new(10), NOW);
        assert_eq!((view.len(), view.admits(epoch, Position::new(10))), (10, Ok(())));
    }

    #[test]
    fn begun_anew_a_snapshot_brings_back_what_a_clock_that_was_ahead_dropped() {
        let (epoch, ahead) = (Epoch::from_bits(1), UnixTime::from_secs(5000));
        let view = View::with_largest(64);
        view.replace(epoch, Position::new(200), &rules(1..=200), NOW).unwrap();
        view.expire(ahead);
        assert_eq!((view.len(), view.lost()), (0, UnixTime::from_secs(1000)));
        let usual = view.begin(epoch, Position::new(200)).unwrap();
        view.finish(usual, NOW).unwrap();
        assert_eq!((view.len(), view.lost()), (0, UnixTime::from_secs(1000)), "what is known is passed over");
        let before = view.generation();
        let mut anew = view.begin_anew(epoch, Position::new(200)).unwrap();
        anew.add(&rules(1..=200), NOW);
        view.finish(anew, NOW).unwrap();
        assert_eq!((view.len(), view.lost()), (200, UnixTime::default()));
        assert!(view.generation() > before, "whatever was judged is judged again");
        let mut again = view.begin_anew(epoch, Position::new(201)).unwrap();
        again.add(&rules(1..=201), NOW);
        view.finish(again, NOW).unwrap();
        assert_eq!(view.len(), 201, "no rule is there twice");
    }

    #[test]
    fn a_new_epoch_holds_nothing_of_the_old_one_and_what_was_passed_over_is_told() {
        let view = View::new();
        view.replace(Epoch::from_bits(1), Position::new(5), &rules(1..=5), NOW).unwrap();
        let mut refill = view.begin(Epoch::from_bits(2), Position::new(2)).unwrap();
        refill.add(&[rule(1, 10), rule(2, 1000)], NOW);
        view.finish(refill, NOW).unwrap();
        assert_eq!((view.rules(), view.lost()), (vec![rule(2, 1000)], UnixTime::from_secs(10)));
        assert_eq!(
            view.begin(Epoch::from_bits(1), Position::new(9)).unwrap_err(),
            ReplaceError::Left(Epoch::from_bits(1))
        );
    }
}
