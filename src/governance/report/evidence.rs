//! What the audit log holds for a report, gathered in one pass: who was granted what, what was refused, what was ended and how
//! fast, and what changed.
//!
//! Owns the counting. Memory is bounded by the set and by fixed limits, not by the log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use serde::Serialize;

use super::spread::Spread;
use crate::audit::{Line, Str};
use crate::governance::inventory::WorkloadView;

/// So many names that no file declares are kept apart; the rest counts as one.
const STRANGERS: usize = 1000;
/// So many changes are told one by one.
const CHANGES: usize = 500;
/// So many running tasks are remembered, to tell how long they held access.
const TASKS: usize = 1 << 20;

/// A stretch of time, as the log's lines write moments: from the first on, up to and without the second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Period {
    /// From this moment on.
    pub since: String,
    /// Up to this moment.
    pub until: String,
}

/// What one workload did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Activity {
    /// Tokens granted in the period, renewals among them.
    pub granted: u64,
    /// Renewals.
    pub renewed: u64,
    /// Requests refused in the period.
    pub refused: u64,
    /// Probes of the period: it was asked what would be granted, and no token was made.
    pub probes: u64,
    /// The last grant the logs hold, up to the end of the period.
    pub last_grant: Option<String>,
    /// Since when it is in quarantine, as the logs have it.
    pub quarantined_since: Option<String>,
}

/// What one grant was used for.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Usage {
    /// Tokens in the period, by the logs.
    pub used: u64,
    /// The last of them, also where only a lease in the store tells of it.
    pub last: Option<String>,
}

/// Something that changed access.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// When.
    pub at: String,
    /// What: the log's word for it.
    pub what: String,
    /// Of what: a workload, a task, a key, a digest.
    pub of: String,
    /// By whom, where the log says.
    pub by: Option<String>,
    /// Why, where the log says.
    pub why: Option<String>,
    /// How many leases it ended, where the log says.
    pub leases: Option<u64>,
    /// There may have been more than were counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// One day, or a longer stretch.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Counts {
    /// Tokens granted.
    pub granted: u64,
    /// Requests refused.
    pub refused: u64,
    /// Ends: completions, revocations, quarantines.
    pub ended: u64,
}

/// Questions what would be granted: neither use nor refusal, and yet told.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Probes {
    /// A token would have been granted.
    pub granted: u64,
    /// It would have been refused.
    pub refused: u64,
}

/// What was gathered.
pub(super) struct Evidence<'a> {
    pub(super) period: &'a Period,
    pub(super) workloads: HashMap<&'a str, (usize, &'a WorkloadView)>,
    pub activity: Vec<Activity>,
    /// For each workload, for each of its grants.
    pub usage: Vec<Vec<Usage>>,
    pub strangers: BTreeMap<String, Activity>,
    pub used_policies: HashSet<String>,
    pub refusals: BTreeMap<String, u64>,
    pub ends: BTreeMap<&'static str, Spread>,
    pub held: Spread,
    pub days: BTreeMap<String, Counts>,
    pub changes: Vec<Change>,
    pub more_changes: u64,
    pub total: Counts,
    pub probes: Probes,
    tasks: HashMap<u64, u64>,
    hasher: RandomState,
    digests: HashMap<String, String>,
    /// Brokers whose last reload was refused.
    refusing: HashSet<String>,
    /// Brokers that wrote a line.
    pub(super) brokers: HashSet<String>,
}

impl<'a> Evidence<'a> {
    pub fn new(period: &'a Period, workloads: &'a [WorkloadView]) -> Self {
        Self {
            period,
            workloads: workloads.iter().enumerate().map(|(at, each)| (each.id.as_str(), (at, each))).collect(),
            activity: vec![Activity::default(); workloads.len()],
            usage: workloads.iter().map(|each| vec![Usage::default(); each.grants.len()]).collect(),
            strangers: BTreeMap::new(),
            used_policies: HashSet::new(),
            refusals: BTreeMap::new(),
            ends: BTreeMap::new(),
            held: Spread::default(),
            days: BTreeMap::new(),
            changes: Vec::new(),
            more_changes: 0,
            total: Counts::default(),
            probes: Probes::default(),
            tasks: HashMap::new(),
            hasher: RandomState::new(),
            digests: HashMap::new(),
            refusing: HashSet::new(),
            brokers: HashSet::new(),
        }
    }

