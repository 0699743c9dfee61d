//! Where things lie in Redis: every key's name, and how long it lives.
//!
//! Owns the names only; what lies under them is written by the scripts in `lua/`. All of one workload shares a hash tag
//! (its shard), the log and the published keys have tags of their own.

use std::ops::Deref;

use redis::{RedisWrite, ToRedisArgs};
use smallvec::SmallVec;

use crate::model::{KeyId, LeaseId, RuleDigest, UnixTime, WorkloadId, hex};

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
pub(super) const GRACE: u64 = 90;
/// No key is set to expire later than this, whatever is asked: a number Redis takes.
const LONGEST: u64 = 10 * 365 * 86_400;

/// A workload's corner of the key space.
pub(super) type Shard = [u8; 4];

/// A key's name, or a field's. Most fit in without an allocation: a mint makes ten of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(SmallVec<[u8; 88]>);

impl Key {
    /// Inlined, or the whole name would be moved once more.
    #[inline]
    fn with(mut self, part: &[u8]) -> Self {
        self.0.extend_from_slice(part);
        self
    }

    /// A number in decimal digits.
    #[inline]
    fn with_number(self, number: u64) -> Self {
        self.with(itoa::Buffer::new().format(number).as_bytes())
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<Key> for Vec<u8> {
    fn from(key: Key) -> Self {
        key.0.into_vec()
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl ToRedisArgs for Key {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        out.write_arg(self);
    }
}

impl redis::ToSingleRedisArg for Key {}

/// Seconds from `now` until `until` and the grace behind it. Relative, so that Redis' clock need not agree with ours.
pub(super) fn seconds(until: UnixTime, now: UnixTime) -> u64 {
    until.since(now).as_secs().min(LONGEST) + GRACE
}

/// The minute in which a moment lies.
pub(super) const fn minute(at: UnixTime) -> u64 {
    at.secs() / 60
}

/// The minute that begins at a moment, or as the next one.
pub(super) const fn minute_behind(at: UnixTime) -> u64 {
    at.secs().div_ceil(60)
}

/// Seconds from `now` until the minute of `at` and the grace behind it are over.
pub(super) fn seconds_of_minute(at: UnixTime, now: UnixTime) -> u64 {
    seconds(UnixTime::from_secs((minute(at) + 1).saturating_mul(60)), now)
}

/// The leases of a shard that were made in the minute of this one, a hash of their records: no key of its own each, for a
/// key and its time to live are as large as a record.
pub(super) fn lease(id: LeaseId) -> Key {
    leases(id.shard(), made_in(id))
}

/// The same by shard and minute.
pub(super) fn leases(shard: Shard, minute: u64) -> Key {
    lease_prefix(shard).with_number(minute)
}

/// What stands before the minute of it.
pub(super) fn lease_prefix(shard: Shard) -> Key {
    in_shard(shard, b'l')
}

/// The minute in which a lease was made, by its name.
pub(super) fn made_in(id: LeaseId) -> u64 {
    id.millis() / 60_000
}

/// Where a lease lies among those: its name without what is the same of the whole shard. A name that no broker gives is
/// looked for whole, and not found. The scripts know it by the same name.
pub(super) fn field(id: LeaseId) -> Key {
    let raw = id.to_bytes();
    match raw[8] >> 6 {
        0b10 => Key::from(&raw[..8]).with(&raw[12..]),
        _ => Key::from(&raw[..]),
    }
}

/// The lease that lies in this place.
pub(super) fn lease_at(shard: Shard, field: &[u8]) -> Option<LeaseId> {
    let (before, behind) = field.split_at_checked(8)?;
    let mut raw = [0; 16];
    raw[..8].copy_from_slice(before);
    raw[8..12].copy_from_slice(&(1 << 31 | u32::from_be_bytes(shard) >> 2).to_be_bytes());
    raw[12..].copy_from_slice(&<[u8; 4]>::try_from(behind).ok()?);
    let id = LeaseId::from_bytes(raw);
    (id.shard() == shard).then_some(id)
}

/// The minute before which a lease expires, as its marks are kept: the longer it lives the rounder, by an eighth of its life at
/// most, so that few windows hold the marks of all that live.
pub(super) fn window(issued_at: UnixTime, expires_at: UnixTime) -> u64 {
    let eighth = expires_at.since(issued_at).as_secs().div_ceil(8 * 60).max(1);
    let length = 1 << (u64::BITS - 1 - eighth.leading_zeros());
    (minute(expires_at) / length + 1).saturating_mul(length)
}

/// The marks of a shard's tasks in one window, a hash: no key of its own each, for the same reason. All such windows are named
/// by what stands before and `all`.
pub(super) fn marks(shard: Shard, window: u64) -> Key {
    marks_prefix(shard).with_number(window)
}

/// What stands before the window of it.
pub(super) fn marks_prefix(shard: Shard) -> Key {
    in_shard(shard, b'm')
}

/// A task that was ended, a string. The shard is the workload's.
pub(super) fn ended(shard: Shard, workload: &WorkloadId, task: &str) -> Key {
    in_shard(shard, b't').with(&RuleDigest::task(workload, task).to_bytes())
}

/// The assertions of a shard that cannot be used after one minute, a set of their digests.
pub(super) fn replay(shard: Shard, minute: u64) -> Key {
    in_shard(shard, b'r').with_number(minute)
}

/// The shards with leases that were made in one minute, a set. With it, listing all leases needs no walk over all keys.
pub(super) fn directory(minute: u64) -> Key {
    Key::from(&b"jitney:{dir}:"[..]).with_number(minute)
}

/// A workload's quarantine, JSON; no expiry. The shard is the workload's.
pub(super) fn quarantine(shard: Shard, workload: &WorkloadId) -> Key {
    in_shard(shard, b'q').with(workload.as_str().as_bytes())
}

/// A published key: 16 hex digits of its epoch, then JSON.
pub(super) fn published(kid: &KeyId) -> Key {
    Key::from(&b"jitney:{keys}:k:"[..]).with(kid.as_str().as_bytes())
}

#[inline]
fn in_shard(shard: Shard, what: u8) -> Key {
    let mut name = *b"jitney:{00000000}:?:";
    name[8..16].copy_from_slice(&hex::digits::<8>(u32::from_be_bytes(shard).into()));
    name[18] = what;
    Key::from(&name[..])
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
            ended(shard, &workload, "a/b"),
            marks(shard, 1),
            replay(shard, 1),
            quarantine(shard, &workload),
        ] {
            assert!(key.starts_with(tag.as_bytes()), "{}", String::from_utf8_lossy(&key));
        }
    }

    #[test]
    fn a_lease_is_found_by_its_name_and_its_name_by_its_place() {
        for random in [0, 2, 0x1234_5678_9abc_def0, u64::MAX] {
            let id = LeaseId::new(1_790_000_000_123, [1, 255, 3, 0xa7], random);
            assert_eq!(lease_at(id.shard(), &field(id)), Some(id));
            assert_eq!(lease(id), leases(id.shard(), 29_833_333));
            assert!(lease(id).ends_with(b"}:l:29833333"));
            // The same but for the two bits that are the same in every name.
            let other = LeaseId::from_bytes((u128::from_be_bytes(id.to_bytes()) ^ 1 << 62).to_be_bytes());
            assert_ne!(field(other), field(id));
        }
        assert_eq!((lease_at([0; 4], &[0; 11]), lease_at([0; 4], &[0; 16])), (None, None));
        assert_eq!(lease_at([0, 0, 0, 1], &[0; 12]), None, "of another shard");
    }

    #[test]
    fn a_window_ends_behind_the_lease_and_by_an_eighth_of_its_life_at_most() {
        for at in [0, 1, 59, 60, 12_345, 1_790_000_000, 1_790_000_039] {
            for ttl in [1, 60, 300, 480, 481, 959, 960, 961, 3600, 86_400, 700_000] {
                let (at, exp) = (UnixTime::from_secs(at), UnixTime::from_secs(at + ttl));
                let behind = window(at, exp) * 60 - exp.secs();
                assert!((1..=(ttl / 8).max(60) + 60).contains(&behind), "{at} {ttl}: {behind}");
            }
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
