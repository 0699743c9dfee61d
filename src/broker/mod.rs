//! The use cases, one file each: mint, renew, complete, introspect, revoke, operate, inventory, feed.
//!
//! Owns the order decide → record → witness → sign, and what is said in the audit log about each step. Never speaks HTTP
//! and never parses a command line.

mod away;
mod checkpoint;
mod complete;
mod dates;
mod ended;
mod ends;
mod feed;
mod first;
mod follow;
mod introspect;
mod inventory;
mod live;
#[cfg(test)]
mod made;
pub(crate) mod mint;
mod operate;
mod pace;
mod random;
mod refused;
mod renew;
mod revoke;
mod settings;
mod shut;
mod status;
mod tally;
mod tend;
mod timed;
mod trail;
mod watch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ring::rand::SystemRandom;

use crate::attest::{Attestor, Bounds, Issuers};
use crate::audit::{AuditLog, AuditRecord, Event, Outcome};
use crate::fetch::foreign::{ForeignFetch, ForeignOptions};
use crate::keys::{JwksDocument, Keyring};
use crate::model::{Clock, DecisionId, Epoch, Reason, Refusal, UnixTime};
use crate::net::Tls;
use crate::policy::{Limits, Policies};
use crate::store::{Head, LeaseStore, RecordError, Spent};
use crate::telemetry::Metrics;
use crate::verifier::{Checker, CheckerOptions, Invalid};

pub use checkpoint::{CheckpointError, CheckpointView};
pub use complete::{CompleteAsk, Credential};
pub use ended::FirstEnd;
pub use feed::{FeedAsk, FeedLimits, FeedView, SubscriberView, Subscription};
pub use introspect::Introspection;
pub use inventory::{LeaseList, LeaseState, LeaseView, WorkloadView};
pub use mint::{Issued, Probed, TokenAsk};
pub use operate::{OperatorRefusal, Revoked, What};
pub use refused::Refused;
pub use status::StatusView;
pub use tally::Tally;
pub use tend::Readiness;
pub use timed::Timed;
pub use watch::{Told, Watcher};

use follow::Follower;
use pace::Pace;
use random::Randomness;
use refused::No;
use settings::Settings;
use shut::Shut;

/// What a broker is told once, at its start.
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// Its name, which stands in its decision ids.
    pub name: String,
    /// The issuer of its tokens, shared by all brokers of a store.
    pub issuer: String,
    /// How long tokens and chains may live.
    pub limits: Limits,
    /// How long an ended task takes no lease.
    pub closed_for: Duration,
    /// How many may follow the revocation feed.
    pub feed: FeedLimits,
    /// Whether a plain bearer token completes its task.
    pub bearer_complete: bool,
    /// Whether assertions may name the endpoint's URL as audience.
    pub accept_endpoint_audience: bool,
    /// How platforms are asked for their keys.
    pub federation: ForeignOptions,
}

/// The rooms a broker works with.
pub struct Parts {
    /// What may be granted.
    pub policies: Arc<Policies>,
    /// Where leases stand.
    pub store: Arc<dyn LeaseStore>,
    /// Where decisions stand.
    pub audit: Arc<AuditLog>,
    /// What signs.
    pub keys: Arc<Keyring>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Now.
    pub clock: Clock,
}

/// A broker: every use case is a method of it.
pub struct Broker {
    options: BrokerOptions,
    parts: Parts,
    attestor: Attestor,
    issuers: Arc<Issuers>,
    follower: Follower,
    checker: Checker,
    empty_ends: Pace,
    settings: Settings,
    shut: Shut,
    ends: ends::Ends,
    /// Held while the broker goes over into another epoch.
    turning: tokio::sync::Mutex<()>,
    hub: feed::Hub,
    guests: feed::Guests,
    random: Randomness,
    started: UnixTime,
    /// When the store's log was last read up to its head, Unix seconds.
    heard_at: AtomicU64,
    /// The audit log's lines and failures that the metrics have been told of.
    told: (AtomicU64, AtomicU64),
    dates: dates::Dates,
    checkpoints: checkpoint::Shared,
    /// What its public listener shows, where it speaks TLS itself.
    tls: OnceLock<Tls>,
}

