//! `/oauth2/token` (RFC 6749 §4.4), `/oauth2/introspect` (RFC 7662), `/oauth2/revoke` (RFC 7009).

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::audit::Event;
use crate::broker::{Introspection, Issued, TokenAsk};
use crate::model::{AccessClaims, Reason, Refusal, ScopeSet, TaskId};

use super::form::Form;
use super::{Shared, answer, form};

#[derive(Serialize)]
struct TokenBody<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    scope: &'a ScopeSet,
    /// What the client needs for `complete` and `renew`, so that it need not look into a token that is not for it.
    task: &'a TaskId,
    lease_id: String,
}

/// A token on its way out (RFC 6749 §5.1).
pub(super) fn issued(issued: &Issued) -> Response {
    let lease = issued.token.lease();
    let body = TokenBody {
        access_token: issued.token.text().expose(),
        token_type: "Bearer",
        expires_in: lease.expires_at.since(lease.issued_at).as_secs(),
        scope: &lease.scopes,
        task: &lease.task,
        lease_id: lease.id.to_string(),
    };
    answer::json(StatusCode::OK, &body)
}

pub(super) async fn token(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = match read(&shared, Event::Mint, query.as_deref(), &headers, &body).await {
        Ok(form) => form,
        Err(response) => return *response,
    };
    match shared.broker.mint(ask(&form)).await {
        Ok(token) => issued(&token),
        Err(refused) => refused.into_response(),
    }
}

/// What a form asks for.
pub(crate) fn ask<'a>(form: &'a Form<'_>) -> TokenAsk<'a> {
    TokenAsk {
        grant_type: form.get("grant_type"),
        auth: form.client_auth(),
        task: form.get("task"),
        ttl: form.get("ttl"),
        scope: form.get("scope"),
        targets: form.all("resource").chain(form.all("audience")).collect(),
    }
}

#[derive(Serialize)]
struct Active<'a> {
    active: bool,
    token_type: &'static str,
    #[serde(flatten)]
    claims: &'a AccessClaims,
}

pub(super) async fn introspect(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = match read(&shared, Event::Introspect, query.as_deref(), &headers, &body).await {
        Ok(form) => form,
        Err(response) => return *response,
    };
    match shared.broker.introspect(form.client_auth(), form.get("token")).await {
        Ok(Introspection::Active(claims)) => {
            answer::json(StatusCode::OK, &Active { active: true, token_type: "Bearer", claims: &claims })
        }
        Ok(Introspection::Inactive) => answer::raw_json(StatusCode::OK, r#"{"active":false}"#),
        Err(refused) => refused.into_response(),
    }
}

pub(super) async fn revoke(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = match read(&shared, Event::Revoke, query.as_deref(), &headers, &body).await {
        Ok(form) => form,
        Err(response) => return *response,
    };
    match shared.broker.revoke(form.client_auth(), form.get("token")).await {
        Ok(_) => answer::empty(StatusCode::OK),
        Err(refused) => refused.into_response(),
    }
}

/// Reads the form of an OAuth endpoint. Authentication by header is refused here, with the challenge its scheme wants.
async fn read<'a>(
    shared: &Shared,
    event: Event,
    query: Option<&str>,
    headers: &HeaderMap,
    body: &'a [u8],
) -> Result<Form<'a>, Box<Response>> {
    form::check_type(headers, body)?;
    if let Some(header) = headers.get(AUTHORIZATION) {
        let why = "no client secrets here: authenticate by client_assertion (private_key_jwt)";
        let refusal = Refusal::new(Reason::InvalidClient, why);
        let mut response = shared.broker.turn_away(event, refusal).await.into_response();
        let is_basic = header.as_bytes().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "));
        let challenge = if is_basic { r#"Basic realm="jitney""# } else { r#"Bearer realm="jitney""# };
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        return Err(Box::new(response));
    }
    match form::check_query(query).and_then(|()| Form::parse(body)) {
        Ok(form) => Ok(form),
        Err(refusal) => Err(Box::new(shared.broker.turn_away(event, refusal).await.into_response())),
    }
}
