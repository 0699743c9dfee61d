//! The step that records a lease: head, then everything that could forbid it, then the record.

use redb::ReadableTable as _;

use super::index::lineage;
use super::packed::{PackedLease, pack_lease, unpack_lease};
use super::step::{GRACE, Step};
use crate::model::{Lease, LeaseId};
use crate::store::{Head, LeaseDraft, RecordError, Recorded, Spent, StoreError};

impl Step<'_> {
    /// Records a lease, or says why not; a refusal has written nothing and used nothing up.
    pub(super) fn record(&mut self, draft: LeaseDraft) -> Result<Recorded, RecordError> {
        let position = self.index.head.position;
        let spent = draft.spent().cloned();
        self.allowed(draft.lease())?;
        self.unused(spent.as_ref())?;
        if self.tables.leases.get(&draft.lease().id.to_bytes())?.is_some() {
            return Err(RecordError::Duplicate);
        }
        if let Some(predecessor) = draft.lease().predecessor {
            self.may_be_renewed(predecessor, draft.lease())?;
        }
        let lease = draft.at(position);
        // Judged at an older head: a rule that fell in between would end it, but only until the rule itself is past.
        if lease.position < position && self.index.has_ended(&lease) {
            return Err(RecordError::Predecessor("has ended"));
        }
        let id = lease.id.to_bytes();
        self.tables.leases.insert(&id, pack_lease(&lease, spent.as_ref()).as_slice())?;
        if let Some(predecessor) = lease.predecessor {
            self.tables.successors.insert(&predecessor.to_bytes(), &id)?;
        }
        if let Some(spent) = spent {
            // The lease's own record remembers the assertion, unless the assertion outlives it or is bound to a purpose.
            if outlives(&spent, &lease) || spent.unless.is_some() {
                self.use_up(&spent)?;
            }
            self.index.replays.insert(spent.digest);
        }
        self.index.add(&lease);
        self.effects.recorded.push(lease.expires_at);
        self.written = true;
        Ok(Recorded::by_the_store(lease))
    }

    /// Remembers an assertion that was used elsewhere.
    pub(super) fn spend(&mut self, spent: &Spent) -> Result<Head, RecordError> {
        let head = self.index.head;
        self.unused(Some(spent))?;
        self.use_up(spent)?;
        Ok(head)
    }

    /// The marks: epoch, key, quarantine of all who act in it, ends of the task and its ancestors.
    fn allowed(&self, lease: &Lease) -> Result<(), RecordError> {
        let index = &*self.index;
        if lease.epoch != index.head.epoch {
            return Err(RecordError::Epoch(index.head.epoch));
        }
        let published = index.keys.get(&lease.kid).is_some_and(|key| key.published_until > lease.issued_at);
        if !published || index.revoked.contains(&lease.kid) {
            return Err(RecordError::KeyRefused(lease.kid.clone()));
        }
        for workload in std::iter::once(&lease.workload).chain(&lease.actors) {
            if index.quarantines.contains_key(workload) {
                return Err(RecordError::Quarantined(workload.clone()));
            }
        }
        for (name, digest) in lease.task.lineage().zip(lineage(lease)) {
            if let Some(mark) = index.marks.get(&digest)
                && mark.closed_until > lease.issued_at
            {
                return Err(RecordError::TaskEnded { task: name.to_owned(), until: mark.closed_until });
            }
        }
        Ok(())
    }

    /// A lease is renewed once, and only while it stands. What stands is judged here, in the same step, so that no end
    /// slips between a broker's judgement and the record.
    fn may_be_renewed(&self, id: LeaseId, by: &Lease) -> Result<(), RecordError> {
        let Some(before) = self.lease(id)? else { return Err(RecordError::Predecessor("is unknown")) };
        let id = id.to_bytes();
        if self.tables.lease_ends.get(&id)?.is_some() || self.index.has_ended(&before) {
            return Err(RecordError::Predecessor("has ended"));
        }
        if before.expires_at <= by.issued_at {
            return Err(RecordError::Predecessor("has expired"));
        }
        if self.tables.successors.get(&id)?.is_some() {
            return Err(RecordError::Predecessor("has a successor"));
        }
        Ok(())
    }

    /// A lease by its id, as it stands in this step.
    pub(super) fn lease(&self, id: LeaseId) -> Result<Option<Lease>, StoreError> {
        let found = self.tables.leases.get(&id.to_bytes())?;
        found.map(|packed| unpack_lease(packed.value()).map(|PackedLease { lease, .. }| lease)).transpose()
    }
}

/// Whether an assertion could be shown again after the record of its lease is gone.
fn outlives(spent: &Spent, lease: &Lease) -> bool {
    spent.until > lease.expires_at.plus(GRACE)
}
