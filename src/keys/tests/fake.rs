//! A store with keys alone, a fuse that cuts a process off between any two steps, and the builders of leases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::audit::Witnessed;
use crate::jose::Compact;
use crate::keys::shelf::{Memory, Shelf};
use crate::keys::{KeyError, Keyring, KeyringOptions, SignedToken, Storage};
use crate::model::{
    AudienceUri, Clock, Epoch, KeyId, Lease, LeaseId, LeaseRecord, Position, ScopeSet, Selector, TaskId, UnixTime,
    WorkloadId,
};
use crate::store::{
    End, Ended, Head, LeaseDraft, LeaseFilter, LeasePage, LeaseStore, LogPage, Pending, PublishedKey, Quarantines,
    RecordError, Recorded, Safety, Spent, StoreError, StoreStats,
};

/// Burns at a chosen step: that one and all after it fail, as for a process that was killed. Whether the step it burns
/// at has happened cannot be told from outside; both are tried.
#[derive(Debug, Clone, Default)]
pub(in crate::keys) struct Fuse(Arc<AtomicI64>);

const BURNT: i64 = i64::MAX;

impl Fuse {
    /// Burns at the `steps`th step from now, which then happens if `happens`.
    pub(super) fn set(&self, steps: u32, happens: bool) {
        self.0.store((i64::from(steps) + 1) * if happens { 1 } else { -1 }, Ordering::SeqCst);
    }

    /// Whether it has burnt.
    pub(super) fn burnt(&self) -> bool {
        self.0.load(Ordering::SeqCst) == BURNT
    }

    /// Burns no more.
    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// Does `work` unless the fuse has burnt; none where it has.
    pub(in crate::keys) fn guard<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        match self.0.load(Ordering::SeqCst) {
            0 => Some(work()),
            BURNT => None,
            left @ (1 | -1) => {
                self.0.store(BURNT, Ordering::SeqCst);
                if left == 1 {
                    work();
                }
                None
            }
            left => {
                self.0.store(left - left.signum(), Ordering::SeqCst);
                Some(work())
            }
        }
    }
}

/// The store that all brokers of a test share.
#[derive(Debug)]
pub(super) struct World {
    keys: Mutex<BTreeMap<KeyId, PublishedKey>>,
    revoked: Mutex<BTreeSet<KeyId>>,
    epoch: AtomicU64,
    pub(super) clock: Clock,
}

impl World {
    pub(super) fn new(at: u64) -> Arc<Self> {
        Arc::new(Self {
            keys: Mutex::default(),
            revoked: Mutex::default(),
            epoch: AtomicU64::new(1),
            clock: Clock::manual(UnixTime::from_secs(at)),
        })
    }

    pub(super) fn epoch(&self) -> Epoch {
        Epoch::from_bits(self.epoch.load(Ordering::SeqCst))
    }

    /// The log was lost: with it every key that was published.
    pub(super) fn next_epoch(&self) -> Epoch {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.keys.lock().unwrap().clear();
        self.epoch()
    }

    pub(super) fn revoke(&self, kid: &KeyId) {
        self.keys.lock().unwrap().remove(kid);
        self.revoked.lock().unwrap().insert(kid.clone());
    }

    pub(super) fn published(&self) -> BTreeMap<KeyId, PublishedKey> {
        let now = self.clock.now();
        self.keys.lock().unwrap().retain(|_, key| key.published_until > now);
        self.keys.lock().unwrap().clone()
    }

    pub(super) fn now(&self) -> UnixTime {
        self.clock.now()
    }

    pub(super) fn pass(&self, secs: u64) {
        self.clock.set(self.now().plus(Duration::from_secs(secs)));
    }

    /// The store loses a key.
    pub(super) fn lose(&self, kid: &KeyId) {
        self.keys.lock().unwrap().remove(kid);
    }

    /// Whoever writes to the store writes what he likes.
    pub(super) fn write(&self, key: PublishedKey) {
        self.keys.lock().unwrap().insert(key.kid.clone(), key);
    }

