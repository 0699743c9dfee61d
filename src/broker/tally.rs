//! How many leases an end selects, and whose they are: read page by page, each small, with as much rest between two as the
//! one before took, so that who counts a million takes no mint's turn.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::audit::AuditRecord;
use crate::model::{Lease, LeaseRecord, Selector, TaskId, UnixTime, WorkloadId};
use crate::store::{LeaseFilter, StoreError};

use super::operate::OperatorRefusal;
use super::{Broker, LeaseState};

/// So many leases are looked at for one page.
const PAGE: usize = 2000;

/// The same where somebody waits for something else.
const FEW: usize = 256;

/// The longest rest between two pages.
const REST: Duration = Duration::from_millis(50);

/// So long somebody who asks for nothing but a count waits for it, well within the time that an answer may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// So long who lists workloads waits for those that only leases tell of.
const A_MOMENT: Duration = Duration::from_secs(1);

/// How many leases there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// So many were counted.
    pub count: u64,
    /// Not all were looked at: there may be more.
    pub more: bool,
}

impl Tally {
    /// What a record says of it; nothing where none was looked at, which is another thing than none.
    pub(super) fn counted(self, record: AuditRecord) -> AuditRecord {
        let record = record.more(self.more);
        if self.count == 0 && self.more { record } else { record.count(self.count) }
    }
}

/// What a workload has had of late.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Its live leases.
    pub tally: Tally,
    /// The newest that has not expired, ended ones too.
    pub newest: Option<Lease>,
}

/// What leases tell of those who hold them, as far as a moment goes.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// The live leases of workloads that were asked for.
    pub live: BTreeMap<String, u64>,
    /// The newest lease of each workload that has not expired, ended ones too.
    pub newest: HashMap<String, Lease>,
    /// Leases were left that nobody looked at.
    pub more: bool,
}

/// How much work a count may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    /// One page: somebody waits for something else.
    Few,
    /// As many as there is [`PATIENCE`] for.
    Many,
}

impl Broker {
    /// How many leases an end is about to select, as far as that can be told at once: none hangs on a count that fails.
    pub(super) async fn about(&self, selector: &Selector) -> Tally {
        self.selected(selector, Looks::Few).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the leases that an end selects cannot be counted; it goes on");
            Tally { count: 0, more: true }
        })
    }

    /// How many leases that stand now a selector selects, held against the rules.
    pub(super) async fn selected(&self, selector: &Selector, looks: Looks) -> Result<Tally, StoreError> {
        let now = self.parts.clock.now();
        if let Selector::Lease(id) = selector {
            let count = self.live_of_chain(*id).await?;
            return Ok(Tally { count, more: false });
        }
        let (page, patience) = match looks {
            Looks::Few => (FEW, Duration::ZERO),
            Looks::Many => (PAGE, PATIENCE),
        };
        let mut pages = Pages::new(self, LeaseFilter { looks: Some(page), ..filter(selector, now) });
        let (begun, mut count) = (Instant::now(), 0);
        // Both at once: an operator waits for no more answers of the store than must follow each other.
        let (_, mut next) = tokio::try_join!(self.follower.catch_up(), pages.next())?;
        while let Some(leases) = next {
            let is_meant = |record: &LeaseRecord| !matches!(selector, Selector::Key(kid) if *kid != record.lease.kid);
            let views = self.view_leases(leases.into_iter().filter(is_meant).collect()).await;
            count += views.iter().filter(|view| view.state == LeaseState::Live).count() as u64;
            if begun.elapsed() >= patience {
                return Ok(Tally { count, more: !pages.is_over() });
            }
            next = pages.next().await?;
        }
        Ok(Tally { count, more: false })
    }

    /// The live leases of a workload and the newest of those that have not expired, as far as one page tells.
    pub(super) async fn recent(&self, workload: WorkloadId) -> Result<Recent, StoreError> {
        self.follower.catch_up().await?;
        let now = self.parts.clock.now();
        let filter = LeaseFilter { workload: Some(workload), now, looks: Some(FEW), ..LeaseFilter::default() };
        let mut pages = Pages::new(self, filter);
        let mut recent = Recent::default();
        for record in pages.next().await?.unwrap_or_default() {
            let view = self.view_lease(record);
            recent.tally.count += u64::from(view.state == LeaseState::Live);
            let lease = view.record.lease;
            if recent.newest.as_ref().is_none_or(|newest| newest.issued_at < lease.issued_at) {
                recent.newest = Some(lease);
            }
        }
        recent.tally.more = !pages.is_over();
        Ok(recent)
    }

    /// The newest lease of every workload, and the live ones of those that are not `known`, as far as a moment goes.
    pub(super) async fn holders(&self, known: impl Fn(&str) -> bool) -> Result<Holders, StoreError> {
        self.follower.catch_up().await?;
        let now = self.parts.clock.now();
        let mut pages = Pages::new(self, LeaseFilter { now, looks: Some(PAGE), ..LeaseFilter::default() });
        let (begun, mut found) = (Instant::now(), Holders::default());
        while let Some(leases) = pages.next().await? {
            leases.iter().for_each(|record| found.keep_newest(&record.lease));
            let strange = leases.into_iter().filter(|record| !known(record.lease.workload.as_str()));
            let views = self.view_leases(strange.collect()).await.into_iter();
            for view in views.filter(|view| view.state == LeaseState::Live) {
                *found.live.entry(view.record.lease.workload.to_string()).or_default() += 1;
            }
            if begun.elapsed() >= A_MOMENT {
                break;
            }
        }
        found.more = !pages.is_over();
        Ok(found)
    }

    /// Whether a selector selects a lease that has not expired, ended ones too. Where not all can be looked at in a moment, it
    /// may.
    pub(super) async fn had_some(&self, selector: &Selector, now: UnixTime) -> Result<bool, StoreError> {
        let mut pages = Pages::new(self, LeaseFilter { looks: Some(FEW), ..filter(selector, now) });
        let leases = pages.next().await?.unwrap_or_default();
        Ok(!leases.is_empty() || !pages.is_over())
    }

    /// The one workload that runs a task of this name now.
    pub(super) async fn only_workload(&self, task: &TaskId, now: UnixTime) -> Result<WorkloadId, OperatorRefusal> {
        let filter = LeaseFilter { task: Some(task.clone()), now, looks: Some(PAGE), ..LeaseFilter::default() };
        self.follower.catch_up().await?;
        let mut found: Vec<WorkloadId> = Vec::new();
        let mut pages = Pages::new(self, filter);
        let begun = Instant::now();
        while let Some(leases) = pages.next().await? {
            if begun.elapsed() >= PATIENCE && !pages.is_over() {
                return Err(OperatorRefusal::Invalid(
                    "more leases live than can be looked through in a moment: name the task's workload".into(),
                ));
            }
            for view in self.view_leases(leases).await {
                let is_new = !found.contains(&view.record.lease.workload) && found.len() < 20;
                if is_new && view.state == LeaseState::Live {
                    found.push(view.record.lease.workload);
                }
            }
        }
        match found.len() {
            0 => {
                Err(OperatorRefusal::NotFound(format!("live lease of a task {task}: name its --workload to close it")))
            }
            1 => Ok(found.remove(0)),
            _ => {
                found.sort();
                Err(OperatorRefusal::Ambiguous(found))
            }
        }
    }
}

