//! Why a token is not good here and now: the first check that failed, in their fixed order.

use crate::model::RuleKind;

/// The check that failed. Ordered as the checks are made, so a token is always refused for the same reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Not a compact JWS, or its header is not the JSON it should be (RFC 7515 §7.1).
    #[error("this is no token: it is not a compact JWS")]
    Format,
    /// Its header carries a key, points at one, or asks for an extension (RFC 8725 §3.10).
    #[error("its header carries what no access token of a broker does")]
    Header,
    /// Another algorithm than ES256 (RFC 8725 §3.1).
    #[error("its algorithm is not ES256")]
    Algorithm,
    /// Another `typ` than `at+jwt` (RFC 9068 §4).
    #[error("it is no access token: its `typ` is not at+jwt")]
    Type,
    /// No `kid`, or one that the broker does not publish, or publishes no longer.
    #[error("its signing key is not one that the broker publishes")]
    Key,
    /// The signature does not fit.
    #[error("its signature does not fit")]
    Signature,
    /// A required claim is missing, malformed or there twice (RFC 9068 §2.2).
    #[error("its claims are not those of an access token")]
    Claims,
    /// Another `iss`.
    #[error("another broker issued it")]
    Issuer,
    /// Another `aud` than was expected.
    #[error("it is for another audience")]
    Audience,
    /// `exp` has come.
    #[error("it has expired")]
    Expired,
    /// `nbf` has not come.
    #[error("it is not valid yet")]
    NotYet,
    /// `iat` lies in the future.
    #[error("it claims to be issued in the future")]
    IssuedLater,
    /// It lacks a scope that was expected.
    #[error("it lacks a scope that is needed here")]
    Scope,
    /// It is for another task.
    #[error("it is for another task")]
    Task,
    /// A rule ends it.
    #[error("it was revoked, by a rule on its {}", .0.as_str())]
    Revoked(RuleKind),
    /// The view is older than the verifier accepts, so that nobody knows whether it still stands.
    #[error("the view of revocations is too old to say whether it still stands")]
    Stale,
}

impl Invalid {
    /// The check, in one word, for logs and machines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Header => "header",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::IssuedLater => "issued_later",
            Self::Scope => "scope",
            Self::Task => "task",
            Self::Revoked(_) => "revoked",
            Self::Stale => "stale",
        }
    }

    /// Whether the token itself is good and only allows too little: 403 `insufficient_scope` rather than 401
    /// `invalid_token` (RFC 6750 §3.1).
    pub const fn is_insufficient(self) -> bool {
        matches!(self, Self::Scope | Self::Task)
    }
}
