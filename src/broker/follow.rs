//! Following the store's log: the view that tokens are judged by, and the live rules in order for the feed.

use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{AudienceUri, Clock, Epoch, Position, Rule, RuleKind};
use crate::revocation::View;
use crate::store::{Head, LeaseStore, LogEntry, StoreError};

/// A follower of one store's log. Reading it twice at once does no harm: what is known is passed over.
pub(super) struct Follower {
    store: Arc<dyn LeaseStore>,
    clock: Clock,
    view: Arc<View>,
    rules: Mutex<Rules>,
}

/// What a reading of the log brought.
#[derive(Debug)]
pub(super) struct Caught {
    /// The head.
    pub head: Head,
    /// A rule on a signing key was among the new ones.
    pub ends_a_key: bool,
    /// A rule on a workload was.
    pub ends_a_workload: bool,
}

/// The live rules, by position.
#[derive(Default)]
struct Rules {
    epoch: Option<Epoch>,
    upto: Position,
    entries: Vec<LogEntry>,
}

impl Follower {
    const PAGE: usize = 4096;

    pub(super) fn new(store: Arc<dyn LeaseStore>, clock: Clock) -> Self {
        Self { store, clock, view: Arc::new(View::new()), rules: Mutex::default() }
    }

    pub(super) const fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Whether the log is known up to `head`.
    pub(super) fn has_seen(&self, head: Head) -> bool {
        self.view.epoch() == Some(head.epoch) && self.view.position() >= head.position
    }

    /// Reads the log up to its head.
    pub(super) async fn catch_up(&self) -> Result<Caught, StoreError> {
        let (mut ends_a_key, mut ends_a_workload) = (false, false);
        loop {
            let after = self.known();
            let page = self.store.log(after, Self::PAGE).await?;
            if self.view.epoch() != Some(page.head.epoch) {
                self.start_over(page.head.epoch)?;
                continue;
            }
            let has = |kind| page.entries.iter().any(|entry| entry.rule.kind == kind);
            ends_a_key |= has(RuleKind::Key);
            ends_a_workload |= has(RuleKind::Workload);
            self.take(page.head.epoch, &page.entries, page.upto);
            if page.upto >= page.head.position {
                return Ok(Caught { head: page.head, ends_a_key, ends_a_workload });
            }
        }
    }

    /// Takes rules that this broker appended itself, before they come back through the log: its own view is then never
    /// behind its own acknowledgements. Only rules right behind what is known are taken.
    pub(super) fn hear(&self, rules: &[Rule]) {
        let is_next = rules.first().is_some_and(|rule| rule.position == self.view.position().next());
        let is_run = rules.windows(2).all(|pair| pair[1].position == pair[0].position.next());
        if let Some(last) = rules.last().filter(|_| is_next && is_run) {
            // The feed's list is filled by the log alone, which knows the audiences.
            self.view.apply(rules, last.position, self.clock.now());
        }
    }

    /// The live rules for a feed, by position, and the position up to which they are known.
    pub(super) fn rules(&self, audience: Option<&AudienceUri>) -> (Option<Epoch>, Position, Vec<Rule>) {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = rules.entries.iter().filter(|entry| concerns(entry, audience));
        (rules.epoch, rules.upto, entries.map(|entry| entry.rule).collect())
    }

    /// Drops what can select no living token any more.
    pub(super) fn expire(&self) {
        let now = self.clock.now();
        self.view.expire(now);
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.entries.retain(|entry| !entry.rule.is_past(now, super::Broker::SKEW));
    }

    fn known(&self) -> Position {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).upto
    }

    fn start_over(&self, epoch: Epoch) -> Result<(), StoreError> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that is back in an epoch it had left was restored behind the broker's back: nothing of it can be trusted.
        let replaced = self.view.replace(epoch, Position::START, &[], self.clock.now());
        replaced.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        *rules = Rules { epoch: Some(epoch), ..Rules::default() };
        Ok(())
    }

    fn take(&self, epoch: Epoch, entries: &[LogEntry], upto: Position) {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if rules.epoch != Some(epoch) || upto < rules.upto {
            return;
        }
        let known = rules.upto;
        rules.entries.extend(entries.iter().filter(|entry| entry.rule.position > known).cloned());
        rules.upto = upto;
        let heard: Vec<Rule> = entries.iter().map(|entry| entry.rule).collect();
        self.view.apply(&heard, upto, self.clock.now());
    }
}

/// Whether an entry can concern tokens for `audience`: a rule on a lease or task of other audiences cannot.
fn concerns(entry: &LogEntry, audience: Option<&AudienceUri>) -> bool {
    match (audience, entry.rule.kind) {
        (Some(audience), RuleKind::Lease | RuleKind::Task) => {
            entry.audiences.is_empty() || entry.audiences.contains(audience)
        }
        _ => true,
    }
}
