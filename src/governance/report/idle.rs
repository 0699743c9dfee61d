//! Acts that ended nothing and let nobody in: the log says so of each, and of older ones as far as it shows it by itself.
//!
//! Where it cannot be told, an act counts: a report leaves out nothing that may have changed access.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use super::evidence::moment;
use crate::audit::Line;

/// So many ended leases are remembered.
const LEASES: usize = 1 << 18;
/// So many quarantines and releases.
const ACTS: usize = 1 << 16;
/// Clocks of brokers differ by less, in milliseconds: closer than that, their lines may stand in the wrong order.
const SKEW: u64 = 60_000;

/// What of the lines so far tells idle acts apart.
#[derive(Default)]
pub(super) struct Idle {
    hasher: RandomState,
    /// Leases that were revoked by name.
    revoked: HashSet<u64>,
    /// Quarantines and releases, by workload.
    acts: BTreeMap<String, Vec<Act>>,
    count: usize,
    /// A log lacks its beginning, or there are too many acts.
    lacks_some: bool,
    brokers: HashSet<u64>,
}

/// Where a release stands among the changes that a report tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is told by this number.
    At(usize),
    /// It is one of so many more.
    AmongMore,
    /// Outside of the period.
    Nowhere,
}

/// A quarantine, or a release.
struct Act {
    at: u64,
    release: Option<Place>,
}

impl Idle {
    /// Whether a line tells of an act that did nothing. Lines come in the order of their log.
    pub fn is(&mut self, line: &Line<'_>) -> bool {
        if line.no_effect {
            return true;
        }
        if self.brokers.insert(self.hasher.hash_one(&*line.broker)) {
            self.lacks_some |= line.seq != 1;
        }
        match (&*line.event, &*line.outcome) {
            ("complete", "done") => ended_nothing(line),
            ("revoke", "done") => {
                let again = line.lease.as_deref().is_some_and(|lease| self.was_revoked(lease));
                again || ended_nothing(line)
            }
            // In an older log no member says it, but these words.
            ("quarantine", "done") => line.detail.as_deref() == Some("it was in quarantine already"),
            _ => false,
        }
    }

    /// Whether this lease was revoked by name before, with all that renewed it. It is by now.
    fn was_revoked(&mut self, lease: &str) -> bool {
        let key = self.hasher.hash_one(lease);
        self.revoked.contains(&key) || (self.revoked.len() < LEASES && !self.revoked.insert(key))
    }

    /// Notes a quarantine, or a release with its place.
    pub fn note(&mut self, line: &Line<'_>, release: Option<Place>) {
        let Some(workload) = line.workload.as_deref() else { return };
        if self.count == ACTS {
            self.lacks_some = true;
            return;
        }
        self.count += 1;
        self.acts.entry(workload.to_owned()).or_default().push(Act { at: moment(&line.time), release });
    }

    /// The releases of who was in no quarantine, by all the logs. None where a log lacks its beginning: the quarantine may have stood
    /// there.
    pub fn releases(self) -> Vec<Place> {
        let mut idle = Vec::new();
        if self.lacks_some {
            return idle;
        }
        for mut acts in self.acts.into_values() {
            acts.sort_by_key(|act| act.at);
            let mut is_in = false;
            for (at, act) in acts.iter().enumerate() {
                let Some(place) = act.release else {
                    is_in = true;
                    continue;
                };
                let rest = acts.get(at + 1..).unwrap_or_default().iter();
                let mut soon = rest.take_while(|next| next.at <= act.at.saturating_add(SKEW));
                if !is_in && !soon.any(|next| next.release.is_none()) {
                    idle.push(place);
                }
                is_in = false;
            }
        }
        idle
    }
}

/// As lines from before the log said so show it: a count of nothing, and no rule, or a lease that stood no more.
fn ended_nothing(line: &Line<'_>) -> bool {
    line.count == Some(0) && (line.position.is_none() || line.lease.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is idle of acts written as `Q10` and `R20`: a quarantine and a release, and at which second.
    fn idle(first: u64, acts: &[&str]) -> Vec<Place> {
        let mut told = Idle::default();
        for (number, act) in acts.iter().enumerate() {
            let (kind, secs) = act.split_at(1);
            let event = if kind == "Q" { "quarantine" } else { "release" };
            let secs: u64 = secs.parse().unwrap();
            let text = format!(
                r#"{{"v":1,"time":"2026-11-02T10:{:02}:{:02}.000Z","seq":{},"broker":"b1","event":"{event}","outcome":"done","workload":"w"}}"#,
                secs / 60,
                secs % 60,
                first + number as u64,
            );
            let line = Line::parse(text.as_bytes()).unwrap();
            assert!(!told.is(&line), "{act}: by itself it tells nothing");
            told.note(&line, (kind == "R").then_some(Place::At(number)));
        }
        told.releases()
    }

    #[test]
    fn a_release_of_who_was_in_no_quarantine_is_told_by_a_log_that_is_whole() {
        assert_eq!(idle(1, &["R10", "Q200", "Q300", "R400", "R500"]), [Place::At(0), Place::At(4)]);
        assert!(idle(1, &["Q10", "R20", "Q30", "R40"]).is_empty());
        assert!(idle(7, &["R10"]).is_empty(), "the quarantine may have stood before the log's first line");
        // Of another broker, whose clock is behind: its log is read first.
        assert!(idle(1, &["R10", "Q30"]).is_empty(), "which of the two came first is not sure");
        assert!(idle(1, &["R90", "Q20"]).is_empty(), "logs are read one after the other");
    }
}
