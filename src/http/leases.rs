//! `POST /v1/leases/{id}/renew`: by client authentication. A plain bearer token renews nothing.

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use crate::audit::Event;
use crate::broker::Credential;
use crate::model::{Reason, Refusal};

use super::form::Form;
use super::{Shared, form, oauth, tasks};

pub(super) async fn renew(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    lease: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(response) = form::check_type(&headers, &body) {
        return *response;
    }
    let form = match form::check_query(query.as_deref()).and_then(|()| Form::parse(&body)) {
        Ok(form) => form,
        Err(refusal) => return shared.broker.turn_away(Event::Renew, refusal).await.into_response(),
    };
    // A name that cannot be read is no lease: the broker says so once it knows who asks.
    let lease = lease.map(|Path(lease)| lease).unwrap_or_default();
    let auth = match tasks::credential(&headers, &form) {
        Ok(Credential::Client(auth)) => auth,
        Ok(Credential::Bearer(_)) => {
            let why = "a plain bearer token renews nothing: use the workload's own credential";
            let refusal = Refusal::new(Reason::BearerCannotRenew, why);
            return shared.broker.turn_away(Event::Renew, refusal).await.into_response();
        }
        Ok(Credential::None) => {
            let refusal = Refusal::new(Reason::MissingToken, "show the workload's client assertion");
            return shared.broker.turn_away(Event::Renew, refusal).await.into_response();
        }
        Err(refusal) => return shared.broker.turn_away(Event::Renew, refusal).await.into_response(),
    };
    match shared.broker.renew(&lease, auth, form.get("ttl")).await {
        Ok(token) => oauth::issued(&token),
        Err(refused) => refused.into_response(),
    }
}