    fn publish(&self, key: PublishedKey, epoch: Epoch) -> Result<(), RecordError> {
        if epoch != self.epoch() {
            return Err(RecordError::Epoch(self.epoch()));
        }
        if self.revoked.lock().unwrap().contains(&key.kid) {
            return Err(RecordError::KeyRefused(key.kid));
        }
        self.keys.lock().unwrap().insert(key.kid.clone(), key);
        Ok(())
    }
}

/// One broker's handle on the store.
#[derive(Debug, Clone)]
pub(super) struct FakeStore {
    pub(super) world: Arc<World>,
    pub(super) fuse: Fuse,
}

fn away() -> StoreError {
    StoreError::Unavailable("it is away".into())
}

impl FakeStore {
    fn answer<T: Send>(&self, work: impl FnOnce(&World) -> T + Send) -> Result<T, StoreError> {
        self.fuse.guard(|| work(&self.world)).ok_or_else(away)
    }
}

impl LeaseStore for FakeStore {
    fn head(&self) -> Pending<'_, Result<Head, StoreError>> {
        Box::pin(async { self.answer(|world| Head { epoch: world.epoch(), position: Position::START }) })
    }
    fn keys(&self) -> Pending<'_, Result<Vec<PublishedKey>, StoreError>> {
        Box::pin(async { self.answer(|world| world.published().into_values().collect()) })
    }
    fn publish(&self, key: PublishedKey, epoch: Epoch) -> Pending<'_, Result<(), RecordError>> {
        Box::pin(async move { self.answer(|world| world.publish(key, epoch))? })
    }
    fn withdraw(&self, kid: KeyId) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move { self.answer(|world| drop(world.keys.lock().unwrap().remove(&kid))) })
    }

    fn record(&self, _: LeaseDraft) -> Pending<'_, Result<Recorded, RecordError>> {
        unreachable!("the keyring asks for nothing but keys")
    }
    fn spend(&self, _: Spent) -> Pending<'_, Result<Head, RecordError>> {
        unreachable!("the keyring asks for nothing but keys")
    }
    fn end(&self, _: End) -> Pending<'_, Result<Ended, RecordError>> {
        unreachable!("the keyring asks for nothing but keys")
    }
    fn settle(&self) -> Pending<'_, Result<(), StoreError>> {
        unreachable!("the keyring asks for nothing but keys")
    }
    fn count(&self, _: Selector, _: UnixTime) -> Pending<'_, Result<u64, StoreError>> {
        unreachable!("the keyring asks for nothing but keys")
    }
    fn release(&self, _: WorkloadId) -> Pending<'_, Result<bool, StoreError>> {
        unreachable!("the keyring asks for nothing but keys")
    }
    fn quarantines(&self) -> Pending<'_, Result<Quarantines, StoreError>> {
        unreachable!("the keyring asks for nothing but keys")
    }
    fn lease(&self, _: LeaseId) -> Pending<'_, Result<Option<LeaseRecord>, StoreError>> {
        unreachable!("the keyring asks for nothing but keys")
    }
    fn leases(&self, _: LeaseFilter, _: Option<String>, _: usize) -> Pending<'_, Result<LeasePage, StoreError>> {
        unreachable!("the keyring asks for nothing but keys")
    }
    fn log(&self, _: Position, _: usize) -> Pending<'_, Result<LogPage, StoreError>> {
        unreachable!("the keyring asks for nothing but keys")
    }
    fn moved(&self) -> watch::Receiver<u64> {
        unreachable!("the keyring asks for nothing but keys")
    }
    fn forget(&self, _: UnixTime) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
    fn safety(&self) -> Pending<'_, Result<Vec<Safety>, StoreError>> {
        unreachable!("the keyring asks for nothing but keys")
    }
    fn writable(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn stats(&self, _: UnixTime) -> Pending<'_, Result<StoreStats, StoreError>> {
        unreachable!("the keyring asks for nothing but keys")
    }
}

pub(super) const MAX_AGE: u64 = 600;
pub(super) const MAX_TTL: u64 = 3600;
pub(super) const SKEW: u64 = 30;

