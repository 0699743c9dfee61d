//! The metrics, each with a handle held from the start: counting looks nothing up and allocates nothing.
//!
//! Owns names and labels; a label's values come from fixed lists, so what callers send never makes a series. The one
//! exception names workloads of the policies, a bounded number of them.

use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use crate::model::{Position, Reason, RuleKind};

use super::dates::Dates;
use super::labels::{Endpoint, StoreOp};

/// One label, from fixed lists.
type Label = [(&'static str, &'static str); 1];

/// Bounds in seconds: a mint in memory takes 100 µs, a stalled store two seconds.
const REQUEST_BOUNDS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// The rule kinds, in the order of their bytes less one.
const KINDS: [RuleKind; 6] =
    [RuleKind::Lease, RuleKind::Task, RuleKind::Workload, RuleKind::Audience, RuleKind::Key, RuleKind::All];

/// The metrics of a process. Shared behind an `Arc`; counting takes `&self`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    mints: Vec<(&'static str, Counter)>,
    ends: Vec<Counter>,
    requests: Vec<Histogram>,
    store: Vec<Histogram>,
    reloaded: Counter,
    reload_refused: Counter,
    issuer_fetched: Counter,
    issuer_failed: Counter,
    audit_lines: Counter,
    audit_failures: Counter,
    live_leases: Gauge,
    live_rules: Gauge,
    log_position: Gauge,
    unsafe_settings: Gauge,
    connections: Gauge,
    feed_subscribers: Gauge,
    feed_lag: Gauge,
    feed_events: Counter,
    feed_bytes: Counter,
    feed_cut: Counter,
    dates: Dates,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics, at nought.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("jitney");
        let at = &mut registry;
        let outcomes: Vec<_> = std::iter::once(GRANTED).chain(Reason::all().map(Reason::as_str)).collect();
        let mints = counters(at, "mints", "Requests for a token, by how they ended", "outcome", &outcomes);
        let ends = counters(at, "ends", "Rules appended to the log, by kind", "kind", &KINDS.map(RuleKind::as_str));
        let mut reloads = counters(at, "policy_reloads", "Reloads of the policies", "outcome", &["loaded", "refused"]);
        let reload_refused = reloads.pop().unwrap_or_default();
        let reloaded = reloads.pop().unwrap_or_default();
        let mut fetches =
            counters(at, "issuer_fetches", "Fetches of platforms' keys", "outcome", &["fetched", "failed"]);
        let issuer_failed = fetches.pop().unwrap_or_default();
        let issuer_fetched = fetches.pop().unwrap_or_default();
        let requests = histograms(at, "request_seconds", "Whole requests, by endpoint", "endpoint", Endpoint::WORDS);
        let store = histograms(at, "store_seconds", "Calls to the store, by operation", "operation", StoreOp::WORDS);
        let audit_lines = single(at, "audit_lines", "Lines written to the audit log");
        let audit_failures = single(at, "audit_failures", "Writes to the audit log that failed");
        let live_leases = single(
            at,
            "live_leases",
            "Leases that have not expired, those that were ended before too; read from the store every 2 seconds, and as old as \
             its last answer while it is away",
        );
        let live_rules = single(at, "live_rules", "Rules of the log that can still end a token");
        let log_position = single(at, "log_position", "The last position of the revocation log");
        let about = "Settings of the store that do not keep what is acknowledged, accepted ones too";
        let unsafe_settings = single(at, "store_unsafe_settings", about);
        let connections = single(at, "connections", "Open connections");
        let feed_subscribers = single(at, "feed_subscribers", "Readers that follow the revocation feed");
        let feed_lag = single(at, "feed_lag", "Places of the log that the slowest of them is behind");
        let feed_events = single(at, "feed_events", "Events of the feed that were sent, parts of snapshots too");
        let feed_bytes = single(at, "feed_bytes", "Their bytes");
        let feed_cut = single(at, "feed_cut", "Readers of the feed that took too little and were cut off");
        let dates = Dates::new(at);
        at.register("build", "What is running", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        Self {
            mints: outcomes.into_iter().zip(mints).collect(),
            ends,
            requests,
            store,
            reloaded,
            reload_refused,
            issuer_fetched,
            issuer_failed,
            audit_lines,
            audit_failures,
            live_leases,
            live_rules,
            log_position,
            unsafe_settings,
            connections,
            feed_subscribers,
            feed_lag,
            feed_events,
            feed_bytes,
            feed_cut,
            dates,
            registry,
        }
    }

    /// Counts a token granted.
    pub fn granted(&self) {
        self.mint(GRANTED);
    }

    /// Counts a request for a token: `granted`, or a [`Reason::as_str`]. Any other word counts as `internal`.
    pub fn mint(&self, outcome: &'static str) {
        let named = |word| self.mints.iter().find(|(name, _)| *name == word);
        if let Some((_, counter)) = named(outcome).or_else(|| named(Reason::Internal.as_str())) {
            counter.inc();
        }
    }

    /// Counts a whole request, from its head read to its answer handed on.
    pub fn request(&self, endpoint: Endpoint, took: Duration) {
        observe(&self.requests, endpoint as usize, took);
    }

    /// Counts a call to the store, failed ones too.
    pub fn store(&self, operation: StoreOp, took: Duration) {
        observe(&self.store, operation as usize, took);
    }

    /// Counts a rule appended to the log.
    pub fn end(&self, kind: RuleKind) {
        if let Some(counter) = self.ends.get(kind as usize - 1) {
            counter.inc();
        }
    }

    /// Counts a reload of the policies: loaded, or refused and the old set kept.
    pub fn policy_reload(&self, loaded: bool) {
        if loaded {
            self.reloaded.inc()
        } else {
            self.reload_refused.inc()
        };
    }

    /// Counts a fetch of a platform's keys.
    pub fn issuer_fetch(&self, fetched: bool) {
        if fetched {
            self.issuer_fetched.inc()
        } else {
            self.issuer_failed.inc()
        };
    }

    /// Counts lines written to the audit log.
    pub fn audit_lines(&self, lines: u64) {
        self.audit_lines.inc_by(lines);
    }

    /// Counts a write to the audit log that failed.
    pub fn audit_failure(&self) {
        self.audit_failures.inc();
    }

    /// Leases that stand now.
    pub fn set_live_leases(&self, leases: u64) {
        set(&self.live_leases, leases);
    }

    /// Rules that can still end a token.
    pub fn set_live_rules(&self, rules: u64) {
        set(&self.live_rules, rules);
    }

    /// The head of the log.
    pub fn set_log_position(&self, position: Position) {
        set(&self.log_position, position.get());
    }

    /// Settings of the store that are not safe now.
    pub fn set_unsafe_settings(&self, settings: u64) {
        set(&self.unsafe_settings, settings);
    }

    /// Connections open now.
    pub fn set_connections(&self, connections: u64) {
        set(&self.connections, connections);
    }

    /// Readers that follow the feed now, and how far behind the slowest is.
    pub fn set_feed(&self, subscribers: u64, lag: u64) {
        set(&self.feed_subscribers, subscribers);
        set(&self.feed_lag, lag);
    }

    /// Counts an event of the feed, where it is one.
    pub fn feed_event(&self, is_one: bool) {
        self.feed_events.inc_by(u64::from(is_one));
    }

    /// Counts bytes of the feed.
    pub fn feed_sent(&self, bytes: u64) {
        self.feed_bytes.inc_by(bytes);
    }

    /// Counts readers of the feed that were cut off.
    pub fn feed_cut(&self, readers: u64) {
        self.feed_cut.inc_by(readers);
    }

    /// Workloads by state (ok, expired, ungoverned), and their dates as (workload, matter, days left), the most urgent first.
    pub fn set_workloads<'a>(&self, states: [u64; 3], left: impl Iterator<Item = (&'a str, &'static str, i64)>) {
        self.dates.set(states, left);
    }

    /// Days until the TLS certificate in use ends.
    pub fn set_certificate(&self, days: i64) {
        self.dates.set_certificate(days);
    }

    /// The content type of [`Metrics::encode`].
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// All metrics as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 << 10);
        // Writing into a string cannot fail; what is cut short lacks its `# EOF`, and a scraper refuses it.
        if text::encode(&mut text, &self.registry).is_err() {
            tracing::error!("the metrics could not be written out");
        }
        text
    }
}

