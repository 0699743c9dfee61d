//! What of this process's environment the command must not see.
//!
//! What is hidden goes by the names that platforms give, and by what would be taken at this broker, whatever its name. A
//! credential that a job hands on under a name of its own, and that jitney cannot be asked with, is the job's business.

use std::ffi::{OsStr, OsString};

use crate::client::BrokerAddress;
use crate::model::Secret;

/// Of jitney's own settings only these are passed on: they name things and prove nothing.
const JITNEY_KEPT: &[&str] = &["JITNEY_URL", "JITNEY_ISSUER", "JITNEY_WORKLOAD"];
/// With these a platform lets a process say who it is, or act as the job: whoever holds them could ask for more.
const PLATFORM: &[&str] = &[
    "ACTIONS_RUNTIME_TOKEN",
    // GitLab's one token of a job, and the names under which it hands it out a second time.
    "CI_JOB_TOKEN",
    "CI_REGISTRY_PASSWORD",
    "CI_DEPENDENCY_PROXY_PASSWORD",
    "CI_REPOSITORY_URL",
    "SPIFFE_ENDPOINT_SOCKET",
];
const PLATFORM_PREFIXES: &[&str] = &["ACTIONS_ID_TOKEN_REQUEST_", "CI_JOB_JWT"];

/// What the command must not be able to say.
pub(super) struct Hidden<'a> {
    /// A JWT for this broker is hidden under any name.
    pub broker: &'a BrokerAddress,
    /// So is whatever holds one of these.
    pub secrets: &'a [Secret<String>],
}

impl Hidden<'_> {
    /// The names among `variables` that are hidden from the command.
    pub(super) fn names(
        &self,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> impl Iterator<Item = OsString> {
        variables.filter(|(name, value)| self.hides(name, value)).map(|(name, _)| name)
    }

    fn hides(&self, name: &OsStr, value: &OsStr) -> bool {
        // What is no text may still hold one.
        let value = value.to_string_lossy();
        name.to_str().is_some_and(is_hidden)
            || self.broker.is_named_by(value.trim())
            || self.secrets.iter().any(|secret| !secret.expose().is_empty() && value.contains(secret.expose().as_str()))
    }
}

fn is_hidden(name: &str) -> bool {
    (name.starts_with("JITNEY_") && !JITNEY_KEPT.contains(&name))
        || PLATFORM.contains(&name)
        || PLATFORM_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

    use super::*;

    #[test]
    fn credentials_are_hidden_and_the_rest_is_passed_on() {
        for name in [
            "JITNEY_KEY_FILE",
            "JITNEY_ASSERTION_FILE",
            "JITNEY_ID_TOKEN",
            "JITNEY_ADMIN",
            "JITNEY_AUDIENCE_KEY_FILE",
            "JITNEY_STORE_URL",
            "JITNEY_TOKEN",
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
            "ACTIONS_RUNTIME_TOKEN",
            "CI_JOB_TOKEN",
            "CI_JOB_JWT_V2",
            "CI_REGISTRY_PASSWORD",
            "CI_REPOSITORY_URL",
            "SPIFFE_ENDPOINT_SOCKET",
        ] {
            assert!(is_hidden(name), "{name}");
        }
        for name in ["JITNEY_URL", "JITNEY_WORKLOAD", "PATH", "HOME", "GITHUB_RUN_ID", "MY_JITNEY_KEY", "CI_JOB_ID"] {
            assert!(!is_hidden(name), "{name}");
        }
    }

    #[test]
    fn what_this_broker_would_take_is_hidden_under_any_name() {
        let broker =
            BrokerAddress::from_settings(|name| (name == "JITNEY_URL").then(|| "https://b.example.com".to_owned()));
        let (broker, secrets) = (broker.unwrap(), [Secret::new("shown".to_owned()), Secret::new(String::new())]);
        let hidden = Hidden { broker: &broker, secrets: &secrets };
        let jwt = |aud: &str| format!("h.{}.s", B64.encode(format!(r#"{{"aud":"{aud}"}}"#)));
        let variables = [
            ("A", "shown".to_owned()),
            ("B", "Bearer shown".to_owned()),
            ("C", jwt("https://b.example.com")),
            ("D", jwt("https://vault.example.com")),
            ("E", "https://b.example.com".to_owned()),
            ("F", String::new()),
        ];
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        assert_eq!(hidden.names(variables).collect::<Vec<_>>(), ["A", "B", "C"]);
    }
}
