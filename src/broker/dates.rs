//! The ends and reviews of workloads, told ahead: in the log once a day and with each new set of policies, and as figures.

use std::sync::Mutex;

use crate::governance::inventory::{Due, due};
use crate::model::UnixTime;

use super::Broker;

/// So many dates are told in the log at a time; the rest is counted.
const TOLD: usize = 20;

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Dates(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    /// Of which set, by its digest, and on which day since 1970.
    of: Option<(String, u64)>,
    dates: Vec<Due>,
}

impl Dates {
    /// The dates of this day and set, where they were not told yet, and those among them that the log has not had today.
    fn news(&self, digest: &str, now: UnixTime, read: impl FnOnce() -> Vec<Due>) -> Option<(Vec<Due>, Vec<Due>)> {
        let day = now.secs() / 86_400;
        let mut told = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.of.as_ref().is_some_and(|(known, on)| known == digest && *on == day) {
            return None;
        }
        let dates = read();
        let before = match told.of.as_ref().is_some_and(|(_, on)| *on == day) {
            true => std::mem::take(&mut told.dates),
            false => Vec::new(),
        };
        let new = dates.iter().filter(|date| !before.contains(date)).cloned().collect();
        *told = Told { of: Some((digest.to_owned(), day)), dates: dates.clone() };
        Some((dates, new))
    }
}

impl Broker {
    /// Looks at the dates where the day or the set is another than before. Goes through all workloads, and not per request.
    pub(super) fn mind_the_dates(&self) {
        let now = self.parts.clock.now();
        let set = self.parts.policies.current();
        let Some((dates, new)) = self.dates.news(set.digest(), now, || due(&set, now)) else { return };
        let mut states = [0; 3];
        for workload in set.workloads() {
            let at = match workload.state(now) {
                Ok(()) => 0,
                Err(crate::model::Reason::Expired) => 1,
                Err(_) => 2,
            };
            states[at] += 1;
        }
        let left = dates.iter().map(|date| (date.workload.as_str(), date.matter.as_str(), date.days));
        self.parts.metrics.set_workloads(states, left);
        for date in new.iter().take(TOLD) {
            tracing::warn!(workload = %date.workload, days = date.days, "{date}");
        }
        if new.len() > TOLD {
            let more = new.len() - TOLD;
            tracing::warn!(more, "more workloads end or are to be reviewed within 30 days: jitney workload list --due");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governance::inventory::Matter;
    use crate::model::WorkloadId;

    fn date(name: &str) -> Due {
        let workload = WorkloadId::parse(name).unwrap();
        Due { days: 3, matter: Matter::Expires, workload, day: "2027-01-01".into() }
    }

    #[test]
    fn a_date_is_told_once_a_day_and_once_where_a_new_set_brings_it() {
        let dates = Dates::default();
        let day = |n: u64| UnixTime::from_secs(n * 86_400 + 500);
        let names = |dates: Vec<Due>| dates.iter().map(|date| date.workload.to_string()).collect::<Vec<_>>();
        let news = |digest: &str, now, found: Vec<Due>| {
            dates.news(digest, now, || found).map(|(all, new)| (names(all), names(new)))
        };
        let (a, ab) = (vec![date("a")], vec![date("a"), date("b")]);
        assert_eq!(news("1", day(1), a.clone()), Some((vec!["a".into()], vec!["a".into()])));
        assert_eq!(news("1", day(1), a.clone()), None);
        assert_eq!(news("2", day(1), ab.clone()).unwrap().1, ["b"], "what is known already is not told again");
        assert_eq!(news("2", day(2), ab).unwrap().1, ["a", "b"], "the next day it is");
    }
}
