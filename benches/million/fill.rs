//! Fills a store with leases, and with a rule for each of them, through the store's own code: what decides, records and ends
//! here is what the broker does it with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jitney::keys::{Keyring, KeyringOptions, Storage};
use jitney::model::{Clock, LeaseId, ScopeSet, TaskId, WorkloadId};
use jitney::policy::{Ask, IdentityUsed, Limits, PolicySet};
use jitney::store::embedded::{EmbeddedStore, Options};
use jitney::store::redis::{RedisOptions, RedisStore};
use jitney::store::{End, EndTarget, LeaseDraft, LeaseStore, Spent};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::runtime::{Builder, Runtime};

use super::scene::{AUDIENCE, Failed, SCOPES, name, set};

/// So many are under way at once, each behind the one before it in its lane.
pub const LANES: usize = 512;
/// By whom the leases are.
pub const WORKLOADS: usize = 100;
/// They outlive the bench.
const TTL: Duration = Duration::from_secs(3600);

/// Where a store is.
#[derive(Debug, Clone)]
pub enum Place {
    Redis(String),
    Embedded(PathBuf),
}

/// A store, and what fills it. It is closed with the value.
pub struct Filler {
    runtime: Runtime,
    parts: Arc<Parts>,
}

struct Parts {
    store: Arc<dyn LeaseStore>,
    keys: Keyring,
    set: PolicySet,
    rng: SystemRandom,
    clock: Clock,
}

impl Filler {
    pub fn open(place: &Place) -> Result<Self, Failed> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let clock = Clock::system();
        let store: Arc<dyn LeaseStore> = match place {
            Place::Redis(url) => Arc::new(runtime.block_on(RedisStore::open(&RedisOptions::new(url.clone())))?),
            Place::Embedded(folder) => {
                std::fs::create_dir_all(folder)?;
                Arc::new(EmbeddedStore::open(
                    &folder.join("leases.redb"),
                    Options { clock: clock.clone(), ..Options::default() },
                )?)
            }
        };
        let options = KeyringOptions {
            broker: "filler".into(),
            issuer: "https://broker.example.com".into(),
            storage: Storage::Memory,
            jwks_max_age: Duration::from_secs(300),
            max_ttl: Limits::default().max_ttl,
            skew: Duration::from_secs(30),
            rotation: None,
        };
        let keys = runtime.block_on(Keyring::open(options, Arc::clone(&store), clock.clone()))?;
        let parts = Parts { store, keys, set: set(WORKLOADS)?, rng: SystemRandom::new(), clock };
        Ok(Self { runtime, parts: Arc::new(parts) })
    }

    /// Records so many leases, each for a task of its own and by an assertion of its own.
    pub fn leases(&self, count: usize) -> Result<Vec<LeaseId>, Failed> {
        self.leases_from(0, count)
    }

    /// The same, of tasks that are counted from `first`.
    pub fn leases_from(&self, first: usize, count: usize) -> Result<Vec<LeaseId>, Failed> {
        self.lanes(count, move |parts, n| async move {
            let recorded = parts.store.record(parts.draft(first + n)?).await.map_err(|error| error.to_string())?;
            Ok(recorded.lease().id)
        })
    }

    /// Ends each of them by a rule of its own.
    pub fn end(&self, leases: Vec<LeaseId>) -> Result<(), Failed> {
        let (count, leases) = (leases.len(), Arc::new(leases));
        let ended = self.lanes(count, move |parts, n| {
            let target = EndTarget::Lease(leases[n]);
            async move {
                let end = End { target, at: parts.clock.now(), spent: None };
                let ended = parts.store.end(end).await.map_err(|error| error.to_string())?;
                Ok(ended.rules.len())
            }
        })?;
        if ended.iter().any(|rules| *rules != 1) {
            return Err("a lease was ended by none, or by several".into());
        }
        Ok(())
    }

    /// Completes the tasks of the first so many leases, so many a second; when each was acknowledged.
    #[allow(dead_code, reason = "one bench of two ends tasks")]
    pub fn complete(&self, count: usize, a_second: f64) -> Result<Vec<Instant>, Failed> {
        let begun = tokio::time::Instant::now();
        let done = self.lanes(count, move |parts, n| async move {
            tokio::time::sleep_until(begun + Duration::from_secs_f64(n as f64 / a_second)).await;
            let workload = WorkloadId::parse(&name(n % WORKLOADS)).map_err(|error| error.to_string())?;
            let task = TaskId::parse(&format!("run-{n}")).map_err(|error| error.to_string())?;
            let (at, closed_until) = (parts.clock.now(), parts.clock.now());
            let target = EndTarget::Task { workload, task, closed_until };
            let ended = parts.store.end(End { target, at, spent: None }).await.map_err(|error| error.to_string())?;
            match ended.rules.len() {
                1 => Ok((n, Instant::now())),
                rules => Err(format!("a task was ended by {rules} rules")),
            }
        })?;
        let mut acknowledged = vec![Instant::now(); count];
        done.into_iter().for_each(|(n, at)| acknowledged[n] = at);
        Ok(acknowledged)
    }

    fn lanes<T: Send + 'static, F: Future<Output = Result<T, String>> + Send>(
        &self,
        count: usize,
        work: impl Fn(Arc<Parts>, usize) -> F + Clone + Send + 'static,
    ) -> Result<Vec<T>, Failed> {
        let lanes = (0..LANES.min(count)).map(|lane| {
            let (parts, work) = (Arc::clone(&self.parts), work.clone());
            self.runtime.spawn(async move {
                let mut done = Vec::with_capacity(count / LANES + 1);
                for n in (lane..count).step_by(LANES) {
                    done.push(work(Arc::clone(&parts), n).await?);
                }
                Ok::<_, String>(done)
            })
        });
        let lanes: Vec<_> = lanes.collect();
        let mut all = Vec::with_capacity(count);
        for lane in lanes {
            all.extend(self.runtime.block_on(lane)??);
        }
        Ok(all)
    }
}

impl Parts {
    fn draft(&self, n: usize) -> Result<LeaseDraft, String> {
        let (workload, now) = (name(n % WORKLOADS), self.clock.now());
        let ask = Ask {
            workload: &WorkloadId::parse(&workload).map_err(|error| error.to_string())?,
            audience: AUDIENCE,
            scopes: &ScopeSet::parse(SCOPES[0]).map_err(|error| error.to_string())?,
            task: &TaskId::parse(&format!("run-{n}")).map_err(|error| error.to_string())?,
            ttl: Some(TTL),
            identity: &IdentityUsed::private_key_jwt(None),
            now,
            limits: Limits::default(),
            renews: None,
        };
        let grant = self.set.decide(&ask).map_err(|denial| denial.refusal.to_string())?;
        let signer = self.keys.signer().map_err(|error| error.to_string())?;
        let mut random = [0; 8];
        self.rng.fill(&mut random).map_err(|_| "no randomness")?;
        let id = LeaseId::new(self.clock.now_ms(), LeaseId::shard_of(grant.workload()), u64::from_be_bytes(random));
        let spent = Spent::new(&workload, &id.to_string(), now.plus(Duration::from_secs(60))).usable_from(now);
        Ok(LeaseDraft::new(&grant, id, signer.kid, signer.epoch).spending(Some(spent)))
    }
}