pub(super) fn options(broker: &str) -> KeyringOptions {
    KeyringOptions {
        broker: broker.into(),
        issuer: "https://issuer.example".into(),
        storage: Storage::Memory,
        jwks_max_age: Duration::from_secs(MAX_AGE),
        max_ttl: Duration::from_secs(MAX_TTL),
        skew: Duration::from_secs(SKEW),
        rotation: None,
    }
}

/// A broker's machine: its disk outlives its process.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) name: &'static str,
    pub(super) world: Arc<World>,
    pub(super) disk: Memory,
    pub(super) fuse: Fuse,
}

impl Machine {
    pub(super) fn new(name: &'static str, world: &Arc<World>) -> Self {
        let fuse = Fuse::default();
        let disk = Memory { fuse: fuse.clone(), ..Memory::default() };
        Self { name, world: world.clone(), disk, fuse }
    }

    /// The names of its files.
    pub(super) fn disk_files(&self) -> Vec<String> {
        self.disk.files.lock().unwrap().keys().cloned().collect()
    }

    /// The epoch of the ledger on its disk.
    pub(super) fn ledger_epoch(&self) -> Option<Epoch> {
        let files = self.disk.files.lock().unwrap();
        let ledger: serde_json::Value = serde_json::from_str(files.get("keyring.json")?.expose()).unwrap();
        Epoch::parse(ledger["epoch"].as_str().unwrap())
    }

    /// Its disk loses a file.
    pub(super) fn lose(&self, name: &str) {
        self.disk.files.lock().unwrap().remove(name);
    }

    /// Starts a process on it.
    pub(super) async fn start(&self) -> Result<Keyring, KeyError> {
        self.start_with(options(self.name)).await
    }

    pub(super) async fn start_with(&self, options: KeyringOptions) -> Result<Keyring, KeyError> {
        let store = FakeStore { world: self.world.clone(), fuse: self.fuse.clone() };
        Keyring::open_on(Shelf::Memory(self.disk.clone()), options, Arc::new(store), self.world.clock.clone()).await
    }
}

/// A lease for the key `kid`.
pub(in crate::keys) fn lease(kid: &str, epoch: u64, at: u64, ttl: u64) -> Lease {
    let workload = WorkloadId::parse("nightly-report").unwrap();
    Lease {
        id: LeaseId::new(at * 1000, LeaseId::shard_of(&workload), 5),
        workload,
        audience: AudienceUri::parse("https://api.example.com").unwrap(),
        scopes: ScopeSet::parse("orders:read orders:write").unwrap(),
        task: TaskId::parse("t/1").unwrap(),
        issued_at: UnixTime::from_secs(at),
        expires_at: UnixTime::from_secs(at + ttl),
        chain_limit: UnixTime::from_secs(at + ttl),
        predecessor: None,
        actors: Vec::new(),
        kid: KeyId::parse(kid).unwrap(),
        epoch: Epoch::from_bits(epoch),
        position: Position::new(3),
    }
}

/// A lease that was recorded and witnessed a moment ago.
pub(super) fn witnessed(lease: Lease) -> Witnessed<Recorded> {
    Witnessed::for_tests(Recorded::for_tests(lease))
}

/// Mints as a broker does: the signer's key into the draft, then the signature.
pub(super) fn mint(keyring: &Keyring, world: &World, ttl: u64) -> Result<SignedToken, KeyError> {
    let signer = keyring.signer()?;
    keyring.sign(witnessed(lease(signer.kid.as_str(), signer.epoch.bits(), world.now().secs(), ttl)))
}

/// The `kid` of a token, after its signature was checked by the keys of a JWKS's body.
pub(super) fn checked(token: &SignedToken, jwks: &[u8]) -> Option<String> {
    let compact = Compact::parse(token.text().expose()).unwrap();
    let set = crate::jose::JwkSet::parse(jwks).ok()?;
    let kid = compact.header.kid.clone().unwrap();
    crate::jose::verify(&compact, set.find(Some(&kid), compact.header.alg)?).ok()?;
    Some(kid)
}
