//! Recording a lease, and using up an assertion elsewhere: one script each, one round trip.
//!
//! The order head → marks → record is the script's (`lua/mint.lua`); here its arguments are laid out and its words read.

use super::begun::Kept;
use super::layout;
use super::packed;
use super::script::{Answer, Call, MINT, SPEND, Script, Seen, odd};
use super::shared::Shared;
use crate::model::{Lease, LeaseId, Position, RuleDigest, UnixTime};
use crate::store::{Head, LeaseDraft, RecordError, Recorded, Spent};

/// Records a lease.
///
/// # Errors
/// As [`LeaseStore::record`](crate::store::LeaseStore::record) says.
pub(super) async fn record(shared: &Shared, draft: LeaseDraft) -> Result<Recorded, RecordError> {
    let mut begins = false;
    let answer = shared
        .call(&shared.main, |seen| {
            begins = !shared.begun.knows(seen.generation, kept(&draft));
            call(&draft, seen, begins)
        })
        .await?;
    if answer.word != "OK" {
        return Err(refusal(answer, &draft));
    }
    let lease = draft.lease();
    if begins {
        shared.begun.note(answer.seen.generation, kept(&draft));
    }
    shared.witness((layout::lease(lease.id), Some(layout::field(lease.id))), lease.expires_at);
    Ok(Recorded::by_the_store(draft.at(answer.seen.position)))
}

fn window(lease: &Lease) -> u64 {
    layout::window(lease.issued_at, lease.expires_at)
}

/// The minutes that it falls into, with those up to which they are to be kept.
fn kept(draft: &LeaseDraft) -> impl Iterator<Item = (Kept, u64)> {
    let lease = draft.lease();
    let leases = Kept::Leases(lease.id.shard(), layout::made_in(lease.id));
    let marks = Kept::Marks(lease.id.shard(), window(lease));
    let assertion = draft.spent().map(|spent| {
        let minute = layout::minute(spent.until);
        (Kept::Assertions(spent.shard(), minute), minute)
    });
    [(leases, layout::minute_behind(lease.expires_at)), (marks, window(lease))].into_iter().chain(assertion)
}

fn call(draft: &LeaseDraft, seen: &Seen, begins: bool) -> Call {
    let lease = draft.lease();
    let shard = lease.id.shard();
    let quarantines = 1 + lease.actors.len();
    let names = lease.task.lineage().count();
    let renews = lease.predecessor.is_some();
    let leases = layout::lease(lease.id);
    let replay = draft.spent().map(|spent| layout::replay(spent.shard(), layout::minute(spent.until)));
    let mut call = Call::new(&MINT, 4 + quarantines + names + usize::from(renews));
    call.add(&leases).add(replay.as_ref().unwrap_or(&leases)).add(layout::marks(shard, window(lease)));
    call.add(layout::published(&lease.kid)).add(layout::quarantine(shard, &lease.workload));
    for actor in &lease.actors {
        call.add(layout::quarantine(LeaseId::shard_of(actor), actor));
    }
    for name in lease.task.lineage() {
        call.add(layout::ended(shard, &lease.workload, name));
    }
    if let Some(predecessor) = lease.predecessor {
        call.add(layout::lease(predecessor));
    }
    let (digest, remembered) = replay_of(draft.spent(), lease.issued_at);
    let is_plain =
        quarantines == 1 && names == 1 && !renews && !begins && digest.len() == 16 && lease.epoch == seen.epoch;
    let position = draft.ceiling().map_or(seen.position, |ceiling| ceiling.min(seen.position));
    call.add_seen(seen).pack(|packed| numbers(packed, draft, begins, remembered)).add(&digest);
    call.add(layout::field(lease.id)).pack(|record| packed::at(record, lease, position));
    call.pack(|mark| packed::mark(mark, lease));
    // Only a successor's rule is asked for by its digest later, when its chain is walked.
    if let Some(predecessor) = lease.predecessor {
        let (id, rule) = (lease.id.to_bytes(), RuleDigest::lease(lease.id).to_bytes());
        call.add(layout::field(predecessor)).add(&id).add(&rule);
    }
    if !is_plain {
        call.add(layout::made_in(lease.id)).add(&shard);
    }
    call
}

/// The numbers of a mint in one argument, for each argument costs Redis as much as a small command: epoch 16, now 5, ceiling
/// 6, since when the assertion is usable 5, exp 5, quarantines 1, whether it is a renewal 1, whether it begins a minute 1, for
/// how many seconds its minute's leases are kept 4, and its assertions 4; its window 4, and for how many seconds that is 4.
fn numbers(packed: &mut Vec<u8>, draft: &LeaseDraft, begins: bool, remembered: u64) {
    let lease = draft.lease();
    let (now, window) = (lease.issued_at, window(lease));
    packed.extend_from_slice(&lease.epoch.digits());
    packed::number(packed, now.secs(), 5);
    packed::number(packed, draft.ceiling().map_or(u64::MAX, Position::get), 6);
    packed::number(packed, draft.spent().map_or(0, |spent| spent.from.secs()), 5);
    packed::number(packed, lease.expires_at.secs(), 5);
    packed::number(packed, 1 + lease.actors.len() as u64, 1);
    packed.extend([u8::from(lease.predecessor.is_some()), u8::from(begins)]);
    packed::number(packed, layout::seconds_of_minute(lease.expires_at, now), 4);
    packed::number(packed, remembered, 4);
    packed::number(packed, window, 4);
    packed::number(packed, layout::seconds(UnixTime::from_secs(window.saturating_mul(60)), now), 4);
}

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
    let now = shared.clock.now();
    let (digest, seconds) = replay_of(Some(&spent), now);
    let key = layout::replay(spent.shard(), layout::minute(spent.until));
    let build = |seen: &Seen| {
        let call = Call::new(&SPEND, 1).with(key).seen(seen).with(&digest).with(seconds);
        call.with(spent.from.secs()).with(now.secs())
    };
    let answer = shared.call(&shared.main, build).await?;
    match answer.word.as_str() {
        "OK" => Ok(answer.seen.head()),
        _ => Err(unspendable(answer, Some(&spent), &SPEND)),
    }
}
