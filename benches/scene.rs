//! A broker's parts on a store and an audit log of their own, in a folder that goes with them, and questions to decide.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jitney::audit::{AuditLog, AuditOptions, AuditRecord, Event, Outcome, Witnessed};
use jitney::keys::{Keyring, KeyringOptions, SignedToken, Storage};
use jitney::model::{Clock, LeaseId, ScopeSet, TaskId, UnixTime, WorkloadId};
use jitney::policy::{Ask, Grant, IdentityUsed, Limits, PolicySet};
use jitney::store::embedded::{EmbeddedStore, Options};
use jitney::store::{LeaseDraft, LeaseStore, Recorded};
use ring::rand::{SecureRandom as _, SystemRandom};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

pub type Failed = Box<dyn std::error::Error>;

const NOW: UnixTime = UnixTime::from_secs(1_790_000_000);
pub const AUDIENCE: &str = "https://api.example.com";
pub const SCOPES: [&str; 5] = ["orders:read", "orders:write", "stock:read", "stock:write", "prices:read"];

/// A public key that nobody holds the other half of.
const JWK: &str = r#"{ kty = "EC", crv = "P-256", x = "7-bZFTwgo-iJEuWGgoFqBWWdzH4VFJ3DeeBTrI-ngjs", y = "xZAx5jfINb0tQ0DQXGSXPeXT0stxBcRrVOKi_gQgeLI" }"#;

/// A set of so many workloads with a policy each.
pub fn set(workloads: usize) -> Result<PolicySet, Failed> {
    let mut audience = format!("id = \"{AUDIENCE}\"\nowner = \"a@example.com\"\npurpose = \"Orders\"\n[scopes]\n");
    for scope in SCOPES {
        writeln!(audience, "\"{scope}\" = \"One of five\"")?;
    }
    let mut policies = String::new();
    let mut files = vec![("audiences/api.toml".to_owned(), audience)];
    for name in (0..workloads).map(name) {
        let workload = format!(
            "owner = \"{name}@example.com\"\npurpose = \"Work\"\nexpires = 2027-06-30\n\
             [[identity]]\ntype = \"private_key_jwt\"\njwks = {{ keys = [{JWK}] }}\n"
        );
        files.push((format!("workloads/{name}.toml"), workload));
        writeln!(
            policies,
            "@id(\"{name}-works\") permit (principal == Jitney::Workload::\"{name}\", \
             action == Jitney::Action::\"mint\", resource in Jitney::Audience::\"{AUDIENCE}\") \
             when {{ context.task like \"run-*\" }};"
        )?;
    }
    files.push(("policies.cedar".to_owned(), policies));
    let (set, _) = PolicySet::from_sources(files, NOW).map_err(|findings| findings.to_string())?;
    Ok(set)
}

/// The `n`th workload of a [`set`].
pub fn name(n: usize) -> String {
    format!("workload-{n:05}")
}

/// A question that every [`set`] grants.
pub struct Question {
    workload: WorkloadId,
    scopes: ScopeSet,
    task: TaskId,
    identity: IdentityUsed,
}

impl Question {
    /// By a workload of the smallest set, for so many scopes.
    pub fn of(scopes: usize) -> Result<Self, Failed> {
        Self::by(7, scopes)
    }

    /// The same by the `n`th workload.
    pub fn by(n: usize, scopes: usize) -> Result<Self, Failed> {
        Ok(Self {
            workload: WorkloadId::parse(&name(n))?,
            scopes: ScopeSet::parse(&SCOPES[..scopes].join(" "))?,
            task: TaskId::parse("run-2026-09-21/load")?,
            identity: IdentityUsed::private_key_jwt(Some("k1")),
        })
    }

    /// As a decision takes it.
    pub fn ask(&self) -> Ask<'_> {
        Ask {
            workload: &self.workload,
            audience: AUDIENCE,
            scopes: &self.scopes,
            task: &self.task,
            ttl: Some(Duration::from_secs(300)),
            identity: &self.identity,
            now: NOW,
            limits: Limits::default(),
            renews: None,
        }
    }
}

/// What a mint goes through, the real things, at a moment that stands still.
pub struct Scene {
    set: PolicySet,
    keys: Keyring,
    rng: SystemRandom,
    store: Arc<EmbeddedStore>,
    audit: Arc<AuditLog>,
    runtime: Runtime,
    _dir: TempDir,
}

impl Scene {
    pub fn new(workloads: usize) -> Result<Self, Failed> {
        let dir = tempfile::tempdir()?;
        let clock = Clock::manual(NOW);
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let options = Options { clock: clock.clone(), ..Options::default() };
        let store = Arc::new(EmbeddedStore::open(&dir.path().join("leases"), options)?);
        let options = AuditOptions { clock: clock.clone(), ..AuditOptions::new(dir.path().join("audit.log"), "bench") };
        let audit = Arc::new(AuditLog::open(options)?);
        let options = KeyringOptions {
            broker: "bench".into(),
            issuer: "https://broker.example.com".into(),
            storage: Storage::Memory,
            jwks_max_age: Duration::from_secs(300),
            max_ttl: Limits::default().max_ttl,
            skew: Duration::from_secs(5),
            rotation: None,
        };
        let keys = runtime.block_on(Keyring::open(options, Arc::clone(&store) as Arc<dyn LeaseStore>, clock))?;
        Ok(Self { set: set(workloads)?, keys, rng: SystemRandom::new(), store, audit, runtime, _dir: dir })
    }

    /// All of a mint that is no I/O: decides, draws up the lease, signs. What is signed was drawn up by the same
    /// question, and has been recorded and witnessed: nothing else can be signed.
    pub fn mint_core(
        &self,
        question: &Question,
        ready: Witnessed<Recorded>,
    ) -> Result<(LeaseDraft, SignedToken), Failed> {
        let draft = self.draft(question)?;
        Ok((draft, self.keys.sign(ready)?))
    }

    fn draft(&self, question: &Question) -> Result<LeaseDraft, Failed> {
        let grant: Grant = self.set.decide(&question.ask()).map_err(|denial| denial.refusal.to_string())?;
        let signer = self.keys.signer()?;
        let mut random = [0; 8];
        self.rng.fill(&mut random).map_err(|_| "no randomness")?;
        let shard = LeaseId::shard_of(grant.workload());
        let id = LeaseId::new(NOW.secs() * 1000, shard, u64::from_be_bytes(random));
        Ok(LeaseDraft::new(&grant, id, signer.kid, signer.epoch))
    }

    /// So many leases for the question, recorded by the store and witnessed by the audit log.
    pub fn witnessed(&self, question: &Question, leases: usize) -> Result<Vec<Witnessed<Recorded>>, Failed> {
        let drafts = (0..leases).map(|_| self.draft(question)).collect::<Result<Vec<_>, _>>()?;
        self.runtime.block_on(async {
            let mut under_way = JoinSet::new();
            for draft in drafts {
                let (store, audit) = (Arc::clone(&self.store), Arc::clone(&self.audit));
                under_way.spawn(async move {
                    let recorded = store.record(draft).await.map_err(|error| error.to_string())?;
                    let record = AuditRecord::new(Event::Mint, Outcome::Granted).lease(recorded.lease().id);
                    audit.witness(record, recorded).await.map_err(|error| error.to_string())
                });
            }
            let all = under_way.join_all().await;
            Ok(all.into_iter().collect::<Result<Vec<_>, String>>()?)
        })
    }
}
