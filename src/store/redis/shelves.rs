//! What lies beside leases and log: published keys, quarantines.

use super::layout;
use super::script::{Answer, Call, KEYS, PUBLISH, QUARANTINES, RELEASE, Seen, bytes, odd};
use super::shared::Shared;
use crate::model::{Epoch, KeyId, LeaseId, WorkloadId};
use crate::store::{PublishedKey, Quarantines, RecordError, StoreError};

/// The published keys of this epoch.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn keys(shared: &Shared) -> Result<Vec<PublishedKey>, StoreError> {
    let build = |seen: &Seen| Call::new(&KEYS, 1).with(layout::KIDS).seen(seen);
    read(shared.call(&shared.main, build).await?)
}

/// Reads the script's answer.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(crate) fn read(mut answer: Answer) -> Result<Vec<PublishedKey>, StoreError> {
    let mut keys = Vec::new();
    for value in answer.list().ok_or_else(|| odd(&KEYS))? {
        let json = bytes(value).ok_or_else(|| odd(&KEYS))?;
        let key: PublishedKey =
            serde_json::from_slice(&json).map_err(|_| StoreError::Corrupt("a published key".into()))?;
        keys.push(key);
    }
    keys.sort_by(|a, b| (a.published_at, &a.kid).cmp(&(b.published_at, &b.kid)));
    Ok(keys)
}

/// Publishes a key.
///
/// # Errors
/// [`RecordError::KeyRefused`], [`RecordError::Epoch`] or [`RecordError::Store`].
pub(super) async fn publish(shared: &Shared, key: PublishedKey, epoch: Epoch) -> Result<(), RecordError> {
    let json = serde_json::to_string(&key).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let seconds = layout::seconds(key.published_until, shared.clock.now());
    let build = |seen: &Seen| {
        Call::new(&PUBLISH, 2)
            .with(layout::published(&key.kid))
            .with(layout::KIDS)
            .seen(seen)
            .with(epoch.to_string())
            .with(key.kid.as_str())
            .with(format!("{epoch}{json}"))
            .with(seconds)
    };
    let answer = shared.call(&shared.main, build).await?;
    match answer.word.as_str() {
        "OK" => Ok(()),
        "EPOCH" => Err(RecordError::Epoch(answer.seen.epoch)),
        "KEY" => Err(RecordError::KeyRefused(key.kid)),
        _ => Err(odd(&PUBLISH).into()),
    }
}

/// Takes a key out.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn withdraw(shared: &Shared, kid: KeyId) -> Result<(), StoreError> {
    let mut both = redis::pipe();
    both.cmd("DEL").arg(layout::published(&kid)).cmd("SREM").arg(layout::KIDS).arg(kid.as_str());
    shared.commands(&both).await.map(|_| ())
}

/// Lifts a quarantine.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn release(shared: &Shared, workload: &WorkloadId) -> Result<bool, StoreError> {
    let build = |seen: &Seen| {
        Call::new(&RELEASE, 2)
            .with(layout::quarantine(LeaseId::shard_of(workload), workload))
            .with(layout::QUARANTINES)
            .seen(seen)
            .with(workload.as_str())
    };
    let was = shared.call(&shared.main, build).await?.number().ok_or_else(|| odd(&RELEASE))?;
    Ok(was == 1)
}

/// All quarantines.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn quarantines(shared: &Shared) -> Result<Quarantines, StoreError> {
    let build = |seen: &Seen| Call::new(&QUARANTINES, 1).with(layout::QUARANTINES).seen(seen);
    let mut answer = shared.call(&shared.main, build).await?;
    let mut all = Vec::new();
    for value in answer.list().ok_or_else(|| odd(&QUARANTINES))? {
        let json = bytes(value).ok_or_else(|| odd(&QUARANTINES))?;
        all.push(serde_json::from_slice(&json).map_err(|_| StoreError::Corrupt("a quarantine".into()))?);
    }
    Ok(Quarantines { epoch: answer.seen.epoch, all })
}
