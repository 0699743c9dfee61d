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

/// What of our scripts Redis writes into the append-only file, as it writes it (`EXPIRE` as `PEXPIREAT`), and may have written.
const REPLAYED: [&[&str]; 12] = [
    &["SET", KEY, "v"],
    &["APPEND", KEY, "v"],
    &["DEL", KEY],
    &["UNLINK", KEY],
    &["PEXPIREAT", KEY, "1"],
    &["HSET", KEY, "f", "v"],
    &["HSETNX", KEY, "f", "v"],
    &["RPUSH", KEY, "v"],
    &["SADD", KEY, "v"],
    &["SREM", KEY, "v"],
    &["ZADD", KEY, "1", "v"],
    &["ZREMRANGEBYSCORE", KEY, "1", "1"],
];

/// Any key of ours: rights are by its first letters.
const KEY: &str = "jitney:{log}:head";

/// Whether what expires is freed beside the commands. It costs no promise, only time.
const LAZY: &str = "lazyfree-lazy-expire";

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
    // `appendonly` is the first.
    rows.push(default_user(shared, rows.first().is_some_and(|row| row.value == "no")).await?);
    let mut command = redis::cmd("INFO");
    command.arg("replication");
    let info = told(shared.command(&command).await).await?.and_then(|value| text(&value));
    rows.extend(replication(info.as_deref(), shared.min_replicas));
    let time = told(shared.command(&redis::cmd("TIME")).await).await?;
    rows.push(clock(time.as_ref(), shared.clock.now().secs()));
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg(LAZY);
    rows.push(lazy(told(shared.command(&command).await).await?.as_ref().and_then(config_value)));
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
pub(super) fn refused(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    ["noperm", "no permission", "unknown command", "unknown subcommand", "not allowed", "disabled"]
        .iter()
        .any(|word| why.contains(word))
}

/// Whether the user as which Redis replays the append-only file may do what is in it. It looks at each step of several
/// commands as if `default` had sent it, and leaves out what that user may not do, whether it is on or off.
async fn default_user(shared: &Shared, nothing_is_replayed: bool) -> Result<Safety, StoreError> {
    let name = "default_user";
    if nothing_is_replayed {
        return Ok(row(name, Some("replays nothing".to_owned()), true, ""));
    }
    let mut dry = redis::pipe();
    for words in REPLAYED {
        dry.cmd("ACL").arg("DRYRUN").arg("default").arg(words);
    }
    let answers = match shared.commands(&dry).await {
        Ok(answers) => Some(answers),
        Err(StoreError::Unavailable(why)) if refused(&why) => None,
        Err(error) => return Err(error),
    };
    let denied = answers.map(|answers| {
        let denied = REPLAYED.iter().zip(&answers).filter(|(_, answer)| !allowed(answer));
        denied.map(|(words, _)| words[0].to_ascii_lowercase()).collect::<Vec<_>>()
    });
    let safe = denied.as_ref().is_some_and(Vec::is_empty);
    let value = denied.map(|denied| if safe { "may".to_owned() } else { format!("may not {}", denied.join(", ")) });
    let mend = "at its start Redis replays the append-only file as the user `default`, and drops without an error what that \
                user may not do, acknowledged leases and revocations: set `user default off nopass sanitize-payload ~* &* \
                +@all` (off: nobody can log in as it), and give jitney's user `+acl|dryrun`, as deploy/redis.acl does";
    Ok(row(name, value, safe, mend))
}

/// `ACL DRYRUN` answers `OK`, or why not as a plain text.
fn allowed(answer: &Value) -> bool {
    matches!(answer, Value::Okay) || text(answer).as_deref() == Some("OK")
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

/// Safe either way; where it is off, what may be mended.
pub(crate) fn lazy(value: Option<String>) -> Safety {
    let is_off = value.as_deref() == Some("no");
    let mend = "a minute's leases expire at once, and Redis answers nobody while it frees them (0.1 s for 300 000 of one \
                workload): set `lazyfree-lazy-expire yes`";
    Safety { mend: if is_off { mend.to_owned() } else { String::new() }, ..row(LAZY, value, true, "") }
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
    use super::super::script;
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
    fn whatever_a_script_writes_is_asked_of_the_replaying_user() {
        let reads = "EXISTS GET HEXISTS HGET HGETALL HLEN HMGET LINDEX LLEN LRANGE MGET SCARD SISMEMBER SMEMBERS TIME \
                     TTL ZRANGEBYSCORE ZREVRANGEBYSCORE";
        // Never in the append-only file.
        let passing = ["PUBLISH"];
        let mut writes = 0;
        let scripts = [
            &script::CHECK,
            &script::EPOCH,
            &script::MINT,
            &script::SPEND,
            &script::END,
            &script::SETTLE,
            &script::LOG,
            &script::PUBLISH,
            &script::KEYS,
            &script::RELEASE,
            &script::QUARANTINES,
            &script::FIGURES,
        ];
        for script in scripts {
            // `redis.call`, `redis.pcall`, and `call` for short.
            for call in script.text.split("call('").skip(1) {
                let command = call.split('\'').next().unwrap();
                if reads.split_whitespace().any(|read| read == command) || passing.contains(&command) {
                    continue;
                }
                let written = if command == "EXPIRE" { "PEXPIREAT" } else { command };
                assert!(REPLAYED.iter().any(|words| words[0] == written), "{command} of {}", script.name);
                writes += 1;
            }
        }
        assert!(writes > 20, "{writes}");
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
    fn what_expires_all_at_once_is_advised_against_and_not_refused() {
        let rows = ["no", "yes"].map(|value| lazy(Some(value.to_owned())));
        assert_eq!(rows.each_ref().map(|row| (row.safe, row.mend.is_empty())), [(true, false), (true, true)]);
        assert!(lazy(None).mend.is_empty(), "who runs it for others may not say, and cannot be told");
    }

    #[test]
    fn clocks_far_apart_are_unsafe() {
        let time = Value::Array(vec![Value::BulkString(b"1000".to_vec()), Value::BulkString(b"5".to_vec())]);
        assert!(clock(Some(&time), 1030).safe);
        assert!(!clock(Some(&time), 1031).safe);
    }
}
