//! Reading the log: whole segments of up to 256 rules, those that have expired skipped.

use super::packed;
use super::script::{Answer, Call, LOG, Seen, bytes, int, odd};
use super::shared::Shared;
use crate::model::{KeyId, Position, Rule, RuleKind, Selector};
use crate::store::{LogEntry, LogPage, StoreError};

/// No page holds more: one script must not hold Redis for long.
const MOST: usize = 4096;

/// The rules behind `after`.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn page(shared: &Shared, after: Position, limit: usize) -> Result<LogPage, StoreError> {
    let limit = limit.clamp(1, MOST);
    let now = shared.clock.now();
    let build = |seen: &Seen| Call::new(&LOG, 0).seen(seen).with(after.get()).with(limit).with(now.secs());
    read(shared.call(&shared.main, build).await?, limit)
}

/// Reads the script's answer.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(crate) fn read(mut answer: Answer, limit: usize) -> Result<LogPage, StoreError> {
    let corrupt = || odd(&LOG);
    let mut entries = Vec::new();
    for raw in answer.list().ok_or_else(corrupt)? {
        let entry = packed::entry(&bytes(raw).ok_or_else(corrupt)?)?;
        // Rules on keys are told from the head, where they never expire; in a segment they only hold their place.
        if entry.rule.kind != RuleKind::Key {
            entries.push(entry);
        }
    }
    let keys = answer.list().ok_or_else(corrupt)?;
    let mut upto = Position::new(answer.number().ok_or_else(corrupt)?);
    for pair in keys.chunks_exact(2) {
        let rule = key_rule(pair).ok_or_else(corrupt)?;
        if rule.position <= upto {
            entries.push(LogEntry { rule, audiences: Vec::new() });
        }
    }
    entries.sort_by_key(|entry| entry.rule.position);
    if entries.len() > limit {
        entries.truncate(limit);
        upto = entries.last().map_or(upto, |entry| entry.rule.position);
    }
    Ok(LogPage { head: answer.seen.head(), entries, upto })
}

fn key_rule(pair: &[redis::Value]) -> Option<Rule> {
    let kid = KeyId::parse(std::str::from_utf8(&bytes(pair[0].clone())?).ok()?).ok()?;
    let position = Position::new(int(&pair[1])?);
    let selector = Selector::Key(kid);
    Some(Rule { kind: RuleKind::Key, digest: selector.digest(), position, until: None })
}
