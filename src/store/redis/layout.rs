//! Where things lie in Redis: every key's name, and how long it lives.
//!
//! Owns the names only; what lies under them is written by the scripts in `lua/`. All of one workload shares a hash tag
//! (its shard), the log and the published keys have tags of their own.

use std::fmt::Write as _;

use crate::model::{KeyId, LeaseId, RuleDigest, UnixTime, WorkloadId};

/// The log's head: epoch, generation, position, tag, base, the latest exp of any lease, and the revoked keys.
pub(super) const HEAD: &str = "jitney:{log}:head";
/// The names of all published keys.
pub(super) const KIDS: &str = "jitney:{keys}:all";
/// All quarantines by workload, as they lie in its corner; or, of one that was released, in which generation.
pub(super) const QUARANTINES: &str = "jitney:{log}:quarantines";
/// Written now and then for nothing but to see that Redis takes writes.
pub(super) const PROBE: &str = "jitney:{log}:probe";
/// The channel that says that the log moved.
pub(super) const MOVED: &str = "jitney:moved";

/// How long a record stays behind its time, in seconds. The scripts know it by the same name.
const GRACE: u64 = 90;
/// No key is set to expire later than this, whatever is asked: a number Redis takes.
const LONGEST: u64 = 10 * 365 * 86_400;

/// A workload's corner of the key space.
pub(super) type Shard = [u8; 4];

/// Seconds from `now` until `until` and the grace behind it. Relative, so that Redis' clock need not agree with ours.
pub(super) fn seconds(until: UnixTime, now: UnixTime) -> u64 {
    until.since(now).as_secs().min(LONGEST) + GRACE
}

/// The minute in which a moment lies.
pub(super) const fn minute(at: UnixTime) -> u64 {
    at.secs() / 60
}

/// Seconds from `now` until the minute of `at` and the grace behind it are over.
pub(super) fn seconds_of_minute(at: UnixTime, now: UnixTime) -> u64 {
    seconds(UnixTime::from_secs((minute(at) + 1).saturating_mul(60)), now)
}

/// A lease's record, a string.
pub(super) fn lease(id: LeaseId) -> Vec<u8> {
    let mut key = lease_prefix(id.shard());
    key.extend_from_slice(&id.to_bytes());
    key
}

/// What stands before the 16 bytes of a lease's name.
pub(super) fn lease_prefix(shard: Shard) -> Vec<u8> {
    in_shard(shard, 'l').into_bytes()
}

/// The mark of a task, a string.
pub(super) fn mark(workload: &WorkloadId, task: &str) -> Vec<u8> {
    let mut key = in_shard(LeaseId::shard_of(workload), 't').into_bytes();
    key.extend_from_slice(&RuleDigest::task(workload, task).to_bytes());
    key
}

/// The leases of a shard that expire in one minute, a list of their names.
pub(super) fn index(shard: Shard, minute: u64) -> String {
    let mut key = in_shard(shard, 'i');
    let _ = write!(key, "{minute}");
    key
}

/// The assertions of a shard that cannot be used after one minute, a hash of their digests: small ones are packed.
pub(super) fn replay(shard: Shard, minute: u64) -> String {
    let mut key = in_shard(shard, 'r');
    let _ = write!(key, "{minute}");
    key
}

/// The shards with leases that expire in one minute, a set. With it, listing all leases needs no walk over all keys.
pub(super) fn directory(minute: u64) -> String {
    format!("jitney:{{dir}}:{minute}")
}

/// A workload's quarantine, JSON; no expiry.
pub(super) fn quarantine(workload: &WorkloadId) -> String {
    let mut key = in_shard(LeaseId::shard_of(workload), 'q');
    key.push_str(workload.as_str());
    key
}

/// A published key: 16 hex digits of its epoch, then JSON.
pub(super) fn published(kid: &KeyId) -> String {
    format!("jitney:{{keys}}:k:{kid}")
}

fn in_shard(shard: Shard, what: char) -> String {
    // One allocation: the longest name behind it is a workload's.
    let mut key = String::with_capacity(84);
    let _ = write!(key, "jitney:{{{:08x}}}:{what}:", u32::from_be_bytes(shard));
    key
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_one_mint_touches_of_a_workload_shares_a_hash_tag() {
        let workload = WorkloadId::parse("nightly-report").unwrap();
        let shard = LeaseId::shard_of(&workload);
        let tag = format!("jitney:{{{:08x}}}:", u32::from_be_bytes(shard));
        for key in [
            lease(LeaseId::new(1, shard, 2)),
            mark(&workload, "a/b"),
            index(shard, 1).into_bytes(),
            replay(shard, 1).into_bytes(),
            quarantine(&workload).into_bytes(),
        ] {
            assert!(key.starts_with(tag.as_bytes()), "{}", String::from_utf8_lossy(&key));
        }
    }

    #[test]
    fn a_record_outlives_its_time_by_a_minute_at_least_and_never_for_ever() {
        let now = UnixTime::from_secs(1_790_000_000);
        assert!(seconds(now.plus(Duration::from_secs(300)), now) >= 360);
        assert!(seconds_of_minute(now, now) >= 60);
        assert_eq!(seconds(UnixTime::from_secs(u64::MAX), now), LONGEST + GRACE);
        assert!(seconds(UnixTime::default(), now) > 0, "never a time that deletes at once");
    }
}
