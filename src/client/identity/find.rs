//! Where an identity is looked for: settings first, then the platforms, in a fixed order. The first one found is used.

use std::path::Path;

use super::super::ClientError;
use super::file::TokenFile;
use super::key::Key;
use super::{Settings, Source, github, kubernetes, variable};
use crate::model::{WorkloadId, without_credentials};

/// What came of looking in one place.
pub(super) enum Looked {
    Found(Source),
    /// What was looked for there, and how it would be found, where this looks like the place.
    Not {
        what: String,
        mend: Option<String>,
    },
}

/// Finds what proves who this is, for the broker of this name. `root`: below it lie the platform's files.
pub(super) fn find(
    settings: &impl Settings,
    root: &Path,
    issuer: &str,
    workload: Option<&WorkloadId>,
) -> Result<Source, ClientError> {
    let places: [&dyn Fn() -> Result<Looked, ClientError>; 4] = [
        &|| by_settings(settings, workload),
        &|| github::look(settings),
        &|| variable::look(settings, issuer),
        &|| kubernetes::look(settings, root, issuer),
    ];
    let (mut looked, mut mends) = (Vec::new(), Vec::new());
    for place in places {
        match place()? {
            Looked::Found(source) => return Ok(source),
            Looked::Not { what, mend } => {
                looked.push(what);
                mends.extend(mend);
            }
        }
    }
    let by_key = match workload {
        Some(id) => {
            format!("set JITNEY_KEY_FILE to the private key of {id}, which JITNEY_WORKLOAD names and nothing proves")
        }
        None => "set JITNEY_WORKLOAD and JITNEY_KEY_FILE; `jitney serve --dev` writes all of a workload's settings to \
                 .jitney/workload.env, ready to source"
            .into(),
    };
    let mend = if mends.is_empty() { by_key } else { mends.join("; or ") };
    Err(ClientError::NoIdentity { looked, mend })
}

/// The file that a setting names. A key or a token in its place is said to be one, and not shown.
fn file(settings: &impl Settings, name: &'static str) -> Result<Option<String>, ClientError> {
    let path = settings.get(name);
    if path.as_ref().is_some_and(|path| path.contains('\n') || *without_credentials(path) != **path) {
        let rule = "holds a key or a token itself: it must name the file that does".into();
        return Err(ClientError::Setting { name, rule, mend: None });
    }
    Ok(path)
}

