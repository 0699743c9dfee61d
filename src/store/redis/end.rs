//! Ends: the mark first, the rule second, acknowledged third. On one Redis all of it is one script (`lua/end.lua`).
//!
//! Runs on a line of its own, where `WAIT` follows if replicas are asked for.

use super::layout;
use super::mint::{replay_of, unspendable};
use super::packed;
use super::script::{Answer, Call, END, SETTLE, Seen, bytes, odd};
use super::shared::Shared;
use crate::model::{LeaseId, Selector};
use crate::store::{End, EndTarget, Ended, Quarantine, RecordError, StoreError};

/// What the script is told of a target: its word, the key it keeps, the digest of its rule, further arguments.
struct Told {
    word: &'static str,
    key: layout::Key,
    selector: Selector,
    arguments: Vec<Vec<u8>>,
}

/// Ends what the target says.
///
/// # Errors
/// As [`LeaseStore::end`](crate::store::LeaseStore::end) says.
pub(super) async fn end(shared: &Shared, end: End) -> Result<Ended, RecordError> {
    let told = told(&end.target)?;
    let (replay, seconds) = replay_of(end.spent.as_ref(), end.at);
    let build = |seen: &Seen| {
        let mut call = Call::new(&END, 2 + usize::from(end.spent.is_some())).with(&told.key).with(layout::QUARANTINES);
        if let Some(spent) = &end.spent {
            call = call.with(layout::replay(spent.shard(), layout::minute(spent.until)));
        }
        call = call
            .seen(seen)
            .with(told.word)
            .with(end.at.secs())
            .with(&told.selector.digest().to_bytes())
            .with(usize::from(end.spent.is_some()))
            .with(&replay)
            .with(seconds)
            .with(end.spent.as_ref().map_or(0, |spent| spent.from.secs()));
        told.arguments.iter().fold(call, Call::with)
    };
    let answer = shared.call(&shared.ends, build).await?;
    match answer.word.as_str() {
        "OK" => {
            if let EndTarget::Task { closed_until, .. } | EndTarget::LiveTask { closed_until, .. } = &end.target {
                shared.witness((told.key, None), *closed_until);
            }
            Ok(read(answer)?)
        }
        "NOTHING" => Err(RecordError::NothingLives),
        "EPOCH" => Err(RecordError::Epoch(answer.seen.epoch)),
        _ => Err(unspendable(answer, end.spent.as_ref(), &END)),
    }
}

/// Waits for all that was written before: writes on the line of ends, where `WAIT` follows if replicas are asked for.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn settle(shared: &Shared) -> Result<(), StoreError> {
    let answer = shared.call(&shared.ends, |seen| Call::new(&SETTLE, 0).seen(seen)).await?;
    if answer.word == "OK" { Ok(()) } else { Err(odd(&SETTLE)) }
}

fn told(target: &EndTarget) -> Result<Told, StoreError> {
    let head = || layout::HEAD.as_bytes().into();
    let json = |quarantine| serde_json::to_vec(quarantine).map_err(|error| StoreError::Corrupt(error.to_string()));
    Ok(match target {
        EndTarget::Task { workload, task, closed_until } | EndTarget::LiveTask { workload, task, closed_until } => {
            Told {
                word: if matches!(target, EndTarget::Task { .. }) { "task" } else { "livetask" },
                key: layout::ended(LeaseId::shard_of(workload), workload, task.as_str()),
                selector: Selector::Task(workload.clone(), task.clone()),
                arguments: vec![
                    closed_until.to_string().into(),
                    layout::marks_prefix(LeaseId::shard_of(workload)).into(),
                ],
            }
        }
        EndTarget::Lease(id) => Told {
            word: "lease",
            key: layout::lease(*id),
            selector: Selector::Lease(*id),
            arguments: vec![layout::lease_prefix(id.shard()).into(), id.to_bytes().into()],
        },
        EndTarget::Workload(workload) => Told {
            word: "workload",
            key: head(),
            selector: Selector::Workload(workload.clone()),
            arguments: Vec::new(),
        },
        EndTarget::Quarantine(quarantine) => Told {
            word: "quarantine",
            key: quarantined(quarantine),
            selector: Selector::Workload(quarantine.workload.clone()),
            arguments: vec![json(quarantine)?, quarantine.workload.as_str().into()],
        },
        EndTarget::Restore(quarantine, epoch) => Told {
            word: "restore",
            key: quarantined(quarantine),
            selector: Selector::Workload(quarantine.workload.clone()),
            arguments: vec![json(quarantine)?, quarantine.workload.as_str().into(), epoch.to_string().into()],
        },
        EndTarget::Audience(uri) => {
            Told { word: "audience", key: head(), selector: Selector::Audience(uri.clone()), arguments: Vec::new() }
        }
        EndTarget::Key(kid) => Told {
            word: "key",
            key: layout::published(kid),
            selector: Selector::Key(kid.clone()),
            arguments: vec![kid.as_str().into()],
        },
        EndTarget::All => Told { word: "all", key: head(), selector: Selector::All, arguments: Vec::new() },
    })
}

fn quarantined(Quarantine { workload, .. }: &Quarantine) -> layout::Key {
    layout::quarantine(LeaseId::shard_of(workload), workload)
}

/// Reads the script's answer.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(crate) fn read(mut answer: Answer) -> Result<Ended, StoreError> {
    let corrupt = || odd(&END);
    let mut ended = Ended::default();
    for entry in answer.list().ok_or_else(corrupt)? {
        ended.rules.push(packed::entry(&bytes(entry).ok_or_else(corrupt)?)?.rule);
    }
    for id in answer.list().ok_or_else(corrupt)? {
        let id = bytes(id).and_then(|raw| raw.try_into().ok()).ok_or_else(corrupt)?;
        ended.leases.push(LeaseId::from_bytes(id));
    }
    ended.imposed = answer.number().ok_or_else(corrupt)? == 1;
    Ok(ended)
}
