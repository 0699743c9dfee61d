//! What Redis' own settings promise, read from it at start-up: one row a setting.
//!
//! Never changes a setting. Where Redis will not say, as managed ones do, that counts as unsafe.

use redis::Value;

use super::shared::Shared;
use crate::store::{Safety, StoreError};

/// A setting, the values that keep jitney's promises, and what another costs.
struct Row(&'static str, &'static [&'static str], &'static str);

const SETTINGS: &[Row] = &[
    Row(
        "appendonly",
        &["yes"],
        "without it a restart loses everything since the last snapshot, revocations included: set `appendonly yes`",
    ),
    Row(
        "appendfsync",
        &["always"],
        "with `everysec` a crash of the machine loses up to two seconds of acknowledged leases and revocations, with `no` \
         half a minute: set `appendfsync always`",
    ),
    Row(
        "no-appendfsync-on-rewrite",
        &["no"],
        "with `yes` nothing is synced while the log is rewritten, so a crash then loses what was acknowledged: set \
         `no-appendfsync-on-rewrite no`",
    ),
    Row(
        "maxmemory-policy",
        &["noeviction"],
        "an evicting Redis drops leases, marks and revocations when memory is short: set `maxmemory-policy noeviction`",
    ),
];

/// How far Redis' clock may be from ours: records live 90 seconds behind their time.
const CLOCK: u64 = 30;

/// Every setting that bears on durability, with the mend.
///
/// # Errors
/// [`StoreError::Unavailable`] where Redis cannot be reached; what it refuses to tell is `unknown` instead.
pub(super) async fn read(shared: &Shared) -> Result<Vec<Safety>, StoreError> {
    let mut rows = Vec::with_capacity(SETTINGS.len() + 4);
    for Row(setting, good, mend) in SETTINGS {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg(*setting);
        let value = told(shared.command(&command).await).await?.as_ref().and_then(config_value);
        let safe = value.as_deref().is_some_and(|value| good.contains(&value));
        rows.push(row(setting, value, safe, mend));
    }
    let mut command = redis::cmd("ACL");
    command.arg("GETUSER").arg("default");
    rows.push(default_user(told(shared.command(&command).await).await?.as_ref()));
    let mut command = redis::cmd("INFO");
    command.arg("replication");
    let info = told(shared.command(&command).await).await?.and_then(|value| text(&value));
    rows.extend(replication(info.as_deref(), shared.min_replicas));
    let time = told(shared.command(&redis::cmd("TIME")).await).await?;
    rows.push(clock(time.as_ref(), shared.clock.now().secs()));
    Ok(rows)
}

/// What Redis answered; none where it refused to. That it did not answer at all is an error.
async fn told(answer: Result<Value, StoreError>) -> Result<Option<Value>, StoreError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(StoreError::Unavailable(why)) if refused(&why) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `NOPERM` of an ACL, `ERR unknown command` of a managed Redis that renamed it away.
fn refused(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    ["noperm", "no permission", "unknown command", "unknown subcommand", "not allowed", "disabled"]
        .iter()
        .any(|word| why.contains(word))
}

pub(crate) fn replication(info: Option<&str>, min_replicas: u32) -> Vec<Safety> {
    let field = |name: &str| {
        let line = info?.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned())
    };
    let role = field("role");
    let is_primary = role.as_deref() == Some("master");
    let primary =
        row("role", role, is_primary, "jitney writes: `store.url` must lead to the primary, not to a replica");
    let connected = field("connected_slaves");
    let count: Option<u32> = connected.as_deref().and_then(|count| count.parse().ok());
    let value = count.map(|count| format!("{min_replicas} of {count}"));
    let safe = count
        .is_some_and(|count| if count == 0 { min_replicas == 0 } else { min_replicas > 0 && min_replicas <= count });
    let mend = "an end that only the primary holds is lost when it fails over: set `store.min_replicas` to at least 1 and \
                to no more than are connected";
    vec![primary, row("min_replicas", value, safe, mend)]
}

