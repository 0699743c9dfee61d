//! `/openapi.json`: the public listener, described by hand. A test holds it against the routes.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::{Shared, answer};

/// The description as it is served.
pub const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn openapi(State(shared): State<Shared>) -> Response {
    answer::raw_json(StatusCode::OK, shared.documents.openapi.clone())
}

/// The description of a broker that answers proxies too.
pub(super) fn with_forward_auth() -> String {
    let told = |header: &str, what: &str| json!({ header: { "description": what, "schema": { "type": "string" } } });
    let no = |what: &str| json!({ "description": what, "headers": told("WWW-Authenticate", "RFC 6750 §3") });
    let mut yes = serde_json::Map::new();
    for (header, what) in [
        ("X-Jitney-Workload", "The workload"),
        ("X-Jitney-Task", "The task"),
        ("X-Jitney-Scope", "The scopes, separated by spaces"),
        ("X-Jitney-Lease", "The lease"),
    ] {
        yes.insert(header.into(), told(header, what)[header].take());
    }
    let path = json!({ "get": {
        "operationId": "forwardAuth",
        "summary": "For a proxy: whether the request that it holds back may pass",
        "security": [{ "bearer": [] }],
        "responses": {
            "200": { "description": "It may, and by whom it was sent", "headers": yes },
            "401": no("No token, or none that is good here"),
            "403": no("A request with more than one meaning"),
            "503": { "description": "The store does not answer: nobody knows" },
        },
    } });
    let mut document: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        paths.insert(crate::guard::FORWARD_AUTH.to_owned(), path);
    }
    document.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::PUBLIC_ROUTES;

    /// The public listener's, without it.
    const PATHS: usize = 13;

    #[test]
    fn the_document_and_the_routes_are_the_same() {
        let document: serde_json::Value = serde_json::from_str(DOCUMENT).unwrap();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| (method.clone(), path.clone())))
            .collect();
        let routed = PUBLIC_ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(described, routed);
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn forward_auth_is_described_where_it_is_served() {
        let document: Value = serde_json::from_str(&with_forward_auth()).unwrap();
        let path = &document["paths"]["/v1/forward-auth"]["get"];
        assert_eq!(path["responses"]["200"]["headers"]["X-Jitney-Task"]["description"], "The task");
        let scheme = path["security"][0].as_object().unwrap().keys().next().unwrap();
        assert!(document["components"]["securitySchemes"].get(scheme).is_some(), "{scheme}");
        assert_eq!(document["paths"].as_object().unwrap().len(), 1 + PATHS);
    }
}
