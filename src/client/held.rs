//! A task's token that is kept fresh until the task is over.
//!
//! Owns when it is asked for again. What a request repeats by itself is the token client's. A held token that goes away ends
//! its task, as far as that can be done then.

use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{ClientError, Token, TokenAsk, TokenClient};
use crate::model::TaskId;

/// How long completing is tried.
const COMPLETE_WITHIN: Duration = Duration::from_secs(10);
/// A token that could not be had again is asked for again after this, then after twice as long, and so on …
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// … up to this.
const LAST_RETRY: Duration = Duration::from_secs(30);
/// A broker that says when to come again is heard, up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A task, and its newest token.
///
/// While this lives, a task of the runtime asks for a new token well before the one at hand ends, each holder at a moment of
/// its own so that a fleet does not ask as one; where that fails it asks again, as soon as the broker says, and less and less
/// often. [`HeldToken::complete`] ends the task and says whether that was done. A value that is dropped instead tries the
/// same beside: it needs a runtime that is still there and stays for a moment, so what must be ended is completed by call.
#[derive(Debug)]
pub struct HeldToken {
    client: Arc<TokenClient>,
    task: TaskId,
    state: watch::Receiver<State>,
    renewer: JoinHandle<()>,
    is_over: bool,
}

#[derive(Debug, Clone)]
struct State {
    token: Arc<Token>,
    trouble: Option<Arc<str>>,
    is_ended: bool,
}

impl HeldToken {
    /// Asks for the first token, and keeps asking from then on. Where `ask` names no task, the one of the answer is held.
    ///
    /// Needs a tokio runtime. Dropped before it is done, it may leave a token that nobody holds: whoever knows the task then
    /// completes it.
    ///
    /// # Errors
    /// As [`TokenClient::token`]: nothing is held then.
    pub async fn ask(client: Arc<TokenClient>, ask: TokenAsk) -> Result<Self, ClientError> {
        let token = client.token(&ask).await?;
        let task = token.task.clone();
        let ask = TokenAsk { task: Some(task.clone()), ..ask };
        let lives = token.expires_in;
        let (sender, state) = watch::channel(State { token: Arc::new(token), trouble: None, is_ended: false });
        let renewer = tokio::spawn(keep_fresh(client.clone(), ask, lives, sender));
        Ok(Self { client, task, state, renewer, is_over: false })
    }

    /// The task.
    pub const fn task(&self) -> &TaskId {
        &self.task
    }

    /// The newest token. It costs a lock that is never held for long. Where [`HeldToken::trouble`] has something to say it
    /// may be past its end.
    pub fn token(&self) -> Arc<Token> {
        self.state.borrow().token.clone()
    }

    /// Why the token could not be had again; none once it could.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.state.borrow().trouble.clone()
    }

    /// Whether the broker said that the task has ended: then its token is over, and is not asked for any more, for a name that
    /// is free again some day is not the task that was meant.
    pub fn is_ended(&self) -> bool {
        self.state.borrow().is_ended
    }

    /// Waits until there is another token, or other trouble. What changed meanwhile counts, also while nobody waited.
    pub async fn changed(&mut self) {
        if self.state.changed().await.is_ok() {
            return;
        }
        // It never ends by itself: a panic goes on here, where somebody waits for it.
        match (&mut self.renewer).await {
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            _ => std::future::pending().await,
        }
    }

    /// Ends the task: its tokens, and those of its children. A broker that is away or busy is asked again for 10 s.
    ///
    /// # Errors
    /// As [`TokenClient::complete`]: then the tokens live on until they expire.
    pub async fn complete(mut self) -> Result<(), ClientError> {
        self.is_over = true;
        self.renewer.abort();
        self.client.complete_within(&self.task, COMPLETE_WITHIN).await
    }
}

