//! Which workloads come to their end or to their review soon, or are past it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::model::{UnixTime, WorkloadId};
use crate::policy::{Day, PolicySet};

const DAY: u64 = 86_400;

/// From here on it is told ahead, as `policy check` does.
pub const NEAR: i64 = 30;

/// What comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Matter {
    /// It gets nothing any more.
    Expires,
    /// Its owner is to look at it again.
    Review,
}

impl Matter {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expires => "expires",
            Self::Review => "review",
        }
    }
}

/// One date of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Due {
    /// So many days until then; below 0 where it is past.
    pub days: i64,
    /// What comes.
    pub matter: Matter,
    /// Whose.
    pub workload: WorkloadId,
    /// The day as its file has it.
    pub day: String,
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { days, workload, day, .. } = self;
        match (self.matter, *days) {
            (Matter::Expires, ..0) => write!(f, "workload `{workload}` expired at the end of {day}: it gets nothing"),
            (Matter::Expires, 0) => write!(f, "workload `{workload}` gets nothing after today"),
            (Matter::Expires, _) => {
                write!(f, "workload `{workload}` gets nothing after {day}: {} from now", told(*days))
            }
            (Matter::Review, ..0) => {
                write!(f, "workload `{workload}` was to be reviewed from {day} on, {} ago", told(-days))
            }
            (Matter::Review, 0) => write!(f, "workload `{workload}` is to be reviewed from today on"),
            (Matter::Review, _) => {
                write!(f, "workload `{workload}` is to be reviewed on {day}: {} from now", told(*days))
            }
        }
    }
}

fn told(days: i64) -> String {
    format!("{days} day{}", if days == 1 { "" } else { "s" })
}

/// The dates that are at most [`NEAR`] days away or past, the most urgent first.
pub fn due(set: &PolicySet, now: UnixTime) -> Vec<Due> {
    let mut found = Vec::new();
    for workload in set.workloads() {
        for (matter, day) in [(Matter::Expires, workload.expires), (Matter::Review, workload.review)] {
            let Some(day) = day else { continue };
            let days = days_until(day, now);
            if days <= NEAR {
                found.push(Due { days, matter, workload: workload.id.clone(), day: day.to_string() });
            }
        }
    }
    found.sort_by(|a, b| (a.days, a.matter, &a.workload).cmp(&(b.days, b.matter, &b.workload)));
    found
}

/// Whole days from today, UTC, to `day`: 0 is today.
pub(super) fn days_until(day: Day, now: UnixTime) -> i64 {
    let today = UnixTime::from_secs(now.secs() / DAY * DAY);
    let days = |span: Duration| i64::try_from(span.as_secs() / DAY).unwrap_or(i64::MAX);
    let (ahead, behind) = (day.start().since(today), today.since(day.start()));
    if behind.is_zero() { days(ahead) } else { -days(behind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixtures::workload_file;

    fn set(dates: &[(&str, &str)]) -> PolicySet {
        let files = dates.iter().enumerate().map(|(at, (expires, review))| {
            let review = if review.is_empty() { String::new() } else { format!("review = {review}\n") };
            let dates = format!("expires = {expires}\n{review}");
            (format!("workloads/w{at}.toml"), workload_file().replace("expires = 2027-06-30\n", &dates))
        });
        PolicySet::from_sources(files, UnixTime::from_secs(0)).unwrap().0
    }

    #[test]
    fn what_is_near_is_told_by_days_and_the_most_urgent_first() {
        // 2027-06-15, in the afternoon.
        let now = UnixTime::from_secs(1_813_017_600 + 50_000);
        assert_eq!(now.rfc3339(), "2027-06-15T13:53:20Z");
        let set = set(&[
            ("2027-06-15", "2027-06-14"),
            ("2027-07-15", "2027-07-16"),
            ("2027-06-10", "2027-06-15"),
            ("2028-01-01", ""),
        ]);
        let told: Vec<String> = due(&set, now).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "workload `w2` expired at the end of 2027-06-10: it gets nothing",
                "workload `w0` was to be reviewed from 2027-06-14 on, 1 day ago",
                "workload `w0` gets nothing after today",
                "workload `w2` is to be reviewed from today on",
                "workload `w1` gets nothing after 2027-07-15: 30 days from now",
            ]
        );
    }
}
