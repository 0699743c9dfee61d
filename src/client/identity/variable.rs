//! A token that a CI system puts into a variable of the job, under a name the job gives it: GitLab's `id_tokens`.
//!
//! It cannot be asked for again, and lives as long as GitLab lets the job run.

use super::super::ClientError;
use super::find::Looked;
use super::{Settings, Source};
use crate::model::Secret;

/// The name that the job is to give it.
pub(super) const NAME: &str = "JITNEY_ID_TOKEN";

/// Looks for the token.
pub(super) fn look(settings: &impl Settings, issuer: &str) -> Result<Looked, ClientError> {
    let Some(token) = settings.get(NAME) else {
        let here = settings.get("GITLAB_CI").is_some();
        let mend = format!("give the job an id token: `id_tokens: {{ {NAME}: {{ aud: {issuer} }} }}`");
        let what = if here { "this job has no id token of that name" } else { "not set" };
        return Ok(Looked::Not { what: format!("{NAME} (GitLab): {what}"), mend: here.then_some(mend) });
    };
    let token = token.trim();
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ClientError::Setting { name: NAME, rule: "holds no token".into(), mend: None });
    }
    Ok(Looked::Found(Source::Variable(Secret::new(token.to_owned()))))
}
