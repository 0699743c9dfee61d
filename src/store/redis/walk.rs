//! A walk over all leases, minute by minute of their making: not over the key space, and by no command that reads a hash
//! whole, for all that Redis serves would wait behind it.
//!
//! A place on it is (minute, shard, step of the hash's scan, lease), and a list's cursor is that place as text. Leases are
//! only ever added to a hash, which then grows and never shrinks: its scan tells none twice. Within a step leases are told by
//! the order of their names, so a page that ends in the middle of one goes on there.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::layout::{self, Shard};
use super::packed;
use super::script::{Call, FIGURES, Seen, bytes, int, odd};
use super::shared::Shared;
use crate::model::{Epoch, LeaseId, LeaseRecord, UnixTime, WorkloadId};
use crate::store::StoreError;

/// So many hashes are read in one round trip, where each may have many leases, and so many where they have few.
const HASHES: usize = 16;
const SMALL_HASHES: usize = 64;
/// About so many leases of a hash are read by one command: it takes Redis less than a tenth of a millisecond. A cursor
/// counts on it.
const STEP: usize = 128;
/// So many minutes are looked up in one round trip.
const MINUTES: u64 = 64;
/// Brokers' clocks may be apart by so many minutes, rounded up: a walk begins before the first lease that can live.
const APART: u64 = 2;
/// A walk pauses after this long and says where to go on.
const WALK: Duration = Duration::from_millis(1200);
/// A minute and a shard: where a hash of leases lies.
type Hash = (u64, Shard);

/// Where a walk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    minute: u64,
    shard: Shard,
    /// Where Redis' scan of the hash goes on.
    scan: u64,
    /// Zero, or: what lies before `upto` in the scan (zero: in the rest of it) has been told up to this name.
    behind: u128,
    upto: u64,
}

impl Place {
    pub(super) const fn start_of(minute: u64) -> Self {
        Self::at((minute, [0; 4]), 0)
    }

    const fn at((minute, shard): Hash, scan: u64) -> Self {
        Self { minute, shard, scan, behind: 0, upto: 0 }
    }

    const fn hash(self) -> Hash {
        (self.minute, self.shard)
    }

    /// Behind all of a hash.
    const fn behind((minute, shard): Hash) -> Self {
        match u32::from_be_bytes(shard).checked_add(1) {
            Some(next) => Self::at((minute, next.to_be_bytes()), 0),
            None => Self::start_of(minute + 1),
        }
    }

    /// This place where it is in the hash, else the hash's beginning.
    fn in_or_at(self, hash: Hash) -> Self {
        if self.hash() == hash { self } else { Self::at(hash, 0) }
    }

    /// Whether a lease of the step has not been told.
    fn is_before(self, id: LeaseId) -> bool {
        self.behind < u128::from_be_bytes(id.to_bytes())
    }

    /// Behind this lease, in the middle of a step that went as far as `upto`.
    fn within(self, id: LeaseId, upto: u64) -> Self {
        Self { behind: u128::from_be_bytes(id.to_bytes()), upto, ..self }
    }

    pub(crate) fn parse(raw: &str) -> Option<Self> {
        let mut parts = raw.splitn(5, '.');
        let minute = parts.next()?.parse().ok()?;
        let shard = u32::from_str_radix(parts.next()?, 16).ok()?.to_be_bytes();
        let scan = u64::from_str_radix(parts.next()?, 16).ok()?;
        let upto = u64::from_str_radix(parts.next()?, 16).ok()?;
        let behind = u128::from_str_radix(parts.next()?, 16).ok()?;
        let place = Self { minute, shard, scan, behind, upto };
        // One spelling only; and a lease lies in no other minute and shard than its name says.
        let is_there = match behind {
            0 => upto == 0,
            _ => {
                let id = LeaseId::from_bytes(behind.to_be_bytes());
                place.hash() == (layout::made_in(id), id.shard())
            }
        };
        (place.text() == raw && is_there).then_some(place)
    }

    pub(crate) fn text(self) -> String {
        let Self { minute, shard, scan, behind, upto } = self;
        format!("{minute}.{:08x}.{scan:x}.{upto:x}.{behind:x}", u32::from_be_bytes(shard))
    }
}

pub(super) struct Figures {
    pub rules: u64,
    /// No lease expires later.
    pub latest: UnixTime,
    /// No lease reaches further than so many minutes behind the one of its making.
    span: u64,
    pub seen: Seen,
}

impl Figures {
    /// The minutes in which the leases were made that live at `now`.
    pub fn minutes(&self, now: UnixTime) -> std::ops::RangeInclusive<u64> {
        layout::minute(now).saturating_sub(self.span + APART)..=layout::minute(self.latest)
    }
}

