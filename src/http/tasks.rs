//! `POST /v1/tasks/{task}/complete`: by the workload's client authentication in the form, or by a token of the task.

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::audit::Event;
use crate::broker::{CompleteAsk, Credential};
use crate::model::{Reason, Refusal};

use super::form::Form;
use super::{Shared, answer, form};

pub(super) async fn complete(
    State(shared): State<Shared>,
    uri: Uri,
    task: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(response) = form::check_type(&headers, &body) {
        return *response;
    }
    let read = task.map_err(|_| wrong("the task in the path is no UTF-8")).and_then(|Path(task)| {
        form::check_query(uri.query())?;
        let form = Form::parse(&body)?;
        Ok((task, form))
    });
    let (task, form) = match read {
        Ok(read) => read,
        Err(refusal) => return shared.broker.turn_away(Event::Complete, refusal).await.into_response(),
    };
    let credential = match credential(&headers, &form) {
        Ok(credential) => credential,
        Err(refusal) => return shared.broker.turn_away(Event::Complete, refusal).await.into_response(),
    };
    match shared.broker.complete(CompleteAsk { task: &task, path: uri.path(), credential }).await {
        Ok(_) => answer::empty(StatusCode::NO_CONTENT),
        Err(refused) => refused.into_response(),
    }
}

/// What the caller shows: a form's assertion, a bearer token, or neither; both at once have two meanings (RFC 6750 §2).
pub(crate) fn credential<'a>(headers: &'a HeaderMap, form: &'a Form<'_>) -> Result<Credential<'a>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let bearer = match (values.next(), values.next()) {
        (None, _) => None,
        (Some(value), None) => Some(bearer(value.as_bytes())?),
        _ => return Err(wrong("there are several Authorization headers")),
    };
    match (bearer, form.has_client_auth()) {
        (Some(_), true) => Err(wrong("show a token or a client assertion, not both")),
        (Some(token), false) => Ok(Credential::Bearer(token)),
        (None, true) => Ok(Credential::Client(form.client_auth())),
        (None, false) => Ok(Credential::None),
    }
}

/// `Bearer` and a token (RFC 6750 §2.1); another scheme is no token at all.
fn bearer(value: &[u8]) -> Result<&str, Refusal> {
    let text = std::str::from_utf8(value).map_err(|_| wrong("the Authorization header is not ASCII"))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => Ok(token.trim()),
        _ => Err(Refusal::new(Reason::MissingToken, "the Authorization header must be: Bearer and the token")),
    }
}

fn wrong(why: &'static str) -> Refusal {
    Refusal::new(Reason::InvalidRequest, why)
}
