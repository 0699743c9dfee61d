//! Lists and counts of leases, minute by minute of their making: no walk over the key space.
//!
//! A place in a list is (minute, shard, lease), and the cursor is that place as text. Within a minute and shard leases are
//! told by the order of their names, so a page never tells one twice, though others come and go meanwhile.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::layout::{self, Shard};
use super::packed;
use super::script::{Call, FIGURES, Seen, bytes, int, odd};
use super::shared::Shared;
use crate::model::{Epoch, LeaseId, LeaseRecord, Selector, UnixTime, WorkloadId};
use crate::store::{LeaseFilter, LeasePage, StoreError, StoreStats};

/// So many shards' names are read in one round trip, and so many records.
const SHARDS: usize = 64;
const RECORDS: usize = 512;
/// Brokers' clocks may be apart by so many minutes, rounded up: a walk begins before the first lease that can live.
const APART: u64 = 2;
/// A walk pauses after this long and says where to go on.
const WALK: Duration = Duration::from_millis(1200);
/// A figure is exact up to so many lists, and an estimate beyond.
const COUNTED: usize = 2048;

/// Where a walk stands: behind this lease of a minute and shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    minute: u64,
    shard: Shard,
    /// Zero before the first.
    behind: u128,
}

impl Place {
    const fn start_of(minute: u64) -> Self {
        Self { minute, shard: [0; 4], behind: 0 }
    }

    fn behind(id: LeaseId) -> Self {
        Self { minute: layout::made_in(id), shard: id.shard(), behind: u128::from_be_bytes(id.to_bytes()) }
    }

    pub(crate) fn parse(raw: &str) -> Option<Self> {
        let mut parts = raw.splitn(3, '.');
        let minute = parts.next()?.parse().ok()?;
        let shard = u32::from_str_radix(parts.next()?, 16).ok()?.to_be_bytes();
        let behind = u128::from_str_radix(parts.next()?, 16).ok()?;
        let place = Self { minute, shard, behind };
        // One spelling only; and a lease lies in no other minute and shard than its name says.
        let is_there = behind == 0 || place == Self::behind(LeaseId::from_bytes(behind.to_be_bytes()));
        (place.text() == raw && is_there).then_some(place)
    }

