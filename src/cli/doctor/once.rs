//! Whether asking used up what proved who asks: a policy can bind a platform's token to one lease, or to one task.
//!
//! A broker says so to nobody before it is the case. So where the same token will be shown again, by whatever runs next, it is
//! shown once more here: better told than met.

use super::scene::Scene;
use crate::client::{ClientError, Identity, TokenAsk, TokenClient};
use crate::model::TaskId;

/// What every refusal says that comes of it, by the policies that follow.
const BOUND: &str = "(@single_use, by policies ";

/// The policies that bound the token to the lease it got, where some did. What is granted instead is completed at once.
pub(super) async fn used_up(scene: &Scene, client: &TokenClient, ask: &TokenAsk) -> Option<String> {
    let identity = Identity::from_settings(|name| scene.setting(name)).ok()?;
    if !identity.is_shown_again() {
        return None;
    }
    let task = TaskId::parse(&format!("{}-again", ask.task.as_ref()?)).ok()?;
    match client.token(&TokenAsk { task: Some(task.clone()), ..ask.clone() }).await {
        Ok(_) => {
            if let Err(error) = client.complete(&task).await {
                tracing::debug!(%error, %task, "a task of doctor's could not be completed");
            }
            None
        }
        Err(ClientError::Refused(refused)) => bound_by(&refused.description).map(str::to_owned),
        Err(_) => None,
    }
}

/// The policies that a refusal names.
fn bound_by(said: &str) -> Option<&str> {
    said.split_once(BOUND)?.1.strip_suffix(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policies_that_bind_are_read_from_the_refusal_of_a_token_used_up() {
        let said = "this platform token is bound to the lease it got before: ask the platform for a fresh one (@single_use, by \
                    policies one, two)";
        assert_eq!(bound_by(said), Some("one, two"));
        assert_eq!(bound_by("no policy grants orders:read"), None);
    }
}
