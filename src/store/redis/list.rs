//! Lists and counts of leases, from the indices by minute of expiry: no walk over the key space.
//!
//! A place in a list is (minute, shard, offset), and the cursor is that place as text. The lists of names only grow, so a
//! page never tells a lease twice.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::layout::{self, Shard};
use super::packed;
use super::script::{Call, FIGURES, Seen, bytes, int, odd};
use super::shared::Shared;
use crate::model::{Epoch, LeaseId, LeaseRecord, Selector, UnixTime, WorkloadId};
use crate::store::{LeaseFilter, LeasePage, StoreError, StoreStats};

/// So many shards are read in one round trip, and so many names of each.
const SHARDS: usize = 64;
const NAMES: usize = 256;
/// A walk pauses after this long and says where to go on.
const WALK: Duration = Duration::from_millis(1200);
/// A figure is exact up to so many lists, and an estimate beyond.
const COUNTED: usize = 2048;

/// Where a walk stands: the next name to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    minute: u64,
    shard: Shard,
    offset: u64,
}

impl Place {
    const fn start_of(minute: u64) -> Self {
        Self { minute, shard: [0; 4], offset: 0 }
    }

    pub(crate) fn parse(raw: &str) -> Option<Self> {
        let mut parts = raw.splitn(3, '.');
        let minute = parts.next()?.parse().ok()?;
        let shard = u32::from_str_radix(parts.next()?, 16).ok()?.to_be_bytes();
        let place = Self { minute, shard, offset: parts.next()?.parse().ok()? };
        // One spelling only; and no list has so many names.
        (place.text() == raw && place.offset < 1 << 40).then_some(place)
    }

