//! `/v1/forward-auth`: whether a proxy may let a request through, answered from memory.

use axum::body::Body;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};

use super::Guard;
use super::headers::{self, No};
use super::judge::Verdict;
use super::path::{self, Ambiguous};
use super::proxy::Misfit;
use super::rules::Demand;
use crate::model::ScopeSet;
use crate::telemetry::GuardOutcome as Outcome;
use crate::verifier::Invalid;

/// What is asked of every request where there are no rules.
const ANY_GOOD_TOKEN: &Demand = &Demand::Token { audience: None, scopes: None };

/// An answer, and what it counts as.
type Told = (Outcome, Response<Body>);

/// The answer from memory alone; none where the token takes more.
pub(super) fn at_once(guard: &Guard, head: &Parts, tail: &str) -> Option<Response<Body>> {
    let told = match before(guard, head, tail) {
        Err(settled) => settled.told(guard),
        Ok((demand, token)) => after(guard, demand, guard.judge.at_once(token)?),
    };
    Some(count(guard, told))
}

/// The same, with a fetch of the keys where it takes one.
pub(super) async fn in_time(guard: &Guard, head: &Parts) -> Response<Body> {
    let tail = super::tail(head.uri.path()).unwrap_or_default();
    let told = match before(guard, head, tail) {
        Err(settled) => settled.told(guard),
        Ok((demand, token)) => after(guard, demand, guard.judge.verify(token).await),
    };
    count(guard, told)
}

fn count(guard: &Guard, (outcome, response): Told) -> Response<Body> {
    if let Some(metrics) = &guard.metrics {
        metrics.answered(outcome);
    }
    response
}

/// What decides a request before any token does.
enum Settled {
    Public,
    NoToken,
    NoRule,
    Method,
    Proxy(Misfit),
    Path(Ambiguous),
    Authorization(&'static str),
}

impl Settled {
    fn told(self, guard: &Guard) -> Told {
        match self {
            Self::Public => (Outcome::Public, headers::admitted(None)),
            Self::NoToken => (Outcome::NoToken, headers::refused(No::Token)),
            Self::NoRule => {
                let no = No::Insufficient("no rule lets this method of this path through", None);
                (Outcome::NoRule, headers::refused(no))
            }
            Self::Method => {
                note(guard, &Misfit::Method.to_string());
                (Outcome::Request, headers::not_served(StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"))
            }
            Self::Proxy(misfit) => unclear(guard, &misfit.to_string()),
            Self::Path(ambiguous) => unclear(guard, &ambiguous.to_string()),
            Self::Authorization(why) => unclear(guard, why),
        }
    }
}

fn unclear(guard: &Guard, why: &str) -> Told {
    note(guard, why);
    (Outcome::Request, headers::refused(No::Request(why)))
}

/// Tells the log why a request is not read, for it may be the proxy that is set up wrongly; nothing of what was sent.
fn note(guard: &Guard, why: &str) {
    if let Some(unsaid) = guard.unclear.turn() {
        tracing::warn!(why, proxy = %guard.proxy, unsaid, "a request is refused, for it has no one meaning");
    }
}

/// What is asked of this request, and the token that it shows; or what decides it without one.
fn before<'a>(guard: &'a Guard, head: &'a Parts, tail: &'a str) -> Result<(&'a Demand, &'a str), Settled> {
    match demand(guard, head, tail)? {
        Demand::Nothing => Err(Settled::Public),
        demand => {
            let token = bearer(&head.headers).map_err(Settled::Authorization)?;
            Ok((demand, token.ok_or(Settled::NoToken)?))
        }
    }
}

fn demand<'a>(guard: &'a Guard, head: &Parts, tail: &str) -> Result<&'a Demand, Settled> {
    guard.proxy.check(head).map_err(|misfit| match misfit {
        Misfit::Method => Settled::Method,
        misfit => Settled::Proxy(misfit),
    })?;
    let Some(rules) = &guard.rules else { return Ok(ANY_GOOD_TOKEN) };
    let asked = guard.proxy.asked(head, tail).map_err(Settled::Proxy)?;
    let path = path::plain(asked.target).map_err(Settled::Path)?;
    rules.find(asked.method, &path).ok_or(Settled::NoRule)
}

/// The token of the one `Authorization: Bearer` (RFC 6750 §2.1); another scheme is no token.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        _ => return Err("there are several Authorization headers"),
    };
    let Ok(text) = value.to_str() else { return Err("the Authorization header is not ASCII") };
    Ok(match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Some(token.trim()).filter(|it| !it.is_empty())
        }
        _ => None,
    })
}

/// The answer by what is known of the token.
fn after(guard: &Guard, demand: &Demand, verdict: Verdict) -> Told {
    let (audience, scopes) = match demand {
        Demand::Token { audience, scopes } => (audience.as_ref(), scopes.as_ref()),
        Demand::Nothing => (None, None),
    };
    let token = match verdict {
        Ok(token) => token,
        Err(Invalid::Stale) => return (Outcome::Stale, headers::unknown()),
        Err(invalid) => return not_good(invalid),
    };
    let claims = token.claims();
    let is_meant = match audience {
        Some(audience) => claims.aud.matches(audience.as_str()),
        None => guard.is_ours(&claims.aud),
    };
    if !is_meant {
        return not_good(Invalid::Audience);
    }
    if let Some(needed) = scopes
        && !holds(&claims.scope, needed)
    {
        let why = Invalid::Scope.to_string();
        let no = No::Insufficient(&why, Some(&needed.to_string()));
        return (Outcome::Insufficient, headers::refused(no));
    }
    (Outcome::Admitted, headers::admitted(Some(&token)))
}

fn not_good(invalid: Invalid) -> Told {
    tracing::debug!(reason = invalid.as_str(), "a token is refused");
    (outcome_of(invalid), headers::refused(No::Invalid(&invalid.to_string())))
}

/// What a bad token counts as.
pub(super) const fn outcome_of(invalid: Invalid) -> Outcome {
    match invalid {
        Invalid::Audience => Outcome::Audience,
        Invalid::Expired | Invalid::NotYet | Invalid::IssuedLater => Outcome::Expired,
        Invalid::Revoked(_) => Outcome::Revoked,
        Invalid::Scope | Invalid::Task => Outcome::Insufficient,
        Invalid::Stale => Outcome::Stale,
        _ => Outcome::Forged,
    }
}

/// Whether a token's scopes hold all that is needed.
pub(super) fn holds(own: &ScopeSet, needed: &ScopeSet) -> bool {
    needed.iter().all(|scope| own.contains(scope.as_str()))
}