/// As the user `default` Redis reads its append-only file when it starts, switched off or not: what that user may not do is
/// left out then, without a word to anybody who connects.
pub(crate) fn default_user(answer: Option<&Value>) -> Safety {
    let field = |name: &str| match answer? {
        Value::Map(pairs) => pairs.iter().find(|(key, _)| text(key).as_deref() == Some(name)).map(|(_, value)| value),
        Value::Array(flat) => {
            flat.chunks(2).find(|pair| text(&pair[0]).as_deref() == Some(name)).and_then(|pair| pair.get(1))
        }
        _ => None,
    };
    let words = |name: &str| match field(name)? {
        Value::Array(items) => Some(items.iter().filter_map(text).collect::<Vec<_>>().join(" ")),
        other => text(other),
    };
    let rights = words("commands").zip(words("keys"));
    let safe = rights.as_ref().is_some_and(|(commands, keys)| {
        commands == "+@all" && keys.split(' ').any(|key| key.trim_start_matches('~') == "*")
    });
    let mend = "as this user, also where it is off, Redis reads its append-only file: without all rights a restart loses \
                what was acknowledged. Give the user `default` no way in, but all rights: `user default off nopass ~* &* +@all` \
                (default_user)";
    row("default_user", rights.map(|(commands, keys)| format!("{commands} {keys}")), safe, mend)
}

pub(crate) fn clock(time: Option<&Value>, now: u64) -> Safety {
    let seconds = match time {
        Some(Value::Array(parts)) => parts.first().and_then(super::script::int),
        _ => None,
    };
    let apart = seconds.map(|seconds| seconds.abs_diff(now));
    let value = apart.map(|apart| format!("{apart}s apart"));
    let mend = "Redis' clock and the broker's are more than 30 seconds apart: run a time service on both";
    row("clock", value, apart.is_some_and(|apart| apart <= CLOCK), mend)
}

fn row(setting: &str, value: Option<String>, safe: bool, mend: &str) -> Safety {
    let value = value.unwrap_or_else(|| "unknown".to_owned());
    Safety { setting: setting.to_owned(), value, safe, mend: if safe { String::new() } else { mend.to_owned() } }
}

/// `CONFIG GET` answers a map, or a flat list of name and value.
pub(crate) fn config_value(answer: &Value) -> Option<String> {
    match answer {
        Value::Map(pairs) => text(&pairs.first()?.1),
        Value::Array(flat) => text(flat.get(1)?),
        _ => None,
    }
}

pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_that_will_not_say_counts_as_unsafe() {
        let rows = replication(None, 0);
        assert!(rows.iter().all(|row| !row.safe && row.value == "unknown" && !row.mend.is_empty()), "{rows:?}");
        assert!(!clock(None, 5).safe);
        assert!(refused("NOPERM: this user has no permissions to run the 'config|get' command"));
        assert!(!refused("connection refused"));
    }

    #[test]
    fn replicas_that_nobody_waits_for_are_unsafe() {
        let info = |count: u32| format!("# Replication\r\nrole:master\r\nconnected_slaves:{count}\r\n");
        for (connected, min_replicas, safe) in [(0, 0, true), (2, 0, false), (2, 1, true), (2, 3, false), (0, 1, false)]
        {
            let rows = replication(Some(&info(connected)), min_replicas);
            assert_eq!((rows[0].safe, rows[1].safe), (true, safe), "{min_replicas} of {connected}");
        }
        assert!(!replication(Some("role:slave\r\nconnected_slaves:0\r\n"), 0)[0].safe);
    }

    #[test]
    fn clocks_far_apart_are_unsafe() {
        let time = Value::Array(vec![Value::BulkString(b"1000".to_vec()), Value::BulkString(b"5".to_vec())]);
        assert!(clock(Some(&time), 1030).safe);
        assert!(!clock(Some(&time), 1031).safe);
    }
}
