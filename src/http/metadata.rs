//! RFC 8414 metadata, and an authorization endpoint that refuses everyone.

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;

use crate::jose::Alg;
use crate::model::{Reason, Refusal};

use super::{Shared, answer, openapi};

/// Documents that are the same for as long as the broker runs.
pub(super) struct Documents {
    metadata: String,
    pub(super) openapi: Bytes,
}

impl Documents {
    pub(super) fn new(issuer: &str) -> Self {
        let at = |path: &str| format!("{}{path}", issuer.trim_end_matches('/'));
        let algs: Vec<&str> = Alg::ALL.into_iter().map(Alg::as_str).collect();
        let methods = ["private_key_jwt"];
        let metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": at("/oauth2/authorize"),
            "token_endpoint": at("/oauth2/token"),
            "introspection_endpoint": at("/oauth2/introspect"),
            "revocation_endpoint": at("/oauth2/revoke"),
            "jwks_uri": at("/oauth2/jwks"),
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": algs,
            "introspection_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_signing_alg_values_supported": algs,
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": algs,
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        });
        Self { metadata: metadata.to_string(), openapi: Bytes::from_static(openapi::DOCUMENT.as_bytes()) }
    }

    /// The same of a broker that answers proxies too.
    pub(super) fn with_forward_auth(&self) -> Self {
        Self { metadata: self.metadata.clone(), openapi: openapi::with_forward_auth().into() }
    }
}

pub(super) async fn metadata(State(shared): State<Shared>) -> Response {
    let mut response = answer::raw_json(StatusCode::OK, shared.documents.metadata.clone());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=600"));
    response
}

pub(super) async fn authorize() -> Response {
    let why = "nobody logs in here: workloads ask at the token endpoint with client_credentials";
    answer::plain(&Refusal::new(Reason::UnsupportedResponseType, why))
}
