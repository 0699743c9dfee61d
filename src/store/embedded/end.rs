//! The step that ends something: mark, rule, and only then the acknowledgement.

use redb::ReadableTable as _;

use super::index::{AudienceSet, Mark, Reach};
use super::step::{GRACE, Step, json, task_digest};
use super::table::due;
use crate::model::{
    Epoch, KeyId, LeaseId, Position, Rule, RuleDigest, RuleKind, Selector, TaskId, UnixTime, WorkloadId,
};
use crate::store::{End, EndTarget, Ended, Quarantine, RecordError, StoreError};

impl Step<'_> {
    /// Ends what the target says.
    pub(super) fn end(&mut self, end: &End) -> Result<Ended, RecordError> {
        self.unused(end.spent.as_ref())?;
        if let EndTarget::LiveTask { workload, task, .. } = &end.target
            && self.uncovered(workload, task).is_none()
        {
            return Err(RecordError::NothingLives);
        }
        if let Some(spent) = &end.spent {
            self.use_up(spent)?;
        }
        let mut imposed = false;
        let rules = match &end.target {
            EndTarget::Task { workload, task, closed_until } | EndTarget::LiveTask { workload, task, closed_until } => {
                self.end_task(workload, task, *closed_until)?
            }
            EndTarget::Lease(id) => return Ok(self.end_lease(*id, end.at)?),
            EndTarget::Workload(workload) => self.end_group(&Selector::Workload(workload.clone()))?,
            EndTarget::Quarantine(quarantine) => {
                // The first one stands, with its reason.
                imposed = !self.index.quarantines.contains_key(&quarantine.workload);
                match imposed {
                    true => self.quarantine(quarantine)?,
                    false => self.end_group(&Selector::Workload(quarantine.workload.clone()))?,
                }
            }
            EndTarget::Restore(quarantine, epoch) => {
                imposed = self.is_to_be_restored(quarantine, *epoch)?;
                if imposed { self.quarantine(quarantine)? } else { None }
            }
            EndTarget::Audience(uri) => self.end_group(&Selector::Audience(uri.clone()))?,
            EndTarget::Key(kid) => self.end_key(kid)?,
            EndTarget::All => self.end_group(&Selector::All)?,
        };
        Ok(Ended { rules: rules.into_iter().collect(), imposed, ..Ended::default() })
    }

    fn end_task(
        &mut self,
        workload: &WorkloadId,
        task: &TaskId,
        closed_until: UnixTime,
    ) -> Result<Option<Rule>, StoreError> {
        let digest = task_digest(workload, task.as_str());
        let rule = match self.uncovered(workload, task) {
            Some((reach, audiences)) => {
                let rule = RuleDigest::from_bytes(digest);
                Some(self.append(RuleKind::Task, rule, Some(reach.latest), audiences)?)
            }
            None => None,
        };
        let before = self.index.marks.get(&digest).copied();
        let closed_until = before.map_or(closed_until, |mark| mark.closed_until.max(closed_until));
        let needed = rule.and_then(|rule| rule.until).unwrap_or(closed_until).max(closed_until);
        let mark = Mark {
            closed_until,
            position: rule.map_or(before.map_or(Position::START, |mark| mark.position), |rule| rule.position),
            // A mark outlives the leases that its rule ended: a renewal of one is refused by it.
            kept_until: before.map_or(needed, |mark| mark.kept_until.max(needed)),
        };
        if before != Some(mark) {
            if let Some(before) = before {
                self.tables.marks.remove(&due(before.kept_until.secs(), &digest))?;
            }
            let value = (mark.closed_until.secs(), mark.position.get());
            self.tables.marks.insert(&due(mark.kept_until.secs(), &digest), value)?;
            self.index.marks.insert(digest, mark);
            self.written = true;
        }
        Ok(rule)
    }

    /// How far the leases of a task reach, where there are any and the end of neither the task nor an ancestor stands
    /// behind every one of them.
    fn uncovered(&self, workload: &WorkloadId, task: &TaskId) -> Option<(Reach, AudienceSet)> {
        let (reach, audiences) = self.index.tasks.get(&task_digest(workload, task.as_str())).copied()?;
        let mark = |name| self.index.marks.get(&task_digest(workload, name));
        let covered = task.lineage().any(|name| mark(name).is_some_and(|mark| mark.position > reach.newest));
        (!covered).then_some((reach, audiences))
    }

    /// Ends a lease and the leases that renewed it, each with a rule of its own.
    fn end_lease(&mut self, first: LeaseId, at: UnixTime) -> Result<Ended, StoreError> {
        let mut ended = Ended::default();
        let mut next = Some(first);
        while let Some(id) = next {
            let Some(lease) = self.lease(id)? else { break };
            let key = id.to_bytes();
            next = self.tables.successors.get(&key)?.map(|id| LeaseId::from_bytes(*id.value()));
            if lease.expires_at.plus(GRACE) < at || self.tables.lease_ends.get(&key)?.is_some() {
                continue;
            }
            let audiences = self.index.bit(&lease.audience);
            let rule = self.append(RuleKind::Lease, RuleDigest::lease(id), Some(lease.expires_at), audiences)?;
            self.tables.lease_ends.insert(&key, (at.secs(), rule.position.get()))?;
            ended.rules.push(rule);
            ended.leases.push(id);
        }
        Ok(ended)
    }

    /// One rule for all leases of a workload, an audience, or all there are; none where the last such rule stands
    /// behind every one of them.
    fn end_group(&mut self, group: &Selector) -> Result<Option<Rule>, StoreError> {
        match self.index.groups.get(group).copied() {
            Some(reach) if self.index.wall(group) <= reach.newest => {
                self.append(group.kind(), group.digest(), Some(reach.latest), 0).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Whether a quarantine of before this epoch is missing in it: no release in it has lifted that.
    fn is_to_be_restored(&self, quarantine: &Quarantine, epoch: Epoch) -> Result<bool, RecordError> {
        if epoch != self.index.head.epoch {
            return Err(RecordError::Epoch(self.index.head.epoch));
        }
        let workload = &quarantine.workload;
        Ok(!self.index.quarantines.contains_key(workload) && !self.index.released.contains(workload))
    }

    fn quarantine(&mut self, quarantine: &Quarantine) -> Result<Option<Rule>, StoreError> {
        self.tables.quarantines.insert(quarantine.workload.as_str(), json(quarantine)?.as_slice())?;
        self.index.quarantines.insert(quarantine.workload.clone(), quarantine.clone());
        self.tables.released.remove(quarantine.workload.as_str())?;
        self.index.released.remove(&quarantine.workload);
        self.changed_shelves();
        self.end_group(&Selector::Workload(quarantine.workload.clone()))
    }

    /// A key ends once and for its epoch.
    fn end_key(&mut self, kid: &KeyId) -> Result<Option<Rule>, StoreError> {
        if self.index.revoked.contains(kid) {
            return Ok(None);
        }
        let rule = self.append(RuleKind::Key, Selector::Key(kid.clone()).digest(), None, 0)?;
        self.tables.revoked.insert(kid.as_str(), rule.position.get())?;
        self.tables.keys.remove(kid.as_str())?;
        self.index.revoked.insert(kid.clone());
        self.index.keys.remove(kid);
        self.changed_shelves();
        Ok(Some(rule))
    }
}