impl Drop for HeldToken {
    fn drop(&mut self) {
        self.renewer.abort();
        if self.is_over {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let (client, task) = (self.client.clone(), self.task.clone());
        runtime.spawn(async move {
            if let Err(error) = client.complete_within(&task, COMPLETE_WITHIN).await {
                tracing::warn!(%task, %error, "a task whose token was dropped is not completed: its tokens live on until they expire");
            }
        });
    }
}

/// Asks for the token again well before it ends, until the broker says that the task has ended.
async fn keep_fresh(client: Arc<TokenClient>, ask: TokenAsk, lives: Duration, state: watch::Sender<State>) {
    let mut told = None;
    let mut retry = FIRST_RETRY;
    sleep(freshness(lives)).await;
    loop {
        let pause = match client.token(&ask).await {
            Ok(token) => {
                (told, retry) = (None, FIRST_RETRY);
                let lives = token.expires_in;
                state.send_replace(State { token: Arc::new(token), trouble: None, is_ended: false });
                freshness(lives)
            }
            Err(error) if has_ended(&error) => {
                let trouble = Some(error.to_string().into());
                state.send_modify(|state| (state.trouble, state.is_ended) = (trouble, true));
                // Whoever holds it still waits for changes: there are none any more.
                return std::future::pending().await;
            }
            Err(error) => {
                let why = why(&error);
                if told.as_ref() != Some(&why) {
                    state.send_modify(|state| state.trouble = Some(error.to_string().into()));
                    told = Some(why);
                }
                let pause = later(error.retry_after(), retry);
                retry = (retry * 2).min(LAST_RETRY);
                pause
            }
        };
        sleep(pause).await;
    }
}

/// Whether the task itself is over (RFC 6749 §5.2: the grant is no longer valid), by whomever it was ended.
fn has_ended(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(refused) if refused.error == "invalid_grant")
}

/// What is wrong, without what differs each time.
fn why(error: &ClientError) -> String {
    match error {
        ClientError::Refused(refused) => format!("{}: {}", refused.error, refused.description),
        other => other.to_string(),
    }
}

/// After how much of its life a token is replaced: two thirds, less up to a sixth so that a fleet does not ask as one.
fn freshness(lives: Duration) -> Duration {
    let early = lives.mul_f64(chance() / 6.0);
    (lives.mul_f64(2.0 / 3.0).saturating_sub(early)).max(Duration::from_secs(1))
}

/// When to ask again after a failure: not before the broker said, nor before `retry`, and up to a quarter later.
fn later(asked: Option<Duration>, retry: Duration) -> Duration {
    let pause = asked.unwrap_or_default().min(LONGEST_WAIT).max(retry);
    pause + pause.mul_f64(chance() / 4.0)
}

