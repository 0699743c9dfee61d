//! The metrics of a guard, each with a handle held from the start.
//!
//! Owns names and labels; a label's values come from a fixed list, so what callers send never makes a series.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::model::Position;

/// How an answer ended: values of the label `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardOutcome {
    /// A good token with all that is needed.
    Admitted,
    /// A public path: no token was looked at.
    Public,
    /// No token was shown.
    NoToken,
    /// A token that is none, or badly signed, or of another issuer.
    Forged,
    /// A token for another audience.
    Audience,
    /// A token out of its time.
    Expired,
    /// A token that was revoked.
    Revoked,
    /// A good token that allows too little.
    Insufficient,
    /// No rule covers method and path.
    NoRule,
    /// A request without one meaning.
    Request,
    /// The view is too old, or there is none.
    Stale,
}

/// What `/v1/verify` never says: it is asked about a token, by no path.
const OF_PATHS: [GuardOutcome; 3] = [GuardOutcome::Public, GuardOutcome::NoToken, GuardOutcome::NoRule];

const WORDS: [&str; 11] = [
    "admitted",
    "public",
    "no_token",
    "forged",
    "audience",
    "expired",
    "revoked",
    "insufficient",
    "no_rule",
    "request",
    "stale",
];

type Label = [(&'static str, &'static str); 2];

/// The metrics of a guard. Counting takes `&self`, looks nothing up and allocates nothing.
#[derive(Debug)]
pub struct GuardMetrics {
    registry: Registry,
    forward_auth: Vec<Counter>,
    verify: Vec<Counter>,
    ready: Gauge,
    view_age: Gauge<f64, AtomicU64>,
    live_rules: Gauge,
    log_position: Gauge,
    connections: Gauge,
}

impl Default for GuardMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl GuardMetrics {
    /// All metrics, at nought.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("jitney_guard");
        let answers = Family::<Label, Counter>::default();
        registry.register("answers", "Answers, by endpoint and how they ended", answers.clone());
        let of = |endpoint: &'static str, never: &[GuardOutcome]| {
            let counter = |(at, word): (usize, &&'static str)| match never.iter().any(|each| *each as usize == at) {
                // Counted by nobody, and shown to nobody.
                true => Counter::default(),
                false => answers.get_or_create_owned(&[("endpoint", endpoint), ("outcome", word)]),
            };
            WORDS.iter().enumerate().map(counter).collect()
        };
        let (forward_auth, verify) = (of("forward_auth", &[]), of("verify", &OF_PATHS));
        let [ready, live_rules, log_position, connections] = [
            ("ready", "Whether the view is young enough to judge by"),
            ("live_rules", "Rules of the view"),
            ("log_position", "The position of the log that the view is complete up to"),
            ("connections", "Open connections"),
        ]
        .map(|(name, help)| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        });
        let view_age = Gauge::<f64, AtomicU64>::default();
        registry.register("view_age_seconds", "How old the view is; +Inf before the first", view_age.clone());
        registry.register("build", "What is running", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        Self { registry, forward_auth, verify, ready, view_age, live_rules, log_position, connections }
    }

    /// Counts an answer to a proxy.
    pub fn answered(&self, outcome: GuardOutcome) {
        count(&self.forward_auth, outcome);
    }

    /// Counts an answer of `/v1/verify`.
    pub fn verified(&self, outcome: GuardOutcome) {
        count(&self.verify, outcome);
    }

    /// Whether the view may be judged by, and its age in seconds; none before the first.
    pub fn set_view(&self, ready: bool, age: Option<f64>) {
        self.ready.set(i64::from(ready));
        self.view_age.set(age.unwrap_or(f64::INFINITY));
    }

    /// What the view holds.
    pub fn set_rules(&self, rules: u64, position: Position) {
        set(&self.live_rules, rules);
        set(&self.log_position, position.get());
    }

    /// Connections open now.
    pub fn set_connections(&self, connections: u64) {
        set(&self.connections, connections);
    }

    /// All metrics as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(4 << 10);
        // Writing into a string cannot fail; what is cut short lacks its `# EOF`, and a scraper refuses it.
        if text::encode(&mut text, &self.registry).is_err() {
            tracing::error!("the metrics could not be written out");
        }
        text
    }
}

fn count(counters: &[Counter], outcome: GuardOutcome) {
    if let Some(counter) = counters.get(outcome as usize) {
        counter.inc();
    }
}

fn set(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told() {
        let metrics = GuardMetrics::new();
        metrics.answered(GuardOutcome::Admitted);
        metrics.answered(GuardOutcome::Stale);
        metrics.verified(GuardOutcome::Revoked);
        metrics.set_view(true, Some(0.25));
        metrics.set_rules(3, Position::new(7));
        metrics.set_connections(2);
        let text = metrics.encode();
        for line in [
            r#"jitney_guard_answers_total{endpoint="forward_auth",outcome="admitted"} 1"#,
            r#"jitney_guard_answers_total{endpoint="forward_auth",outcome="stale"} 1"#,
            r#"jitney_guard_answers_total{endpoint="verify",outcome="revoked"} 1"#,
            r#"jitney_guard_answers_total{endpoint="forward_auth",outcome="public"} 0"#,
            "jitney_guard_ready 1",
            "jitney_guard_view_age_seconds 0.25",
            "jitney_guard_live_rules 3",
            "jitney_guard_log_position 7",
            "jitney_guard_connections 2",
        ] {
            assert!(text.lines().any(|each| each == line), "{line} is not in:\n{text}");
        }
        for never in ["public", "no_token", "no_rule"] {
            assert!(!text.contains(&format!(r#"endpoint="verify",outcome="{never}""#)), "{never}:\n{text}");
        }
        metrics.set_view(false, None);
        assert!(metrics.encode().contains("jitney_guard_view_age_seconds inf"), "{}", metrics.encode());
    }
}