pub(super) async fn figures(shared: &Shared, now: UnixTime) -> Result<Figures, StoreError> {
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
pub(super) async fn shards(shared: &Shared, minute: u64) -> Result<Vec<Shard>, StoreError> {
    let mut command = redis::cmd("SMEMBERS");
    command.arg(layout::directory(minute));
    in_directory(shared.command(&command).await?)
}

fn in_directory(members: Value) -> Result<Vec<Shard>, StoreError> {
    let (Value::Array(members) | Value::Set(members)) = members else {
        return Err(StoreError::Corrupt("a directory of leases".into()));
    };
    let mut shards: Vec<Shard> =
        members.into_iter().filter_map(bytes).filter_map(|member| member.try_into().ok()).collect();
    shards.sort_unstable();
    Ok(shards)
}

/// A walk over all live leases, or those in one workload's shard.
pub(super) struct Walk<'a> {
    shared: &'a Shared,
    only: Option<Shard>,
    /// After so many records it pauses, as it does when its time is up.
    looks: usize,
    figures: Figures,
    epoch: Epoch,
    until: Instant,
}

impl<'a> Walk<'a> {
    pub async fn new(
        shared: &'a Shared,
        workload: Option<&WorkloadId>,
        looks: Option<usize>,
    ) -> Result<Self, StoreError> {
        let until = Instant::now() + WALK;
        let figures = figures(shared, shared.clock.now()).await?;
        let (only, looks) = (workload.map(LeaseId::shard_of), looks.unwrap_or(usize::MAX));
        Ok(Self { shared, only, looks, epoch: figures.seen.epoch, figures, until })
    }

    /// Where the first lease lies that may live at `now`.
    pub fn first(&self, now: UnixTime) -> Place {
        Place::start_of(*self.figures.minutes(now).start())
    }

    /// Tells every record from `from` on, step by step, until `tell` has enough or it is time to pause; gives the place to go
    /// on from, none at the end. Leases of earlier epochs are left out: no token of theirs lives.
    pub async fn run(
        &self,
        from: Place,
        mut tell: impl FnMut(Vec<LeaseRecord>) -> Told + Send,
    ) -> Result<Option<Place>, StoreError> {
        let last = layout::minute(self.figures.latest);
        let (mut place, mut looked) = (from, 0);
        while place.minute <= last {
            let upto = last.min(place.minute.saturating_add(MINUTES - 1));
            let hashes = self.hashes(place.minute, upto).await?;
            let mut left = &hashes[hashes.partition_point(|hash| *hash < place.hash())..];
            // Who looks at few reads few.
            let mut some = (self.looks / STEP).clamp(1, HASHES);
            while let Some(hash) = left.first() {
                place = place.in_or_at(*hash);
                let mut found = 0;
                for Step { at, next, mut records } in self.steps(place, &left[..left.len().min(some)]).await? {
                    found += records.len();
                    records.retain(|record| record.lease.epoch == self.epoch && at.is_before(record.lease.id));
                    let told = tell(records);
                    place = match (told, next) {
                        (Told::None, _) => return Ok(Some(at)),
                        (Told::Upto(id), _) => return Ok(Some(at.within(id, next))),
                        (_, 0) => Place::behind(at.hash()),
                        (_, next) => Place::at(at.hash(), next),
                    };
                    if matches!(told, Told::Enough) {
                        return Ok(Some(place));
                    }
                    if next != 0 {
                        // What was read of the hashes behind it is read again later: they come in order.
                        break;
                    }
                    left = &left[1..];
                }
                looked += found;
                some = match () {
                    () if left.first() == Some(&place.hash()) => 1,
                    () if found < STEP => (2 * some).min(SMALL_HASHES),
                    () => some.min(HASHES),
                };
                if looked >= self.looks || Instant::now() > self.until {
                    return Ok(Some(place));
                }
            }
            place = Place::start_of(upto + 1);
        }
        Ok(None)
    }

    /// Where leases of these minutes lie, in order.
    async fn hashes(&self, from: u64, upto: u64) -> Result<Vec<Hash>, StoreError> {
        let mut directories = redis::pipe();
        for minute in from..=upto {
            match self.only {
                Some(only) => directories.cmd("SISMEMBER").arg(layout::directory(minute)).arg(&only[..]),
                None => directories.cmd("SMEMBERS").arg(layout::directory(minute)),
            };
        }
        let mut hashes = Vec::new();
        for (minute, answer) in (from..).zip(self.shared.commands(&directories).await?) {
            let shards = match self.only {
                Some(only) => {
                    if int(&answer) == Some(1) {
                        vec![only]
                    } else {
                        Vec::new()
                    }
                }
                None => in_directory(answer)?,
            };
            hashes.extend(shards.into_iter().map(|shard| (minute, shard)));
        }
        Ok(hashes)
    }

