//! Lists and counts of leases.

use std::cmp::Ordering;

use super::layout;
use super::packed;
use super::script::{bytes, int};
use super::shared::Shared;
use super::walk::{Place, Told, Walk, figures, shards};
use crate::model::{LeaseId, LeaseRecord, Selector, UnixTime};
use crate::store::{LeaseFilter, LeasePage, StoreError, StoreStats};

/// A figure is exact up to so many lists, and an estimate beyond.
const COUNTED: usize = 2048;

/// A page of live leases.
///
/// # Errors
/// [`StoreError`]; a cursor that no page gave is [`StoreError::Cursor`].
pub(super) async fn page(
    shared: &Shared,
    filter: &LeaseFilter,
    cursor: Option<&str>,
    limit: usize,
) -> Result<LeasePage, StoreError> {
    let given = cursor.map(|raw| Place::parse(raw).ok_or(StoreError::Cursor)).transpose()?;
    let walk = Walk::new(shared, filter.workload.as_ref(), filter.looks).await?;
    // What lies before has expired: a cursor that was kept for long does not walk through it.
    let start = walk.first(filter.now).max(given.unwrap_or(Place::start_of(0)));
    let mut leases: Vec<LeaseRecord> = Vec::new();
    let next = walk
        .run(start, |records| {
            let mut found: Vec<_> = records.into_iter().filter(|record| filter.selects(record)).collect();
            let room = limit - leases.len();
            let told = match (found.len().cmp(&room), leases.is_empty()) {
                (Ordering::Less, _) => Told::All,
                (Ordering::Equal, _) => Told::Enough,
                // What does not fit is the next page's; only what fits into no page is cut.
                (Ordering::Greater, false) => return Told::None,
                (Ordering::Greater, true) => {
                    found.truncate(room);
                    found.last().map_or(Told::None, |last| Told::Upto(last.lease.id))
                }
            };
            leases.extend(found);
            told
        })
        .await?;
    Ok(LeasePage { leases, next: next.map(Place::text) })
}

/// How many live leases a selector selects.
///
/// # Errors
/// [`StoreError`]; also where there are more than can be looked through in time.
pub(super) async fn count(shared: &Shared, selector: &Selector, now: UnixTime) -> Result<u64, StoreError> {
    if let Selector::Lease(id) = selector {
        return chain(shared, *id, now).await;
    }
    let workload = match selector {
        Selector::Task(workload, _) | Selector::Workload(workload) => Some(workload),
        _ => None,
    };
    let walk = Walk::new(shared, workload, None).await?;
    let mut count = 0;
    let selects = |record: &LeaseRecord| {
        let lease = &record.lease;
        lease.expires_at > now
            && record.ended.is_none()
            && match selector {
                Selector::Task(workload, task) => lease.workload == *workload && lease.task.is_within(task),
                Selector::Workload(workload) => lease.workload == *workload || lease.actors.contains(workload),
                Selector::Audience(audience) => lease.audience == *audience,
                Selector::Key(kid) => lease.kid == *kid,
                Selector::Lease(_) | Selector::All => true,
            }
    };
    let rest = walk
        .run(walk.first(now), |records| {
            count += records.iter().filter(|record| selects(record)).count() as u64;
            Told::All
        })
        .await?;
    match rest {
        None => Ok(count),
        Some(_) => Err(StoreError::Unavailable(format!("more leases than can be counted in time, {count} so far"))),
    }
}

/// A lease and its successors, those that live and have not ended.
async fn chain(shared: &Shared, id: LeaseId, now: UnixTime) -> Result<u64, StoreError> {
    let (mut count, mut next) = (0, Some(id));
    while let Some(id) = next {
        let Some(record) = one(shared, id).await? else { break };
        count += u64::from(record.ended.is_none() && record.lease.expires_at > now);
        next = record.successor;
    }
    Ok(count)
}

/// One lease.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn one(shared: &Shared, id: LeaseId) -> Result<Option<LeaseRecord>, StoreError> {
    let mut command = redis::cmd("HGET");
    command.arg(layout::lease(id)).arg(layout::field(id));
    bytes(shared.command(&command).await?).map(|raw| packed::record(id, &raw)).transpose()
}

/// Figures; the number of live leases counts names, those that ended before their time included, and is exact to a minute
/// where a workload's leases all live equally long.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn stats(shared: &Shared, now: UnixTime) -> Result<StoreStats, StoreError> {
    let figures = figures(shared, now).await?;
    let (mut hashes, mut all) = (redis::pipe(), 0);
    for minute in figures.minutes(now) {
        let shards = shards(shared, minute).await?;
        for shard in shards.iter().take(COUNTED.saturating_sub(hashes.len() / 2)) {
            let key = layout::leases(*shard, minute);
            hashes.cmd("HLEN").arg(&key).cmd("TTL").arg(&key);
        }
        all += shards.len();
    }
    let looked_at = hashes.len() / 2;
    let values = shared.commands(&hashes).await?;
    // What is kept for nothing but its grace has expired.
    let counts = values.chunks_exact(2).filter(|pair| int(&pair[1]).is_some_and(|seconds| seconds > layout::GRACE));
    let counted: u64 = counts.filter_map(|pair| int(&pair[0])).sum();
    let live_leases = if all > looked_at { counted / looked_at.max(1) as u64 * all as u64 } else { counted };
    Ok(StoreStats {
        kind: "redis".to_owned(),
        live_leases,
        live_rules: figures.rules,
        epoch: Some(figures.seen.epoch),
        position: figures.seen.position,
    })
}
