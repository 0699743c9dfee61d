//! What is wrong with what verifiers said that follow the feed: good too late, ended though nobody ended it, left behind.

use std::collections::HashSet;

use super::check::Run;
use super::history::{Event, SECOND, Verdict, What};

/// A verifier is back at the head of the log in this time, on a busy machine.
const CATCHES_UP: u64 = 20 * SECOND;

/// What is wrong with this verdict.
pub fn wrong(run: &Run<'_>, event: &Event, verifier: usize, jti: &str, verdict: Verdict) -> Vec<String> {
    let at = event.start;
    let untouched = || !run.may_be_ended(event, jti);
    match verdict {
        Verdict::Good { within } => run.accepted(event, jti, &format!("verifier {verifier}"), within),
        Verdict::Ended if untouched() => {
            vec![format!("I6: verifier {verifier} said at {at} that {jti} was ended, and nobody had tried to end it")]
        }
        Verdict::BadInPeace(why) if untouched() => {
            vec![format!("I6: verifier {verifier} refused {jti} at {at} ({why}), with nothing wrong with it")]
        }
        Verdict::Ended | Verdict::Stale | Verdict::BadInPeace(_) => Vec::new(),
    }
}

/// I4: whoever said something has caught up after the last fault, soon.
pub fn left_behind(run: &Run<'_>) -> Vec<String> {
    let faults = run.events.iter().filter(|event| matches!(event.what, What::Fault { .. }));
    let last = faults.map(|event| event.end).max().unwrap_or_default();
    let (mut asked, mut found) = (HashSet::new(), Vec::new());
    for event in run.events {
        if let What::Said { verifier, .. } = event.what {
            asked.insert(verifier);
        }
    }
    for event in run.events {
        if let What::CaughtUp { verifier } = event.what
            && event.start >= last
            && event.end - event.start <= CATCHES_UP
        {
            asked.remove(&verifier);
        }
    }
    let mut asked: Vec<_> = asked.into_iter().collect();
    asked.sort_unstable();
    found.extend(
        asked.into_iter().map(|verifier| format!("I4: verifier {verifier} did not catch up after the last fault")),
    );
    found
}