    pub(crate) fn text(self) -> String {
        format!("{}.{:08x}.{:x}", self.minute, u32::from_be_bytes(self.shard), self.behind)
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
    let walk = Walk::new(shared, filter.workload.as_ref(), limit).await?;
    // What lies before has expired: a cursor that was kept for long does not walk through it.
    let start = walk.first(filter.now).max(given.unwrap_or(Place::start_of(0)));
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
    let walk = Walk::new(shared, workload, usize::MAX).await?;
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
        .run(walk.first(now), |record| {
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

struct Figures {
    rules: u64,
    /// No lease expires later.
    latest: UnixTime,
    /// No lease reaches further than so many minutes behind the one of its making.
    span: u64,
    seen: Seen,
}

impl Figures {
    /// The minutes in which the leases were made that live at `now`.
    fn minutes(&self, now: UnixTime) -> std::ops::RangeInclusive<u64> {
        layout::minute(now).saturating_sub(self.span + APART)..=layout::minute(self.latest)
    }
}

async fn figures(shared: &Shared, now: UnixTime) -> Result<Figures, StoreError> {
    let build = |seen: &Seen| Call::new(&FIGURES, 0).seen(seen).with(now.secs());
    let mut answer = shared.call(&shared.main, build).await?;
    match (answer.number(), answer.number(), answer.number()) {
        (Some(rules), Some(latest), Some(span)) => {
            Ok(Figures { rules, latest: UnixTime::from_secs(latest), span, seen: answer.seen })
        }
        _ => Err(odd(&FIGURES)),
    }
}

/// The shards with leases that were made in a minute, in order.
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
    /// So many records are read in one round trip.
    records: usize,
    figures: Figures,
    epoch: Epoch,
    until: Instant,
}

impl<'a> Walk<'a> {
    /// A walk for `most` leases.
    async fn new(shared: &'a Shared, workload: Option<&WorkloadId>, most: usize) -> Result<Self, StoreError> {
        let until = Instant::now() + WALK;
        let figures = figures(shared, shared.clock.now()).await?;
        let only = workload.map(LeaseId::shard_of);
        Ok(Self { shared, only, records: most.clamp(16, RECORDS), epoch: figures.seen.epoch, figures, until })
    }

    /// Where the first lease lies that may live at `now`.
    fn first(&self, now: UnixTime) -> Place {
        Place::start_of(*self.figures.minutes(now).start())
    }

    /// Tells every record from `place` on until `enough` says so or time is up; gives the place to go on from, none at
    /// the end. Leases of earlier epochs are left out: no token of theirs lives.
    async fn run(
        &self,
        mut place: Place,
        mut enough: impl FnMut(LeaseRecord) -> bool + Send,
    ) -> Result<Option<Place>, StoreError> {
        while place.minute <= layout::minute(self.figures.latest) {
            let shards = match self.only {
                Some(only) => vec![only],
                None => shards(self.shared, place.minute).await?,
            };
            let left = &shards[shards.partition_point(|shard| *shard < place.shard)..];
            for some in left.chunks(SHARDS) {
                for group in self.names(place, some).await?.chunks(self.records) {
                    for record in self.records(group).await? {
                        place = Place::behind(record.lease.id);
                        if record.lease.epoch == self.epoch && enough(record) {
                            return Ok(Some(place));
                        }
                    }
                    if Instant::now() > self.until {
                        return Ok(Some(group.last().map_or(place, |id| Place::behind(*id))));
                    }
                }
            }
            place = Place::start_of(place.minute + 1);
        }
        Ok(None)
    }

    /// The names of these shards' leases that lie behind a place of this minute, in order.
    async fn names(&self, from: Place, shards: &[Shard]) -> Result<Vec<LeaseId>, StoreError> {
        let mut lists = redis::pipe();
        for shard in shards {
            lists.cmd("HKEYS").arg(layout::leases(*shard, from.minute));
        }
        let mut names = Vec::new();
        for (shard, list) in shards.iter().zip(self.shared.commands(&lists).await?) {
            let (Value::Array(list) | Value::Set(list)) = list else {
                return Err(StoreError::Corrupt("the names of leases".into()));
            };
            let begun = names.len();
            for name in list {
                let id = bytes(name).and_then(|field| layout::lease_at(*shard, &field));
                names.push(id.ok_or_else(|| StoreError::Corrupt("the name of a lease".into()))?);
            }
            names[begun..].sort_unstable();
        }
        names.retain(|id| Place::behind(*id) > from);
        Ok(names)
    }

    /// The records of these names that are still there, in the same order.
    async fn records(&self, names: &[LeaseId]) -> Result<Vec<LeaseRecord>, StoreError> {
        let mut hashes = redis::pipe();
        for group in names.chunk_by(|one, next| one.shard() == next.shard()) {
            let command = hashes.cmd("HMGET").arg(group.first().map(|id| layout::lease(*id)));
            for id in group {
                command.arg(layout::field(*id));
            }
        }
        let mut records = Vec::with_capacity(names.len());
        let mut ids = names.iter();
        for values in self.shared.commands(&hashes).await? {
            let Value::Array(values) = values else { return Err(StoreError::Corrupt("the records of leases".into())) };
            for (value, id) in values.into_iter().zip(&mut ids) {
                if let Some(raw) = bytes(value) {
                    records.push(packed::record(*id, &raw)?);
                }
            }
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_what_is_none_is_refused() {
        let place = Place::behind(LeaseId::new(29_833_333 * 60_000 + 7, [0, 1, 255, 4], 77));
        assert_eq!((place.minute, place.shard), (29_833_333, [0, 1, 255, 4]));
        let text = place.text();
        assert_eq!(Place::parse(&text), Some(place));
        assert_eq!(Place::parse(&Place::start_of(7).text()), Some(Place::start_of(7)));
        let elsewhere = text.replacen("29833333", "29833334", 1);
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
            "1.00000001.00",
            &elsewhere,
        ] {
            assert_eq!(Place::parse(raw), None, "{raw}");
        }
    }
}
