//! The keys of the issuers that a set trusts: fetched ahead of their expiry, and once more for a key not known yet.
//!
//! One task fetches ([`Issuers::tend`]); a request waits for its next fetch for a bounded time, or does not wait. Reading keys
//! takes no lock. No key is used that its issuer has not published within [`Bounds::stale`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::fetch::foreign::ForeignFetch;
use crate::jose::JwkSet;
use crate::model::UnixTime;
use crate::policy::{Issuer, IssuerKeys, KeySource, PolicySet};
use crate::telemetry::Metrics;

use super::discover;

/// How long keys are kept and how often they are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Keys are kept this long at least, whatever `Cache-Control` says.
    pub least: Duration,
    /// And this long where it says nothing.
    pub usual: Duration,
    /// And no longer than this; the same bound holds while the issuer is away: so no key is used that its issuer has not
    /// published within a day, whatever came between.
    pub stale: Duration,
    /// Tokens with a key not known send one question to their issuer in this time.
    pub cool_down: Duration,
    /// How long a request waits for that question.
    pub patience: Duration,
    /// After a fetch that failed, the next one comes after a second, then two, up to this.
    pub retry: Duration,
}

impl Default for Bounds {
    /// A minute, an hour, a day; 30 s; 1.5 s; 30 s.
    fn default() -> Self {
        let [minute, hour, day] = [60, 3600, 86_400].map(Duration::from_secs);
        let half_a_minute = minute / 2;
        let patience = Duration::from_millis(1500);
        Self { least: minute, usual: hour, stale: day, cool_down: half_a_minute, patience, retry: half_a_minute }
    }
}

/// An issuer whose keys are fetched, at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct IssuerView {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Where its keys are, where its discovery document is not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Whether there are keys to verify its tokens by.
    pub available: bool,
    /// When they were last fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<UnixTime>,
    /// What is wrong, where they cannot be fetched now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub away: Option<IssuerAway>,
}

/// Keys that cannot be fetched.
#[derive(Debug, Clone, Serialize)]
pub struct IssuerAway {
    /// Since when.
    pub since: UnixTime,
    /// What went wrong the last time.
    pub why: String,
}

/// Keys as they were last fetched.
pub(in crate::attest) struct Keys {
    pub(super) set: JwkSet,
    /// Another one whenever the issuer publishes other keys.
    pub(super) generation: u64,
    digest: [u8; 32],
    /// When their issuer was asked: what it published later is not among them.
    at: Instant,
}

/// An issuer's keys from one place.
pub(in crate::attest) struct Platform {
    url: Arc<str>,
    jwks_uri: Option<Arc<str>>,
    bounds: Bounds,
    keys: ArcSwapOption<Keys>,
    /// How many fetches have ended; who waits for one watches it.
    ended: watch::Sender<u64>,
    wake: Arc<Notify>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    is_fetching: bool,
    due: Instant,
    /// When a key not known was last worth a question.
    wished: Option<Instant>,
    failures: u32,
    trouble: Option<String>,
    /// Since when no fetch has succeeded.
    failing: Option<Instant>,
}

/// A fetch that was asked for, or is under way.
pub(in crate::attest) struct Wish(watch::Receiver<u64>);

impl Wish {
    /// Waits until it has ended, well or not.
    pub(in crate::attest) async fn granted(mut self, patience: Duration) {
        let _ = timeout(patience, self.0.changed()).await;
    }
}

impl Platform {
    fn new(url: Arc<str>, jwks_uri: Option<Arc<str>>, bounds: &Bounds, wake: Arc<Notify>) -> Self {
        let (due, failing) = (Instant::now(), None);
        let state = State { is_fetching: false, due, wished: None, failures: 0, trouble: None, failing };
        Self {
            url,
            jwks_uri,
            bounds: *bounds,
            keys: ArcSwapOption::empty(),
            ended: watch::Sender::new(0),
            wake,
            state: Mutex::new(state),
        }
    }

    /// The keys, unless they are too old.
    pub(super) fn keys(&self) -> Option<Arc<Keys>> {
        self.keys.load_full().filter(|keys| keys.at.elapsed() < self.bounds.stale)
    }

