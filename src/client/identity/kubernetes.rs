//! A pod's token, projected for this broker.
//!
//! The token that every pod gets is for the cluster's own API: whoever it is shown to could act as the pod there. So it is
//! not shown to a broker, unless it says that it is for that broker alone.

use std::io::ErrorKind;
use std::path::Path;

use super::super::ClientError;
use super::file::TokenFile;
use super::find::Looked;
use super::{Settings, Source};

/// Where a projected token is looked for.
const PROJECTED: &str = "var/run/secrets/tokens/jitney";
/// Where each pod finds the token of its service account.
const DEFAULT: &str = "var/run/secrets/kubernetes.io/serviceaccount/token";

/// Looks for a token below `root`.
pub(super) fn look(settings: &impl Settings, root: &Path, issuer: &str) -> Result<Looked, ClientError> {
    let projected = TokenFile::projected(root.join(PROJECTED));
    if is_there(&projected)? {
        return Ok(Looked::Found(Source::File(projected)));
    }
    let default = TokenFile::shared(root.join(DEFAULT), issuer);
    let mut what = format!("Kubernetes: no token at {}", projected.path().display());
    if is_there(&default)? {
        match default.token() {
            Ok(_) => return Ok(Looked::Found(Source::File(default))),
            Err(ClientError::Platform { why, .. }) => what = format!("{what}, and {why}"),
            Err(error) => return Err(error),
        }
    } else if settings.get("KUBERNETES_SERVICE_HOST").is_none() {
        return Ok(Looked::Not { what, mend: None });
    }
    let mend = format!(
        "project a token into the pod, with `serviceAccountToken: {{ audience: {issuer}, path: jitney }}`, and mount it at \
         {}",
        projected.path().parent().unwrap_or(root).display()
    );
    Ok(Looked::Not { what, mend: Some(mend) })
}

/// Whether there is such a file. One that cannot be looked at is no reason to be somebody else.
fn is_there(file: &TokenFile) -> Result<bool, ClientError> {
    match std::fs::metadata(file.path()) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(ClientError::Platform {
            platform: "Kubernetes",
            why: format!("{} cannot be read: {error}", file.path().display()),
            is_temporary: false,
        }),
    }
}
