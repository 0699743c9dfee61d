//! `jitney report`: evidence for each workload, from the policies and the audit log, and from a running broker where there is one.
//!
//! Owns what stands in a report. What it says is computed here once ([`Report`], the JSON), laid out once (`page`), and written
//! as Markdown or HTML. Never changes anything, and asks nobody: whoever calls it has asked the broker. `docs/report.md`.

mod beside;
mod controls;
mod evidence;
mod html;
mod logs;
mod markdown;
mod page;
mod sections;
mod spread;
mod unused;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::check;
use super::history::{Commit, History, Story};
use super::inventory::{AudienceView, Inventory, WorkloadView};
use crate::audit::{AuditError, Point};
use crate::model::UnixTime;
use crate::policy::{Diagnostics, PolicySet, Severity};

pub use controls::{Control, Controls};
pub use evidence::{Activity, Change, Counts, Period, Probes, Usage};
pub use logs::LogView;
pub use spread::Quantiles;
pub use unused::Unused;

use evidence::Evidence;

/// From here on a chain of renewals counts as standing, as for `policy check`.
const STANDING: u64 = 8 * 3600;

/// What a report is made from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The policies' folder.
    pub dir: &'a Path,
    /// The audit logs: one of each broker.
    pub logs: &'a [PathBuf],
    /// The lines of each log that checkpoints tell of, in the order of the logs; or what is wrong with its checkpoints. A log without
    /// any needs no entry.
    pub signed: &'a [Result<Vec<Point>, String>],
    /// Of which time.
    pub period: Period,
    /// Now.
    pub now: UnixTime,
    /// What a running broker says.
    pub broker: Option<Live>,
    /// The set that it has in use, for where the folder's does not load.
    pub served: Option<&'a PolicySet>,
}

/// What a running broker knows besides.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Live {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of the policies it has in force.
    pub digest: String,
    /// Leases that have not expired.
    pub live_leases: Option<u64>,
    /// Who is in quarantine now, and why.
    pub quarantines: BTreeMap<String, String>,
    /// The other brokers of its store.
    pub others: Vec<String>,
    /// The last use of each workload that it knows of, by its log or by a lease in the store, whichever broker granted it.
    pub last_uses: BTreeMap<String, LastUse>,
}

/// A token that a workload had.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LastUse {
    /// When, RFC 3339.
    pub at: String,
    /// For which resource server.
    pub audience: String,
    /// For which scopes, a space between them.
    pub scope: String,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The policies do not load.
    #[error("{0}")]
    Policies(Diagnostics),
    /// An audit log cannot be read.
    #[error("{0}")]
    Log(AuditError),
}

/// A report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When it was made.
    pub generated_at: String,
    /// Of which time.
    pub period: Period,
    /// The program's version.
    pub version: &'static str,
    /// Whether every audit log behind it is as it was written. Where one is not, what is counted proves nothing.
    pub intact: bool,
    /// The policies.
    pub policies: PoliciesView,
    /// The audit logs behind it.
    pub logs: Vec<LogView>,
    /// The running broker.
    pub broker: Option<Live>,
    /// Brokers of its store of whose logs no line was read: what they granted is not counted.
    pub unread: Vec<String>,
    /// All tokens granted, requests refused and ends of the period.
    pub total: Counts,
    /// The same by day.
    pub days: BTreeMap<String, Counts>,
    /// Every workload, with what it did.
    pub workloads: Vec<Workload>,
    /// Workloads that the logs name and no file declares any more.
    pub undeclared: BTreeMap<String, Activity>,
    /// Every audience.
    pub audiences: Vec<AudienceView>,
    /// Access that can stand for a working day or longer.
    pub standing: Vec<Standing>,
    /// Grants that nobody used.
    pub unused: Unused,
    /// Ends by kind, and how long the broker took.
    pub ends: BTreeMap<&'static str, Quantiles>,
    /// How long tasks that were completed held access, from their first token on.
    pub held: Quantiles,
    /// Refusals by reason.
    pub refusals: BTreeMap<String, u64>,
    /// Questions what would be granted, which count neither as use nor as refusals.
    pub probes: Probes,
    /// What changed access.
    pub changes: Vec<Change>,
    /// So many more changes are in the logs.
    pub more_changes: u64,
    /// The commits of the period that touched the policies; none where the folder has no history.
    pub commits: Option<Vec<CommitView>>,
    /// Which requirements each section serves.
    pub controls: Vec<Controls>,
}

