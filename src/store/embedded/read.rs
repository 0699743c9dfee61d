//! Reads of leases: from the file's last committed snapshot, in short transactions, for a long one would keep pages
//! from being used again. No writer waits for them.

use std::ops::Bound;
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase as _};

use super::packed::{PackedLease, unpack_lease};
use super::table::{LEASE_ENDS, LEASES, SUCCESSORS};
use crate::model::{Lease, LeaseEnd, LeaseId, LeaseRecord, Position, Selector, UnixTime};
use crate::store::{LeaseFilter, LeasePage, StoreError};

/// Records looked at within one transaction.
const SLICE: usize = 4096;
/// Of those that are passed over by their ids alone, so many count as one.
const PASSED_OVER: usize = 16;
/// A page that has found too few by then is given out as it is, with a cursor.
const PATIENCE: Duration = Duration::from_millis(500);

/// One lease and what became of it.
pub(super) fn lease(database: &Database, id: LeaseId) -> Result<Option<LeaseRecord>, StoreError> {
    let txn = database.begin_read()?;
    let key = id.to_bytes();
    let Some(packed) = txn.open_table(LEASES)?.get(&key)?.map(|packed| unpack_lease(packed.value())).transpose()?
    else {
        return Ok(None);
    };
    record(&txn, packed.lease).map(Some)
}

/// Adds successor and end to a lease.
fn record(txn: &redb::ReadTransaction, lease: Lease) -> Result<LeaseRecord, StoreError> {
    let key = lease.id.to_bytes();
    let successor = txn.open_table(SUCCESSORS)?.get(&key)?.map(|id| LeaseId::from_bytes(*id.value()));
    let ended = txn.open_table(LEASE_ENDS)?.get(&key)?.map(|row| {
        let (at, position) = row.value();
        LeaseEnd { at: UnixTime::from_secs(at), position: Position::new(position) }
    });
    Ok(LeaseRecord { lease, successor, ended })
}

/// A page of leases in the order of their ids; the cursor is the last id that was looked at.
pub(super) fn page(
    database: &Database,
    filter: &LeaseFilter,
    cursor: Option<&str>,
    limit: usize,
) -> Result<LeasePage, StoreError> {
    let begun = Instant::now();
    let mut after = cursor.map(|raw| parse(raw).ok_or(StoreError::Cursor)).transpose()?;
    let mut page = LeasePage::default();
    let mut looks = filter.looks.unwrap_or(usize::MAX);
    let shard = filter.workload.as_ref().map(LeaseId::shard_of);
    loop {
        let (last, more) = slice(database, after, shard, &mut |txn, lease| {
            looks = looks.saturating_sub(1);
            if selects(filter, &lease) {
                page.leases.push(record(txn, lease)?);
            }
            Ok(page.leases.len() < limit && looks > 0)
        })?;
        after = last.or(after);
        if !more {
            return Ok(page);
        }
        looks = looks.saturating_sub(SLICE / PASSED_OVER);
        if page.leases.len() >= limit || looks == 0 || begun.elapsed() > PATIENCE {
            page.next = after.map(|id| id.to_string());
            return Ok(page);
        }
    }
}

/// A cursor, in the one spelling in which it was given.
fn parse(cursor: &str) -> Option<LeaseId> {
    LeaseId::parse(cursor).filter(|id| id.to_string() == cursor)
}

/// As [`LeaseFilter::selects`], before successor and end are read.
fn selects(filter: &LeaseFilter, lease: &Lease) -> bool {
    lease.expires_at > filter.now
        && filter.workload.as_ref().is_none_or(|workload| *workload == lease.workload)
        && filter.audience.as_ref().is_none_or(|audience| *audience == lease.audience)
        && filter.task.as_ref().is_none_or(|task| lease.task.is_within(task))
}

/// How many live leases a selector selects.
pub(super) fn count(database: &Database, selector: &Selector, now: UnixTime) -> Result<u64, StoreError> {
    if let Selector::Lease(first) = selector {
        return count_chain(database, *first, now);
    }
    let shard = match selector {
        Selector::Task(workload, _) => Some(LeaseId::shard_of(workload)),
        _ => None,
    };
    let (mut found, mut after) = (0, None);
    loop {
        let (last, more) = slice(database, after, shard, &mut |txn, lease| {
            if lease.expires_at > now && is_selected(selector, &lease) {
                found += u64::from(record(txn, lease)?.ended.is_none());
            }
            Ok(true)
        })?;
        after = last.or(after);
        if !more {
            return Ok(found);
        }
    }
}

/// A lease and its successors, those that were ended before left out.
fn count_chain(database: &Database, first: LeaseId, now: UnixTime) -> Result<u64, StoreError> {
    let (mut found, mut next) = (0, Some(first));
    while let Some(id) = next {
        let Some(record) = lease(database, id)? else { break };
        found += u64::from(record.lease.expires_at > now && record.ended.is_none());
        next = record.successor;
    }
    Ok(found)
}

fn is_selected(selector: &Selector, lease: &Lease) -> bool {
    match selector {
        Selector::Lease(id) => lease.id == *id,
        Selector::Task(workload, task) => lease.workload == *workload && lease.task.is_within(task),
        Selector::Workload(workload) => lease.workload == *workload || lease.actors.contains(workload),
        Selector::Audience(uri) => lease.audience == *uri,
        Selector::Key(kid) => lease.kid == *kid,
        Selector::All => true,
    }
}

type Visit<'a> = &'a mut dyn FnMut(&redb::ReadTransaction, Lease) -> Result<bool, StoreError>;

/// Shows the next leases to `visit` until it has enough; the last one passed, and whether there may be more. Where a
/// `shard` is asked for, leases of others are passed over by their ids alone.
fn slice(
    database: &Database,
    after: Option<LeaseId>,
    shard: Option<[u8; 4]>,
    visit: Visit<'_>,
) -> Result<(Option<LeaseId>, bool), StoreError> {
    let txn = database.begin_read()?;
    let from = after.map(LeaseId::to_bytes);
    let bounds = (from.as_ref().map_or(Bound::Unbounded, Bound::Excluded), Bound::<&[u8; 16]>::Unbounded);
    let mut last = None;
    for (seen, row) in (1..).zip(txn.open_table(LEASES)?.range::<&[u8; 16]>(bounds)?) {
        let (key, packed) = row?;
        let id = LeaseId::from_bytes(*key.value());
        last = Some(id);
        let enough = if shard.is_none_or(|shard| shard == id.shard()) {
            let PackedLease { lease, .. } = unpack_lease(packed.value())?;
            !visit(&txn, lease)?
        } else {
            false
        };
        if enough || seen >= SLICE {
            return Ok((last, true));
        }
    }
    Ok((last, false))
}