    /// Takes a line in.
    pub fn take(&mut self, line: &Line<'_>) {
        if !self.brokers.contains(&*line.broker) && self.brokers.len() < STRANGERS {
            self.brokers.insert(line.broker.to_string());
        }
        if *line.time >= *self.period.until {
            return;
        }
        if has_no_effect(line) {
            return;
        }
        let is_within = *line.time >= *self.period.since;
        if line.probe {
            if is_within {
                self.probed(line);
            }
            return;
        }
        match (&*line.event, &*line.outcome) {
            ("mint" | "renew", "granted") => self.granted(line, is_within),
            ("complete" | "revoke" | "quarantine", "done") => self.ended(line, is_within),
            ("release", "done") => {
                if let Some(activity) = self.activity_of(line) {
                    activity.quarantined_since = None;
                }
            }
            ("refused.summary", _) if is_within => self.refused("unknown_caller", line.count.unwrap_or(0), line),
            (_, "refused") if is_within => {
                if let Some(activity) = self.activity_of(line) {
                    activity.refused += 1;
                }
                self.refused(line.refusal.as_deref().unwrap_or("unknown"), 1, line);
            }
            _ => {}
        }
        self.changed(line, is_within);
    }

    fn activity_of(&mut self, line: &Line<'_>) -> Option<&mut Activity> {
        let workload = line.workload.as_deref()?;
        if let Some((at, _)) = self.workloads.get(workload) {
            return self.activity.get_mut(*at);
        }
        let name = match self.strangers.len() < STRANGERS || self.strangers.contains_key(workload) {
            true => workload,
            false => "(others)",
        };
        Some(self.strangers.entry(name.to_owned()).or_default())
    }

    fn probed(&mut self, line: &Line<'_>) {
        if let Some(activity) = self.activity_of(line) {
            activity.probes += 1;
        }
        match &*line.outcome {
            "granted" => self.probes.granted += 1,
            _ => self.probes.refused += 1,
        }
    }

    fn granted(&mut self, line: &Line<'_>, is_within: bool) {
        let time = &*line.time;
        if let Some(activity) = self.activity_of(line) {
            if activity.last_grant.as_deref().is_none_or(|last| last < time) {
                activity.last_grant = Some(time.to_owned());
            }
            activity.granted += u64::from(is_within);
            activity.renewed += u64::from(is_within && &*line.event == "renew");
        }
        if !is_within {
            return;
        }
        self.day(line).granted += 1;
        self.total.granted += 1;
        for policy in &line.policies {
            if !self.used_policies.contains(&**policy) {
                self.used_policies.insert(policy.to_string());
            }
        }
        self.used(line);
        if let Some(key) = self.task_key(line).filter(|_| self.tasks.len() < TASKS) {
            self.tasks.entry(key).or_insert_with(|| moment(time));
        }
    }

    /// Counts it for each of the workload's grants that it used.
    fn used(&mut self, line: &Line<'_>) {
        let (Some(workload), Some(audience), Some(scope)) = (&line.workload, &line.audience, &line.scope) else {
            return;
        };
        let Some((at, view)) = self.workloads.get(&**workload) else { return };
        for (grant, usage) in view.grants.iter().zip(&mut self.usage[*at]) {
            let is_used = grant.audience == **audience
                && line.policies.iter().any(|policy| **policy == *grant.policy)
                && scope.split(' ').any(|asked| covers(&grant.scope, asked));
            if is_used {
                usage.used += 1;
                if usage.last.as_deref().is_none_or(|last| last < &*line.time) {
                    usage.last = Some(line.time.to_string());
                }
            }
        }
    }

    fn ended(&mut self, line: &Line<'_>, is_within: bool) {
        if &*line.event == "quarantine"
            && let Some(activity) = self.activity_of(line)
        {
            // A second one changes nothing.
            activity.quarantined_since.get_or_insert_with(|| line.time.to_string());
        }
        if !is_within {
            return;
        }
        self.day(line).ended += 1;
        self.total.ended += 1;
        let kind = match &*line.event {
            "complete" => "a task completed by its workload",
            "quarantine" => "a workload quarantined",
            _ if line.actor.is_some() => "leases revoked by an operator",
            _ => "a token revoked by its workload",
        };
        self.ends.entry(kind).or_default().add(line.took_us);
        if &*line.event == "complete"
            && let Some(began) = self.task_key(line).and_then(|key| self.tasks.remove(&key))
        {
            self.held.add(Some(moment(&line.time).saturating_sub(began).saturating_mul(1000)));
        }
    }