/// The outcome that is no refusal.
const GRANTED: &str = "granted";

fn single<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn counters(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: &[&'static str],
) -> Vec<Counter> {
    let family = Family::<Label, Counter>::default();
    registry.register(name, help, family.clone());
    values.iter().map(|value| family.get_or_create_owned(&[(label, *value)])).collect()
}

fn histograms(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: &[&'static str],
) -> Vec<Histogram> {
    let family = Family::<Label, Histogram>::new_with_constructor(|| Histogram::new(REQUEST_BOUNDS));
    registry.register(name, help, family.clone());
    values.iter().map(|value| family.get_or_create_owned(&[(label, *value)])).collect()
}

fn observe(histograms: &[Histogram], at: usize, took: Duration) {
    if let Some(histogram) = histograms.get(at) {
        histogram.observe(took.as_secs_f64());
    }
}

fn set(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|l| l == line), "{line} is not in:\n{text}");
    }

    #[test]
    fn every_outcome_is_there_before_it_happens() {
        let text = Metrics::new().encode();
        has(&text, r#"jitney_mints_total{outcome="granted"} 0"#);
        for reason in Reason::all() {
            has(&text, &format!("jitney_mints_total{{outcome=\"{}\"}} 0", reason.as_str()));
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn what_is_counted_is_told() {
        let metrics = Metrics::new();
        metrics.granted();
        metrics.mint(Reason::DeniedScope.as_str());
        metrics.mint("no such outcome");
        for kind in KINDS {
            metrics.end(kind);
        }
        metrics.end(RuleKind::All);
        metrics.request(Endpoint::Token, Duration::from_millis(3));
        metrics.store(StoreOp::Record, Duration::from_micros(200));
        metrics.policy_reload(false);
        metrics.issuer_fetch(true);
        metrics.audit_lines(3);
        metrics.audit_failure();
        metrics.set_live_leases(7);
        metrics.set_live_rules(8);
        metrics.set_log_position(Position::new(9));
        metrics.set_unsafe_settings(1);
        metrics.set_connections(2);
        metrics.set_feed(5, 6);
        metrics.feed_event(true);
        metrics.feed_event(false);
        metrics.feed_sent(100);
        metrics.feed_cut(4);
        let text = metrics.encode();
        for line in [
            r#"jitney_mints_total{outcome="granted"} 1"#,
            r#"jitney_mints_total{outcome="denied_scope"} 1"#,
            r#"jitney_mints_total{outcome="internal"} 1"#,
            r#"jitney_ends_total{kind="lease"} 1"#,
            r#"jitney_ends_total{kind="all"} 2"#,
            r#"jitney_request_seconds_bucket{le="0.0025",endpoint="token"} 0"#,
            r#"jitney_request_seconds_bucket{le="0.005",endpoint="token"} 1"#,
            r#"jitney_request_seconds_count{endpoint="jwks"} 0"#,
            r#"jitney_store_seconds_bucket{le="0.00025",operation="record"} 1"#,
            r#"jitney_policy_reloads_total{outcome="refused"} 1"#,
            r#"jitney_policy_reloads_total{outcome="loaded"} 0"#,
            r#"jitney_issuer_fetches_total{outcome="fetched"} 1"#,
            r#"jitney_issuer_fetches_total{outcome="failed"} 0"#,
            "jitney_audit_lines_total 3",
            "jitney_audit_failures_total 1",
            "jitney_live_leases 7",
            "jitney_live_rules 8",
            "jitney_log_position 9",
            "jitney_store_unsafe_settings 1",
            "jitney_connections 2",
            "jitney_feed_subscribers 5",
            "jitney_feed_lag 6",
            "jitney_feed_events_total 1",
            "jitney_feed_bytes_total 100",
            "jitney_feed_cut_total 4",
            concat!("jitney_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            has(&text, line);
        }
    }

    #[test]
    fn the_days_of_workloads_are_bounded_and_go_with_them() {
        let metrics = Metrics::new();
        let names: Vec<String> = (0..150).map(|n| format!("w{n}")).collect();
        metrics.set_workloads([3, 2, 1], names.iter().map(|name| (name.as_str(), "expires", -1)));
        let text = metrics.encode();
        assert_eq!(text.matches("jitney_workload_days_left{").count(), 100, "no more than that many series");
        has(&text, r#"jitney_workload_days_left{workload="w0",what="expires"} -1"#);
        has(&text, r#"jitney_workloads_due{what="expires"} 150"#);
        has(&text, r#"jitney_workloads{state="expired"} 2"#);
        metrics.set_workloads([3, 0, 0], [("w0", "review", 4)].into_iter());
        let text = metrics.encode();
        assert_eq!(text.matches("jitney_workload_days_left{").count(), 1, "{text}");
        has(&text, r#"jitney_workload_days_left{workload="w0",what="review"} 4"#);
        has(&text, r#"jitney_workloads_due{what="expires"} 0"#);
    }

    #[test]
    fn every_label_has_its_word() {
        assert_eq!(Endpoint::Other.as_str(), "other");
        assert_eq!(StoreOp::Stats.as_str(), "stats");
        assert_eq!(KINDS.map(|kind| kind as usize), [1, 2, 3, 4, 5, 6]);
    }
}
