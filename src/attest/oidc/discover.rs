//! One fetch of an issuer's keys: its discovery document (OpenID Connect Discovery §4), then the JWK Set it names.

use std::time::Duration;

use http::StatusCode;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use crate::fetch::foreign::ForeignFetch;
use crate::fetch::{Answer, FetchError, max_age};
use crate::jose::{JoseError, JwkSet, json};

/// Keys as an issuer gave them.
pub(super) struct Fetched {
    pub(super) set: JwkSet,
    /// Keys of it that are not taken, and why.
    pub(super) passed_over: Vec<String>,
    /// SHA-256 of the set's text.
    pub(super) digest: [u8; 32],
    /// How long it said they may be kept.
    pub(super) max_age: Option<Duration>,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiscoverError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{to} answered {status}; redirects are not followed")]
    Status { to: String, status: StatusCode },
    #[error("{to} is no discovery document: {why}")]
    Document { to: String, why: String },
    #[error("{to} names another issuer, {found}")]
    Issuer { to: String, found: String },
    #[error("{to} holds no usable keys: {error}")]
    Keys { to: String, error: JoseError },
}

/// Fetches the keys of `issuer`: from `jwks_uri`, where that is given, else from where its discovery document says.
pub(super) async fn fetch(
    fetch: &ForeignFetch,
    issuer: &str,
    jwks_uri: Option<&str>,
) -> Result<Fetched, DiscoverError> {
    let to = match jwks_uri {
        Some(uri) => uri.to_owned(),
        None => discover(fetch, issuer).await?,
    };
    let answer = get(fetch, &to).await?;
    let (set, passed_over) =
        JwkSet::parse_published(&answer.body).map_err(|error| DiscoverError::Keys { to, error })?;
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &answer.body).as_ref());
    Ok(Fetched { set, passed_over, digest: hash, max_age: max_age(&answer.headers) })
}

/// The `jwks_uri` of an issuer, which must say the issuer's own name: else a document copied from elsewhere would do.
async fn discover(fetch: &ForeignFetch, issuer: &str) -> Result<String, DiscoverError> {
    let to = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let answer = get(fetch, &to).await?;
    let document = match json::strict(&answer.body) {
        Ok(document) => document,
        Err(error) => return Err(DiscoverError::Document { to, why: error.to_string() }),
    };
    match document.get("issuer").and_then(Value::as_str) {
        Some(found) if found == issuer => {}
        found => return Err(DiscoverError::Issuer { to, found: found.unwrap_or("none").chars().take(200).collect() }),
    }
    match document.get("jwks_uri").and_then(Value::as_str) {
        Some(uri) => Ok(uri.to_owned()),
        None => Err(DiscoverError::Document { to, why: "it has no jwks_uri".into() }),
    }
}

async fn get(fetch: &ForeignFetch, to: &str) -> Result<Answer, DiscoverError> {
    let answer = fetch.get(to).await?;
    match answer.status {
        StatusCode::OK => Ok(answer),
        status => Err(DiscoverError::Status { to: to.chars().take(200).collect(), status }),
    }
}