impl Holders {
    fn keep_newest(&mut self, lease: &Lease) {
        match self.newest.get_mut(lease.workload.as_str()) {
            Some(newest) if newest.issued_at >= lease.issued_at => {}
            Some(newest) => *newest = lease.clone(),
            None => {
                self.newest.insert(lease.workload.to_string(), lease.clone());
            }
        }
    }
}

/// What narrows a list to what a selector can select.
fn filter(selector: &Selector, now: UnixTime) -> LeaseFilter {
    let mut filter = LeaseFilter { now, looks: Some(PAGE), ..LeaseFilter::default() };
    match selector {
        Selector::Task(workload, task) => {
            filter.workload = Some(workload.clone());
            filter.task = Some(task.clone());
        }
        Selector::Workload(workload) => filter.workload = Some(workload.clone()),
        Selector::Audience(audience) => filter.audience = Some(audience.clone()),
        Selector::Lease(_) | Selector::Key(_) | Selector::All => {}
    }
    filter
}

/// Leases page by page.
struct Pages<'a> {
    broker: &'a Broker,
    filter: LeaseFilter,
    cursor: Option<String>,
    is_over: bool,
    rest: Duration,
}

impl<'a> Pages<'a> {
    fn new(broker: &'a Broker, filter: LeaseFilter) -> Self {
        Self { broker, filter, cursor: None, is_over: false, rest: Duration::ZERO }
    }

    /// The next page, which may be empty; none behind the last.
    async fn next(&mut self) -> Result<Option<Vec<LeaseRecord>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        tokio::time::sleep(self.rest).await;
        let begun = Instant::now();
        let page = self.broker.parts.store.leases(self.filter.clone(), self.cursor.take(), PAGE).await?;
        self.rest = begun.elapsed().min(REST);
        self.is_over = page.next.is_none();
        self.cursor = page.next;
        Ok(Some(page.leases))
    }

    const fn is_over(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::chain::Chain;
    use crate::audit::{Event, Outcome};

    use super::*;

    #[test]
    fn a_line_says_whether_all_were_counted() {
        let line = |count, more| {
            let record = Tally { count, more }.counted(AuditRecord::new(Event::Revoke, Outcome::Done));
            let (mut chain, mut out) = (Chain::START, Vec::new());
            chain.push(&mut out, "b1", 0, &record);
            let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
            (line["count"].as_u64(), line["more"].as_bool())
        };
        assert_eq!(line(256, true), (Some(256), Some(true)), "there may be more");
        assert_eq!(line(703, false), (Some(703), None));
        assert_eq!(line(0, true), (None, Some(true)), "none was looked at");
    }
}
