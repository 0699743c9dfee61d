//! `/openapi.json`: the public listener, described by hand. A test holds it against the routes.

use axum::http::StatusCode;
use axum::response::Response;

use super::answer;

/// The description as it is served.
pub const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn openapi() -> Response {
    answer::raw_json(StatusCode::OK, DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::PUBLIC_ROUTES;

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
}