fn by_settings(settings: &impl Settings, workload: Option<&WorkloadId>) -> Result<Looked, ClientError> {
    let source = match (file(settings, "JITNEY_KEY_FILE")?, file(settings, "JITNEY_ASSERTION_FILE")?) {
        (None, None) => {
            let what = "JITNEY_KEY_FILE and JITNEY_ASSERTION_FILE: not set".to_owned();
            return Ok(Looked::Not { what, mend: None });
        }
        (None, Some(path)) => Source::File(TokenFile::named("JITNEY_ASSERTION_FILE", path)),
        (Some(path), None) => {
            let missing = || ClientError::Setting {
                name: "JITNEY_WORKLOAD",
                rule: "is not set: a key alone does not say whose it is".into(),
                mend: None,
            };
            Source::Key(Box::new(Key::read(Path::new(&path), workload.ok_or_else(missing)?.clone())?))
        }
        (Some(_), Some(_)) => {
            let rule = "and JITNEY_ASSERTION_FILE are both set: one of them can be used".into();
            let mend =
                Some("unset one: JITNEY_ASSERTION_FILE where a key signs, JITNEY_KEY_FILE where a platform does");
            return Err(ClientError::Setting { name: "JITNEY_KEY_FILE", rule, mend });
        }
    };
    Ok(Looked::Found(source))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::super::tests::settings;
    use super::*;
    use crate::client::said::tests::token;

    const ISSUER: &str = "https://b.example.com";

    fn here(pairs: &[(&str, &str)], root: &Path) -> Result<String, String> {
        let found = find(&settings(pairs), root, ISSUER, None);
        found.map(|source| source.to_string()).map_err(|error| {
            assert!(!error.next_step().is_empty());
            format!("{error}; next: {}", error.next_step())
        })
    }

    #[test]
    fn settings_come_first_then_github_gitlab_and_kubernetes() {
        let dir = tempfile::tempdir().unwrap();
        let projected = dir.path().join("var/run/secrets/tokens");
        fs::create_dir_all(&projected).unwrap();
        fs::write(projected.join("jitney"), "x").unwrap();
        let all = [
            ("JITNEY_ASSERTION_FILE", "/svid"),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://actions.example.com/t?v=1"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "r"),
            ("JITNEY_ID_TOKEN", "x.y.z"),
        ];
        let found = |from: usize| here(&all[from..], dir.path()).unwrap();
        assert_eq!(found(0), "the token in /svid (JITNEY_ASSERTION_FILE)");
        assert_eq!(found(1), "GitHub Actions (ACTIONS_ID_TOKEN_REQUEST_URL)");
        assert_eq!(found(3), "the token in JITNEY_ID_TOKEN");
        assert_eq!(found(4), format!("the token in {}", projected.join("jitney").display()));
    }

    #[test]
    fn where_nothing_is_found_all_that_was_looked_for_is_said() {
        let empty = tempfile::tempdir().unwrap();
        let said = here(&[], empty.path()).unwrap_err();
        for place in ["JITNEY_KEY_FILE", "JITNEY_ASSERTION_FILE", "ACTIONS_ID_TOKEN_REQUEST_URL", "JITNEY_ID_TOKEN"] {
            assert!(said.contains(place), "{place}: {said}");
        }
        assert!(said.contains("tokens/jitney") && said.contains("next: set JITNEY_WORKLOAD"), "{said}");
        let mended = |pairs: &[(&str, &str)]| here(pairs, empty.path()).unwrap_err();
        let said = mended(&[("GITHUB_ACTIONS", "true")]);
        assert!(said.contains("next: add `permissions: { id-token: write }`"), "{said}");
        let said = mended(&[("GITLAB_CI", "true")]);
        assert!(said.contains("`id_tokens: { JITNEY_ID_TOKEN: { aud: https://b.example.com } }`"), "{said}");
        let said = mended(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]);
        assert!(said.contains("audience: https://b.example.com, path: jitney"), "{said}");
        let said = mended(&[("ACTIONS_ID_TOKEN_REQUEST_URL", "https://a")]);
        assert!(said.contains("ACTIONS_ID_TOKEN_REQUEST_TOKEN is not"), "{said}");
    }

    #[test]
    fn a_pod_s_own_token_is_used_for_this_broker_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("var/run/secrets/kubernetes.io/serviceaccount");
        fs::create_dir_all(&folder).unwrap();
        let with = |aud: &str| {
            fs::write(folder.join("token"), token(&json!({"aud": [aud]}))).unwrap();
            here(&[], dir.path())
        };
        let said = with("https://kubernetes.default.svc").unwrap_err();
        assert!(said.contains("serviceaccount/token is for `https://kubernetes.default.svc` and not"), "{said}");
        assert!(said.contains("next: project a token"), "{said}");
        assert!(with(ISSUER).unwrap().ends_with("serviceaccount/token"));
    }

    #[test]
    fn settings_that_are_wrong_are_named_and_nothing_else_is_tried() {
        let dir = tempfile::tempdir().unwrap();
        let id_token = ("JITNEY_ID_TOKEN", "x.y.z");
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("JITNEY_KEY_FILE", "k"), ("JITNEY_ASSERTION_FILE", "a"), id_token], "both set"),
            (&[("JITNEY_KEY_FILE", "k"), ("JITNEY_ASSERTION_FILE", "a"), id_token], "next: unset one"),
            (&[("JITNEY_KEY_FILE", "-----BEGIN PRIVATE KEY-----\nMIG"), id_token], "JITNEY_KEY_FILE holds a key"),
            (&[("JITNEY_ASSERTION_FILE", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"), id_token], "must name the file"),
            (&[("JITNEY_KEY_FILE", "k"), id_token], "JITNEY_WORKLOAD is not set"),
            (&[("JITNEY_ID_TOKEN", "two words")], "JITNEY_ID_TOKEN holds no token"),
        ];
        for (pairs, expected) in cases {
            let said = here(pairs, dir.path()).unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
    }
}