/// The policies behind a report.
#[derive(Debug, Serialize)]
pub struct PoliciesView {
    /// The folder.
    pub dir: String,
    /// What is wrong with it, where it does not load: then all this tells of the set that the broker has in use.
    pub does_not_load: Option<String>,
    /// Hex SHA-256 over all of it.
    pub digest: String,
    /// How many policies.
    pub policies: usize,
    /// Open findings of `policy check`, by level.
    pub findings: BTreeMap<&'static str, usize>,
}

/// A workload of a report.
#[derive(Debug, Serialize)]
pub struct Workload {
    /// What the policies tell.
    #[serde(flatten)]
    pub declared: WorkloadView,
    /// What it did.
    pub activity: Activity,
    /// How each of its grants was used, in their order.
    pub usage: Vec<Usage>,
    /// When its file came and was changed last.
    pub history: Option<Story>,
}

/// Access that can stand for a working day or longer.
#[derive(Debug, Serialize)]
pub struct Standing {
    /// Whose.
    pub workload: String,
    /// By which policy.
    pub policy: String,
    /// At which resource server.
    pub audience: String,
    /// The longest chain, seconds; none where only the broker's configuration limits it.
    pub max_lifetime: Option<u64>,
    /// When somebody looks at it.
    pub review: Option<String>,
    /// So many days from now.
    pub review_in_days: Option<i64>,
    /// Renewals of the workload in the period.
    pub renewed: u64,
}

/// A commit of the period.
#[derive(Debug, Serialize)]
pub struct CommitView {
    /// The commit.
    #[serde(flatten)]
    pub commit: Commit,
    /// The files of the policies it touched.
    pub files: Vec<String>,
}

/// Makes a report; `progress` is told of bytes of the audit logs as they are read.
///
/// # Errors
/// [`ReportError`].
pub fn build(sources: Sources<'_>, progress: &mut dyn FnMut(u64)) -> Result<Report, ReportError> {
    let loaded = PolicySet::load_at(sources.dir, sources.now).map(|(set, _)| set);
    let (set, does_not_load) = match (&loaded, sources.served) {
        (Ok(set), _) => (set, None),
        (Err(findings), Some(served)) => (served, Some(findings.first_error())),
        (Err(findings), None) => return Err(ReportError::Policies(findings.clone())),
    };
    let inventory = Inventory::of(set, sources.now);
    let mut views: Vec<WorkloadView> = inventory.workloads().collect();
    let audiences = inventory.audiences().collect();
    let mut evidence = Evidence::new(&sources.period, &views);
    let logs = logs::read(sources.logs, sources.signed, &mut evidence, progress).map_err(ReportError::Log)?;
    let unread = sources.broker.as_ref().map_or_else(Vec::new, |live| evidence.unread(live));
    if let Some(live) = &sources.broker {
        evidence.take_leases(live);
    }
    let Evidence { activity, usage, strangers, used_policies, refusals, ends, held, days, changes, .. } = evidence;
    let (more_changes, total, probes) = (evidence.more_changes, evidence.total, evidence.probes);
    let history = History::of(sources.dir);
    for (view, activity) in views.iter_mut().zip(&activity) {
        let is_shut = match &sources.broker {
            Some(live) => live.quarantines.contains_key(&view.id),
            None => activity.quarantined_since.is_some(),
        };
        if is_shut {
            view.state = "quarantined";
        }
    }
    let mut unused = Unused::of(set, &views, &usage, &used_policies, total.granted, unread.is_empty());
    if does_not_load.is_some() {
        // It would be one against files that are others by now.
        unused.patch = None;
    }
    let findings = check::check(sources.dir, sources.now, &check::Proofs::default());
    let levels = [Severity::Error, Severity::Warning, Severity::Note];
    let commits = history.as_ref().map(|history| commits(history, &sources.period));
    let workloads = views.into_iter().zip(activity).zip(usage).map(|((declared, activity), usage)| Workload {
        history: history.as_ref().and_then(|history| history.story(&declared.file)).cloned(),
        declared,
        activity,
        usage,
    });
    let workloads: Vec<Workload> = workloads.collect();
    Ok(Report {
        generated_at: sources.now.rfc3339(),
        version: env!("CARGO_PKG_VERSION"),
        intact: logs.iter().all(|log| log.intact),
        policies: PoliciesView {
            dir: sources.dir.display().to_string(),
            does_not_load,
            digest: set.digest().to_owned(),
            policies: set.policy_count(),
            findings: levels.into_iter().map(|level| (level.as_str(), findings.count(level))).collect(),
        },
        standing: standing(&workloads),
        ends: ends.into_iter().map(|(kind, spread)| (kind, spread.quantiles())).collect(),
        held: held.quantiles(),
        period: sources.period.clone(),
        broker: sources.broker,
        unread,
        undeclared: strangers,
        controls: controls::all(),
        logs,
        total,
        days,
        workloads,
        audiences,
        unused,
        refusals,
        probes,
        changes,
        more_changes,
        commits,
    })
}

