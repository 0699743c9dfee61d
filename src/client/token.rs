//! Tokens and tasks: ask, renew, complete.
//!
//! Each request carries a fresh assertion, each repetition too: the one before may have been used up.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::discovery::{self, Endpoints};
use super::error::retry_after;
use super::{ClientError, Identity};
use crate::fetch::{Answer, Fetch, FetchError};
use crate::model::{AudienceUri, Clock, LeaseId, ScopeSet, Secret, TaskId};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// A request that a busy broker puts off is made at most so often …
const TRIES: usize = 3;
/// … and within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between the first two tries to complete a task; twice as long before each that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What a token is asked for.
#[derive(Debug, Clone)]
pub struct TokenAsk {
    /// The task it is for; none where the workload's platform attests it, or the broker is to name one.
    pub task: Option<TaskId>,
    /// The resource server it is for.
    pub audience: AudienceUri,
    /// What it may do: all of it, or there is no token.
    pub scopes: ScopeSet,
    /// How long it may live, whole seconds; the broker's default where absent.
    pub ttl: Option<Duration>,
}

/// A token that was granted.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token itself.
    pub text: Secret<String>,
    /// The task it is for.
    pub task: TaskId,
    /// How long it lives from now on.
    pub expires_in: Duration,
    /// What it may do.
    pub scopes: ScopeSet,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    token_type: String,
    expires_in: u64,
    task: Option<TaskId>,
    /// May be left out where it is what was asked (RFC 6749 §5.1).
    scope: Option<ScopeSet>,
}

/// What a token would be.
#[derive(Debug, Clone)]
pub struct Probed {
    /// How long it would live.
    pub expires_in: Duration,
    /// What it would allow.
    pub scopes: ScopeSet,
    /// A broker that knows of no probes has made a token, whose task is to be completed.
    pub is_token: bool,
    /// The platform's token that was shown would get no more than this: one `lease`, or leases of one `task`.
    pub single_use: Option<String>,
}

#[derive(Deserialize)]
struct ProbeAnswer {
    #[serde(default)]
    probe: bool,
    expires_in: u64,
    scope: Option<ScopeSet>,
    single_use: Option<String>,
}

/// One workload's connection to its broker.
#[derive(Debug)]
pub struct TokenClient {
    identity: Identity,
    endpoints: Endpoints,
    fetch: Fetch,
    clock: Clock,
}

impl TokenClient {
    /// Asks the broker where its endpoints are, and checks that it is the one meant.
    ///
    /// # Errors
    /// [`ClientError`] where it does not answer or calls itself by another name.
    pub async fn connect(identity: Identity) -> Result<Self, ClientError> {
        let fetch = discovery::fetch();
        let endpoints = Endpoints::discover(&fetch, identity.broker()).await?;
        Ok(Self { identity, endpoints, fetch, clock: Clock::system() })
    }

    /// Who asks.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Asks for a token (RFC 6749 §4.4, with `task` and `ttl`; RFC 8707 for the audience).
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the broker's words; others where there was no answer to use.
    pub async fn token(&self, ask: &TokenAsk) -> Result<Token, ClientError> {
        self.granted(&self.endpoints.token, &borrowed(&form_of(ask, false)), Some(ask)).await
    }

    /// Asks what would be granted, and gets no token.
    ///
    /// # Errors
    /// As [`TokenClient::token`].
    pub async fn probe(&self, ask: &TokenAsk) -> Result<Probed, ClientError> {
        let url = &self.endpoints.token;
        let form = form_of(ask, true);
        let answer = self.post(url, &borrowed(&form)).await?;
        if answer.status != 200 {
            return Err(ClientError::refusal(url, &answer));
        }
        let wrong = |_| ClientError::Answer { at: url.to_owned(), why: "its answer to a probe".to_owned() };
        let read: ProbeAnswer = serde_json::from_slice(&answer.body).map_err(wrong)?;
        let scopes = read.scope.unwrap_or_else(|| ask.scopes.clone());
        let (expires_in, single_use) = (Duration::from_secs(read.expires_in), read.single_use);
        Ok(Probed { expires_in, scopes, is_token: !read.probe, single_use })
    }

    /// Renews a lease: a successor of the same task, audience and scopes. A lease is renewed once.
    ///
    /// # Errors
    /// As [`TokenClient::token`].
    pub async fn renew(&self, lease: LeaseId, ttl: Option<Duration>) -> Result<Token, ClientError> {
        let ttl = ttl.map(|ttl| ttl.as_secs().to_string());
        let form: Vec<_> = ttl.as_deref().map(|ttl| ("ttl", ttl)).into_iter().collect();
        self.granted(&self.endpoints.own(&format!("/v1/leases/{lease}/renew")), &form, None).await
    }

    /// Completes a task: its leases and its children's end, and it takes no new one. Completing twice is no error.
    ///
    /// # Errors
    /// As [`TokenClient::token`].
    pub async fn complete(&self, task: &TaskId) -> Result<(), ClientError> {
        // All other characters of a task's name stand in a path as they are (RFC 3986 §3.3).
        let url = self.endpoints.own(&format!("/v1/tasks/{}/complete", task.as_str().replace('/', "%2F")));
        let answer = self.post(&url, &[]).await?;
        if answer.status.is_success() { Ok(()) } else { Err(ClientError::refusal(&url, &answer)) }
    }

