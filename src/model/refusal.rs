//! Why not: every refusal is a value with a reason. One table maps reasons to the RFC's error code and the HTTP status.
//!
//! Never says what other workloads may do.

use std::borrow::Cow;
use std::fmt;

use super::without_credentials;

/// The reason of a refusal. The audit log carries its name, the answer its [`Reason::error`] code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A parameter missing, repeated or malformed; a `ttl` above the longest.
    InvalidRequest,
    /// The assertion, or none, or what is no JWT; one that was seen before.
    InvalidClient,
    /// A scope missing or unknown.
    UnknownScope,
    /// A scope that no policy grants.
    DeniedScope,
    /// An audience unknown.
    UnknownAudience,
    /// A workload in quarantine.
    Quarantined,
    /// A workload past its expiry date.
    Expired,
    /// A workload without owner, purpose or expiry date.
    Ungoverned,
    /// The task has ended.
    TaskEnded,
    /// A lease that cannot be renewed: unknown, another's, ended, renewed before, or at its chain's limit.
    InvalidGrant,
    /// Another grant type.
    UnsupportedGrantType,
    /// A token at `/v1/…` that is not good.
    InvalidToken,
    /// No token and no client authentication where one is needed.
    MissingToken,
    /// A good token for another task.
    WrongTask,
    /// A plain bearer token where that is not enough: it completes nothing here.
    BearerCannotComplete,
    /// A plain bearer token where that is not enough: it renews nothing anywhere.
    BearerCannotRenew,
    /// The authorization endpoint refuses everyone.
    UnsupportedResponseType,
    /// The store cannot be reached or cannot be trusted.
    StoreUnavailable,
    /// The audit log cannot be written.
    AuditUnavailable,
    /// The keys of a platform token's issuer cannot be had.
    IssuerUnavailable,
    /// More is asked than is served at once.
    Busy,
    /// A mistake of jitney's own, such as a signature that failed.
    Internal,
}

/// A row of the table.
struct Row(Reason, &'static str, u16, &'static str);

/// reason → `error` (RFC 6749 §5.2, RFC 6750 §3.1, RFC 8707 §2), HTTP status, name in the audit log.
const TABLE: &[Row] = &[
    Row(Reason::InvalidRequest, "invalid_request", 400, "invalid_request"),
    Row(Reason::InvalidClient, "invalid_client", 401, "invalid_client"),
    Row(Reason::UnknownScope, "invalid_scope", 400, "unknown_scope"),
    Row(Reason::DeniedScope, "invalid_scope", 400, "denied_scope"),
    Row(Reason::UnknownAudience, "invalid_target", 400, "unknown_audience"),
    Row(Reason::Quarantined, "unauthorized_client", 400, "quarantined"),
    Row(Reason::Expired, "unauthorized_client", 400, "expired"),
    Row(Reason::Ungoverned, "unauthorized_client", 400, "ungoverned"),
    Row(Reason::TaskEnded, "invalid_grant", 400, "task_ended"),
    Row(Reason::InvalidGrant, "invalid_grant", 400, "invalid_grant"),
    Row(Reason::UnsupportedGrantType, "unsupported_grant_type", 400, "unsupported_grant_type"),
    Row(Reason::InvalidToken, "invalid_token", 401, "invalid_token"),
    Row(Reason::MissingToken, "invalid_token", 401, "missing_token"),
    Row(Reason::WrongTask, "insufficient_scope", 403, "wrong_task"),
    Row(Reason::BearerCannotComplete, "insufficient_scope", 403, "bearer_cannot_complete"),
    Row(Reason::BearerCannotRenew, "invalid_token", 401, "bearer_cannot_renew"),
    Row(Reason::UnsupportedResponseType, "unsupported_response_type", 400, "unsupported_response_type"),
    Row(Reason::StoreUnavailable, "temporarily_unavailable", 503, "store_unavailable"),
    Row(Reason::AuditUnavailable, "temporarily_unavailable", 503, "audit_unavailable"),
    Row(Reason::IssuerUnavailable, "temporarily_unavailable", 503, "issuer_unavailable"),
    Row(Reason::Busy, "temporarily_unavailable", 503, "busy"),
    Row(Reason::Internal, "server_error", 500, "internal"),
];

