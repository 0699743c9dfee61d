//! What a store is asked to record. A draft is made from a policy's grant and from nothing else.

use ring::digest::{SHA256, digest};

use crate::model::{Epoch, KeyId, Lease, LeaseId, Position, UnixTime};
use crate::policy::Grant;

/// A lease that was decided and is not yet recorded.
#[derive(Debug)]
pub struct LeaseDraft {
    lease: Box<Lease>,
    spent: Option<Spent>,
    ceiling: Option<Position>,
}

impl LeaseDraft {
    /// Turns a decision into a draft. `kid` and `epoch` are the signer's at this moment; the store refuses others.
    pub fn new(grant: &Grant, id: LeaseId, kid: KeyId, epoch: Epoch) -> Self {
        let lease = Box::new(Lease {
            id,
            workload: grant.workload().clone(),
            audience: grant.audience().clone(),
            scopes: grant.scopes().clone(),
            task: grant.task().clone(),
            issued_at: grant.at(),
            expires_at: grant.at().plus(grant.ttl()),
            chain_limit: grant.chain_limit(),
            predecessor: grant.predecessor(),
            actors: Vec::new(),
            kid,
            epoch,
            // The store writes the head it reads over this.
            position: Position::START,
        });
        Self { lease, spent: None, ceiling: None }
    }

    /// Adds the assertion that asked for it, to be used up in the same atomic step.
    #[must_use]
    pub fn spending(mut self, spent: Option<Spent>) -> Self {
        self.spent = spent;
        self
    }

    /// For a lease that rests on another one judged earlier: it takes the smaller of `head` (read before that judgement)
    /// and the head at recording, so that an end of the other which fell between the two ends this one too.
    #[must_use]
    pub const fn judged_at(mut self, head: Position) -> Self {
        self.ceiling = Some(head);
        self
    }

    /// Makes it one that is over when it is recorded: for a probe, which finds out what would be granted and gets no token. All that
    /// could forbid a lease is checked as ever, and nothing lives of it that would have to be ended.
    #[must_use]
    pub fn over_at_once(mut self) -> Self {
        self.lease.expires_at = self.lease.issued_at;
        self.lease.chain_limit = self.lease.issued_at;
        self
    }

    /// The highest position it may take, where it rests on an earlier judgement.
    pub const fn ceiling(&self) -> Option<Position> {
        self.ceiling
    }

    /// The lease as it would be recorded, but for its position.
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The assertion to use up.
    pub const fn spent(&self) -> Option<&Spent> {
        self.spent.as_ref()
    }

    /// The lease with the head that the store read. Only a store takes a draft apart.
    pub(in crate::store) fn at(mut self, position: Position) -> Box<Lease> {
        self.lease.position = self.ceiling.map_or(position, |ceiling| ceiling.min(position));
        self.lease
    }
}

/// An assertion that counts once, as the replay memory keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Whose corner of the store keeps it.
    pub subject: String,
    /// The first 16 bytes of SHA-256 over issuer, NUL, `jti`.
    pub digest: [u8; 16],
    /// It cannot have been used before this moment, by its maker's clock.
    pub from: UnixTime,
    /// No assertion of this name can be accepted after this moment.
    pub until: UnixTime,
    /// Where this was remembered together with it, it may be shown again.
    pub unless: Option<[u8; 16]>,
}

impl Spent {
    /// The memory of one assertion. `until` is its latest acceptable moment, skew included. As long as nothing else is
    /// said with [`Spent::usable_from`], it may have been used at any time before.
    pub fn new(issuer: &str, jti: &str, until: UnixTime) -> Self {
        let digest = digest_of(&[issuer.as_bytes(), jti.as_bytes()]);
        Self { subject: issuer.to_owned(), digest, from: UnixTime::default(), until, unless: None }
    }

    /// Says since when it can have been used: a store whose memory began later cannot tell whether it was.
    #[must_use]
    pub const fn usable_from(mut self, from: UnixTime) -> Self {
        self.from = from;
        self
    }

    /// The same, but for one purpose any number of times: the first one that is named binds it for good.
    #[must_use]
    pub fn unless(self, purpose: &str) -> Self {
        Self { unless: Some(digest_of(&[&self.digest, purpose.as_bytes()])), ..self }
    }

    /// What is remembered: the digest, and that of the purpose.
    pub(in crate::store) fn digests(&self) -> impl Iterator<Item = [u8; 16]> {
        [Some(self.digest), self.unless].into_iter().flatten()
    }

    /// The shard of the store that keeps it: the first four bytes of SHA-256 of the subject, as in a lease's id.
    pub fn shard(&self) -> [u8; 4] {
        let hash = digest(&SHA256, self.subject.as_bytes());
        let mut shard = [0; 4];
        shard.copy_from_slice(&hash.as_ref()[..4]);
        shard
    }
}

/// Of parts with a NUL between them.
fn digest_of(parts: &[&[u8]]) -> [u8; 16] {
    let hash = digest(&SHA256, &parts.join(&0));
    let mut short = [0; 16];
    short.copy_from_slice(&hash.as_ref()[..16]);
    short
}
