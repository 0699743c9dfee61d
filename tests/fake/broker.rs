//! A broker that grants a numbered token to everyone, or to whom a platform vouches for, and remembers what it heard.

use std::sync::{Arc, Condvar, Mutex, OnceLock};

use serde_json::{Value, json};

use super::http::{self, Request};

/// How it behaves.
#[derive(Clone, Copy)]
pub struct Manner {
    /// The life of its tokens, seconds.
    pub ttl: u64,
    /// The statuses of its answers to requests for tokens, in order; the last one for all that follow. 410 stands for the 400
    /// of a task that has ended.
    pub grants: &'static [u16],
    /// The statuses of its answers to completions, in order; the last one for all that follow.
    pub completes: &'static [u16],
    /// Who asks is told by a platform's token, and the task by this, from its claims. Then no other task is accepted.
    pub attests: Option<fn(&Value) -> String>,
    /// It answers to a request for a token when [`Broker::release`] says so.
    pub waits: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { ttl: 300, grants: &[200], completes: &[204], attests: None, waits: false }
    }
}

/// What is shared between connections.
struct State {
    manner: Manner,
    heard: Mutex<Vec<Request>>,
    is_released: Mutex<bool>,
    released: Condvar,
}

/// The broker, for as long as the test's process runs.
pub struct Broker {
    url: String,
    state: Arc<State>,
    dir: tempfile::TempDir,
}

impl Broker {
    pub fn start(manner: Manner) -> Self {
        let state = Arc::new(State {
            manner,
            heard: Mutex::default(),
            is_released: Mutex::new(!manner.waits),
            released: Condvar::new(),
        });
        let shared = Arc::clone(&state);
        let own = Arc::new(OnceLock::<String>::new());
        let known = Arc::clone(&own);
        let url = http::serve(move |request| shared.answer(known.wait(), request));
        own.set(url.clone()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key.pem");
        std::fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        Self { url, state, dir }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Lets it answer.
    pub fn release(&self) {
        *self.state.is_released.lock().unwrap() = true;
        self.state.released.notify_all();
    }

    /// The requests, the metadata's left out.
    pub fn requests(&self) -> Vec<Request> {
        self.state.heard.lock().unwrap().clone()
    }

    /// The paths asked for.
    pub fn heard(&self) -> Vec<String> {
        self.requests().iter().map(|each| each.path().to_owned()).collect()
    }

    /// How often a path was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.heard().iter().filter(|each| *each == path).count()
    }
}

impl State {
    fn answer(&self, url: &str, request: &Request) -> (u16, String, String) {
        if request.path().starts_with("/.well-known/") {
            let metadata = json!({"issuer": url, "token_endpoint": format!("{url}/oauth2/token")});
            return (200, String::new(), metadata.to_string());
        }
        let before = {
            let mut heard = self.heard.lock().unwrap();
            heard.push(request.clone());
            heard.iter().filter(|each| each.path() == request.path()).count() - 1
        };
        if request.path() == "/oauth2/token" {
            let held = self.released.wait_while(self.is_released.lock().unwrap(), |is_released| !*is_released);
            drop(held.unwrap());
        }
        let (status, body) = match self.task(url, request) {
            Ok(task) => self.decide(request.path(), before, &task),
            Err((status, error, why)) => (status, refusal(error, &why)),
        };
        (status, "retry-after: 0\r\n".into(), body)
    }

    /// The task that is asked for, or attested.
    fn task(&self, url: &str, request: &Request) -> Result<String, (u16, &'static str, String)> {
        let asked = request.form("task");
        let Some(attests) = self.manner.attests else {
            return Ok(asked.unwrap_or_default());
        };
        let nobody = |why: &str| (401, "invalid_client", why.to_owned());
        let shown = request.form("client_assertion").ok_or_else(|| nobody("no assertion"))?;
        let claims = super::claims(&shown).ok_or_else(|| nobody("no JWT"))?;
        if claims["aud"] != json!(url) && claims["aud"] != json!([url]) {
            return Err(nobody("the token is for another audience"));
        }
        let task = attests(&claims);
        match asked {
            Some(asked) if asked != task && !asked.starts_with(&format!("{task}/")) => {
                Err((400, "invalid_request", format!("the platform attests the task {task}, not {asked}")))
            }
            asked => Ok(asked.unwrap_or(task)),
        }
    }

    fn decide(&self, path: &str, before: usize, task: &str) -> (u16, String) {
        let is_end = path.starts_with("/v1/tasks/");
        let statuses = if is_end { self.manner.completes } else { self.manner.grants };
        match statuses.get(before).or(statuses.last()).copied().unwrap() {
            204 => return (204, String::new()),
            200 => {}
            410 => return (400, refusal("invalid_grant", "said so")),
            503 => return (503, refusal("temporarily_unavailable", "said so")),
            status => return (status, refusal("invalid_scope", "said so")),
        }
        let (number, ttl) = (before + 1, self.manner.ttl);
        let token = json!({"access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": ttl,
                           "task": task, "lease_id": format!("lease-{number}")});
        (200, token.to_string())
    }
}

fn refusal(error: &str, why: &str) -> String {
    json!({"error": error, "error_description": why, "decision_id": "fake.1"}).to_string()
}