/// From 0 to 1. Without randomness the fleet asks as one: slower, not wrong.
fn chance() -> f64 {
    let mut random = [0u8; 1];
    let _ = SystemRandom::new().fill(&mut random);
    f64::from(random[0]) / 255.0
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::fake::{Broker, Say};
    use super::*;
    use crate::model::{AudienceUri, ScopeSet};

    const TOKEN: &str = "/oauth2/token";
    const COMPLETE: &str = "/v1/tasks/77.1/complete";

    fn ask(task: Option<&str>) -> TokenAsk {
        TokenAsk {
            task: task.map(|task| TaskId::parse(task).unwrap()),
            audience: AudienceUri::parse("https://api.example.com").unwrap(),
            scopes: ScopeSet::parse("orders:read").unwrap(),
            ttl: None,
        }
    }

    /// Held at a broker that goes on with these answers.
    async fn held(first: Say, then: Vec<Say>) -> (Broker, HeldToken) {
        let broker = Broker::start(std::iter::once(first).chain(then).collect()).await;
        let client = Arc::new(broker.client().await);
        let held = HeldToken::ask(client, ask(None)).await.unwrap();
        (broker, held)
    }

    fn paths(broker: &Broker) -> Vec<String> {
        broker.heard().into_iter().map(|heard| heard.path).collect()
    }

    #[test]
    fn a_token_is_replaced_in_the_second_half_of_its_life_and_before_its_end() {
        for _ in 0..200 {
            let after = freshness(Duration::from_secs(300)).as_secs_f64();
            assert!((150.0..=200.0).contains(&after), "{after}");
        }
        assert_eq!(freshness(Duration::ZERO), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn the_task_of_the_answer_is_held_renewed_and_completed() {
        let says = vec![Say::token_for("second", "77.1"), Say::status(204)];
        let (broker, mut held) = held(Say::short_token_for("first", "77.1"), says).await;
        assert_eq!((held.task().as_str(), held.token().text.expose().as_str()), ("77.1", "first"));
        held.changed().await;
        assert_eq!((held.token().text.expose().as_str(), held.trouble()), ("second", None));
        held.complete().await.unwrap();
        assert_eq!(paths(&broker), [TOKEN, TOKEN, COMPLETE]);
        let tasks: Vec<_> = broker.heard().iter().map(|heard| heard.form("task")).collect();
        assert_eq!(tasks, [None, Some("77.1".into()), None], "the one that was named is asked for again");
    }

    #[tokio::test]
    async fn trouble_is_told_once_and_ends_with_the_next_token() {
        let no = |_| Say::refusal(400, "invalid_scope", "no policy grants it");
        let says = (0..2).map(no).chain([Say::token_for("second", "77.1"), Say::status(204)]).collect();
        let (broker, mut held) = held(Say::short_token_for("first", "77.1"), says).await;
        held.changed().await;
        assert!(held.trouble().unwrap().starts_with("invalid_scope: no policy grants it"));
        assert_eq!(held.token().text.expose(), "first", "there is no better one");
        held.changed().await;
        assert_eq!((held.token().text.expose().as_str(), held.trouble()), ("second", None));
        assert_eq!(broker.heard().len(), 4);
        held.complete().await.unwrap();
    }

    #[tokio::test]
    async fn a_task_that_was_ended_is_not_asked_for_again() {
        let says = vec![Say::refusal(400, "invalid_grant", "the task has ended"), Say::status(204)];
        let (broker, mut held) = held(Say::short_token_for("first", "77.1"), says).await;
        assert!(!held.is_ended());
        held.changed().await;
        assert!(held.is_ended() && held.trouble().unwrap().starts_with("invalid_grant: the task has ended"));
        // Long enough for another try, which would come within 1.25 s.
        assert!(tokio::time::timeout(Duration::from_secs(2), held.changed()).await.is_err());
        held.complete().await.unwrap();
        assert_eq!(paths(&broker), [TOKEN, TOKEN, COMPLETE]);
    }

    #[test]
    fn a_broker_that_says_when_is_not_asked_before() {
        let seconds = Duration::from_secs;
        for (asked, retry, expected) in [(None, 8, 8), (Some(60), 1, 60), (Some(0), 1, 1), (Some(86_400), 30, 300)] {
            let pause = later(asked.map(seconds), seconds(retry));
            assert!((seconds(expected)..=seconds(expected).mul_f64(1.25)).contains(&pause), "{pause:?}");
        }
    }

    #[tokio::test]
    async fn a_broker_that_is_busy_for_long_is_trouble_and_the_task_ends_all_the_same() {
        let says = vec![Say::busy(60), Say::status(204)];
        let (broker, mut held) = held(Say::short_token_for("first", "77.1"), says).await;
        held.changed().await;
        assert!(held.trouble().unwrap().contains("temporarily_unavailable"));
        held.complete().await.unwrap();
        assert_eq!(paths(&broker), [TOKEN, TOKEN, COMPLETE]);
    }

    #[tokio::test]
    async fn a_dropped_one_completes_its_task_beside() {
        let (broker, held) = held(Say::token_for("first", "77.1"), vec![Say::busy(0), Say::status(204)]).await;
        drop(held);
        let deadline = Instant::now() + Duration::from_secs(30);
        while broker.heard().len() < 3 {
            assert!(Instant::now() < deadline, "{:?}", paths(&broker));
            tokio::task::yield_now().await;
        }
        assert_eq!(paths(&broker), [TOKEN, COMPLETE, COMPLETE]);
    }

    #[test]
    fn without_a_runtime_a_dropped_one_is_only_dropped() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (broker, held) = runtime.block_on(held(Say::token_for("first", "77.1"), vec![]));
        drop(held);
        drop(runtime);
        assert_eq!(paths(&broker), [TOKEN]);
    }

    #[tokio::test]
    async fn a_completion_is_tried_again_and_its_refusal_is_told() {
        let busy = || Say::busy(3600);
        let (broker, held) =
            held(Say::token_for("first", "77.1"), vec![busy(), busy(), Say::refusal(400, "invalid_request", "no")])
                .await;
        let error = held.complete().await.unwrap_err();
        assert!(error.to_string().starts_with("invalid_request"), "{error}");
        assert_eq!(paths(&broker), [TOKEN, COMPLETE, COMPLETE, COMPLETE]);
    }
}
