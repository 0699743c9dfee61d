//! What ended a lease first, and the end of one lease: what has ended before is not ended again.
//!
//! Never judges a token: that is the view's.

use serde::Serialize;

use crate::model::{Lease, LeaseId, LeaseRecord, Position, RuleKind, UnixTime};
use crate::revocation::TokenDigests;
use crate::store::{End, EndTarget, Ended, RecordError, StoreError};

use super::Broker;
use super::first::ByRule;
use super::inventory::{LeaseState, LeaseView};

/// A chain of renewals is followed so far by single questions; the store itself follows the rest.
const STEPS: usize = 64;

/// The first end of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FirstEnd {
    /// The place of the rule in the log.
    pub position: Position,
    /// When, where the store notes it with the lease: where a rule on just this lease ended it.
    pub at: Option<UnixTime>,
}

impl Broker {
    /// One lease.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lease(&self, id: LeaseId) -> Result<Option<LeaseView>, StoreError> {
        self.follower.catch_up().await?;
        let Some(record) = self.parts.store.lease(id).await? else { return Ok(None) };
        let first = self.first_ends(std::slice::from_ref(&record)).await;
        Ok(Some(self.view_ended(record, first.into_iter().flatten().next())))
    }

    /// A lease with its state. Of several rules on one of its names the last may be told as its end.
    pub(super) fn view_lease(&self, record: LeaseRecord) -> LeaseView {
        let by_rule = self.first_end(&record.lease);
        self.view_ended(record, by_rule)
    }

    pub(super) fn view_ended(&self, mut record: LeaseRecord, by_rule: Option<ByRule>) -> LeaseView {
        let own = record.ended.take();
        let by_own = own.as_ref().map(|end| (RuleKind::Lease, end.position));
        let first = by_rule.into_iter().chain(by_own).min_by_key(|(_, position)| *position);
        let at = |position| own.as_ref().filter(|end| end.position == position).map(|end| end.at);
        let ended = first.map(|(_, position)| FirstEnd { position, at: at(position) });
        let by_epoch = (Some(record.lease.epoch) != self.follower.view().epoch()).then_some(RuleKind::All);
        let ended_by = first.map(|(kind, _)| kind).or(by_epoch);
        let state = match ended_by {
            Some(_) => LeaseState::Ended,
            None if record.lease.expires_at <= self.parts.clock.now() => LeaseState::Expired,
            None => LeaseState::Live,
        };
        LeaseView { record, state, ended_by, ended }
    }

    fn first_end(&self, lease: &Lease) -> Option<ByRule> {
        self.follower.view().first_end(&TokenDigests::of_lease(lease), lease.position)
    }

    /// Ends a lease and the leases that renewed it, as far as they stand. One that has ended keeps its first end: nothing is
    /// written of it, and this returns once that end is held as an end must be.
    pub(super) async fn end_lease(&self, first: LeaseId, at: UnixTime) -> Result<Ended, RecordError> {
        self.follower.catch_up().await?;
        let mut next = first;
        for _ in 0..STEPS {
            let Some(record) = self.parts.store.lease(next).await? else { break };
            let view = self.view_lease(record);
            match (view.state, view.record.successor) {
                (LeaseState::Ended, Some(successor)) => next = successor,
                (LeaseState::Ended, None) => {
                    // The end it rests on may be one whose own call has failed.
                    self.parts.store.settle().await?;
                    return Ok(Ended::default());
                }
                _ => break,
            }
        }
        self.end(End { target: EndTarget::Lease(next), at, spent: None }).await
    }

    /// How many of a lease and those that renewed it stand.
    pub(super) async fn live_of_chain(&self, first: LeaseId) -> Result<u64, StoreError> {
        self.follower.catch_up().await?;
        let (mut next, mut count) = (Some(first), 0);
        for _ in 0..STEPS {
            let Some(id) = next else { break };
            let Some(record) = self.parts.store.lease(id).await? else { break };
            let view = self.view_lease(record);
            count += u64::from(view.state == LeaseState::Live);
            next = view.record.successor;
        }
        Ok(count)
    }
}
