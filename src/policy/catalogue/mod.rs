//! What workloads and audiences there are: their files, read once and carried as plain data.
//!
//! Owns the meaning of every field. Gaps of governance load, as warnings: such a workload is there and gets nothing.

pub(super) mod audience;
mod field;
mod identity;
pub(super) mod scopes;
pub(super) mod workload;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::Date;

pub(super) use self::identity::text_of_claim;
pub use self::identity::{ClaimRule, Claims, Identity, IdentityKind, KeySource, Oidc, Proof, TaskNaming, TaskTemplate};
use crate::model::{AudienceUri, Reason, UnixTime, WorkloadId};

/// A governed non-human identity: `policies/workloads/<id>.toml`.
#[derive(Debug, Clone)]
pub struct Workload {
    /// The name of its file.
    pub id: WorkloadId,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Why it exists.
    pub purpose: Option<String>,
    /// The last day it gets anything.
    pub expires: Option<Day>,
    /// From this day on its file should be looked at again.
    pub review: Option<Day>,
    /// The ways to prove itself.
    pub identities: Vec<Identity>,
}

impl Workload {
    /// Whether it may get anything at `now`, as far as its file says (quarantine is the store's).
    ///
    /// # Errors
    /// [`Reason::Ungoverned`] without owner, purpose or expiry date; [`Reason::Expired`] after the end of that day, UTC.
    pub fn state(&self, now: UnixTime) -> Result<(), Reason> {
        match (&self.owner, &self.purpose, self.expires) {
            (Some(_), Some(_), Some(day)) if now < day.end() => Ok(()),
            (Some(_), Some(_), Some(_)) => Err(Reason::Expired),
            _ => Err(Reason::Ungoverned),
        }
    }

    /// The fields that governance asks for and its file does not have.
    pub fn gaps(&self) -> Vec<&'static str> {
        [("owner", self.owner.is_none()), ("purpose", self.purpose.is_none()), ("expires", self.expires.is_none())]
            .into_iter()
            .filter_map(|(name, missing)| missing.then_some(name))
            .collect()
    }
}

/// A governed resource server: one file in `policies/audiences/`.
#[derive(Debug, Clone)]
pub struct Audience {
    /// Its URI, the `aud` of tokens for it.
    pub id: AudienceUri,
    /// The name of its file in `audiences/`.
    pub file: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is.
    pub purpose: Option<String>,
    /// The longest a token for it may live; the configuration's limit alone where it says nothing.
    pub max_ttl: Option<Duration>,
    /// The longest a chain of renewals may live; the configuration's limit alone where it says nothing.
    pub max_lifetime: Option<Duration>,
    /// The scopes it understands, by name.
    pub scopes: Vec<ScopeDeclaration>,
    /// The ways to prove itself, for introspection.
    pub identities: Vec<Identity>,
}

/// A scope as its audience declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeDeclaration {
    /// The scope; one that ends in `:*` leaves its instance open.
    pub name: Arc<str>,
    /// What it allows, for people.
    pub about: String,
}

impl ScopeDeclaration {
    /// Whether it leaves its instance open.
    pub fn is_open(&self) -> bool {
        self.name.ends_with(":*")
    }

    /// Whether the asked `scope` is this one: the same text, or, where the instance is open, one non-empty further part
    /// in place of `*`. A `*` is never asked for.
    pub fn matches(&self, scope: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(head) if self.is_open() => {
                scope.strip_prefix(head).is_some_and(|instance| !instance.is_empty() && !instance.contains([':', '*']))
            }
            _ => *self.name == *scope,
        }
    }
}

/// A calendar day, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub(super) Date);

impl Day {
    /// Its first second.
    pub fn start(self) -> UnixTime {
        let secs = self.0.midnight().assume_utc().unix_timestamp();
        UnixTime::from_secs(u64::try_from(secs).unwrap_or(0))
    }

    /// The first second after it.
    pub fn end(self) -> UnixTime {
        self.start().plus(Duration::from_secs(86_400))
    }
}

impl fmt::Display for Day {
    /// `2027-06-30`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), u8::from(self.0.month()), self.0.day())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(name: &str) -> ScopeDeclaration {
        ScopeDeclaration { name: name.into(), about: String::new() }
    }

    #[test]
    fn an_open_instance_takes_one_further_part_and_no_star() {
        let open = declared("orders:read:*");
        assert!(open.matches("orders:read:42"));
        for scope in
            ["orders:read", "orders:read:", "orders:read:*", "orders:read:4*", "orders:read:4:2", "orders:write:4"]
        {
            assert!(!open.matches(scope), "{scope}");
        }
        assert!(declared("orders:read").matches("orders:read"));
        assert!(!declared("orders:read").matches("orders:read:42"));
    }

    #[test]
    fn a_day_is_good_to_its_end_in_utc() {
        let day = Day(Date::from_calendar_date(2027, time::Month::June, 30).unwrap());
        assert_eq!(day.to_string(), "2027-06-30");
        assert_eq!(day.start().rfc3339(), "2027-06-30T00:00:00Z");
        assert_eq!(day.end().rfc3339(), "2027-07-01T00:00:00Z");
    }

    #[test]
    fn a_workload_without_owner_purpose_or_expiry_gets_nothing_nor_does_one_past_its_day() {
        let day = Day(Date::from_calendar_date(2027, time::Month::June, 30).unwrap());
        let whole = Workload {
            id: WorkloadId::parse("w").unwrap(),
            owner: Some("team".into()),
            purpose: Some("reports".into()),
            expires: Some(day),
            review: None,
            identities: Vec::new(),
        };
        let last = day.end().minus(Duration::from_secs(1));
        assert_eq!(whole.state(last), Ok(()));
        assert_eq!(whole.state(day.end()), Err(Reason::Expired));
        for gap in [
            Workload { owner: None, ..whole.clone() },
            Workload { purpose: None, ..whole.clone() },
            Workload { expires: None, ..whole.clone() },
        ] {
            assert_eq!(gap.state(last), Err(Reason::Ungoverned));
            assert_eq!(gap.gaps().len(), 1);
        }
    }
}