impl Reason {
    fn row(self) -> &'static Row {
        // The test below proves that every reason has its row; the last one is a closed door, not a guess.
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[TABLE.len() - 1])
    }

    /// Every reason, once.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The RFC's error code.
    pub fn error(self) -> &'static str {
        self.row().1
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        self.row().2
    }

    /// Its name in the audit log and in metrics.
    pub fn as_str(self) -> &'static str {
        self.row().3
    }

    /// Whether asking again later may succeed: the answer then carries `Retry-After`.
    pub fn is_temporary(self) -> bool {
        self.status() == 503
    }
}

/// A refusal: the reason, and what was refused and by which rule, as a sentence for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// For the caller: `error_description` (visible ASCII without `"` and `\`, RFC 6749 §5.2).
    pub description: Cow<'static, str>,
}

impl Refusal {
    /// A refusal. What a caller sent may be quoted in the description: characters outside RFC 6749 §5.2's set become `?`,
    /// and what looks like a token or a key is left out.
    pub fn new(reason: Reason, description: impl Into<Cow<'static, str>>) -> Self {
        let description = match description.into() {
            Cow::Borrowed(fixed) => Cow::Borrowed(fixed),
            Cow::Owned(made) => Cow::Owned(without_credentials(&made).into_owned()),
        };
        let fits = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
        let description = if description.chars().all(fits) {
            description
        } else {
            description
                .chars()
                .map(|c| {
                    if fits(c) {
                        c
                    } else if c == '"' {
                        '\''
                    } else {
                        '?'
                    }
                })
                .collect::<String>()
                .into()
        };
        Self { reason, description }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.error(), self.description)
    }
}

impl From<super::InvalidName> for Refusal {
    fn from(error: super::InvalidName) -> Self {
        let reason = if error.what == "scope" { Reason::UnknownScope } else { Reason::InvalidRequest };
        Self::new(reason, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_exactly_one_row() {
        let all = [
            Reason::InvalidRequest,
            Reason::InvalidClient,
            Reason::UnknownScope,
            Reason::DeniedScope,
            Reason::UnknownAudience,
            Reason::Quarantined,
            Reason::Expired,
            Reason::Ungoverned,
            Reason::TaskEnded,
            Reason::InvalidGrant,
            Reason::UnsupportedGrantType,
            Reason::InvalidToken,
            Reason::MissingToken,
            Reason::WrongTask,
            Reason::BearerCannotComplete,
            Reason::BearerCannotRenew,
            Reason::UnsupportedResponseType,
            Reason::StoreUnavailable,
            Reason::AuditUnavailable,
            Reason::IssuerUnavailable,
            Reason::Busy,
            Reason::Internal,
        ];
        assert_eq!(all.len(), TABLE.len());
        for reason in all {
            assert_eq!(TABLE.iter().filter(|row| row.0 == reason).count(), 1, "{reason:?}");
        }
    }

    #[test]
    fn a_token_in_the_wrong_place_does_not_come_back() {
        let sent = "eyJhbGciOiJFUzI1NiJ9.e30.AAAA";
        let refusal = Refusal::new(Reason::UnknownAudience, format!("unknown audience: {sent}"));
        assert_eq!(refusal.description, "unknown audience: [redacted]");
    }

    #[test]
    fn a_description_stays_within_the_rfc_s_characters() {
        let refusal = Refusal::new(Reason::InvalidRequest, "task \"a\\\u{0}ä\" is no name");
        assert_eq!(refusal.description, "task 'a???' is no name");
    }
}