    fn refused(&mut self, reason: &str, count: u64, line: &Line<'_>) {
        // Reasons are jitney's own words, a few dozen: a log that has more was not written by it.
        if let Some(known) = self.refusals.get_mut(reason) {
            *known += count;
        } else if self.refusals.len() < STRANGERS {
            self.refusals.insert(reason.to_owned(), count);
        }
        self.day(line).refused += count;
        self.total.refused += count;
    }

    fn day(&mut self, line: &Line<'_>) -> &mut Counts {
        let day = line.time.get(..10).unwrap_or_default();
        if !self.days.contains_key(day) {
            self.days.insert(day.to_owned(), Counts::default());
        }
        self.days.entry(day.to_owned()).or_default()
    }

    fn task_key(&self, line: &Line<'_>) -> Option<u64> {
        Some(self.hasher.hash_one((line.workload.as_deref()?, line.task.as_deref()?)))
    }

    fn changed(&mut self, line: &Line<'_>, is_within: bool) {
        let of = |text: &Option<Str<'_>>| text.as_deref().unwrap_or_default().to_owned();
        let (what, of) = match (&*line.event, &*line.outcome) {
            ("start" | "policy.reload", "done") => {
                let digest = of(&line.detail);
                let before = self.digests.insert(line.broker.to_string(), digest.clone());
                let was_refused = self.refusing.remove(&*line.broker);
                match before {
                    // What it started with is no change, and neither is the same set once more.
                    None => return,
                    Some(before) if before == digest && was_refused => ("policies load again, as before", digest),
                    Some(before) if before == digest || digest.is_empty() => return,
                    Some(_) => ("policies in force", digest),
                }
            }
            ("policy.reload", _) => {
                self.refusing.insert(line.broker.to_string());
                ("policies refused", String::new())
            }
            ("quarantine" | "release", "done") => (&*line.event, of(&line.workload)),
            ("revoke", "done") if line.actor.is_some() => ("revoke", named(line)),
            ("key.rotate" | "key.withdraw", _) => (&*line.event, of(&line.kid)),
            ("epoch.start", _) => ("epoch.start", String::new()),
            _ => return,
        };
        if !is_within {
            return;
        }
        if self.changes.len() == CHANGES {
            self.more_changes += 1;
            return;
        }
        let told = |text: &Option<Str<'_>>| text.as_deref().map(str::to_owned);
        self.changes.push(Change {
            at: line.time.to_string(),
            what: what.to_owned(),
            of,
            by: told(&line.actor).or_else(|| Some(format!("broker {}", line.broker))),
            leases: line.count.filter(|_| matches!(what, "revoke" | "quarantine")),
            more: line.more,
            why: told(&line.reason).or_else(|| (what == "policies refused").then(|| told(&line.detail)).flatten()),
        });
    }
}

/// Whether it ended nothing and let nobody in: it is no end, and no change of access. Lines from before the log said so are
/// known by what they lack: a count of nothing, and no rule.
fn has_no_effect(line: &Line<'_>) -> bool {
    let is_end = matches!(&*line.event, "complete" | "revoke");
    line.no_effect || (is_end && &*line.outcome == "done" && line.count == Some(0) && line.position.is_none())
}

/// What an operator's revocation named.
fn named(line: &Line<'_>) -> String {
    let parts = [
        ("workload", &line.workload),
        ("task", &line.task),
        ("audience", &line.audience),
        ("lease", &line.lease),
        ("key", &line.kid),
    ];
    let told: Vec<String> =
        parts.iter().filter_map(|(name, value)| value.as_deref().map(|value| format!("{name} {value}"))).collect();
    if told.is_empty() { line.detail.as_deref().unwrap_or("everything").to_owned() } else { told.join(", ") }
}

/// Whether a grant of `granted` is what a token with `asked` used: the same scope, or one instance of an open one.
pub(super) fn covers(granted: &str, asked: &str) -> bool {
    granted == asked
        || granted.strip_suffix('*').filter(|head| head.ends_with(':')).is_some_and(|head| {
            asked.strip_prefix(head).is_some_and(|instance| !instance.is_empty() && !instance.contains(':'))
        })
}

/// Milliseconds of a moment as lines write it, from an arbitrary beginning: good for differences.
fn moment(time: &str) -> u64 {
    let number = |range: std::ops::Range<usize>| time.get(range).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let date = time::Month::try_from(u8::try_from(month).unwrap_or(1)).ok().and_then(|month| {
        time::Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()
    });
    let days = date.map_or(0, |date| u64::try_from(date.to_julian_day()).unwrap_or(0));
    let (hours, minutes, seconds) = (number(11..13), number(14..16), number(17..19));
    (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + number(20..23)
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
