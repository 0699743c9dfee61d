//! How the memory of the writer is read from the file: once, at open, all of it.
//!
//! Owns the order in which that is done, and nothing that is kept. What does not read back is [`StoreError::Corrupt`].

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _};

use super::expire::Gone;
use super::index::{AudienceSet, Digest, Index, Mark, Reach, lineage};
use super::packed::{Known, PackedLease, corrupt, unpack_among, unpack_rule};
use super::table::{KEYS, LEASES, LOG, MARKS, META, QUARANTINES, RELEASED, REVOKED, SPENT, undue};
use super::view::{Row, View};
use crate::model::{Epoch, KeyId, Position, UnixTime, WorkloadId};
use crate::store::{Head, PublishedKey, Quarantine, StoreError};

/// So many names go into a large map together.
const TOGETHER: usize = 1 << 17;

impl Index {
    /// Reads the whole file once; gives the view for readers with it.
    pub(super) fn load(database: &Database) -> Result<(Self, View), StoreError> {
        let txn = database.begin_read()?;
        let meta = txn.open_table(META)?;
        let number = |name: &str| -> Result<u64, StoreError> {
            let found = meta.get(name)?.map(|guard| guard.value());
            found.ok_or_else(|| StoreError::Corrupt(format!("the file does not tell its {name}")))
        };
        let head = Head { epoch: Epoch::from_bits(number("epoch")?), position: Position::new(number("position")?) };
        let mut index = Self::empty(head, number("tag")?);
        index.memory = meta.get("memory")?.map(|guard| UnixTime::from_secs(guard.value()));
        // Files of before commits were counted have none.
        index.commits = meta.get("commits")?.map_or(0, |guard| guard.value());
        let moment = |name: &str| -> Result<UnixTime, StoreError> {
            Ok(meta.get(name)?.map_or_else(UnixTime::default, |guard| UnixTime::from_secs(guard.value())))
        };
        index.gone = Gone { counted: moment("gone")?, refused: moment("gone_refusals")? };
        index.load_leases(&txn)?;
        index.load_marks(&txn)?;
        let log = index.load_log(&txn)?;
        let view = View::of(&index, log);
        Ok((index, view))
    }

    /// Leases, and the assertions that were used up for them or elsewhere.
    fn load_leases(&mut self, txn: &ReadTransaction) -> Result<(), StoreError> {
        let leases = txn.open_table(LEASES)?;
        let count = usize::try_from(leases.len()?).unwrap_or_default();
        // What is not needed of it is never touched, and takes no memory.
        self.tasks.reserve(count);
        self.replays.reserve(count);
        let mut known = Some(Known::default());
        let (mut names, mut used) = (Vec::new(), Vec::new());
        for row in leases.iter()? {
            let PackedLease { lease, spent } = unpack_among(row?.1.value(), &mut known)?;
            let bit = self.bit(&lease.audience);
            names.extend(lineage(&lease).map(|name| (name, Reach::of(&lease), bit)));
            used.extend(spent.map(|(digest, _)| digest));
            self.group(&lease);
            if names.len() >= TOGETHER || used.len() >= TOGETHER {
                self.take_in(&mut names, &mut used);
            }
        }
        self.take_in(&mut names, &mut used);
        for row in txn.open_table(SPENT)?.iter()? {
            self.replays.insert(undue(row?.0.value()).1);
        }
        Ok(())
    }

    /// Puts names and used assertions into their maps, each time in the order in which they lie there: in any other order, each
    /// of a million would wait for a page of memory that is in no cache.
    fn take_in(&mut self, names: &mut Vec<(Digest, Reach, AudienceSet)>, used: &mut Vec<Digest>) {
        in_order(names, self.tasks.hasher(), self.tasks.capacity(), |(name, ..)| name);
        for (name, reach, bit) in names.drain(..) {
            self.reaches(name, reach, bit);
        }
        in_order(used, self.replays.hasher(), self.replays.capacity(), |digest| digest);
        self.replays.extend(used.drain(..));
    }

    /// What is closed: tasks, keys, workloads; and the keys that are published.
    fn load_marks(&mut self, txn: &ReadTransaction) -> Result<(), StoreError> {
        for row in txn.open_table(MARKS)?.iter()? {
            let (key, value) = row?;
            let (kept_until, digest) = undue(key.value());
            let (closed_until, position) = value.value();
            let mark = Mark {
                closed_until: UnixTime::from_secs(closed_until),
                position: Position::new(position),
                kept_until: UnixTime::from_secs(kept_until),
            };
            self.marks.insert(digest, mark);
        }
        for row in txn.open_table(KEYS)?.iter()? {
            let key: PublishedKey = json(row?.1.value())?;
            self.keys.insert(key.kid.clone(), key);
        }
        for row in txn.open_table(REVOKED)?.iter()? {
            let kid = KeyId::parse(row?.0.value()).map_err(|_| corrupt("a revoked key without a name"))?;
            self.revoked.insert(kid);
        }
        for row in txn.open_table(QUARANTINES)?.iter()? {
            let quarantine: Quarantine = json(row?.1.value())?;
            self.quarantines.insert(quarantine.workload.clone(), quarantine);
        }
        for row in txn.open_table(RELEASED)?.iter()? {
            let workload =
                WorkloadId::parse(row?.0.value()).map_err(|_| corrupt("a released workload without a name"))?;
            self.released.insert(workload);
        }
        Ok(())
    }

    /// The log, whose last entry has to be the one that the head names.
    fn load_log(&mut self, txn: &ReadTransaction) -> Result<BTreeMap<u64, Row>, StoreError> {
        let mut log = BTreeMap::new();
        for row in txn.open_table(LOG)?.iter()? {
            let (position, value) = row?;
            let (position, (tag, packed)) = (position.value(), value.value());
            let (rule, audiences) = unpack_rule(position, packed)?;
            if rule.position == self.head.position && tag != self.tag {
                return Err(corrupt("the log's last entry is not the one that the head names"));
            }
            let set = audiences.iter().fold(0, |set, audience| set | self.bit(audience));
            self.note(&rule);
            log.insert(position, Row::new(&rule, set));
        }
        if log.keys().next_back().is_some_and(|last| *last > self.head.position.get()) {
            return Err(corrupt("the log has entries behind its head"));
        }
        Ok(log)
    }
}

/// Sorts by the place in a map of this hasher and capacity, as the standard library's have it: the low bits of the hash, of eight
/// places seven used. Were it otherwise, this order would be as good as any.
fn in_order<T>(all: &mut [T], hasher: &impl BuildHasher, capacity: usize, name: impl Fn(&T) -> &Digest) {
    let mask = (capacity / 7 * 8).next_power_of_two() as u64 - 1;
    all.sort_by_cached_key(|each| hasher.hash_one(name(each)) & mask);
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|why| StoreError::Corrupt(why.to_string()))
}
