//! How many may follow the feed, in all and from one address, and how many snapshots go to one address at once.
//!
//! Counts and says no. Never knows what is sent.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::{Reason, Refusal};

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedLimits {
    /// Streams at once.
    pub subscribers: usize,
    /// Of these, from one address.
    pub per_address: usize,
    /// Snapshots on their way to one address.
    pub snapshots_per_address: usize,
}

impl Default for FeedLimits {
    fn default() -> Self {
        Self { subscribers: 2048, per_address: 512, snapshots_per_address: 32 }
    }
}

/// Everyone who has a stream.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Guests(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: FeedLimits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, Held>,
}

/// What one address has.
#[derive(Debug, Default)]
struct Held {
    streams: usize,
    snapshots: usize,
}

/// A stream's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    inner: Arc<Inner>,
    address: IpAddr,
}

/// A snapshot's place, until it is dropped; never longer than its stream's.
#[derive(Debug)]
pub(super) struct Slot {
    inner: Arc<Inner>,
    address: IpAddr,
}

impl Guests {
    /// Between two looks whether a snapshot may begin.
    const AGAIN: Duration = Duration::from_millis(50);

    pub(in crate::broker) fn new(limits: FeedLimits) -> Self {
        Self(Arc::new(Inner { limits, counts: Mutex::default() }))
    }

    /// A place for a stream to `address`.
    pub(super) fn enter(&self, address: IpAddr) -> Result<Guest, Refusal> {
        let (address, limits) = (network(address), self.0.limits);
        let mut counts = self.0.lock();
        if counts.all >= limits.subscribers {
            return Err(busy(format!("{} streams of the feed are served at once: try again", limits.subscribers)));
        }
        let held = counts.by_address.entry(address).or_default();
        if held.streams >= limits.per_address {
            let most = limits.per_address;
            return Err(busy(format!("{most} streams of the feed are served to one address at once: try again")));
        }
        held.streams += 1;
        counts.all += 1;
        Ok(Guest { inner: Arc::clone(&self.0), address })
    }
}

impl Guest {
    /// Where its stream goes.
    pub(super) const fn address(&self) -> IpAddr {
        self.address
    }

    /// A place for a snapshot, waited for as long as it takes.
    pub(super) async fn slot(&self) -> Slot {
        loop {
            if let Some(slot) = self.try_slot() {
                return slot;
            }
            tokio::time::sleep(Guests::AGAIN).await;
        }
    }

    /// The same, for as long as a request may be kept waiting.
    pub(super) async fn slot_within(&self, time: Duration) -> Result<Slot, Refusal> {
        let most = self.inner.limits.snapshots_per_address;
        let told = format!("{most} snapshots of the feed are sent to one address at once: try again");
        tokio::time::timeout(time, self.slot()).await.map_err(|_| busy(told))
    }

    fn try_slot(&self) -> Option<Slot> {
        let mut counts = self.inner.lock();
        let held = counts.by_address.get_mut(&self.address)?;
        (held.snapshots < self.inner.limits.snapshots_per_address).then(|| {
            held.snapshots += 1;
            Slot { inner: Arc::clone(&self.inner), address: self.address }
        })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, address: IpAddr, what: impl FnOnce(&mut Held)) {
        let mut counts = self.lock();
        if let Some(held) = counts.by_address.get_mut(&address) {
            what(held);
            if held.streams == 0 && held.snapshots == 0 {
                counts.by_address.remove(&address);
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.inner.lock().all -= 1;
        self.inner.give_back(self.address, |held| held.streams -= 1);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.inner.give_back(self.address, |held| held.snapshots -= 1);
    }
}

fn busy(what: String) -> Refusal {
    Refusal::new(Reason::Busy, what)
}

/// What one client has of addresses: one of IPv4, a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn guests(subscribers: usize, per_address: usize) -> Guests {
        Guests::new(FeedLimits { subscribers, per_address, snapshots_per_address: 1 })
    }

    #[test]
    fn streams_are_bounded_in_all_and_from_one_address() {
        let guests = guests(3, 2);
        let at = |raw: &str| guests.enter(raw.parse().unwrap());
        let (one, _two) = (at("2001:db8::1").unwrap(), at("2001:db8::2").unwrap());
        let refused = at("2001:db8::3").unwrap_err();
        assert_eq!((refused.reason, refused.description.contains("one address")), (Reason::Busy, true));
        let _three = at("2001:db8:0:1::1").unwrap();
        assert!(!at("192.0.2.1").unwrap_err().description.contains("one address"));
        drop(one);
        let mapped = at("::ffff:192.0.2.1").unwrap();
        assert_eq!(mapped.address, network("192.0.2.1".parse().unwrap()));
        drop(mapped);
        assert_eq!(guests.0.lock().by_address.len(), 2, "who has left is forgotten");
    }

    #[tokio::test]
    async fn one_more_snapshot_waits_for_its_turn() {
        let guests = guests(9, 9);
        let (one, other) = (guests.enter(HERE).unwrap(), guests.enter(HERE).unwrap());
        let slot = one.slot_within(Duration::ZERO).await.unwrap();
        assert_eq!(other.slot_within(Duration::from_millis(1)).await.unwrap_err().reason, Reason::Busy);
        let (next, ()) = tokio::join!(other.slot(), async { drop(slot) });
        assert!(one.try_slot().is_none());
        drop(next);
        assert!(one.try_slot().is_some());
    }
}