    /// Asks for fresh keys, for a token whose key is not known. None where that was asked a moment ago, or the last fetch
    /// failed and its turn has not come again.
    pub(super) fn wish(&self) -> Option<Wish> {
        // Before the question, so that its end cannot be missed.
        let wish = Wish(self.ended.subscribe());
        let (mut state, now) = (self.state(), Instant::now());
        if state.is_fetching {
            return Some(wish);
        }
        let was_wished = state.wished.is_some_and(|at| now.duration_since(at) < self.bounds.cool_down);
        if (state.failures > 0 || was_wished) && state.due > now {
            return None;
        }
        // Where there are no keys yet, the question is not for an unknown one: that one may follow at once.
        if self.keys.load().is_some() {
            state.wished = Some(now);
        }
        state.due = now;
        drop(state);
        self.wake.notify_one();
        Some(wish)
    }

    /// Why there are no keys, for the audit log.
    pub(super) fn trouble(&self) -> String {
        self.state().trouble.clone().unwrap_or_else(|| "its keys were not fetched yet".into())
    }

    /// How it stands with its keys, for operators.
    fn view(&self, now: UnixTime) -> IssuerView {
        let state = self.state();
        let ago = |at: Instant| now.minus(at.elapsed());
        let away = state.failing.zip(state.trouble.clone());
        IssuerView {
            issuer: self.url.to_string(),
            jwks_uri: self.jwks_uri.as_ref().map(ToString::to_string),
            available: self.keys().is_some(),
            fetched_at: self.keys.load().as_ref().map(|keys| ago(keys.at)),
            away: away.map(|(since, why)| IssuerAway { since: ago(since), why }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is to be fetched now; then it counts as being fetched.
    fn begin(&self) -> bool {
        let mut state = self.state();
        let begins = !state.is_fetching && state.due <= Instant::now();
        state.is_fetching |= begins;
        begins
    }
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Platform").field("url", &self.url).field("jwks_uri", &self.jwks_uri).finish_non_exhaustive()
    }
}

/// A fetch under way; its end is told however it comes.
struct Begun(Arc<Platform>);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.state().is_fetching = false;
        self.0.ended.send_modify(|count| *count += 1);
    }
}

type Place = (Arc<str>, Option<Arc<str>>);

/// All issuers whose keys are fetched.
pub struct Issuers {
    fetch: ForeignFetch,
    bounds: Bounds,
    metrics: Arc<Metrics>,
    platforms: ArcSwap<HashMap<Place, Arc<Platform>>>,
    generations: AtomicU64,
    wake: Arc<Notify>,
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuers").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl Issuers {
    /// Issuers that are asked by `fetch`. Asks nobody before [`Issuers::tend`] runs.
    pub fn new(fetch: ForeignFetch, bounds: Bounds, metrics: Arc<Metrics>) -> Self {
        let platforms = ArcSwap::from_pointee(HashMap::new());
        Self { fetch, bounds, metrics, platforms, generations: AtomicU64::new(1), wake: Arc::default() }
    }

    /// How long a request may wait for a fetch.
    pub(in crate::attest) const fn patience(&self) -> Duration {
        self.bounds.patience
    }

    /// How it stands with each, in the order of their names.
    pub fn view(&self, now: UnixTime) -> Vec<IssuerView> {
        let mut all: Vec<_> = self.platforms.load().values().map(|platform| platform.view(now)).collect();
        all.sort_by(|one, two| (&one.issuer, &one.jwks_uri).cmp(&(&two.issuer, &two.jwks_uri)));
        all
    }

    /// Knows the issuers of `set`, and no others, from now on; those that are new are fetched at once.
    pub fn follow(&self, set: &PolicySet) {
        let wanted: Vec<Place> =
            set.issuers().flat_map(|issuer| issuer.keys.iter().filter_map(|keys| place(issuer, keys))).collect();
        let known = self.platforms.load();
        if wanted.len() == known.len() && wanted.iter().all(|place| known.contains_key(place)) {
            return;
        }
        self.platforms.rcu(|known| {
            let kept = |place: &Place| known.get(place).cloned();
            let new = |(url, uri): Place| Arc::new(Platform::new(url, uri, &self.bounds, self.wake.clone()));
            let all = wanted.iter().map(|place| (place.clone(), kept(place).unwrap_or_else(|| new(place.clone()))));
            all.collect::<HashMap<_, _>>()
        });
        self.wake.notify_one();
    }

