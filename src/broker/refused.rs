//! A refusal on its way out, and how failures of other rooms become one.

use std::time::Duration;

use crate::attest::Unproven;
use crate::model::{DecisionId, Reason, Refusal, UnixTime};
use crate::policy::Denial;
use crate::store::{RecordError, StoreError};

use super::BrokerError;
use super::trail::Trail;

/// A refusal that was written down.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Finds the whole explanation; none only where the system had no randomness for an id.
    pub decision_id: Option<DecisionId>,
}

/// A refusal that is not yet written down, with what is known of the request.
#[derive(Debug)]
pub(super) struct No {
    pub refusal: Refusal,
    pub trail: Box<Trail>,
}

impl No {
    pub(super) fn new(reason: Reason, description: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { refusal: Refusal::new(reason, description), trail: Box::default() }
    }

    pub(super) fn unavailable(error: &BrokerError) -> Self {
        tracing::debug!(%error, "a request is refused, for the store cannot be asked");
        let mut no = Self::new(Reason::StoreUnavailable, "the lease store cannot be reached: try again");
        no.trail.detail = Some(error.to_string());
        no
    }

    /// With what is known of the request added, where the failure did not bring its own.
    pub(super) fn with(mut self, trail: &Trail) -> Self {
        self.trail.fill(trail);
        self
    }

    /// Writes down at least what the caller is told: who looks a decision up is not to know less than who asked. An audience that
    /// nobody declared is quoted there as it was sent, and may hold what no log is to keep.
    pub(super) fn explain(&mut self) {
        if self.refusal.reason == Reason::UnknownAudience {
            return;
        }
        let told = &self.refusal.description;
        self.trail.detail.get_or_insert_with(|| told.to_string());
    }

    pub(super) fn from_record(error: &RecordError) -> Self {
        let (reason, description) = match error {
            RecordError::Store(StoreError::Unavailable(_)) => {
                (Reason::StoreUnavailable, "the lease store cannot be reached: try again with a fresh assertion".into())
            }
            RecordError::Store(_) => {
                (Reason::StoreUnavailable, "the lease store's answer cannot be trusted: try again later".into())
            }
            RecordError::Replayed => (Reason::InvalidClient, "this assertion was used before: make a fresh one".into()),
            RecordError::Forgotten { from, since } => return Self::forgotten(*from, *since),
            RecordError::TaskEnded { task, until } => {
                (Reason::TaskEnded, format!("the task {task} has ended and takes no lease before {}", until.rfc3339()))
            }
            RecordError::Quarantined(_) => {
                (Reason::Quarantined, "this workload is in quarantine: ask its owner or an operator".into())
            }
            RecordError::NothingLives => {
                (Reason::Busy, "too many completions of tasks that have no lease: slow down".into())
            }
            RecordError::Predecessor(why) => (Reason::InvalidGrant, format!("the lease to renew {why}")),
            RecordError::KeyRefused(_) | RecordError::Epoch(_) | RecordError::Duplicate => {
                (Reason::StoreUnavailable, "the broker is changing its signing keys: try again".into())
            }
        };
        let mut no = Self::new(reason, description);
        if let RecordError::Store(error) = error {
            tracing::debug!(%error, "a request is refused, for the store cannot be asked");
            no.trail.detail = Some(error.to_string());
        }
        no
    }
}

impl No {
    /// An assertion that may have been used when the store still knew. In the second of the loss itself nobody can tell.
    fn forgotten(from: UnixTime, since: UnixTime) -> Self {
        let lost = format!("the broker's store knows which assertions were used since {} only", since.rfc3339());
        if from < since {
            let why = format!("{lost}, and this one was issued before: make a fresh one after that, with iat");
            return Self::new(Reason::InvalidClient, why);
        }
        let again = since.plus(Duration::from_secs(1)).rfc3339();
        Self::new(Reason::StoreUnavailable, format!("{lost}: it takes those issued from {again} on"))
    }
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, trail: Box::default() }
    }
}

impl From<crate::model::InvalidName> for No {
    fn from(error: crate::model::InvalidName) -> Self {
        Refusal::from(error).into()
    }
}

impl From<Unproven> for No {
    fn from(unproven: Unproven) -> Self {
        let trail = Trail {
            unknown: true,
            detail: Some(match (&unproven.claimed, &unproven.detail) {
                (Some(claimed), Some(more)) => format!("{}, claimed {claimed}: {more}", unproven.fault.as_str()),
                (Some(claimed), None) => format!("{}, claimed {claimed}", unproven.fault.as_str()),
                // What is wrong in the assertion itself is no secret: the caller was told it too.
                (None, _) => format!("{}: {}", unproven.fault.as_str(), unproven.refusal.description),
            }),
            ..Trail::default()
        };
        Self { refusal: unproven.refusal, trail: Box::new(trail) }
    }
}

impl From<Denial> for No {
    fn from(denial: Denial) -> Self {
        let considered: Vec<String> = denial.considered.iter().map(ToString::to_string).collect();
        let trail = Trail {
            policies: denial.policies.into(),
            detail: (!considered.is_empty()).then(|| considered.join("; ")),
            ..Trail::default()
        };
        Self { refusal: denial.refusal, trail: Box::new(trail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_of_before_the_loss_is_refused_and_one_of_its_very_second_is_asked_for_again() {
        let since = UnixTime::from_secs(1_800_000_000);
        let issued = |at: u64| No::forgotten(UnixTime::from_secs(at), since).refusal;
        for at in [since.secs() - 300, since.secs() - 1] {
            let refusal = issued(at);
            assert_eq!(refusal.reason, Reason::InvalidClient, "{at}");
            assert!(refusal.description.contains("make a fresh one"), "{refusal}");
        }
        let refusal = issued(since.secs());
        assert_eq!(refusal.reason, Reason::StoreUnavailable);
        assert!(refusal.description.contains("from 2027-01-15T08:00:01Z on"), "{refusal}");
    }
}
