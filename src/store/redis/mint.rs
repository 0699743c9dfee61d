//! Recording a lease, and using up an assertion elsewhere: one script each, one round trip.
//!
//! The order head → marks → record is the script's (`lua/mint.lua`); here its arguments are laid out and its words read.

use super::layout;
use super::packed;
use super::script::{Answer, Call, MINT, SPEND, Script, Seen, odd};
use super::shared::Shared;
use crate::model::{LeaseId, Position, RuleDigest, UnixTime};
use crate::store::{Head, LeaseDraft, RecordError, Recorded, Spent};

/// Records a lease.
///
/// # Errors
/// As [`LeaseStore::record`](crate::store::LeaseStore::record) says.
pub(super) async fn record(shared: &Shared, draft: LeaseDraft) -> Result<Recorded, RecordError> {
    let answer = shared.call(&shared.main, |seen| call(&draft, seen)).await?;
    if answer.word != "OK" {
        return Err(refusal(answer, &draft));
    }
    let lease = draft.lease();
    shared.witness(layout::lease(lease.id), lease.expires_at);
    Ok(Recorded::by_the_store(draft.at(answer.seen.position)))
}

fn call(draft: &LeaseDraft, seen: &Seen) -> Call {
    let lease = draft.lease();
    let now = lease.issued_at;
    let shard = LeaseId::shard_of(&lease.workload);
    let (renews, quarantines) = (usize::from(lease.predecessor.is_some()), 1 + lease.actors.len());
    let minute = layout::minute(lease.expires_at);
    let record = layout::lease(lease.id);
    let mut call = Call::new(&MINT, 5 + renews + quarantines + lease.task.lineage().count())
        .with(&record)
        .with(layout::index(shard, minute))
        .with(layout::directory(minute));
    call = match draft.spent() {
        Some(spent) => call.with(layout::replay(spent.shard(), layout::minute(spent.until))),
        None => call.with(&record),
    };
    call = call.with(layout::published(&lease.kid));
    if let Some(predecessor) = lease.predecessor {
        call = call.with(layout::lease(predecessor));
    }
    for workload in std::iter::once(&lease.workload).chain(&lease.actors) {
        call = call.with(layout::quarantine(workload));
    }
    for name in lease.task.lineage() {
        call = call.with(layout::mark(&lease.workload, name));
    }
    let (digest, seconds) = replay_of(draft.spent(), now);
    call = call
        .seen(seen)
        .with(lease.epoch.to_string())
        .with(&digest)
        .with(now.secs())
        .with(lease.expires_at.secs())
        .with(draft.ceiling().map_or(HIGHEST, Position::get))
        .with(&lease.id.to_bytes())
        .with(packed::behind_position(lease))
        .with(lease.audience.as_str())
        .with(layout::seconds(lease.expires_at, now))
        .with(layout::seconds_of_minute(lease.expires_at, now))
        .with(&shard)
        .with(usize::from(draft.spent().is_some()))
        .with(renews)
        .with(quarantines)
        .with(seconds)
        .with(draft.spent().map_or(0, |spent| spent.from.secs()));
    // Only a successor's rule is asked for by its digest later, when its chain is walked.
    match renews {
        0 => call,
        _ => call.with(&RuleDigest::lease(lease.id).to_bytes()),
    }
}

/// No ceiling: a place no log reaches, exact as a Lua number.
const HIGHEST: u64 = 1 << 52;

/// The digest of an assertion, that of its purpose behind it where it has one, and the seconds its minute is remembered
/// from `now`.
pub(super) fn replay_of(spent: Option<&Spent>, now: UnixTime) -> (Vec<u8>, u64) {
    let digests = spent.map(|spent| (spent.digests().flatten().collect(), layout::seconds_of_minute(spent.until, now)));
    digests.unwrap_or_default()
}

fn refusal(mut answer: Answer, draft: &LeaseDraft) -> RecordError {
    let lease = draft.lease();
    match answer.word.as_str() {
        "EPOCH" => RecordError::Epoch(answer.seen.epoch),
        "KEY" => RecordError::KeyRefused(lease.kid.clone()),
        "DUPLICATE" => RecordError::Duplicate,
        "QUARANTINE" => match answer.number() {
            Some(at) if at > 0 => {
                let actor = usize::try_from(at - 1).ok().and_then(|at| lease.actors.get(at));
                RecordError::Quarantined(actor.unwrap_or(&lease.workload).clone())
            }
            _ => RecordError::Quarantined(lease.workload.clone()),
        },
        "TASK" => {
            let name = answer.number().and_then(|at| lease.task.lineage().nth(usize::try_from(at).ok()?));
            let task = name.unwrap_or(lease.task.as_str()).to_owned();
            RecordError::TaskEnded { task, until: UnixTime::from_secs(answer.number().unwrap_or_default()) }
        }
        "PREDECESSOR" => RecordError::Predecessor(match answer.number() {
            Some(1) => "was revoked",
            Some(2) => "was renewed already",
            _ => "is unknown or has expired",
        }),
        _ => unspendable(answer, draft.spent(), &MINT),
    }
}

/// The refusal of an assertion that does not count.
pub(super) fn unspendable(mut answer: Answer, spent: Option<&Spent>, script: &Script) -> RecordError {
    let since = answer.number();
    match (answer.word.as_str(), spent, since) {
        ("REPLAYED", ..) => RecordError::Replayed,
        ("FORGOTTEN", Some(spent), Some(since)) => {
            RecordError::Forgotten { from: spent.from, since: UnixTime::from_secs(since) }
        }
        _ => odd(script).into(),
    }
}

/// Uses up an assertion.
///
/// # Errors
/// [`RecordError::Replayed`], [`RecordError::Forgotten`], or [`RecordError::Store`].
pub(super) async fn spend(shared: &Shared, spent: Spent) -> Result<Head, RecordError> {
    let (digest, seconds) = replay_of(Some(&spent), shared.clock.now());
    let key = layout::replay(spent.shard(), layout::minute(spent.until));
    let build =
        |seen: &Seen| Call::new(&SPEND, 1).with(key).seen(seen).with(&digest).with(seconds).with(spent.from.secs());
    let answer = shared.call(&shared.main, build).await?;
    match answer.word.as_str() {
        "OK" => Ok(answer.seen.head()),
        _ => Err(unspendable(answer, Some(&spent), &SPEND)),
    }
}