    /// Completes a task with patience: a broker that is away or busy is asked again for so long.
    ///
    /// # Errors
    /// As [`TokenClient::token`], of the last try.
    pub async fn complete_within(&self, task: &TaskId, patience: Duration) -> Result<(), ClientError> {
        let deadline = Instant::now() + patience;
        let mut pause = FIRST_PAUSE;
        let mut last = None;
        loop {
            match timeout_at(deadline, self.complete(task)).await {
                Ok(Err(error)) if error.is_temporary() && Instant::now() + pause < deadline => last = Some(error),
                Ok(outcome) => return outcome,
                Err(_) => {
                    let late = || FetchError::Timeout { to: self.endpoints.own(""), after: patience };
                    return Err(last.unwrap_or_else(|| late().into()));
                }
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    /// Posts a request for a token. `asked`: what an answer means that does not say.
    async fn granted(&self, url: &str, form: &[(&str, &str)], asked: Option<&TokenAsk>) -> Result<Token, ClientError> {
        let answer = self.post(url, form).await?;
        if answer.status != 200 {
            return Err(ClientError::refusal(url, &answer));
        }
        let wrong = |why: &str| ClientError::Answer { at: url.to_owned(), why: why.to_owned() };
        // serde's own words could quote the token.
        let read: TokenAnswer = serde_json::from_slice(&answer.body).map_err(|_| wrong("its token answer"))?;
        if !read.token_type.eq_ignore_ascii_case("Bearer") {
            return Err(wrong("a token that is no bearer token"));
        }
        let text = Secret::new(read.access_token);
        if text.expose().is_empty() || !text.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("a token with characters that none has"));
        }
        let scopes = read.scope.or_else(|| asked.map(|asked| asked.scopes.clone()));
        let scopes = scopes.ok_or_else(|| wrong("a token without a scope"))?;
        let wanted = asked.and_then(|asked| asked.task.as_ref());
        let task = match (read.task, wanted) {
            (Some(task), Some(wanted)) if task != *wanted => return Err(wrong("a token for another task")),
            (Some(task), _) => task,
            (None, wanted) => wanted.cloned().ok_or_else(|| wrong("a token without a task"))?,
        };
        Ok(Token { text, task, expires_in: Duration::from_secs(read.expires_in), scopes })
    }

    /// Posts a form with client authentication. A 503 is waited out as `Retry-After` says, within bounds.
    async fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<Answer, ClientError> {
        let deadline = Instant::now() + PATIENCE;
        let mut tries = 1;
        loop {
            let assertion = self.identity.assertion(&self.clock).await?;
            let mut form = form.to_vec();
            form.extend(self.identity.workload().map(|workload| ("client_id", workload.as_str())));
            form.extend([("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion.expose())]);
            let answer = self.fetch.post_form(url, &form, None).await?;
            if !answer.status.is_success() {
                // It may be used up: a policy can say that a platform's token counts once.
                self.identity.doubt().await;
            }
            let wait = retry_after(&answer).unwrap_or(Duration::from_secs(1));
            if answer.status != 503 || tries == TRIES || Instant::now() + wait > deadline {
                return Ok(answer);
            }
            tries += 1;
            sleep(wait).await;
        }
    }
}

/// What a request for a token says, but for who asks.
fn form_of(ask: &TokenAsk, probes: bool) -> Vec<(&'static str, String)> {
    let mut form = vec![
        ("grant_type", "client_credentials".to_owned()),
        ("resource", ask.audience.to_string()),
        ("scope", ask.scopes.to_string()),
    ];
    form.extend(ask.task.as_ref().map(|task| ("task", task.to_string())));
    form.extend(ask.ttl.map(|ttl| ("ttl", ttl.as_secs().to_string())));
    form.extend(probes.then(|| ("probe", "true".to_owned())));
    form
}

fn borrowed<'a>(form: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    form.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Broker, Say};
    use super::*;

    fn ask() -> TokenAsk {
        TokenAsk {
            task: Some(TaskId::parse("deploy-42/migrate").unwrap()),
            audience: AudienceUri::parse("https://api.example.com").unwrap(),
            scopes: ScopeSet::parse("orders:read orders:write").unwrap(),
            ttl: Some(Duration::from_secs(300)),
        }
    }

    #[tokio::test]
    async fn a_token_is_asked_for_with_all_that_the_contract_names() {
        let broker = Broker::start(vec![Say::token("t.o.k")]).await;
        let token = broker.client().await.token(&ask()).await.unwrap();
        assert_eq!(token.text.expose(), "t.o.k");
        assert_eq!((token.expires_in.as_secs(), token.scopes.len()), (300, 2));
        let heard = broker.heard();
        assert_eq!(heard[0].path, "/oauth2/token");
        let expected = [
            ("grant_type", "client_credentials"),
            ("task", "deploy-42/migrate"),
            ("resource", "https://api.example.com"),
            ("scope", "orders:read orders:write"),
            ("ttl", "300"),
            ("client_id", "demo"),
            ("client_assertion_type", ASSERTION_TYPE),
        ];
        for (name, value) in expected {
            assert_eq!(heard[0].form(name).as_deref(), Some(value), "{name}");
        }
    }

    #[tokio::test]
    async fn a_probe_gets_no_token_and_a_broker_that_knows_none_is_told_from_one_that_does() {
        let answer = r#"{"probe":true,"expires_in":120,"scope":"orders:read","task":"t","lease_id":"l"}"#;
        let broker = Broker::start(vec![Say::new(200, answer), Say::token("t.o.k")]).await;
        let client = broker.client().await;
        let probed = client.probe(&ask()).await.unwrap();
        assert_eq!((probed.is_token, probed.expires_in.as_secs(), probed.scopes.len()), (false, 120, 1));
        let made = client.probe(&ask()).await.unwrap();
        assert_eq!((made.is_token, made.scopes.len()), (true, 2), "its task is to be completed");
        assert_eq!(broker.heard()[0].form("probe").as_deref(), Some("true"));
    }

    #[tokio::test]
    async fn with_a_platform_s_token_neither_task_nor_workload_need_be_named() {
        let broker = Broker::start(vec![Say::token_for("t.o.k", "77.1"), Say::token("t.o.k")]).await;
        let identity =
            broker.identity_with(&[("JITNEY_WORKLOAD", ""), ("JITNEY_KEY_FILE", ""), ("JITNEY_ID_TOKEN", "x.y.z")]);
        let client = TokenClient::connect(identity).await.unwrap();
        let ask = TokenAsk { task: None, ..ask() };
        assert_eq!(client.token(&ask).await.unwrap().task.as_str(), "77.1");
        // No jitney broker leaves out what it named.
        assert!(client.token(&ask).await.is_err());
        let heard = &broker.heard()[0];
        assert_eq!((heard.form("task"), heard.form("client_id")), (None, None));
        assert_eq!(heard.form("client_assertion").as_deref(), Some("x.y.z"));
    }

    #[tokio::test]
    async fn a_busy_broker_is_asked_again_with_a_fresh_assertion_and_not_for_ever() {
        let busy = || Say::busy(0);
        let broker = Broker::start(vec![busy(), busy(), Say::token("t.o.k"), busy(), busy(), busy(), busy()]).await;
        let client = broker.client().await;
        assert!(client.token(&ask()).await.is_ok());
        let error = client.token(&ask()).await.unwrap_err();
        assert!(error.is_temporary(), "{error}");
        let heard = broker.heard();
        assert_eq!(heard.len(), 6);
        let assertions: std::collections::HashSet<_> = heard.iter().map(|each| each.form("client_assertion")).collect();
        assert_eq!(assertions.len(), 6);
    }

    #[tokio::test]
    async fn a_wait_beyond_patience_is_not_waited() {
        let broker = Broker::start(vec![Say::busy(3600)]).await;
        assert!(broker.client().await.token(&ask()).await.unwrap_err().is_temporary());
    }

    #[tokio::test]
    async fn a_refusal_is_passed_on_in_the_broker_s_words() {
        let broker = Broker::start(vec![Say::refusal(400, "invalid_scope", "no policy grants orders:write")]).await;
        let error = broker.client().await.token(&ask()).await.unwrap_err();
        assert!(error.to_string().starts_with("invalid_scope: no policy grants orders:write (decision "), "{error}");
        assert!(error.next_step().contains("ask for less"), "{}", error.next_step());
    }

    #[tokio::test]
    async fn a_child_task_is_one_part_of_the_path() {
        let broker = Broker::start(vec![Say::status(204)]).await;
        broker.client().await.complete(&ask().task.unwrap()).await.unwrap();
        assert_eq!(broker.heard()[0].path, "/v1/tasks/deploy-42%2Fmigrate/complete");
    }

    #[tokio::test]
    async fn an_answer_that_no_broker_gives_is_no_token_and_is_not_quoted() {
        for body in [
            r#"{"access_token":"secret-text"}"#,
            r#"{"access_token":"secret text","token_type":"Bearer","expires_in":1}"#,
            r#"{"access_token":"secret-text","token_type":"DPoP","expires_in":1}"#,
            r#"{"access_token":"secret-text","token_type":"Bearer","expires_in":1,"task":"another"}"#,
            "secret-text",
        ] {
            let broker = Broker::start(vec![Say::new(200, body)]).await;
            let error = broker.client().await.token(&ask()).await.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_broker_that_calls_itself_otherwise_is_not_asked() {
        let broker = Broker::start(vec![]).await;
        let identity = broker.identity_with(&[("JITNEY_ISSUER", "https://other.example.com")]);
        let error = TokenClient::connect(identity).await.unwrap_err();
        assert!(matches!(error, ClientError::Issuer { .. }), "{error}");
        assert!(broker.heard().is_empty());
    }
}
