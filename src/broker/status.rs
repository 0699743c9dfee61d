//! A broker at a glance: its store, log, keys, policy set, audit log, and who follows its feed.

use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

use crate::attest::IssuerView;
use crate::model::{Epoch, KeyId, Position, UnixTime};
use crate::net::Tls;
use crate::store::{Safety, StoreError, StoreStats};

use super::{Broker, CheckpointView, FeedView};

/// A broker at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct StatusView {
    /// Its name.
    pub broker: String,
    /// Its version.
    pub version: &'static str,
    /// The issuer of its tokens.
    pub issuer: String,
    /// The store.
    pub store: StoreView,
    /// The published keys.
    pub keys: Vec<KeyId>,
    /// The one that signs here; none where there is none now.
    pub signs: Option<KeyId>,
    /// The policy set.
    pub policies: PoliciesView,
    /// The issuers whose keys are fetched.
    pub issuers: Vec<IssuerView>,
    /// The audit log.
    pub audit: AuditView,
    /// What its listener shows; none where it speaks no TLS itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsView>,
    /// How long tokens live.
    pub tokens: TokensView,
    /// The feed's subscribers.
    pub feed: FeedView,
    /// How many operators follow what happens.
    pub watchers: usize,
    /// Seconds since it started.
    pub uptime_seconds: u64,
}

/// The store at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct StoreView {
    /// Whether it answers.
    pub available: bool,
    /// What is known of it where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub away: Option<StoreAway>,
    /// What it said to the last write, where it answers and yet takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuses_writes: Option<String>,
    /// Figures.
    #[serde(flatten)]
    pub stats: Option<StoreStats>,
    /// What its settings promise.
    pub safety: Vec<Safety>,
}

/// A store that does not answer.
#[derive(Debug, Clone, Serialize)]
pub struct StoreAway {
    /// What went wrong.
    pub why: String,
    /// When its log was last read up to its head.
    pub heard_at: UnixTime,
    /// The head that was read then.
    pub position: Position,
    /// The log's life then.
    pub epoch: Option<Epoch>,
}

/// The policy set at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct PoliciesView {
    /// The folder.
    pub dir: String,
    /// The set's digest.
    pub digest: String,
    /// Loaded at.
    pub loaded_at: UnixTime,
    /// What is wrong with the folder, where it was refused since: the set in use is the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<PoliciesRefused>,
    /// What was found in the set in use that is probably not meant, a line each.
    pub warnings: Vec<String>,
    /// How many workloads.
    pub workloads: usize,
    /// How many audiences.
    pub audiences: usize,
    /// How many policies.
    pub policies: usize,
}

/// A changed policy set that is not in use.
#[derive(Debug, Clone, Serialize)]
pub struct PoliciesRefused {
    /// Since when no change to the folder has come into use.
    pub since: UnixTime,
    /// The first thing that is wrong in it, and where.
    pub finding: String,
}

/// The audit log at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct AuditView {
    /// The file.
    pub path: String,
    /// Whether it takes records.
    pub healthy: bool,
    /// Why it takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The number of its last line.
    pub line: u64,
    /// The last checkpoint that this process has signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointView>,
}

/// The TLS certificate at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct TlsView {
    /// Its file.
    pub cert: String,
    /// Its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<UnixTime>,
    /// Why clients refuse it, or will soon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amiss: Option<String>,
}

/// The configuration's `[tokens]`, in seconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct TokensView {
    /// Where no `ttl` is asked.
    pub default_ttl: u64,
    /// The longest a token may live.
    pub max_ttl: u64,
    /// The longest a chain of renewals may last.
    pub max_lifetime: u64,
}

impl Broker {
    /// The broker at a glance; also where the store is away, with what is known.
    pub async fn status(&self) -> StatusView {
        let now = self.parts.clock.now();
        let (policies, set) = (&self.parts.policies, self.parts.policies.current());
        let refused = policies.refused();
        let failure = self.parts.audit.healthy().err();
        StatusView {
            broker: self.options.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            issuer: self.options.issuer.clone(),
            store: self.view_store(now).await,
            keys: self.parts.keys.jwks().kids.clone(),
            signs: self.parts.keys.signer().ok().map(|signer| signer.kid),
            policies: PoliciesView {
                dir: policies.dir().map_or_else(String::new, |dir| dir.display().to_string()),
                digest: set.digest().to_owned(),
                loaded_at: policies.loaded_at(),
                refused: refused.map(|it| PoliciesRefused { since: it.since, finding: it.finding.clone() }),
                warnings: policies.warnings().to_vec(),
                workloads: set.workloads().count(),
                audiences: set.audiences().count(),
                policies: set.policy_count(),
            },
            issuers: self.issuers.view(now),
            audit: AuditView {
                path: self.parts.audit.path().display().to_string(),
                healthy: failure.is_none(),
                failure,
                line: self.parts.audit.head().seq,
                checkpoint: self.last_checkpoint(),
            },
            tls: self.tls.get().map(|tls| view_tls(tls, now)),
            tokens: TokensView {
                default_ttl: self.options.limits.default_ttl.as_secs(),
                max_ttl: self.options.limits.max_ttl.as_secs(),
                max_lifetime: self.options.limits.max_lifetime.as_secs(),
            },
            feed: self.view_feed(),
            watchers: self.ends.watchers(),
            uptime_seconds: now.since(self.started).as_secs(),
        }
    }

    /// Its public listener speaks TLS by this pair: to be one for the host of the issuer.
    pub fn serves(&self, tls: &Tls) {
        let issuer: Option<http::Uri> = self.options.issuer.parse().ok();
        if let Some(host) = issuer.as_ref().and_then(http::Uri::host) {
            tls.expect(host.trim_matches(['[', ']']));
        }
        let _ = self.tls.set(tls.clone());
    }

    /// How long the certificate in use has left, for the metrics; none where there is none.
    pub fn certificate_days_left(&self) -> Option<i64> {
        Some(self.tls.get()?.certificate().1?.days_left(self.parts.clock.now()))
    }

    async fn view_store(&self, now: UnixTime) -> StoreView {
        let store = &self.parts.store;
        let read = async { Ok::<_, StoreError>((store.stats(now).await?, store.safety().await?)) };
        match read.await {
            Ok((stats, safety)) => StoreView {
                available: true,
                away: None,
                refuses_writes: store.writable().err().map(|error| error.to_string()),
                stats: Some(stats),
                safety,
            },
            Err(error) => {
                let view = self.follower.view();
                let away = StoreAway {
                    why: error.to_string(),
                    heard_at: UnixTime::from_secs(self.heard_at.load(Relaxed)),
                    position: view.position(),
                    epoch: view.epoch(),
                };
                StoreView { available: false, away: Some(away), refuses_writes: None, stats: None, safety: Vec::new() }
            }
        }
    }
}

fn view_tls(tls: &Tls, now: UnixTime) -> TlsView {
    let (cert, own) = tls.certificate();
    TlsView {
        cert: cert.display().to_string(),
        not_after: own.map(|own| own.not_after),
        amiss: tls.amiss(now).map(|amiss| amiss.to_string()),
    }
}
