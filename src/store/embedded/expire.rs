//! Takes out what is past, a slice a batch, so that no mint waits for a great clearing.
//!
//! Owns how far it ever went: a clock that is behind that now was wrong once, and what was taken out then is missed.

use super::index::Index;
use super::packed::{PackedLease, unpack_lease};
use super::step::{GRACE, Step};
use super::table::undue;
use crate::model::{KeyId, LeaseId, UnixTime};
use crate::store::StoreError;

/// By how much clocks may differ: what verifiers are allowed.
const SKEW: std::time::Duration = std::time::Duration::from_secs(30);

/// The latest moments up to which anything that was taken out would have counted; kept in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// Of anything.
    pub counted: UnixTime,
    /// Of what refuses a mint: used assertions and ended tasks.
    pub refused: UnixTime,
}

impl Gone {
    /// Whether something was taken out that may count at `now`: the clock was ahead then.
    pub(super) fn is_missed(self, now: UnixTime) -> bool {
        self.counted > UnixTime::default() && now <= self.counted.plus(SKEW)
    }

    fn add(&mut self, until: UnixTime) {
        self.counted = self.counted.max(until);
    }

    fn add_refusal(&mut self, until: UnixTime) {
        self.add(until);
        self.refused = self.refused.max(until);
    }
}

/// Whether anything is past. Marks and assertions alone wait for the next batch: no one is the larger for them.
pub(super) fn is_due(index: &Index, now: UnixTime) -> bool {
    let past = now.minus(GRACE);
    let first = |at: Option<&UnixTime>| at.is_some_and(|at| *at < past);
    first(index.expiring.keys().next()) || first(index.fading.keys().next())
}

impl Step<'_> {
    /// Drops what is past at `now`, at most `most` of each kind.
    pub(super) fn expire(&mut self, now: UnixTime, most: usize) -> Result<(), StoreError> {
        let past = now.minus(GRACE);
        self.drop_leases(past, most)?;
        self.drop_rules(past, most)?;
        self.drop_assertions(past, most)?;
        self.drop_marks(past, most)?;
        self.drop_keys(past)
    }

    fn drop_leases(&mut self, past: UnixTime, most: usize) -> Result<(), StoreError> {
        for _ in 0..most {
            let Some(mut first) = self.index.expiring.first_entry() else { break };
            let at = *first.key();
            if at >= past {
                break;
            }
            match first.get_mut().pop() {
                Some(id) => self.drop_lease(id, at)?,
                None => drop(first.remove()),
            }
        }
        Ok(())
    }

    fn drop_lease(&mut self, id: LeaseId, at: UnixTime) -> Result<(), StoreError> {
        let key = id.to_bytes();
        let packed = self.tables.leases.remove(&key)?.map(|packed| unpack_lease(packed.value())).transpose()?;
        if let Some(PackedLease { lease, spent }) = packed {
            self.index.forget(&lease);
            self.index.gone.add(at);
            if let Some((digest, until)) = spent
                && until <= at.plus(GRACE)
            {
                self.index.replays.remove(&digest);
                self.index.gone.refused = self.index.gone.refused.max(until);
            }
        }
        self.tables.successors.remove(&key)?;
        self.tables.lease_ends.remove(&key)?;
        self.effects.dropped.push(at);
        self.written = true;
        Ok(())
    }

    fn drop_rules(&mut self, past: UnixTime, most: usize) -> Result<(), StoreError> {
        let before = self.effects.faded.len();
        for _ in 0..most {
            let Some(mut first) = self.index.fading.first_entry() else { break };
            let at = *first.key();
            if at >= past {
                break;
            }
            match first.get_mut().pop() {
                Some(position) => {
                    self.tables.log.remove(position)?;
                    self.effects.faded.push(position);
                    self.index.gone.add(at);
                    self.written = true;
                }
                None => drop(first.remove()),
            }
        }
        if self.effects.faded.len() > before {
            self.index.walls.retain(|_, (_, until)| *until >= past);
        }
        Ok(())
    }

    fn drop_assertions(&mut self, past: UnixTime, most: usize) -> Result<(), StoreError> {
        for _ in 0..most {
            let Some(key) = self.tables.spent.first_key(past)? else { break };
            self.tables.spent.remove(&key)?;
            let (until, digest) = undue(&key);
            self.index.replays.remove(&digest);
            self.index.gone.add_refusal(UnixTime::from_secs(until));
            self.written = true;
        }
        Ok(())
    }

    fn drop_marks(&mut self, past: UnixTime, most: usize) -> Result<(), StoreError> {
        for _ in 0..most {
            let Some(key) = self.tables.marks.first_key(past)? else { break };
            self.tables.marks.remove(&key)?;
            let (until, digest) = undue(&key);
            self.index.gone.add(UnixTime::from_secs(until));
            if let Some(mark) = self.index.marks.remove(&digest) {
                self.index.gone.add_refusal(mark.closed_until);
            }
            self.written = true;
        }
        Ok(())
    }

    /// The keys of brokers that came to rest without withdrawing them.
    fn drop_keys(&mut self, past: UnixTime) -> Result<(), StoreError> {
        let gone: Vec<KeyId> =
            self.index.keys.values().filter(|key| key.published_until < past).map(|key| key.kid.clone()).collect();
        for kid in gone {
            self.tables.keys.remove(kid.as_str())?;
            self.index.keys.remove(&kid);
            self.changed_shelves();
        }
        Ok(())
    }
}

/// A table whose keys begin with the moment they are past.
trait FirstKey {
    /// The first key, where it is past.
    fn first_key(&self, past: UnixTime) -> Result<Option<super::table::Due>, StoreError>;
}

impl<V: redb::Value + 'static> FirstKey for redb::Table<'_, &'static super::table::Due, V> {
    fn first_key(&self, past: UnixTime) -> Result<Option<super::table::Due>, StoreError> {
        use redb::ReadableTable as _;
        let first = self.first()?.map(|(key, _)| *key.value());
        Ok(first.filter(|key| undue(key).0 < past.secs()))
    }
}
