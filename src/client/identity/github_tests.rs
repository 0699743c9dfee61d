//! A job's questions to its platform: what is sent, how often, and what is made of each answer.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::super::said::tests::token;
use super::tests::settings;
use super::*;
use crate::model::UnixTime;

const NOW: u64 = 1_790_000_000;

/// A platform that gives these answers in order, the last one from then on, and remembers the heads of the questions.
async fn platform(answers: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/t?api-version=2.0", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.is_ok_and(|read| read > 0) {}
            let before = into.lock().unwrap().len();
            into.lock().unwrap().push(head);
            let answer = &answers[before.min(answers.len() - 1)];
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, heard)
}

fn says(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// The answer with a token that lives so long.
fn gives(name: &str, lives: u64) -> String {
    let claims = json!({"jti": name, "iat": NOW, "exp": NOW + lives});
    says("200 OK", &json!({"count": 1, "value": token(&claims)}).to_string())
}

fn job(url: &str) -> Identity {
    Identity::from_settings(settings(&[
        ("JITNEY_URL", "https://b.example.com"),
        ("JITNEY_ISSUER", "https://b.example.com/a&b=c"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", url),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-secret"),
    ]))
    .unwrap()
}

fn clock() -> Clock {
    Clock::manual(UnixTime::from_secs(NOW))
}

async fn shown(job: &Identity, clock: &Clock) -> String {
    let token = job.assertion(clock).await.unwrap();
    super::super::said::claims(token.expose()).unwrap()["jti"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn it_is_asked_with_the_job_s_request_token_for_the_broker_s_name() {
    let (url, heard) = platform(vec![gives("one", 300)]).await;
    assert_eq!(shown(&job(&url), &clock()).await, "one");
    let head = heard.lock().unwrap()[0].to_lowercase();
    assert!(head.starts_with("get /t?api-version=2.0&audience=https%3a%2f%2fb.example.com%2fa%26b%3dc http/1.1\r\n"));
    assert!(head.contains("\r\nauthorization: bearer request-secret\r\n"), "{head}");
}

#[tokio::test]
async fn a_token_is_used_again_unless_the_broker_did_not_take_it() {
    let (url, heard) = platform(vec![gives("one", 300), gives("two", 300)]).await;
    let (job, clock) = (job(&url), clock());
    assert_eq!((shown(&job, &clock).await, shown(&job, &clock).await), ("one".into(), "one".into()));
    assert_eq!(heard.lock().unwrap().len(), 1);
    job.doubt().await;
    assert_eq!(shown(&job, &clock).await, "two");
}

#[tokio::test]
async fn one_that_has_ended_by_this_clock_is_shown_once_for_clocks_differ() {
    let late = Clock::manual(UnixTime::from_secs(NOW + 400));
    let (url, _) = platform(vec![gives("one", 300), gives("two", 300)]).await;
    let job = job(&url);
    assert_eq!((shown(&job, &late).await, shown(&job, &late).await), ("one".into(), "two".into()));
}

#[tokio::test]
async fn a_busy_platform_is_asked_again_and_not_for_ever() {
    let busy = || says("503 Busy", "");
    let (url, heard) = platform(vec![busy(), gives("one", 300)]).await;
    assert_eq!(shown(&job(&url), &clock()).await, "one");
    assert_eq!(heard.lock().unwrap().len(), 2);
    let (url, heard) = platform(vec![busy()]).await;
    let error = job(&url).assertion(&clock()).await.unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("503"), "{error}");
    assert_eq!(heard.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_no_token_is_refused_and_never_quoted() {
    let long = format!("{{\"value\":\"{}\"}}", "x".repeat(70_000));
    for (answer, expected) in [
        (says("401 No", "secret"), "request token is not taken"),
        (says("404 No", "secret"), "404"),
        (says("200 OK", "secret"), "no token"),
        (says("200 OK", r#"{"value":"secret"}"#), "no token"),
        (says("200 OK", &long), "longer than"),
    ] {
        let (url, heard) = platform(vec![answer]).await;
        let job = job(&url);
        let error = job.assertion(&clock()).await.unwrap_err();
        let said = format!("{error} {error:?} {job:?}");
        assert!(said.contains("GitHub Actions") && said.contains(expected), "{said}");
        assert!(!said.contains("secret"), "{said}");
        assert!(!error.next_step().is_empty() && !error.is_temporary());
        assert_eq!(heard.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn the_request_token_goes_nowhere_else() {
    let (other, heard_there) = platform(vec![gives("stolen", 300)]).await;
    let status = format!("302 Found\r\nlocation: {other}");
    let (url, heard) = platform(vec![says(&status, "")]).await;
    let error = job(&url).assertion(&clock()).await.unwrap_err();
    assert!(error.to_string().contains("302") && !error.is_temporary(), "{error}");
    assert_eq!((heard.lock().unwrap().len(), heard_there.lock().unwrap().len()), (1, 0));
}

#[tokio::test]
async fn the_request_token_crosses_no_network_in_the_clear() {
    let error = job("http://192.0.2.1/t").assertion(&clock()).await.unwrap_err();
    assert!(error.to_string().contains("plain http"), "{error}");
}

#[tokio::test]
async fn many_requests_at_once_are_one_question() {
    let (url, heard) = platform(vec![gives("one", 300), gives("two", 300)]).await;
    let (job, clock) = (job(&url), clock());
    let (a, b, c) = tokio::join!(shown(&job, &clock), shown(&job, &clock), shown(&job, &clock));
    assert_eq!((a.as_str(), b.as_str(), c.as_str()), ("one", "one", "one"));
    assert_eq!(heard.lock().unwrap().len(), 1);
    let secrets = job.secrets().await;
    assert!(secrets.len() == 2 && secrets.iter().any(|secret| secret.expose() == "request-secret"));
}
