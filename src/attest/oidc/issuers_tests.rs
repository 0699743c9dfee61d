//! Keys fetched from a fake issuer on this machine: discovery, rotation, its absence, and everything it may answer wrongly.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::fixtures::{ISSUER, Key, NOW, issuers};
use super::super::{Attestor, Bounds, Caller, ClientAuth, Endpoint, Fault, Issuers, Unproven};
use crate::model::{Reason, UnixTime};
use crate::policy::PolicySet;

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// An issuer that answers each path as it is told, and counts.
struct Fake {
    url: String,
    answers: Arc<Mutex<HashMap<String, String>>>,
    asked: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (answers, asked) = (Arc::<Mutex<HashMap<String, String>>>::default(), Arc::<AtomicUsize>::default());
        let (told, count) = (answers.clone(), asked.clone());
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                count.fetch_add(1, Ordering::SeqCst);
                let not_found = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned();
                let answer = told.lock().unwrap().get(&path).cloned().unwrap_or(not_found);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let fake = Self { url, answers, asked, task };
        fake.publish(&[]);
        fake
    }

    fn answer(&self, path: &str, answer: &str) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer.to_owned());
    }

    fn json(&self, path: &str, body: &str) {
        let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=600\r\nconnection: close\r\n";
        self.answer(path, &format!("{head}content-length: {}\r\n\r\n{body}", body.len()));
    }

    /// A good discovery document, and these keys.
    fn publish(&self, keys: &[(&Key, &str)]) {
        let jwks_uri = format!("{}/keys", self.url);
        self.json(DISCOVERY, &json!({"issuer": self.url, "jwks_uri": jwks_uri}).to_string());
        let keys: Vec<_> = keys.iter().map(|(key, kid)| key.jwk(Some(kid))).collect();
        self.json("/keys", &json!({"keys": keys}).to_string());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A broker's part that judges tokens of a fake issuer, with its task that fetches.
struct Scene {
    attestor: Attestor,
    set: Arc<PolicySet>,
    task: tokio::task::JoinHandle<()>,
    url: String,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scene {
    fn of(fake: &Fake, bounds: Bounds) -> Self {
        Self::with(fake, issuers(&[&fake.url], bounds), "")
    }

    fn with(fake: &Fake, issuers: Arc<Issuers>, more: &str) -> Self {
        let text = format!(
            "owner = \"t\"\npurpose = \"p\"\nexpires = 2027-06-30\n[[identity]]\ntype = \"oidc\"\nissuer = \"{}\"\nclaims = \
             {{ sub = \"a\" }}\n{more}",
            fake.url
        );
        let set = PolicySet::from_sources([("workloads/w.toml", text)], UnixTime::from_secs(NOW));
        let set = Arc::new(set.unwrap_or_else(|found| panic!("{found}")).0);
        let current = set.clone();
        let task = tokio::spawn(issuers.clone().tend(move || current.clone()));
        let attestor = Attestor::new(ISSUER, false, Attestor::SKEW, issuers).unwrap();
        Self { attestor, set, task, url: fake.url.clone() }
    }

    async fn show(&self, key: &Key, kid: &str) -> Result<Arc<Caller>, Unproven> {
        self.show_for(key, kid, 300).await
    }

    async fn show_for(&self, key: &Key, kid: &str, secs: u64) -> Result<Arc<Caller>, Unproven> {
        self.show_as(None, key, kid, secs).await
    }

    async fn show_as(&self, client_id: Option<&str>, key: &Key, kid: &str, secs: u64) -> Result<Arc<Caller>, Unproven> {
        let claims = json!({"iss": self.url, "sub": "a", "aud": ISSUER, "exp": NOW + secs});
        let token = key.jws(&json!({"alg": "ES256", "kid": kid}).to_string(), &claims.to_string());
        let jwt_bearer = Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let auth = ClientAuth { assertion_type: jwt_bearer, assertion: Some(&token), client_id };
        self.attestor.attest_patiently(&self.set, &auth, Endpoint::TOKEN, UnixTime::from_secs(NOW)).await
    }
}

/// Long patience: a busy machine is no failure.
fn patient() -> Bounds {
    Bounds { patience: Duration::from_secs(20), ..Bounds::default() }
}

#[tokio::test]
async fn the_first_token_waits_for_the_keys_and_the_next_ones_do_not_ask() {
    let (fake, key) = (Fake::start().await, Key::ec());
    fake.publish(&[(&key, "k1")]);
    let scene = Scene::of(&fake, patient());
    for _ in 0..5 {
        assert_eq!(scene.show(&key, "k1").await.unwrap().who.id(), "w");
    }
    assert_eq!(fake.asked(), 2, "a discovery document and a set of keys");
    assert_eq!(scene.show(&Key::ec(), "k1").await.unwrap_err().fault, Fault::BadSignature);
    assert_eq!(fake.asked(), 2, "a wrong signature is no reason to ask");
}

#[tokio::test]
async fn a_key_not_known_is_asked_for_once_in_a_while() {
    let (fake, old, new) = (Fake::start().await, Key::ec(), Key::ec());
    fake.publish(&[(&old, "k1")]);
    let scene = Scene::of(&fake, Bounds { cool_down: Duration::from_secs(3600), ..patient() });
    scene.show(&old, "k1").await.unwrap();
    fake.publish(&[(&old, "k1"), (&new, "k2")]);
    let before = fake.asked();
    scene.show(&new, "k2").await.unwrap();
    for number in 0..20 {
        let unproven = scene.show(&new, &format!("made-up-{number}")).await.unwrap_err();
        assert_eq!((unproven.fault, unproven.refusal.reason), (Fault::UnknownKey, Reason::InvalidClient));
    }
    assert_eq!(fake.asked() - before, 2, "made-up keys send nobody to the issuer");
}

#[tokio::test]
async fn whether_keys_are_away_is_told_of_the_issuer_and_of_no_client() {
    let (fake, key) = (Fake::start().await, Key::ec());
    fake.publish(&[(&key, "k1")]);
    let long = Duration::from_secs(3600);
    let scene = Scene::of(&fake, Bounds { cool_down: long, ..patient() });
    scene.show(&key, "k1").await.unwrap();
    let _ = scene.show(&key, "made-up").await;
    let asked_of = async |id: Option<&'static str>, kid| scene.show_as(id, &Key::ec(), kid, 300).await.unwrap_err();
    for id in [None, Some("w"), Some("nobody"), Some("")] {
        assert_eq!(asked_of(id, "k2").await.fault, Fault::UnknownKey, "a key not known: {id:?}");
        assert_eq!(asked_of(id, "k1").await.fault, Fault::BadSignature, "a known one: {id:?}");
    }
    let without_keys = Scene::with(&fake, issuers(&["https://other.example.com"], patient()), "");
    for id in [None, Some("w"), Some("nobody")] {
        let unproven = without_keys.show_as(id, &key, "k1", 300).await.unwrap_err();
        assert_eq!(unproven.refusal.reason, Reason::IssuerUnavailable, "no keys: {id:?}");
    }
}

#[tokio::test]
async fn rotated_keys_count_at_once_and_withdrawn_ones_no_more() {
    let (fake, old, new) = (Fake::start().await, Key::ec(), Key::ec());
    fake.publish(&[(&old, "k1")]);
    let scene = Scene::of(&fake, Bounds { cool_down: Duration::ZERO, ..patient() });
    scene.show(&old, "k1").await.unwrap();
    fake.publish(&[(&new, "k2")]);
    scene.show(&new, "k2").await.unwrap();
    // The very token that was proven before rests on a key that is gone.
    assert_eq!(scene.show(&old, "k1").await.unwrap_err().fault, Fault::UnknownKey);
}

#[tokio::test]
async fn while_the_issuer_is_away_its_last_keys_count_up_to_their_bound() {
    let (fake, key) = (Fake::start().await, Key::ec());
    fake.publish(&[(&key, "k1")]);
    let scene = Scene::of(&fake, Bounds { cool_down: Duration::ZERO, ..patient() });
    scene.show(&key, "k1").await.unwrap();
    fake.answer(DISCOVERY, "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(scene.show(&key, "k2").await.unwrap_err().fault, Fault::UnknownKey, "it was asked in vain");
    scene.show_for(&key, "k1", 301).await.expect("a token not seen before, by a key known before");
    let none_is_fresh = Scene::of(&fake, Bounds { stale: Duration::ZERO, least: Duration::ZERO, ..patient() });
    assert_eq!(none_is_fresh.show(&key, "k1").await.unwrap_err().fault, Fault::IssuerAway);
}

#[tokio::test]
async fn what_an_issuer_answers_wrongly_gives_no_keys_and_the_caller_may_try_again() {
    let (fake, key) = (Fake::start().await, Key::ec());
    let with = |document: serde_json::Value| document.to_string();
    let long = format!("{{\"keys\":[],\"pad\":\"{}\"}}", "x".repeat(300 << 10));
    let redirect = "HTTP/1.1 302 Found\r\nlocation: /keys\r\ncontent-length: 0\r\n\r\n";
    let found = |path: &str, body: &str| (path.to_owned(), None, body.to_owned());
    let rows = [
        (found(DISCOVERY, "rubbish"), "no discovery document"),
        (found(DISCOVERY, "[]"), "no discovery document"),
        (found(DISCOVERY, &with(json!({"issuer": fake.url}))), "no jwks_uri"),
        (
            found(DISCOVERY, &with(json!({"issuer": "https://other.example.com", "jwks_uri": fake.url}))),
            "another issuer",
        ),
        (found(DISCOVERY, &with(json!({"issuer": format!("{}/", fake.url), "jwks_uri": fake.url}))), "another issuer"),
        (
            found(DISCOVERY, &with(json!({"issuer": fake.url, "jwks_uri": "http://169.254.169.254/latest"}))),
            "plain http",
        ),
        (found(DISCOVERY, &with(json!({"issuer": fake.url, "jwks_uri": "https://10.1.2.3/keys"}))), "allow_private"),
        (found(DISCOVERY, &with(json!({"issuer": fake.url, "jwks_uri": "file:///etc/passwd"}))), "address"),
        ((DISCOVERY.to_owned(), Some(redirect), String::new()), "302"),
        (("/keys".to_owned(), Some(redirect), String::new()), "302"),
        (found("/keys", "rubbish"), "no usable keys"),
        (found("/keys", "{\"keys\":[]}"), "no usable keys"),
        (found("/keys", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}"), "no usable keys"),
        (found("/keys", &long), "longer than"),
        (("/keys".to_owned(), Some("SSH-2.0-OpenSSH_9.2\r\n"), String::new()), "broke"),
    ];
    for ((path, raw, body), why) in rows {
        fake.publish(&[(&key, "k1")]);
        match raw {
            Some(raw) => fake.answer(&path, raw),
            None => fake.json(&path, &body),
        }
        let scene = Scene::of(&fake, patient());
        let unproven = scene.show(&key, "k1").await.unwrap_err();
        assert_eq!((unproven.fault, unproven.refusal.reason), (Fault::IssuerAway, Reason::IssuerUnavailable), "{why}");
        assert!(unproven.detail.as_ref().is_some_and(|detail| detail.contains(why)), "{why}: {unproven:?}");
        assert!(!unproven.refusal.description.contains(&fake.url), "what the network is like is not told");
    }
}

#[tokio::test]
async fn an_issuer_inside_that_was_not_named_is_not_asked() {
    let (fake, key) = (Fake::start().await, Key::ec());
    fake.publish(&[(&key, "k1")]);
    let scene = Scene::with(&fake, issuers(&["https://other.example.com"], patient()), "");
    let unproven = scene.show(&key, "k1").await.unwrap_err();
    assert!(unproven.detail.is_some_and(|detail| detail.contains("allow_private")));
    assert_eq!(fake.asked(), 0);
}

#[tokio::test]
async fn keys_may_come_from_a_named_place_without_discovery() {
    let (fake, key) = (Fake::start().await, Key::ec());
    fake.publish(&[(&key, "k1")]);
    fake.answer(DISCOVERY, "rubbish");
    let more = format!("jwks_uri = \"{}/keys\"\n", fake.url);
    let scene = Scene::with(&fake, issuers(&[&fake.url], patient()), &more);
    assert_eq!(scene.show(&key, "k1").await.unwrap().who.id(), "w");
}

#[tokio::test]
async fn many_at_once_share_one_question() {
    let (fake, key) = (Fake::start().await, Key::ec());
    fake.publish(&[(&key, "k1")]);
    let scene = Arc::new(Scene::of(&fake, patient()));
    let key = Arc::new(key);
    let mut shown = tokio::task::JoinSet::new();
    for number in 0..50 {
        let (scene, key) = (scene.clone(), key.clone());
        shown.spawn(async move { scene.show_for(&key, "k1", 300 + number).await.is_ok() });
    }
    while let Some(outcome) = shown.join_next().await {
        assert!(outcome.unwrap());
    }
    assert_eq!(fake.asked(), 2);
}
