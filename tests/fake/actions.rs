//! GitHub's own endpoint, at which a job asks who it is: its request token, an audience, and back comes a token of the run.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::http;

/// What a job must show there.
pub const REQUEST_TOKEN: &str = "request-token-of-the-job";

/// The endpoint, for as long as the test's process runs.
pub struct Actions {
    url: String,
    shown: Arc<Mutex<Vec<String>>>,
}

impl Actions {
    /// One that gives tokens which live so many seconds, and is busy for its first answers.
    pub fn start(lives: u64, busy: usize) -> Self {
        let shown = Arc::<Mutex<Vec<String>>>::default();
        let (into, asked) = (Arc::clone(&shown), Mutex::new(0));
        let url = http::serve(move |request| {
            let number = {
                let mut asked = asked.lock().unwrap();
                *asked += 1;
                *asked
            };
            let may = request.authorization.as_deref().is_some_and(|shown| {
                let (scheme, token) = shown.split_once(' ').unwrap_or_default();
                scheme.eq_ignore_ascii_case("bearer") && token == REQUEST_TOKEN
            });
            match request.query("audience") {
                _ if number <= busy => (503, String::new(), String::new()),
                _ if !may || request.query("api-version").as_deref() != Some("2.0") => {
                    (401, String::new(), json!({"message": "no"}).to_string())
                }
                Some(audience) => {
                    let token = token(&audience, number, lives);
                    into.lock().unwrap().push(token.clone());
                    (200, String::new(), json!({"count": token.len(), "value": token}).to_string())
                }
                None => (400, String::new(), String::new()),
            }
        });
        Self { url, shown }
    }

    /// `ACTIONS_ID_TOKEN_REQUEST_URL`.
    pub fn request_url(&self) -> String {
        format!("{}/_apis/idtoken?api-version=2.0", self.url)
    }

    /// The tokens it gave.
    pub fn given(&self) -> Vec<String> {
        self.shown.lock().unwrap().clone()
    }
}

/// Shaped like those in GitHub's documentation.
fn token(audience: &str, number: usize, lives: u64) -> String {
    super::jwt(&json!({
        "iss": "https://token.actions.githubusercontent.com",
        "aud": audience,
        "sub": "repo:octo-org/octo-repo:environment:production",
        "jti": format!("token-{number}"),
        "exp": super::now() + lives,
        "repository": "octo-org/octo-repo",
        "repository_id": "74",
        "repository_owner_id": "65",
        "environment": "production",
        "ref": "refs/heads/main",
        "run_id": "9876543210",
        "run_attempt": "2",
        "runner_environment": "github-hosted",
    }))
}
