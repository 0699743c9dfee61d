//! Takes out what is past, a slice a batch, so that no mint waits for a great clearing.

use super::index::Index;
use super::packed::{PackedLease, unpack_lease};
use super::step::{GRACE, Step};
use super::table::undue;
use crate::model::{KeyId, LeaseId, UnixTime};
use crate::store::StoreError;

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
            if let Some((digest, until)) = spent
                && until <= at.plus(GRACE)
            {
                self.index.replays.remove(&digest);
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
            if *first.key() >= past {
                break;
            }
            match first.get_mut().pop() {
                Some(position) => {
                    self.tables.log.remove(position)?;
                    self.effects.faded.push(position);
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
            self.index.replays.remove(&undue(&key).1);
            self.written = true;
        }
        Ok(())
    }

    fn drop_marks(&mut self, past: UnixTime, most: usize) -> Result<(), StoreError> {
        for _ in 0..most {
            let Some(key) = self.tables.marks.first_key(past)? else { break };
            self.tables.marks.remove(&key)?;
            self.index.marks.remove(&undue(&key).1);
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
