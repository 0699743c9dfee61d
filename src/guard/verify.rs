//! `POST /v1/verify`: whether a token is good, told as introspection tells it (RFC 7662 §2.2), from memory.

use std::borrow::Cow;

use axum::body::Body;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};

use super::forward_auth::{holds, outcome_of};
use super::{Guard, headers};
use crate::model::{AccessClaims, Introspected, ScopeSet};
use crate::telemetry::GuardOutcome as Outcome;
use crate::verifier::Invalid;

/// What is asked: a token, and the scopes it must have.
struct Asked<'a> {
    token: Cow<'a, str>,
    scope: Option<ScopeSet>,
}

pub(super) async fn verify(guard: &Guard, head: &Parts, body: &[u8]) -> Response<Body> {
    let asked = match read(head, body) {
        Ok(asked) => asked,
        Err((status, why)) => {
            count(guard, Outcome::Request);
            let error = if status == StatusCode::BAD_REQUEST { "invalid_request" } else { "unsupported_media_type" };
            return headers::error(status, error, &why);
        }
    };
    let verdict = guard.judge.verify(&asked.token).await;
    let inactive = |outcome| (outcome, headers::json(StatusCode::OK, r#"{"active":false}"#));
    let (outcome, response) = match &verdict {
        Err(Invalid::Stale) => (Outcome::Stale, unknown()),
        Err(invalid) => inactive(outcome_of(*invalid)),
        Ok(token) if !guard.is_ours(&token.claims().aud) => inactive(Outcome::Audience),
        Ok(token) => match asked.scope.filter(|needed| !holds(&token.claims().scope, needed)) {
            Some(_) => inactive(Outcome::Insufficient),
            None => (Outcome::Admitted, active(token.claims())),
        },
    };
    count(guard, outcome);
    response
}

fn count(guard: &Guard, outcome: Outcome) {
    if let Some(metrics) = &guard.metrics {
        metrics.verified(outcome);
    }
}

fn active(claims: &AccessClaims) -> Response<Body> {
    match serde_json::to_vec(&Introspected::from(claims)) {
        Ok(body) => headers::json(StatusCode::OK, body),
        Err(_) => headers::error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "a mistake of the guard's own"),
    }
}

fn unknown() -> Response<Body> {
    let why = "the view of revocations is too old, or not there yet: whether a token stands is not known";
    let mut response = headers::error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", why);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn read<'a>(head: &Parts, body: &'a [u8]) -> Result<Asked<'a>, (StatusCode, String)> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = kind.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send a form: application/x-www-form-urlencoded".into()));
    }
    // What stands in an address is kept in logs.
    if head.uri.query().is_some() {
        return Err(bad("the parameters belong into the form, not into the query".into()));
    }
    let (mut token, mut scope) = (None, None);
    for (name, value) in form_urlencoded::parse(body).filter(|(_, value)| !value.is_empty()) {
        let place = match &*name {
            "token" => &mut token,
            "scope" => &mut scope,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(bad(format!("the parameter {name} is repeated: send it once")));
        }
    }
    let token = token.ok_or_else(|| bad("the parameter token is missing".into()))?;
    let scope = scope.map(|raw| ScopeSet::parse(&raw).map_err(|why| bad(format!("the parameter scope: {why}"))));
    Ok(Asked { token, scope: scope.transpose()? })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn told(kind: &str, path: &str, body: &str) -> Result<(String, Option<String>), u16> {
        let request = Request::post(path).header(CONTENT_TYPE, kind).body(()).unwrap();
        let asked = read(&request.into_parts().0, body.as_bytes()).map_err(|(status, _)| status.as_u16())?;
        Ok((asked.token.into_owned(), asked.scope.map(|scope| scope.to_string())))
    }

    #[test]
    fn a_form_with_one_meaning_is_read() {
        let form = "application/x-www-form-urlencoded";
        let good = |token: &str, scope: Option<&str>| Ok((token.to_owned(), scope.map(str::to_owned)));
        assert_eq!(told(form, "/v1/verify", "token=a.b.c&token_type_hint=access_token&scope="), good("a.b.c", None));
        let charset = "Application/X-WWW-Form-Urlencoded; charset=UTF-8";
        assert_eq!(told(charset, "/v1/verify", "scope=a+b%3Ac&token=t"), good("t", Some("a b:c")));
        for body in ["", "token=", "scope=a", "token=a&token=b", "token=a&scope=a&scope=b", "token=a&scope=a++b"] {
            assert_eq!(told(form, "/v1/verify", body), Err(400), "{body}");
        }
        assert_eq!(told(form, "/v1/verify?token=a", "token=a"), Err(400));
        assert_eq!(told("application/json", "/v1/verify", "{}"), Err(415));
    }
}
