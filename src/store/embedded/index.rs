//! What the writer knows of the file without reading it: who may still live, what is closed, what was used up.
//!
//! Owns the memory; a digest of 16 bytes stands for each name. Belongs to the writer alone, so it has no lock; it is
//! built from the file at open and thrown away when a commit fails.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::expire::Gone;
use crate::model::{
    AudienceUri, KeyId, Lease, LeaseId, Position, Rule, RuleDigest, RuleKind, Selector, UnixTime, WorkloadId,
};
use crate::store::{Head, PublishedKey, Quarantine};

/// A name's digest.
pub(super) type Digest = [u8; 16];

/// How far the leases of a name reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// The latest `exp` among them.
    pub latest: UnixTime,
    /// The greatest position any of them carries: a rule behind it ends them all.
    pub newest: Position,
}

impl Reach {
    /// That of one lease.
    pub(super) const fn of(lease: &Lease) -> Self {
        Self { latest: lease.expires_at, newest: lease.position }
    }

    fn stretch(&mut self, other: Self) {
        self.latest = self.latest.max(other.latest);
        self.newest = self.newest.max(other.newest);
    }
}

/// The end of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// It takes no lease before.
    pub closed_until: UnixTime,
    /// The rule that ended its leases; [`Position::START`] where none was needed.
    pub position: Position,
    /// The mark says nothing any more after this.
    pub kept_until: UnixTime,
}

/// The audiences of a task's leases: a bit for each of the first 63 names ever met. The last bit means "any".
pub(super) type AudienceSet = u64;

/// Bit 63: not known, or more than can be told.
pub(super) const ANY: AudienceSet = 1 << 63;

/// The writer's memory.
#[derive(Debug)]
pub(super) struct Index {
    pub head: Head,
    /// The tag chained over all entries of the log so far.
    pub tag: u64,
    /// Since when used assertions are remembered, where a memory was lost before.
    pub memory: Option<UnixTime>,
    /// How often something was written: an older copy of the file has fewer.
    pub commits: u64,
    /// How far what was past was taken out.
    pub gone: Gone,
    /// Assertions that were used up and could be shown again.
    pub replays: HashSet<Digest>,
    /// Each name of the lineage of each lease, by the digest of its task rule.
    pub tasks: HashMap<Digest, (Reach, AudienceSet)>,
    /// By the selectors that would end them: workloads, audiences, everything.
    pub groups: HashMap<Selector, Reach>,
    /// Leases by `exp`, to be dropped in that order.
    pub expiring: BTreeMap<UnixTime, Vec<LeaseId>>,
    pub marks: HashMap<Digest, Mark>,
    /// The last rule on each workload, audience, and on everything, with its `until`.
    pub walls: HashMap<Digest, (Position, UnixTime)>,
    /// Rules by `until`, to be dropped in that order.
    pub fading: BTreeMap<UnixTime, Vec<u64>>,
    pub keys: BTreeMap<KeyId, PublishedKey>,
    pub revoked: HashSet<KeyId>,
    pub quarantines: HashMap<WorkloadId, Quarantine>,
    /// Workloads that were released: no quarantine of before this epoch is restored on them.
    pub released: HashSet<WorkloadId>,
    /// What the bits of an [`AudienceSet`] stand for.
    pub names: Vec<AudienceUri>,
}

impl Index {
    pub(super) fn empty(head: Head, tag: u64) -> Self {
        Self {
            head,
            tag,
            memory: None,
            commits: 0,
            gone: Gone::default(),
            replays: HashSet::new(),
            tasks: HashMap::new(),
            groups: HashMap::new(),
            expiring: BTreeMap::new(),
            marks: HashMap::new(),
            walls: HashMap::new(),
            fading: BTreeMap::new(),
            keys: BTreeMap::new(),
            revoked: HashSet::new(),
            quarantines: HashMap::new(),
            released: HashSet::new(),
            names: Vec::new(),
        }
    }

    /// Counts a lease among what may live.
    pub(super) fn add(&mut self, lease: &Lease) {
        let bit = self.bit(&lease.audience);
        for digest in lineage(lease) {
            self.reaches(digest, Reach::of(lease), bit);
        }
        self.group(lease);
    }

    /// Notes how far a lease reaches of a task's name.
    pub(super) fn reaches(&mut self, task: Digest, lease: Reach, audience: AudienceSet) {
        let (reach, audiences) = self.tasks.entry(task).or_default();
        reach.stretch(lease);
        *audiences |= audience;
    }

    /// Counts a lease in all but its task's names.
    pub(super) fn group(&mut self, lease: &Lease) {
        for group in groups(lease) {
            self.groups.entry(group).or_default().stretch(Reach::of(lease));
        }
        self.expiring.entry(lease.expires_at).or_default().push(lease.id);
    }

    /// Takes a lease that is past out again, and every name that reaches no further.
    pub(super) fn forget(&mut self, lease: &Lease) {
        for digest in lineage(lease) {
            if self.tasks.get(&digest).is_some_and(|(reach, _)| reach.latest <= lease.expires_at) {
                self.tasks.remove(&digest);
            }
        }
        for group in groups(lease) {
            if self.groups.get(&group).is_some_and(|reach| reach.latest <= lease.expires_at) {
                self.groups.remove(&group);
            }
        }
    }

    /// Remembers a rule of the log where leases are judged by it, and when it may go.
    pub(super) fn note(&mut self, rule: &Rule) {
        let Some(until) = rule.until else { return };
        if matches!(rule.kind, RuleKind::Workload | RuleKind::Audience | RuleKind::All) {
            self.walls.insert(rule.digest.to_bytes(), (rule.position, until));
        }
        self.fading.entry(until).or_default().push(rule.position.get());
    }

    /// Whether a rule of the log, or the key's, has ended a lease. Its own end is its record's to tell.
    pub(super) fn has_ended(&self, lease: &Lease) -> bool {
        self.revoked.contains(&lease.kid)
            || lineage(lease).any(|name| self.marks.get(&name).is_some_and(|mark| mark.position > lease.position))
            || groups(lease).any(|group| self.wall(&group) > lease.position)
    }

    /// The position of the last rule with a workload's, an audience's or everything's selector.
    pub(super) fn wall(&self, group: &Selector) -> Position {
        self.walls.get(&group.digest().to_bytes()).map_or(Position::START, |(at, _)| *at)
    }

    /// The bit of an audience; [`ANY`] once all are taken.
    pub(super) fn bit(&mut self, audience: &AudienceUri) -> AudienceSet {
        let at = self.names.iter().position(|name| name == audience).unwrap_or_else(|| {
            if self.names.len() < 63 {
                self.names.push(audience.clone());
                self.names.len() - 1
            } else {
                63
            }
        });
        1 << at
    }
}

/// The digests of a task's names, eldest first.
pub(super) fn lineage(lease: &Lease) -> impl Iterator<Item = Digest> {
    lease.task.lineage().map(|name| RuleDigest::task(&lease.workload, name).to_bytes())
}

/// The selectors, but for tasks and keys, that select a lease.
fn groups(lease: &Lease) -> impl Iterator<Item = Selector> {
    let workloads = std::iter::once(&lease.workload).chain(&lease.actors);
    workloads.cloned().map(Selector::Workload).chain([Selector::Audience(lease.audience.clone()), Selector::All])
}

/// The audiences of a set, none where any may be among them.
pub(super) fn named(set: AudienceSet, names: &[AudienceUri]) -> Vec<AudienceUri> {
    if set & ANY != 0 {
        return Vec::new();
    }
    names.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1).map(|(_, name)| name.clone()).collect()
}
