//! What a broker does unasked: follows the log, tends its keys, drops what is past, keeps its figures.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::audit::{AuditRecord, Event, Outcome};
use crate::store::StoreError;

use super::{Broker, settings};

/// So many turns of tending go by between two looks at the store's settings: half a minute.
const SETTINGS_EVERY: u32 = 15;

/// Between two heartbeats of the feed; the log is read so often, hint or not.
const BEAT: Duration = Duration::from_millis(500);

/// While more than one rule comes at a time, so long passes between two events.
const TOGETHER: Duration = Duration::from_millis(2);

/// What must be there before a broker may mint; what `/readyz` says is missing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Readiness {
    /// Whether nothing is missing.
    pub ready: bool,
    /// What is, each in a few words.
    pub missing: Vec<&'static str>,
}

impl Broker {
    /// Follows the store's log until the process ends, and tells the feed's subscribers: on each hint, when the published
    /// keys change, and twice a second in any case.
    pub async fn follow(self: Arc<Self>) {
        let (mut moved, mut keys) = (self.parts.store.moved(), self.parts.keys.changes());
        let mut tick = interval(BEAT);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_beat = tokio::select! {
                _ = tick.tick() => true,
                Ok(()) = moved.changed() => false,
                Ok(()) = keys.changed() => false,
            };
            match self.catch_up().await {
                Ok(_) => {}
                Err(error) if error.is_of_the_store() => {
                    tracing::debug!(%error, "the revocation log cannot be followed");
                }
                Err(error) => tracing::warn!(%error, "the revocation log cannot be followed"),
            }
            let news = self.tell();
            if is_beat && let Some(began) = self.read_for_beat().await {
                self.beat(began);
            }
            if news > 1 {
                // A flood: what comes in this moment is told in one event.
                tokio::time::sleep(TOGETHER).await;
            }
        }
    }

    /// Tends keys and figures until the process ends.
    pub async fn tend(self: Arc<Self>) {
        let mut tick = interval(Duration::from_secs(2));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for turn in (0..SETTINGS_EVERY).cycle() {
            tick.tick().await;
            match self.tend_keys().await {
                Ok(()) => {}
                Err(error) if error.is_of_the_store() => {
                    tracing::debug!(%error, "the signing keys cannot be tended");
                }
                Err(error) => tracing::warn!(%error, "the signing keys cannot be tended"),
            }
            if let Err(error) = self.hear_quarantines().await {
                tracing::debug!(%error, "the quarantines cannot be read");
            }
            self.follower.expire();
            self.measure().await;
            self.mind_the_dates();
            if turn == 0 {
                self.look_at_settings().await;
            }
        }
    }

    /// Fetches the keys of the platforms that the policies trust, ahead of need, until the process ends.
    pub async fn federate(self: Arc<Self>) {
        let policies = self.parts.policies.clone();
        self.issuers.clone().tend(move || policies.current()).await;
    }

    pub(super) async fn tend_keys(&self) -> Result<(), super::BrokerError> {
        let rotated = self.parts.keys.tick().await?;
        self.refresh_keys().await?;
        if let Some(kid) = rotated {
            self.parts.audit.post(AuditRecord::new(Event::KeyRotate, Outcome::Done).key(kid));
        }
        Ok(())
    }

    async fn measure(&self) {
        if let Ok(stats) = self.parts.store.stats(self.parts.clock.now()).await {
            self.parts.metrics.set_live_leases(stats.live_leases);
            self.parts.metrics.set_live_rules(stats.live_rules);
            self.parts.metrics.set_log_position(stats.position);
        }
        self.measure_feed();
        let counters = self.parts.audit.counters();
        let (lines, failures) = (counters.lines.load(Relaxed), counters.failures.load(Relaxed));
        self.parts.metrics.audit_lines(lines.saturating_sub(self.told.0.swap(lines, Relaxed)));
        for _ in self.told.1.swap(failures, Relaxed)..failures {
            self.parts.metrics.audit_failure();
        }
    }

    /// Looks whether the store still has the settings that it was started on: anybody may change them while it runs.
    pub(super) async fn look_at_settings(&self) {
        match self.parts.store.safety().await {
            Ok(rows) => {
                self.parts.metrics.set_unsafe_settings(rows.iter().filter(|row| !row.safe).count() as u64);
                self.settings.learn(rows).iter().for_each(settings::tell);
            }
            Err(error) => tracing::debug!(%error, "the store's settings cannot be read"),
        }
    }

    /// What is missing before this broker may mint. Anybody may ask, so paths, addresses and what the system said are left to the
    /// log and to operators.
    pub async fn readiness(&self) -> Readiness {
        let mut missing = Vec::new();
        // A Redis that is full, or a replica by now, still answers with its head.
        match self.parts.store.head().await {
            Err(StoreError::Corrupt(_)) => missing.push("store: it holds what jitney did not write"),
            Err(_) => missing.push("store: it does not answer"),
            Ok(_) if self.parts.store.writable().is_err() => missing.push("store: it takes no writes"),
            Ok(_) => {}
        }
        if self.parts.audit.healthy().is_err() {
            missing.push("audit log: it cannot be written");
        }
        if self.parts.keys.signer().is_err() {
            missing.push("keys: none may sign now");
        }
        Readiness { ready: missing.is_empty(), missing }
    }
}