/// A broker that could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A decoy key could not be made.
    #[error(transparent)]
    Jose(#[from] crate::jose::JoseError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The keys could not be put in order.
    #[error(transparent)]
    Keys(#[from] crate::keys::KeyError),
}

impl BrokerError {
    /// Whether the store failed, which the log has said already.
    const fn is_of_the_store(&self) -> bool {
        use crate::keys::KeyError;
        matches!(self, Self::Store(_) | Self::Keys(KeyError::Store(_) | KeyError::Publish(RecordError::Store(_))))
    }
}

impl Broker {
    /// How far the clocks of brokers, callers and verifiers may differ.
    pub const SKEW: Duration = Duration::from_secs(30);

    /// Puts a broker together and brings it up to the log's head.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn start(options: BrokerOptions, parts: Parts) -> Result<Self, BrokerError> {
        let fetch = ForeignFetch::new(options.federation.clone());
        let issuers = Arc::new(Issuers::new(fetch, Bounds::default(), parts.metrics.clone()));
        let (issuer, lenient) = (options.issuer.clone(), options.accept_endpoint_audience);
        let attestor = Attestor::new(issuer, lenient, Self::SKEW, issuers.clone())?;
        let follower = Follower::new(parts.store.clone(), parts.clock.clone());
        let checker = Checker::new(
            CheckerOptions { clock: parts.clock.later(), ..CheckerOptions::new(options.issuer.clone()) },
            follower.view().clone(),
        );
        let started = parts.clock.now();
        let guests = feed::Guests::new(options.feed);
        let broker = Self {
            options,
            parts,
            attestor,
            issuers,
            follower,
            checker,
            empty_ends: Pace::new(1000, 50),
            settings: Settings::default(),
            shut: Shut::default(),
            ends: ends::Ends::default(),
            turning: tokio::sync::Mutex::default(),
            hub: feed::Hub::new(feed::ROOM),
            guests,
            random: Randomness::new(SystemRandom::new()),
            started,
            heard_at: AtomicU64::new(started.secs()),
            told: (AtomicU64::new(0), AtomicU64::new(0)),
            dates: dates::Dates::default(),
            checkpoints: checkpoint::Shared::default(),
            tls: OnceLock::new(),
        };
        let head = broker.catch_up().await?;
        broker.shut.arrived(head.epoch);
        if broker.parts.keys.signer().is_ok_and(|signer| signer.epoch != head.epoch) {
            broker.parts.keys.new_epoch(head.epoch).await?;
        }
        broker.refresh_keys().await?;
        broker.hear_quarantines().await?;
        broker.look_at_settings().await;
        broker.mind_the_dates();
        // The set it starts with: what changes access later is told as a reload.
        let digest = broker.parts.policies.current().digest().to_owned();
        broker.parts.audit.post(AuditRecord::new(Event::Start, Outcome::Done).detail(&digest));
        Ok(broker)
    }

    /// Its options.
    pub const fn options(&self) -> &BrokerOptions {
        &self.options
    }

    /// The policy set of this moment.
    pub fn policies(&self) -> &Arc<Policies> {
        &self.parts.policies
    }

    /// The keys.
    pub fn keys(&self) -> &Arc<Keyring> {
        &self.parts.keys
    }

    /// The audit log.
    pub fn audit(&self) -> &Arc<AuditLog> {
        &self.parts.audit
    }

    /// Figures.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// Now, by the broker's clock.
    pub fn now(&self) -> UnixTime {
        self.parts.clock.now()
    }

    /// A fresh decision id of this broker.
    ///
    /// # Errors
    /// [`Refused`] without an id of its own where the system has no randomness.
    pub fn decision(&self) -> Result<DecisionId, Refused> {
        let random = self.random.take().map_err(|_| Refused::nameless())?;
        DecisionId::of(&self.options.name, random).map_err(|_| Refused::nameless())
    }

    /// Reads the log up to its head; on another epoch starts over, with new keys; a key that was ended leaves at once.
    async fn catch_up(&self) -> Result<Head, BrokerError> {
        let caught = self.follower.catch_up().await?;
        self.heard_at.store(self.now().secs(), Ordering::Relaxed);
        if self.shut.is_new(caught.head.epoch) {
            self.turn_to(caught.head.epoch).await?;
        }
        if caught.ends_a_key {
            self.tend_keys().await?;
        }
        if caught.ends_a_workload
            && let Err(error) = self.hear_quarantines().await
        {
            tracing::debug!(%error, "the quarantines are read again later");
        }
        Ok(caught.head)
    }

    /// Goes over into another epoch. Quarantines come first: before this broker has a key there, it mints nothing. What
    /// fails is tried again with the next reading of the log.
    async fn turn_to(&self, epoch: Epoch) -> Result<(), BrokerError> {
        let _turning = self.turning.lock().await;
        // Another call was first; or this one read the log before the view went over, and is behind.
        if !self.shut.is_new(epoch) || self.follower.view().epoch() != Some(epoch) {
            return Ok(());
        }
        self.ends.forget();
        self.impose_again(epoch).await?;
        self.parts.keys.new_epoch(epoch).await?;
        self.refresh_keys().await?;
        self.parts.audit.post(AuditRecord::new(Event::EpochStart, Outcome::Done).epoch(epoch));
        self.shut.arrived(epoch);
        Ok(())
    }

    /// Brings the view up to a head that was read, where it is not there yet.
    async fn see(&self, head: Head) -> Result<(), No> {
        if self.follower.has_seen(head) {
            return Ok(());
        }
        self.catch_up().await.map_err(|error| No::unavailable(&error))?;
        Ok(())
    }

    /// Reads the published keys and hands them to the checker.
    async fn refresh_keys(&self) -> Result<(), BrokerError> {
        self.parts.keys.refresh().await?;
        self.checker.set_keys(self.parts.keys.verifying_keys());
        Ok(())
    }

    /// The JWKS as the store has it now: a key that another broker published a moment ago may have signed already, and a
    /// verifier that does not find it here will not ask again for a while. Where the store does not answer at once, as it
    /// was last read.
    pub async fn jwks(&self) -> Arc<JwksDocument> {
        const PATIENCE: Duration = Duration::from_millis(250);
        let _ = tokio::time::timeout(PATIENCE, self.refresh_keys()).await;
        self.parts.keys.jwks()
    }

    /// Looks at a token by `how`. One whose key is not known here may be another broker's that published it a moment ago:
    /// it is looked at once more with the keys as the store has them now.
    async fn look<T>(&self, how: impl Fn(&Checker) -> Result<T, Invalid>) -> Result<Result<T, Invalid>, No> {
        match how(&self.checker) {
            Err(Invalid::Key) => {
                self.refresh_keys().await.map_err(|error| No::unavailable(&error))?;
                Ok(how(&self.checker))
            }
            outcome => Ok(outcome),
        }
    }

    /// Uses up an assertion outside of a lease or an end; gives the head as read before.
    async fn spend(&self, spent: Option<Spent>) -> Result<Head, No> {
        let outcome = match spent {
            Some(spent) => self.parts.store.spend(spent).await,
            None => self.parts.store.head().await.map_err(RecordError::Store),
        };
        outcome.map_err(|error| No::from_record(&error))
    }

    /// Turns away a request that could not be read far enough to be decided.
    pub async fn turn_away(&self, event: Event, refusal: Refusal) -> Refused {
        let mut no = No::from(refusal);
        no.trail.unknown = true;
        match self.decision() {
            Ok(decision) => self.refuse(event, no, decision).await,
            Err(refused) => refused,
        }
    }

    /// Writes down a refusal and gives it its id.
    async fn refuse(&self, event: Event, mut no: No, decision: DecisionId) -> Refused {
        no.explain();
        let record = no.trail.record(AuditRecord::refused(event, no.refusal.reason)).decision(decision.clone());
        // A refusal is given even where it cannot be written down: it hands nothing out, and the log's failure is
        // counted and makes the broker unready.
        let _ = match no.trail.is_unknown() {
            true => self.parts.audit.note_unknown(record).await,
            false => self.parts.audit.note(record).await,
        };
        Refused { refusal: no.refusal, decision_id: Some(decision) }
    }
}

impl Refused {
    fn nameless() -> Self {
        let refusal = Refusal::new(Reason::Internal, "the system has no randomness to give");
        Self { refusal, decision_id: None }
    }
}
