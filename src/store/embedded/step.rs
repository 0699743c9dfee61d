//! One batch within one transaction: what mints and ends change, in the order they came.
//!
//! Owns the appending to the log and the small writes; `mint` and `end` own the rules of the two great steps, `expire`
//! takes out what is past. Nothing here is visible or true before the writer has committed.

use ring::digest::{Context, SHA256};

use super::index::{AudienceSet, Digest, Index, named};
use super::packed::pack_rule;
use super::table::{Tables, due};
use super::view::{Effects, Row};
use crate::model::{Epoch, KeyId, Position, Rule, RuleDigest, RuleKind, UnixTime, WorkloadId};
use crate::store::{PublishedKey, RecordError, Spent, StoreError};

/// How long a record stands after its `exp`: longer than any verifier's skew, so that what a clock behind ours still
/// takes for valid can still be ended.
pub(super) const GRACE: std::time::Duration = std::time::Duration::from_secs(60);

/// The tables, the memory, and what readers will be shown.
pub(super) struct Step<'txn> {
    pub tables: Tables<'txn>,
    pub index: &'txn mut Index,
    pub effects: &'txn mut Effects,
    /// Whether anything was written: a batch of refusals needs no sync.
    pub written: bool,
}

impl Step<'_> {
    /// Appends one rule behind all others.
    pub(super) fn append(
        &mut self,
        kind: RuleKind,
        digest: RuleDigest,
        until: Option<UnixTime>,
        audiences: AudienceSet,
    ) -> Result<Rule, StoreError> {
        let position = self.index.head.position.next();
        let rule = Rule { kind, digest, position, until };
        let packed = pack_rule(&rule, &named(audiences, &self.index.names));
        let tag = chained(self.index.tag, position, &packed);
        self.tables.log.insert(position.get(), (tag, packed.as_slice()))?;
        self.index.head.position = position;
        self.index.tag = tag;
        self.index.note(&rule);
        self.effects.appended.push((position.get(), Row::new(&rule, audiences)));
        self.written = true;
        Ok(rule)
    }

    /// Refuses an assertion that was used before, or of which that is not known.
    pub(super) fn unused(&self, spent: Option<&Spent>) -> Result<(), RecordError> {
        let Some(spent) = spent else { return Ok(()) };
        let replays = &self.index.replays;
        if replays.contains(&spent.digest) {
            // Bound to this very purpose it may come again, however old the memory is: that it is bound is known.
            let is_bound = spent.unless.is_some_and(|purpose| replays.contains(&purpose));
            return if is_bound { Ok(()) } else { Err(RecordError::Replayed) };
        }
        match self.index.memory {
            Some(since) if spent.from <= since => Err(RecordError::Forgotten { from: spent.from, since }),
            _ => Ok(()),
        }
    }

    /// Uses an assertion up in a row of its own.
    pub(super) fn use_up(&mut self, spent: &Spent) -> Result<(), StoreError> {
        for digest in spent.digests() {
            self.tables.spent.insert(&due(spent.until.secs(), &digest), ())?;
            self.index.replays.insert(digest);
        }
        self.written = true;
        Ok(())
    }

    /// Lifts a quarantine; also one that is not restored yet.
    pub(super) fn release(&mut self, workload: &WorkloadId) -> Result<bool, RecordError> {
        let was = self.index.quarantines.remove(workload).is_some();
        if was || !self.index.released.contains(workload) {
            self.tables.quarantines.remove(workload.as_str())?;
            self.tables.released.insert(workload.as_str(), ())?;
            self.index.released.insert(workload.clone());
            self.changed_shelves();
        }
        Ok(was)
    }

    /// Remembers that assertions used up to `at` may be forgotten.
    pub(super) fn forget(&mut self, at: UnixTime) -> Result<(), RecordError> {
        let memory = self.index.memory.map_or(at, |before| before.max(at));
        self.tables.meta.insert("memory", memory.secs())?;
        self.index.memory = Some(memory);
        self.written = true;
        Ok(())
    }

    /// Publishes a key. A publication is never cut short: another broker may have signed in trust of it.
    pub(super) fn publish(&mut self, mut key: PublishedKey, epoch: Epoch) -> Result<(), RecordError> {
        if epoch != self.index.head.epoch {
            return Err(RecordError::Epoch(self.index.head.epoch));
        }
        if self.index.revoked.contains(&key.kid) {
            return Err(RecordError::KeyRefused(key.kid));
        }
        if let Some(before) = self.index.keys.get(&key.kid) {
            key.published_until = key.published_until.max(before.published_until);
        }
        self.tables.keys.insert(key.kid.as_str(), json(&key)?.as_slice())?;
        self.index.keys.insert(key.kid.clone(), key);
        self.changed_shelves();
        Ok(())
    }

    /// Takes a key out of the published ones.
    pub(super) fn withdraw(&mut self, kid: &KeyId) -> Result<(), RecordError> {
        if self.index.keys.remove(kid).is_some() {
            self.tables.keys.remove(kid.as_str())?;
            self.changed_shelves();
        }
        Ok(())
    }

    pub(super) fn changed_shelves(&mut self) {
        self.effects.shelves = true;
        self.written = true;
    }

    /// Writes the head where it moved, and counts the commit; the last write of a batch.
    pub(super) fn finish(mut self) -> Result<bool, StoreError> {
        if self.written {
            self.index.commits += 1;
            self.tables.meta.insert("commits", self.index.commits)?;
            self.tables.meta.insert("gone", self.index.gone.counted.secs())?;
            self.tables.meta.insert("gone_refusals", self.index.gone.refused.secs())?;
        }
        if !self.effects.appended.is_empty() {
            self.tables.meta.insert("position", self.index.head.position.get())?;
            self.tables.meta.insert("tag", self.index.tag)?;
        }
        Ok(self.written)
    }
}

/// As JSON, for the few records that operators' tools may look at.
pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|why| StoreError::Corrupt(why.to_string()))
}

/// The tag of an entry: 8 bytes of SHA-256 over the tag before it, its position and itself. A tail that was cut off and
/// grew anew has other tags.
fn chained(before: u64, position: Position, packed: &[u8]) -> u64 {
    let mut context = Context::new(&SHA256);
    context.update(&before.to_be_bytes());
    context.update(&position.get().to_be_bytes());
    context.update(packed);
    let mut tag: [u8; 8] = [0; 8];
    tag.copy_from_slice(&context.finish().as_ref()[..8]);
    u64::from_be_bytes(tag)
}

/// The digest of a task's rule, as the memory keeps it.
pub(super) fn task_digest(workload: &WorkloadId, name: &str) -> Digest {
    RuleDigest::task(workload, name).to_bytes()
}