    /// A step of each of these hashes, the first of them from `place` on: the records in the order of their names. What a
    /// page had told in part is read as far as it was then: the hash may have grown since, and steps be shorter.
    async fn steps(&self, place: Place, hashes: &[Hash]) -> Result<Vec<Step>, StoreError> {
        let mut scans = redis::pipe();
        let mut places = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let at = place.in_or_at(*hash);
            scan(&mut scans, at.hash(), at.scan, STEP);
            places.push(at);
        }
        let answers = self.shared.commands(&scans).await?;
        let mut steps = Vec::with_capacity(hashes.len());
        for (at, answer) in places.into_iter().zip(answers) {
            let mut step = Step { at, next: 0, records: Vec::new() };
            step.take(answer)?;
            while at.behind != 0 && step.next != 0 && !is_reached(at.upto, step.next) {
                // Not a lease further: what lies behind may not have been told.
                let count = if at.upto == 0 { STEP } else { 1 };
                let mut again = redis::pipe();
                scan(&mut again, at.hash(), step.next, count);
                let answer = self.shared.commands(&again).await?.pop().unwrap_or(Value::Nil);
                let taken = step.records.len();
                step.take(answer)?;
                if at.upto != 0 && is_passed(at.upto, step.next) {
                    // Nothing lay before it any more, so Redis went on to the first lease behind: that one is the next step's.
                    step.records.truncate(taken);
                    step.next = at.upto;
                }
            }
            step.records.sort_unstable_by_key(|record| record.lease.id);
            step.records.dedup_by_key(|record| record.lease.id);
            steps.push(step);
        }
        Ok(steps)
    }
}

/// What was taken of a step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    All,
    /// All, and no more is asked for.
    Enough,
    /// What is up to this lease, and no more is asked for.
    Upto(LeaseId),
    /// Nothing, and no more is asked for.
    None,
}

/// What one step of a hash's scan brought.
struct Step {
    at: Place,
    /// Where the scan goes on; zero at the hash's end.
    next: u64,
    records: Vec<LeaseRecord>,
}

impl Step {
    fn take(&mut self, answer: Value) -> Result<(), StoreError> {
        let corrupt = || StoreError::Corrupt("the leases of a minute".into());
        let Value::Array(parts) = answer else { return Err(corrupt()) };
        let Ok([next, fields]) = <[Value; 2]>::try_from(parts) else { return Err(corrupt()) };
        let next = bytes(next).and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
        self.next = next.ok_or_else(corrupt)?;
        let Value::Array(fields) = fields else { return Err(corrupt()) };
        let mut fields = fields.into_iter();
        while let (Some(name), Some(raw)) = (fields.next(), fields.next()) {
            let id = bytes(name).and_then(|field| layout::lease_at(self.at.shard, &field)).ok_or_else(corrupt)?;
            self.records.push(packed::record(id, &bytes(raw).ok_or_else(corrupt)?)?);
        }
        Ok(())
    }
}

fn scan(pipe: &mut redis::Pipeline, (minute, shard): Hash, from: u64, count: usize) {
    pipe.cmd("HSCAN").arg(layout::leases(shard, minute)).arg(from).arg("COUNT").arg(count);
}

/// Whether a scan has come as far as `upto`: Redis counts its cursors from the highest bit down, so that a table which has
/// grown is gone on with at the same place.
const fn is_reached(upto: u64, at: u64) -> bool {
    upto != 0 && at.reverse_bits() >= upto.reverse_bits()
}

/// Whether a scan has gone further than `upto`; zero is the end, which lies behind every place.
const fn is_passed(upto: u64, at: u64) -> bool {
    at == 0 || at.reverse_bits() > upto.reverse_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_what_is_none_is_refused() {
        let id = LeaseId::new(29_833_333 * 60_000 + 7, [0, 1, 255, 4], 77);
        let place = Place::at((29_833_333, [0, 1, 255, 4]), 0xa0).within(id, 0xfe);
        let text = place.text();
        assert_eq!(Place::parse(&text), Some(place));
        for place in [Place::start_of(7), Place::at((7, [1; 4]), u64::MAX), place.within(id, 0)] {
            assert_eq!(Place::parse(&place.text()), Some(place));
        }
        let elsewhere = text.replacen("29833333", "29833334", 1);
        for raw in [
            "",
            "1",
            "1.2",
            "1.00000001.0.0",
            "x.00000001.0.0.0",
            "1.zz.0.0.0",
            "1.00000001.-1.0.0",
            "1.00000001.0.0.0.0",
            "1.1.0.0.0",
            "+1.00000001.0.0.0",
            "1.0000000A.0.0.0",
            "1.00000001.10000000000000000.0.0",
            "1.00000001.00.0.0",
            "1.00000001.0.3.0",
            &elsewhere,
        ] {
            assert_eq!(Place::parse(raw), None, "{raw}");
        }
    }

    #[test]
    fn a_scan_goes_from_the_highest_bit_down() {
        // A table of eight goes 0, 4, 2, 6, 1, 5, 3, 7.
        for pair in [4, 2, 6, 1, 5, 3, 7].windows(2) {
            assert!(is_reached(pair[0], pair[1]) && !is_reached(pair[1], pair[0]), "{pair:?}");
        }
        assert!(!is_reached(0, 7), "zero is the end, which no cursor reaches");
        assert!(is_reached(4, 4) && !is_passed(4, 4) && is_passed(4, 2) && !is_passed(2, 4) && is_passed(7, 0));
    }
}
