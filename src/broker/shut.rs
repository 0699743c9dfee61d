//! The quarantines that this broker has heard of, kept beside the store for the day on which the store loses them.
//!
//! Owns the one question that follows: what is to be imposed again in an epoch that is new. Never decides who is shut out:
//! a store that remembers is right.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::audit::{AuditRecord, Event, Outcome};
use crate::model::{Epoch, WorkloadId};
use crate::store::{End, EndTarget, Quarantine, Quarantines, RecordError, StoreError};

use super::{Broker, BrokerError};

/// What is known of quarantines, and of which epoch.
#[derive(Default)]
pub(super) struct Shut(Mutex<Known>);

#[derive(Default)]
struct Known {
    epoch: Option<Epoch>,
    all: HashMap<WorkloadId, Quarantine>,
    /// How often this broker itself has changed what is known: a reading that was under way meanwhile is old.
    changes: u64,
}

impl Shut {
    /// Whether the broker has come to this epoch from another.
    pub(super) fn is_new(&self, epoch: Epoch) -> bool {
        self.known().epoch.is_some_and(|known| known != epoch)
    }

    /// The broker is in this epoch, and all that it knew is imposed there.
    pub(super) fn arrived(&self, epoch: Epoch) {
        self.known().epoch = Some(epoch);
    }

    pub(super) fn imposed(&self, quarantine: Quarantine) {
        let mut known = self.known();
        known.changes += 1;
        known.all.insert(quarantine.workload.clone(), quarantine);
    }

    pub(super) fn released(&self, workload: &WorkloadId) {
        let mut known = self.known();
        known.changes += 1;
        known.all.remove(workload);
    }

    fn changes(&self) -> u64 {
        self.known().changes
    }

    /// Takes over what the store said, unless this broker changed something since `changes` was read; nothing of an epoch
    /// at which it has not arrived: there, what it knows is not imposed yet.
    fn learn(&self, told: Quarantines, changes: u64) {
        let mut known = self.known();
        if known.changes == changes && known.epoch == Some(told.epoch) {
            known.all = told.all.into_iter().map(|each| (each.workload.clone(), each)).collect();
        }
    }

    fn all(&self) -> Vec<Quarantine> {
        self.known().all.values().cloned().collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker {
    /// Hears which workloads are shut out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn hear_quarantines(&self) -> Result<(), StoreError> {
        let changes = self.shut.changes();
        self.shut.learn(self.parts.store.quarantines().await?, changes);
        Ok(())
    }

    /// Imposes what this broker knows of on an epoch that is new, where the store does not have it. What was released in
    /// this epoch stays so; a release of before that this broker had not heard of is undone, and the audit log says so.
    ///
    /// # Errors
    /// [`BrokerError::Store`]; the epoch is then not arrived at.
    pub(super) async fn impose_again(&self, epoch: Epoch) -> Result<(), BrokerError> {
        for quarantine in self.shut.all() {
            let target = EndTarget::Restore(quarantine.clone(), epoch);
            let ended = match self.end(End { target, at: self.parts.clock.now(), spent: None }).await {
                Ok(ended) => ended,
                Err(RecordError::Store(error)) => return Err(error.into()),
                Err(other) => return Err(StoreError::Unavailable(other.to_string()).into()),
            };
            if !ended.imposed {
                continue;
            }
            tracing::warn!(workload = %quarantine.workload, "a quarantine that the store had lost is imposed again");
            let detail = format!(
                "imposed again after the store lost it; first by {} at {}. If it was released just before the loss, \
                 release it again",
                quarantine.actor,
                quarantine.since.rfc3339()
            );
            let mut record = AuditRecord::new(Event::Quarantine, Outcome::Done)
                .workload(quarantine.workload.clone())
                .epoch(epoch)
                .actor(&format!("broker:{}", self.options.name))
                .reason(&quarantine.reason)
                .detail(&detail);
            if let Some(rule) = ended.rules.last() {
                record = record.position(rule.position);
            }
            self.parts.audit.post(record);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UnixTime;

    fn quarantine(workload: &str) -> Quarantine {
        let workload = WorkloadId::parse(workload).unwrap();
        Quarantine { workload, reason: "r".into(), actor: "uid:1".into(), since: UnixTime::from_secs(1) }
    }

    fn names(shut: &Shut) -> Vec<String> {
        let mut names: Vec<_> = shut.all().into_iter().map(|each| each.workload.to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_an_empty_new_epoch_says_is_not_believed_before_the_broker_has_arrived_there() {
        let (shut, old, new) = (Shut::default(), Epoch::from_bits(1), Epoch::from_bits(2));
        let told = |epoch, all: &[&str]| Quarantines { epoch, all: all.iter().map(|each| quarantine(each)).collect() };
        assert!(!shut.is_new(old), "a broker that starts comes from nowhere");
        shut.arrived(old);
        shut.learn(told(old, &["a", "b"]), shut.changes());
        assert!(shut.is_new(new));
        shut.learn(told(new, &[]), shut.changes());
        assert_eq!(names(&shut), ["a", "b"]);
        shut.arrived(new);
        shut.learn(told(new, &["b"]), shut.changes());
        assert_eq!((names(&shut), shut.is_new(new)), (vec!["b".to_owned()], false));
    }

    #[test]
    fn a_reading_that_was_under_way_does_not_undo_what_this_broker_did() {
        let (shut, epoch) = (Shut::default(), Epoch::from_bits(1));
        shut.arrived(epoch);
        let before = shut.changes();
        shut.imposed(quarantine("a"));
        shut.learn(Quarantines { epoch, all: vec![] }, before);
        assert_eq!(names(&shut), ["a"]);
        let before = shut.changes();
        shut.released(&WorkloadId::parse("a").unwrap());
        shut.learn(Quarantines { epoch, all: vec![quarantine("a")] }, before);
        assert_eq!(names(&shut), [""; 0]);
    }
}
