//! The surroundings of the job or the pod that a page is about. The page's broker has the keys of its platform pinned, under the
//! very issuer that the page names, so nobody outside is asked.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Key, Platform, Reply, platform_token};

/// The variables of a job or a pod, and the platform behind them.
pub struct Surroundings {
    pub settings: Vec<(&'static str, String)>,
    _platform: Platform,
}

/// What a page's file says besides when it is tried: where the keys lie, and no day on which the test would end.
pub fn tried(text: &str) -> String {
    let text = text.replace("expires = 2027-06-30", "expires = 2099-12-31");
    if text.contains("type = \"oidc\"") { format!("{text}jwks_file = \"../keys/platform.jwks.json\"\n") } else { text }
}

impl Surroundings {
    /// Those of this platform, before the broker in `.jitney` below `dir`.
    pub fn of(name: &str, dir: &Path) -> Self {
        let (key, platform) = (Key::rsa(), Platform::http());
        let keys = dir.join(".jitney/policies/keys");
        fs::create_dir_all(&keys).expect("a folder");
        fs::write(keys.join("platform.jwks.json"), json!({"keys": [key.jwk(Some("p1"))]}).to_string()).expect("keys");
        let env = fs::read_to_string(dir.join(".jitney/workload.env")).expect("workload.env");
        let url = env.lines().find_map(|line| line.split_once("JITNEY_URL=")).expect("JITNEY_URL").1;
        let url = url.trim_matches(['"', '\'']).to_owned();
        let token = |issuer: &str, mut claims: Value| {
            claims["aud"] = url.clone().into();
            platform_token(issuer, claims).header("kid", "p1").signed(&key)
        };
        // A runner that runs the tests is no part of the page.
        let mut settings: Vec<(&str, String)> =
            ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"].map(|name| (name, String::new())).into();
        settings.push(("JITNEY_URL", url.clone()));
        let words = |pairs: &[(&'static str, &str)]| {
            pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>()
        };
        match name {
            "github" => {
                let claims = json!({"sub": "repo:o/r:environment:production", "repository_id": "123456", "repository": "o/r",
                                    "environment": "production", "ref": "refs/heads/main", "actor": "octocat",
                                    "run_id": "987", "run_attempt": "2"});
                let value = token("https://token.actions.githubusercontent.com", claims);
                let audience: String = url.replace(':', "%3A").replace('/', "%2F");
                platform.answer(
                    &format!("/idtoken?api-version=2.0&audience={audience}"),
                    Reply::Json(json!({"value": value})),
                );
                settings.retain(|(name, _)| !name.starts_with("ACTIONS_"));
                settings.push(("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/idtoken?api-version=2.0", platform.url())));
                settings.extend(words(&[
                    ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job"),
                    ("GITHUB_RUN_ID", "987"),
                    ("GITHUB_RUN_ATTEMPT", "2"),
                ]));
            }
            "gitlab" => {
                let claims = json!({"sub": "project_path:g/p:ref_type:branch:ref:main", "project_id": "20", "pipeline_id": "574",
                                    "job_id": "302", "ref": "main", "ref_protected": "true", "project_path": "g/p"});
                settings.push(("JITNEY_ID_TOKEN", token("https://gitlab.com", claims)));
                settings.extend(words(&[
                    ("GITLAB_CI", "true"),
                    ("CI_PIPELINE_ID", "574"),
                    ("CI_JOB_ID", "302"),
                    ("CI_JOB_TOKEN", "of-the-job"),
                ]));
            }
            "kubernetes" => {
                let claims = json!({"sub": "system:serviceaccount:shop:report",
                                    "kubernetes.io": {"namespace": "shop", "pod": {"name": "report-7", "uid": "5e0bd49b-f040"}}});
                let file = dir.join("projected");
                fs::write(&file, token("https://cluster.example.com", claims)).expect("a token");
                settings.push(("JITNEY_ASSERTION_FILE", file.display().to_string()));
                settings.extend(words(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]));
            }
            _ => panic!("{name} is no platform"),
        }
        Self { settings, _platform: platform }
    }
}
