//! How many days workloads have left, a series for each of the most urgent, and a count of all; and the TLS certificate.
//!
//! The only labels that come from the policies rather than from a fixed list: so they are bounded.

use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// So many series at most, whatever the policies hold.
const MOST: usize = 100;

type Named = [(&'static str, String); 2];
type Fixed = [(&'static str, &'static str); 1];

/// The figures.
#[derive(Debug, Default)]
pub(super) struct Dates {
    left: Family<Named, Gauge>,
    due: Family<Fixed, Gauge>,
    states: Family<Fixed, Gauge>,
    /// Without a label, and there only where a certificate is.
    certificate: Family<Vec<(&'static str, &'static str)>, Gauge>,
    shown: Mutex<Vec<Named>>,
}

const STATES: [&str; 3] = ["ok", "expired", "ungoverned"];

impl Dates {
    pub fn new(registry: &mut Registry) -> Self {
        let dates = Self::default();
        let about = "Days until a workload expires or is to be reviewed, below 0 where that is past: the 100 most urgent of \
                     those within 30 days";
        registry.register("workload_days_left", about, dates.left.clone());
        let about = "Workloads that expire or are to be reviewed within 30 days, or are past it";
        registry.register("workloads_due", about, dates.due.clone());
        registry.register("workloads", "Workloads of the policies, by state", dates.states.clone());
        let about = "Days until the TLS certificate in use ends, below 0 where that is past";
        registry.register("tls_certificate_days_left", about, dates.certificate.clone());
        dates.set([0; 3], std::iter::empty());
        dates
    }

    /// Days until the certificate in use ends.
    pub fn set_certificate(&self, days: i64) {
        self.certificate.get_or_create_owned(&Vec::new()).set(days);
    }

    /// Workloads by state (ok, expired, ungoverned), and dates as (workload, matter, days), the most urgent first.
    pub fn set<'a>(&self, states: [u64; 3], left: impl Iterator<Item = (&'a str, &'static str, i64)>) {
        for (state, count) in STATES.into_iter().zip(states) {
            self.states.get_or_create_owned(&[("state", state)]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut due = [("expires", 0), ("review", 0)];
        let mut now = Vec::new();
        for (workload, matter, days) in left {
            due.iter_mut().filter(|(name, _)| *name == matter).for_each(|(_, count)| *count += 1);
            if now.len() < MOST {
                let labels = [("workload", workload.to_owned()), ("what", matter.to_owned())];
                self.left.get_or_create_owned(&labels).set(days);
                now.push(labels);
            }
        }
        for (matter, count) in due {
            self.due.get_or_create_owned(&[("what", matter)]).set(count);
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in shown.iter().filter(|labels| !now.contains(labels)) {
            self.left.remove(gone);
        }
        *shown = now;
    }
}