    pub(crate) fn text(self) -> String {
        format!("{}.{:08x}.{}", self.minute, u32::from_be_bytes(self.shard), self.offset)
    }
}

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
    let walk = Walk::new(shared, filter.workload.as_ref(), limit.clamp(16, NAMES)).await?;
    // What lies before has expired: a cursor that was kept for long does not walk through it.
    let start = Place::start_of(layout::minute(filter.now)).max(given.unwrap_or(Place::start_of(0)));
    let mut leases = Vec::new();
    let next = walk
        .run(start, |record| {
            if filter.selects(&record) {
                leases.push(record);
            }
            leases.len() >= limit
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
    let walk = Walk::new(shared, workload, NAMES).await?;
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
        .run(Place::start_of(layout::minute(now)), |record| {
            count += u64::from(selects(&record));
            false
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
    let mut command = redis::cmd("GET");
    command.arg(layout::lease(id));
    bytes(shared.command(&command).await?).map(|raw| packed::record(id, &raw)).transpose()
}

/// Figures; the number of live leases counts names, those that ended before their time included.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn stats(shared: &Shared, now: UnixTime) -> Result<StoreStats, StoreError> {
    let figures = figures(shared, now).await?;
    let (mut lists, mut all) = (redis::pipe(), 0);
    for minute in layout::minute(now)..=layout::minute(figures.latest) {
        let shards = shards(shared, minute).await?;
        for shard in shards.iter().take(COUNTED.saturating_sub(lists.len())) {
            lists.cmd("LLEN").arg(layout::index(*shard, minute));
        }
        all += shards.len();
    }
    let looked_at = lists.len();
    let counted: u64 = shared.commands(&lists).await?.iter().filter_map(int).sum();
    let live_leases = if all > looked_at { counted / looked_at.max(1) as u64 * all as u64 } else { counted };
    Ok(StoreStats {
        kind: "redis".to_owned(),
        live_leases,
        live_rules: figures.rules,
        epoch: Some(figures.seen.epoch),
        position: figures.seen.position,
    })
}

struct Figures {
    rules: u64,
    /// No lease expires later.
    latest: UnixTime,
    seen: Seen,
}

async fn figures(shared: &Shared, now: UnixTime) -> Result<Figures, StoreError> {
    let build = |seen: &Seen| Call::new(&FIGURES, 0).seen(seen).with(now.secs());
    let mut answer = shared.call(&shared.main, build).await?;
    match (answer.number(), answer.number()) {
        (Some(rules), Some(latest)) => Ok(Figures { rules, latest: UnixTime::from_secs(latest), seen: answer.seen }),
        _ => Err(odd(&FIGURES)),
    }
}

/// The shards with leases that expire in a minute, in order.
async fn shards(shared: &Shared, minute: u64) -> Result<Vec<Shard>, StoreError> {
    let mut command = redis::cmd("SMEMBERS");
    command.arg(layout::directory(minute));
    let (Value::Array(members) | Value::Set(members)) = shared.command(&command).await? else {
        return Err(StoreError::Corrupt("a directory of leases".into()));
    };
    let mut shards: Vec<Shard> =
        members.into_iter().filter_map(bytes).filter_map(|member| member.try_into().ok()).collect();
    shards.sort_unstable();
    Ok(shards)
}

/// A walk over all live leases, or those in one workload's shard.
struct Walk<'a> {
    shared: &'a Shared,
    only: Option<Shard>,
    names: usize,
    last_minute: u64,
    epoch: Epoch,
    until: Instant,
}

impl<'a> Walk<'a> {
    async fn new(shared: &'a Shared, workload: Option<&WorkloadId>, names: usize) -> Result<Self, StoreError> {
        let until = Instant::now() + WALK;
        let figures = figures(shared, shared.clock.now()).await?;
        let last_minute = layout::minute(figures.latest);
        let only = workload.map(LeaseId::shard_of);
        Ok(Self { shared, only, names, last_minute, epoch: figures.seen.epoch, until })
    }

    /// Tells every record from `place` on until `enough` says so or time is up; gives the place to go on from, none at
    /// the end. Leases of earlier epochs are left out: no token of theirs lives.
    async fn run(
        &self,
        mut place: Place,
        mut enough: impl FnMut(LeaseRecord) -> bool + Send,
    ) -> Result<Option<Place>, StoreError> {
        while place.minute <= self.last_minute {
            let shards = match self.only {
                Some(only) => vec![only],
                None => shards(self.shared, place.minute).await?,
            };
            let mut at = shards.partition_point(|shard| *shard < place.shard);
            while at < shards.len() {
                let some = &shards[at..shards.len().min(at + SHARDS)];
                let (names, read) = self.names(place, some).await?;
                for group in names.chunks(512) {
                    for (next, record) in self.records(group).await? {
                        place = next;
                        if record.lease.epoch == self.epoch && enough(record) {
                            return Ok(Some(place));
                        }
                    }
                    if Instant::now() > self.until {
                        return Ok(Some(group.last().map_or(place, |(next, _)| *next)));
                    }
                }
                match read {
                    // The list before the next shard may have more names than were read.
                    Read::UpTo(index, offset) => {
                        at += index;
                        place = Place { shard: shards[at], offset, ..place };
                    }
                    Read::All => at += some.len(),
                }
            }
            place = Place::start_of(place.minute + 1);
        }
        Ok(None)
    }

    /// The names in these shards' lists, each with the place behind it, up to the first list that was not read to its end.
    async fn names(&self, from: Place, shards: &[Shard]) -> Result<(Vec<(Place, LeaseId)>, Read), StoreError> {
        let first = |shard: Shard| if shard == from.shard { from.offset } else { 0 };
        let mut lists = redis::pipe();
        for shard in shards {
            let first = first(*shard);
            let last = first + self.names as u64 - 1;
            lists.cmd("LRANGE").arg(layout::index(*shard, from.minute)).arg(first).arg(last);
        }
        let mut names = Vec::new();
        for (index, (shard, list)) in shards.iter().zip(self.shared.commands(&lists).await?).enumerate() {
            let Value::Array(list) = list else { return Err(StoreError::Corrupt("an index of leases".into())) };
            let (count, mut offset) = (list.len(), first(*shard));
            for name in list {
                offset += 1;
                let raw = bytes(name).and_then(|raw| raw.try_into().ok());
                let raw = raw.ok_or_else(|| StoreError::Corrupt("an index of leases".into()))?;
                names.push((Place { minute: from.minute, shard: *shard, offset }, LeaseId::from_bytes(raw)));
            }
            if count == self.names {
                return Ok((names, Read::UpTo(index, offset)));
            }
        }
        Ok((names, Read::All))
    }

    /// The records of these names that are still there.
    async fn records(&self, names: &[(Place, LeaseId)]) -> Result<Vec<(Place, LeaseRecord)>, StoreError> {
        let mut command = redis::cmd("MGET");
        for (_, id) in names {
            command.arg(layout::lease(*id));
        }
        let Value::Array(values) = self.shared.command(&command).await? else {
            return Err(StoreError::Corrupt("the records of leases".into()));
        };
        let mut records = Vec::with_capacity(names.len());
        for ((next, id), value) in names.iter().zip(values) {
            if let Some(raw) = bytes(value) {
                records.push((*next, packed::record(*id, &raw)?));
            }
        }
        Ok(records)
    }
}

/// How far a reading of lists came.
enum Read {
    /// Every list to its end.
    All,
    /// The list of this index up to this offset.
    UpTo(usize, u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_what_is_none_is_refused() {
        let place = Place { minute: 29_833_333, shard: [0, 1, 255, 4], offset: 77 };
        assert_eq!(Place::parse(&place.text()), Some(place));
        for raw in [
            "",
            "1",
            "1.2",
            "x.00.1",
            "1.zz.1",
            "1.00000001.-1",
            "1.00000001.2.3",
            "1.1.2",
            "+1.00000001.2",
            "1.0000000A.2",
            "1.00000001.18446744073709551615",
        ] {
            assert_eq!(Place::parse(raw), None, "{raw}");
        }
    }
}