    /// The keys of an issuer from a place that is fetched; one that is not known yet is asked at once.
    pub(super) fn platform(&self, issuer: &Issuer, keys: &IssuerKeys) -> Arc<Platform> {
        let place = place(issuer, keys).unwrap_or_else(|| (issuer.url.clone(), None));
        if let Some(platform) = self.platforms.load().get(&place) {
            return platform.clone();
        }
        let (url, uri) = place.clone();
        let new = Arc::new(Platform::new(url, uri, &self.bounds, self.wake.clone()));
        self.platforms.rcu(|known| {
            let mut all = HashMap::clone(known);
            all.entry(place.clone()).or_insert_with(|| new.clone());
            all
        });
        self.wake.notify_one();
        self.platforms.load().get(&place).cloned().unwrap_or(new)
    }

    /// Fetches keys when they are due, for ever: the work of a supervised task.
    pub async fn tend(self: Arc<Self>, current: impl Fn() -> Arc<PolicySet>) {
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fetches = JoinSet::new();
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.wake.notified() => {}
                Some(ended) = fetches.join_next(), if !fetches.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "fetching an issuer's keys failed");
                    }
                }
            }
            self.follow(&current());
            for platform in self.platforms.load().values().filter(|platform| platform.begin()) {
                let (issuers, begun) = (self.clone(), Begun(platform.clone()));
                fetches.spawn(async move { issuers.refresh(&begun.0).await });
            }
        }
    }

    async fn refresh(&self, platform: &Platform) {
        let begun = Instant::now();
        let fetched = discover::fetch(&self.fetch, &platform.url, platform.jwks_uri.as_deref()).await;
        self.metrics.issuer_fetch(fetched.is_ok());
        let (now, before) = (Instant::now(), platform.keys.load_full());
        match fetched {
            Ok(fetched) => {
                let same = before.filter(|keys| keys.digest == fetched.digest).map(|keys| keys.generation);
                if same.is_none() && !fetched.passed_over.is_empty() {
                    let keys = fetched.passed_over.join("; ");
                    tracing::warn!(issuer = &*platform.url, %keys, "some of an issuer's keys are passed over");
                }
                let generation = same.unwrap_or_else(|| self.generations.fetch_add(1, Ordering::Relaxed));
                let keys = Keys { set: fetched.set, generation, digest: fetched.digest, at: begun };
                platform.keys.store(Some(Arc::new(keys)));
                let age = fetched.max_age.unwrap_or(self.bounds.usual).clamp(self.bounds.least, self.bounds.stale);
                let mut state = platform.state();
                // Ahead of their end, so that no request meets it.
                state.due = now + age * 9 / 10;
                (state.failures, state.trouble, state.failing) = (0, None, None);
                drop(state);
                tracing::debug!(issuer = &*platform.url, generation, "an issuer's keys were fetched");
            }
            Err(error) => {
                let mut state = platform.state();
                let wait = Duration::from_secs(1 << state.failures.min(10)).min(self.bounds.retry);
                state.due = now + wait;
                state.failures = state.failures.saturating_add(1);
                state.trouble = Some(error.to_string());
                state.failing.get_or_insert(now);
                let is_first = state.failures == 1;
                drop(state);
                match is_first {
                    true => tracing::warn!(issuer = &*platform.url, %error, "an issuer's keys cannot be fetched"),
                    false => {
                        tracing::debug!(issuer = &*platform.url, %error, "an issuer's keys still cannot be fetched")
                    }
                }
            }
        }
    }
}

/// Where keys are fetched from; none where they are pinned.
fn place(issuer: &Issuer, keys: &IssuerKeys) -> Option<Place> {
    match &keys.source {
        KeySource::Discovery => Some((issuer.url.clone(), None)),
        KeySource::Uri(uri) => Some((issuer.url.clone(), Some(uri.clone()))),
        _ => None,
    }
}
