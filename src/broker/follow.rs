//! Following the store's log: the view that tokens are judged by, and the live rules in order for the feed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{AudienceUri, Clock, Epoch, Position, Rule, RuleKind, UnixTime};
use crate::revocation::View;
use crate::store::{Head, LeaseStore, LogEntry, StoreError};

use super::live::LiveRules;

/// A follower of one store's log. Reading it twice at once does no harm: what is known is passed over.
pub(super) struct Follower {
    store: Arc<dyn LeaseStore>,
    clock: Clock,
    view: Arc<View>,
    rules: Mutex<Rules>,
    /// The latest `until` of any rule that has left the list, Unix seconds.
    lost: AtomicU64,
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
pub(super) struct Rules {
    /// Which list this is: another one where the log began anew, or was read anew.
    pub(super) turn: u64,
    /// The log's life.
    pub(super) epoch: Option<Epoch>,
    /// Up to where the log has been read.
    pub(super) upto: Position,
    /// The rules.
    pub(super) live: LiveRules,
}

impl Follower {
    const PAGE: usize = 4096;

    pub(super) fn new(store: Arc<dyn LeaseStore>, clock: Clock) -> Self {
        Self { store, clock, view: Arc::new(View::new()), rules: Mutex::default(), lost: AtomicU64::new(0) }
    }

    pub(super) const fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Whether the log is known up to `head`, and nothing of it was dropped that still counts.
    pub(super) fn has_seen(&self, head: Head) -> bool {
        self.view.epoch() == Some(head.epoch) && self.view.position() >= head.position && !self.misses_some()
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
            self.take(page.head.epoch, page.entries, page.upto);
            if page.upto >= page.head.position {
                if self.misses_some() {
                    self.read_anew(page.head.epoch).await?;
                }
                return Ok(Caught { head: page.head, ends_a_key, ends_a_workload });
            }
        }
    }

    /// Whether rules were dropped that may count now: the clock was ahead then, and is back.
    fn misses_some(&self) -> bool {
        let lost = self.view.lost().max(UnixTime::from_secs(self.lost.load(Ordering::Acquire)));
        lost > UnixTime::default() && self.clock.now() <= lost.plus(super::Broker::SKEW)
    }

    /// Reads the log from its beginning, for the store dropped nothing by this broker's clock, and puts all of it in place
    /// at once. In another epoch by now, all starts over in any case.
    async fn read_anew(&self, epoch: Epoch) -> Result<(), StoreError> {
        tracing::warn!("the clock was ahead and is back: the revocation log is read from its beginning");
        let (mut after, mut entries) = (Position::START, Vec::new());
        loop {
            let page = self.store.log(after, Self::PAGE).await?;
            if page.head.epoch != epoch {
                return Ok(());
            }
            entries.extend(page.entries);
            after = page.upto;
            if after >= page.head.position {
                break;
            }
        }
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if rules.epoch == Some(epoch) {
            // What others took in meanwhile stays.
            let later = rules.live.iter().filter(|(rule, _)| rule.position > after);
            entries.extend(later.map(|(rule, audiences)| LogEntry { rule, audiences: audiences.to_vec() }));
            let heard: Vec<Rule> = entries.iter().map(|entry| entry.rule).collect();
            let mut live = LiveRules::default();
            entries.into_iter().for_each(|entry| live.push(entry));
            *rules = Rules { turn: rules.turn + 1, epoch: Some(epoch), upto: rules.upto.max(after), live };
            self.view.restore(&heard, after, self.clock.now());
            self.lost.store(0, Ordering::Release);
        }
        Ok(())
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

    /// Looks at the live rules; nothing of the list changes meanwhile.
    pub(super) fn with_rules<T>(&self, look: impl FnOnce(&Rules) -> T) -> T {
        look(&self.rules.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Drops what can select no living token any more.
    pub(super) fn expire(&self) {
        let now = self.clock.now();
        self.view.expire(now);
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let horizon = now.minus(super::Broker::SKEW);
        rules.live.expire(horizon, |rule| {
            self.lost.fetch_max(rule.until.map_or(0, UnixTime::secs), Ordering::AcqRel);
        });
    }

    fn known(&self) -> Position {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).upto
    }

    fn start_over(&self, epoch: Epoch) -> Result<(), StoreError> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that is back in an epoch it had left was restored behind the broker's back: nothing of it can be trusted.
        let replaced = self.view.replace(epoch, Position::START, &[], self.clock.now());
        replaced.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        *rules = Rules { turn: rules.turn + 1, epoch: Some(epoch), ..Rules::default() };
        Ok(())
    }

    fn take(&self, epoch: Epoch, entries: Vec<LogEntry>, upto: Position) {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if rules.epoch != Some(epoch) || upto < rules.upto {
            return;
        }
        let known = rules.upto;
        let heard: Vec<Rule> = entries.iter().map(|entry| entry.rule).collect();
        entries.into_iter().filter(|entry| entry.rule.position > known).for_each(|entry| rules.live.push(entry));
        rules.upto = upto;
        self.view.apply(&heard, upto, self.clock.now());
    }
}

/// Whether a rule can concern tokens for `audience`: one on a lease or task of others (none: any) cannot.
pub(super) fn concerns(kind: RuleKind, of: &[AudienceUri], audience: Option<&AudienceUri>) -> bool {
    match (audience, kind) {
        (Some(audience), RuleKind::Lease | RuleKind::Task) => of.is_empty() || of.contains(audience),
        _ => true,
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
