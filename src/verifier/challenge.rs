//! What a resource server answers where a token is not good enough (RFC 6750 §3): status, challenge, when to come again.
//!
//! Never says more of a token than RFC 6750's three words and the check that failed.

use std::fmt::Write as _;

use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use super::Invalid;

/// Why a request is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It shows no token.
    NoToken,
    /// It shows several, or one that no header carries.
    Malformed,
    /// The token is not good here and now.
    Token(Invalid),
}

/// An answer without a body, as RFC 6750 §3 has it: 401 without an `error` where there is no token, 400
/// `invalid_request`, 401 `invalid_token`, 403 `insufficient_scope` with the scopes that are needed; 503 where nobody can know.
pub(super) fn answer<B: Default>(refused: Refused, scopes: &[String]) -> Response<B> {
    let mut response = Response::new(B::default());
    let (status, error) = match refused {
        Refused::NoToken => (StatusCode::UNAUTHORIZED, None),
        Refused::Malformed => {
            (StatusCode::BAD_REQUEST, Some(("invalid_request", "one Authorization header, with one token".into())))
        }
        Refused::Token(Invalid::Stale) => {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return response;
        }
        Refused::Token(invalid) if invalid.is_insufficient() => {
            (StatusCode::FORBIDDEN, Some(("insufficient_scope", invalid.to_string())))
        }
        Refused::Token(invalid) => (StatusCode::UNAUTHORIZED, Some(("invalid_token", invalid.to_string()))),
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(WWW_AUTHENTICATE, challenge(error, scopes));
    response
}

fn challenge(error: Option<(&str, String)>, scopes: &[String]) -> HeaderValue {
    let mut text = String::from("Bearer");
    // Writing to a string never fails; descriptions are this crate's own words, scopes hold no quotes (RFC 6749 §3.3).
    if let Some((code, description)) = &error {
        let description = description.replace(['"', '\\'], "'");
        let _ = write!(text, " error=\"{code}\", error_description=\"{description}\"");
    }
    if matches!(error, Some(("insufficient_scope", _))) && !scopes.is_empty() {
        let _ = write!(text, ", scope=\"{}\"", scopes.join(" "));
    }
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RuleKind;

    fn told(refused: Refused) -> (u16, String) {
        let response: Response<()> = answer(refused, &["orders:read".into(), "orders:write".into()]);
        let challenge = response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(response.status() == 503, response.headers().contains_key(RETRY_AFTER));
        (response.status().as_u16(), challenge.unwrap_or_default())
    }

    #[test]
    fn every_refusal_is_the_standards() {
        assert_eq!(told(Refused::NoToken), (401, "Bearer".into()));
        let revoked = Refused::Token(Invalid::Revoked(RuleKind::Task));
        let description = "error_description=\"it was revoked, by a rule on its task\"";
        assert_eq!(told(revoked), (401, format!("Bearer error=\"invalid_token\", {description}")));
        let (status, challenge) = told(Refused::Token(Invalid::Scope));
        assert!(status == 403 && challenge.ends_with(", scope=\"orders:read orders:write\""), "{challenge}");
        assert_eq!(told(Refused::Token(Invalid::Stale)), (503, String::new()));
        let (status, challenge) = told(Refused::Token(Invalid::Type));
        assert!(status == 401 && challenge.contains("its `typ` is not at+jwt"), "{challenge}");
        assert_eq!(told(Refused::Malformed).0, 400);
    }
}
