//! `expiry-missing`, `expiry-distant`, `expiry-near`, `expired`: every workload has an end, and one that somebody will see.

use std::time::Duration;

use super::finding::Findings;
use super::tree::{Doc, Tree};
use super::what;
use crate::model::UnixTime;

const DAY: u64 = 86_400;
/// A year, and a month to look at it.
const FARTHEST: Duration = Duration::from_secs(400 * DAY);
/// From here on it is told ahead.
pub(super) const NEAR: Duration = Duration::from_secs(30 * DAY);

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    for doc in &tree.workloads {
        let id = &doc.id;
        let Some(field) = doc.field("expires") else {
            let told = format!("workload `{id}` has no end");
            let mend = "write expires = 2027-06-30: the last day it gets anything, at most 400 days away".to_owned();
            findings.at(what::expiry_missing(), (doc.file, 0..0), id, (told, mend));
            continue;
        };
        let Some((day, start)) = day_of(doc, "expires") else { continue };
        let at = (doc.file, field.span());
        let end = start.plus(Duration::from_secs(DAY));
        let left = end.since(tree.now);
        if tree.now >= end {
            let told = format!("workload `{id}` expired at the end of {day}: it gets nothing");
            let mend = "delete its file, or look at it with its owner and give it a later `expires`".to_owned();
            findings.at(what::expired(), at, id, (told, mend));
        } else if left > FARTHEST {
            let told = format!("workload `{id}` ends in {} days, on {day}", left.as_secs() / DAY);
            let mend = "name a day at most 400 days away: whoever prolongs it then looks at it again".to_owned();
            findings.at(what::expiry_distant(), at, id, (told, mend));
        } else if left <= NEAR {
            let told = format!("workload `{id}` gets nothing after {day}: {} days from now", left.as_secs() / DAY);
            let mend = "prolong it with its owner where it is still needed, else delete its file".to_owned();
            findings.at(what::expiry_near(), at, id, (told, mend));
        }
    }
}

/// A day of a file, as it is written, and its first second.
pub(super) fn day_of(doc: &Doc<'_>, name: &str) -> Option<(String, UnixTime)> {
    let written = doc.field(name)?.get_ref().as_datetime()?;
    let day = first_second(written)?;
    Some((written.to_string(), day))
}

/// The first second of a day, UTC; nothing for what is no day alone.
pub(super) fn first_second(written: &toml::value::Datetime) -> Option<UnixTime> {
    let date = written.date.filter(|_| written.time.is_none())?;
    let month = time::Month::try_from(date.month).ok()?;
    let date = time::Date::from_calendar_date(i32::from(date.year), month, date.day).ok()?;
    Some(UnixTime::from_secs(u64::try_from(date.midnight().assume_utc().unix_timestamp()).ok()?))
}