impl Report {
    /// The report as Markdown.
    pub fn markdown(&self) -> String {
        markdown::write(&page::of(self))
    }

    /// The report as one HTML file, which asks for nothing outside of it.
    pub fn html(&self) -> String {
        html::write(&page::of(self))
    }

    /// Since when the logs have lines; none where one has none.
    pub fn logs_begin(&self) -> Option<&str> {
        let firsts: Option<Vec<&str>> = self.logs.iter().map(|log| log.first.as_deref()).collect();
        firsts?.into_iter().max()
    }

    /// Whether the logs hold all of the period, as far as a file's beginning tells.
    pub fn covers_its_period(&self) -> bool {
        self.logs_begin().is_some_and(|first| first <= self.period.since.as_str())
    }
}

/// The chains of a working day or longer, one for each workload and policy.
fn standing(workloads: &[Workload]) -> Vec<Standing> {
    let mut found: Vec<Standing> = Vec::new();
    for workload in workloads {
        let view = &workload.declared;
        for grant in &view.grants {
            let is_known = found
                .iter()
                .rev()
                .take_while(|each| each.workload == view.id)
                .any(|each| each.policy == grant.policy && each.audience == grant.audience);
            if grant.max_lifetime.is_none_or(|longest| longest >= STANDING) && !is_known {
                found.push(Standing {
                    workload: view.id.clone(),
                    policy: grant.policy.clone(),
                    audience: grant.audience.clone(),
                    max_lifetime: grant.max_lifetime,
                    review: view.review.clone(),
                    review_in_days: view.review_in_days,
                    renewed: workload.activity.renewed,
                });
            }
        }
    }
    found
}

fn commits(history: &History, period: &Period) -> Vec<CommitView> {
    let is_within = |commit: &Commit| {
        let at = commit.at.rfc3339();
        // A commit has no milliseconds: one within the period's first or last second counts.
        let second = at.trim_end_matches('Z');
        second >= period.since.get(..19).unwrap_or_default() && second <= period.until.get(..19).unwrap_or_default()
    };
    let within = history.commits().filter(|(commit, _)| is_within(commit));
    within.map(|(commit, files)| CommitView { commit: commit.clone(), files: files.to_vec() }).collect()
}

#[cfg(test)]
mod tests;
