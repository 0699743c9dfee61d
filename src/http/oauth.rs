//! `/oauth2/token` (RFC 6749 §4.4), `/oauth2/introspect` (RFC 7662), `/oauth2/revoke` (RFC 7009).

use std::io::Write as _;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::audit::Event;
use crate::broker::{Introspection, Issued, Probed, TokenAsk};
use crate::model::{Introspected, Lease, Reason, Refusal};

use super::form::Form;
use super::{Shared, answer, form};

/// A token on its way out (RFC 6749 §5.1).
pub(super) fn issued(issued: &Issued) -> Response {
    answer::raw_json(StatusCode::OK, token_body(issued.token.text().expose(), issued.token.lease()))
}

/// The answer's JSON, put together from texts none of which JSON would have escaped: a compact JWS, scopes and a task's name
/// have neither quote, backslash nor anything beyond visible ASCII. Task and lease are what a client needs for `complete`
/// and `renew`, so that it need not look into a token that is not for it.
fn token_body(token: &str, lease: &Lease) -> Vec<u8> {
    let Lease { scopes, task, id, .. } = lease;
    let seconds = lease.expires_at.since(lease.issued_at).as_secs();
    let mut body = Vec::with_capacity(token.len() + BESIDE_THE_TOKEN);
    let parts = [r#"{"access_token":""#, token, r#"","token_type":"Bearer","expires_in":"#];
    parts.iter().for_each(|part| body.extend_from_slice(part.as_bytes()));
    // Into memory, nothing fails.
    let _ = write!(body, r#"{seconds},"scope":""#);
    for (at, scope) in scopes.iter().enumerate() {
        body.extend_from_slice(if at > 0 { b" " } else { b"" });
        body.extend_from_slice(scope.as_str().as_bytes());
    }
    let mut room = [0; 36];
    let parts = [r#"","task":""#, task.as_str(), r#"","lease_id":""#, id.write_into(&mut room), r#""}"#];
    parts.iter().for_each(|part| body.extend_from_slice(part.as_bytes()));
    body
}

/// Room for what such an answer says besides the token, as a rule.
const BESIDE_THE_TOKEN: usize = 384;

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
    match form.get("probe") {
        None => {}
        Some("true") => return probe(&shared, &form).await,
        Some(_) => {
            let refusal = Refusal::new(Reason::InvalidRequest, "probe: true, or left out");
            return shared.broker.turn_away(Event::Mint, refusal).await.into_response();
        }
    }
    match shared.broker.mint(ask(&form)).await {
        Ok(token) => issued(&token),
        Err(refused) => refused.into_response(),
    }
}

/// What would be granted: an answer without a token.
async fn probe(shared: &Shared, form: &Form<'_>) -> Response {
    match shared.broker.probe(ask(form)).await {
        Ok(Probed { ttl, scopes, task, lease, single_use }) => {
            let mut body = json!({
                "probe": true, "expires_in": ttl.as_secs(), "scope": scopes.to_string(), "task": task.as_str(),
                "lease_id": lease.to_string(),
            });
            if let Some(how_far) = single_use {
                body["single_use"] = how_far.as_str().into();
            }
            answer::json(StatusCode::OK, &body)
        }
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
        Ok(Introspection::Active(claims)) => answer::json(StatusCode::OK, &Introspected::from(&*claims)),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::model::{AudienceUri, Epoch, KeyId, LeaseId, Position, ScopeSet, TaskId, UnixTime, WorkloadId};

    fn lease(scopes: &str, task: &str, ttl: u64) -> Option<Lease> {
        let at = UnixTime::from_secs(1_790_000_000);
        Some(Lease {
            id: LeaseId::new(1_790_000_000_123, [1, 2, 3, 4], ttl),
            workload: WorkloadId::parse("w").ok()?,
            audience: AudienceUri::parse("https://api").ok()?,
            scopes: ScopeSet::parse(scopes).ok()?,
            task: TaskId::parse(task).ok()?,
            issued_at: at,
            expires_at: UnixTime::from_secs(at.secs() + ttl),
            chain_limit: at,
            predecessor: None,
            actors: Vec::new(),
            kid: KeyId::parse("k").ok()?,
            epoch: Epoch::from_bits(1),
            position: Position::START,
        })
    }

    proptest! {
        /// Whatever scopes and names of tasks there can be; those that cannot are refused where they are read.
        #[test]
        fn the_answer_is_the_json_that_serde_would_write(
            token in "[A-Za-z0-9_.-]{1,900}",
            scopes in "[ -~]{1,40}( [!-~]{1,20}){0,3}|[!-~]{1,128}|\\PC{1,9}",
            task in "[A-Za-z0-9._~:/-]{1,128}|[ -~]{1,9}",
            ttl in any::<u32>(),
        ) {
            let Some(lease) = lease(&scopes, &task, ttl.into()) else { return Ok(()) };
            let body = token_body(&token, &lease);
            let read: Value = serde_json::from_slice(&body).unwrap();
            prop_assert_eq!(read, json!({
                "access_token": token, "token_type": "Bearer", "expires_in": ttl, "scope": lease.scopes.to_string(),
                "task": lease.task.as_str(), "lease_id": lease.id.to_string(),
            }));
            prop_assert_eq!(serde_json::to_string(&lease.scopes).unwrap().len(), lease.scopes.to_string().len() + 2);
        }
    }
}
