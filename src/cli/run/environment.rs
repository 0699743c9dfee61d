//! What of this process's environment the command must not see.

use std::ffi::OsString;

/// Of jitney's own settings only these are passed on: they name things and prove nothing.
const JITNEY_KEPT: &[&str] = &["JITNEY_URL", "JITNEY_ISSUER", "JITNEY_WORKLOAD"];
/// With these a platform lets a process say who it is, or act as the job: whoever holds them could ask for more.
const PLATFORM: &[&str] = &["ACTIONS_RUNTIME_TOKEN", "CI_JOB_TOKEN", "SPIFFE_ENDPOINT_SOCKET"];
const PLATFORM_PREFIXES: &[&str] = &["ACTIONS_ID_TOKEN_REQUEST_", "CI_JOB_JWT"];

/// The names among `names` that are hidden from the command.
pub(super) fn hidden(names: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    names.filter(|name| name.to_str().is_some_and(is_hidden))
}

fn is_hidden(name: &str) -> bool {
    (name.starts_with("JITNEY_") && !JITNEY_KEPT.contains(&name))
        || PLATFORM.contains(&name)
        || PLATFORM_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::is_hidden;

    #[test]
    fn credentials_are_hidden_and_the_rest_is_passed_on() {
        for name in [
            "JITNEY_KEY_FILE",
            "JITNEY_ASSERTION_FILE",
            "JITNEY_ADMIN",
            "JITNEY_AUDIENCE_KEY_FILE",
            "JITNEY_STORE_URL",
            "JITNEY_TOKEN",
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
            "ACTIONS_RUNTIME_TOKEN",
            "CI_JOB_TOKEN",
            "CI_JOB_JWT_V2",
            "SPIFFE_ENDPOINT_SOCKET",
        ] {
            assert!(is_hidden(name), "{name}");
        }
        for name in ["JITNEY_URL", "JITNEY_WORKLOAD", "PATH", "HOME", "GITHUB_RUN_ID", "MY_JITNEY_KEY"] {
            assert!(!is_hidden(name), "{name}");
        }
    }
}
