//! A verifier against a broker of a few lines, which says whatever a test wants it to say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Value, json};

use super::super::stub::{FEED, JWKS, Stub};
use super::*;
use crate::jose::es256::SigningKey;
use crate::model::{Epoch, KeyId, Position, Rule, RuleKind, Selector, TaskId, UnixTime, WorkloadId};
use crate::revocation::event::{Kind, write};
use crate::revocation::snapshot::{SnapshotClaims, TYP, part_hash, parts};
use crate::revocation::{Cursor, ReplaceError};

const NOW: u64 = 1_790_000_000;

/// A snapshot to be, with the usual claims and one rule at each position.
struct Snapshot<'a> {
    key: &'a SigningKey,
    header: Value,
    claims: SnapshotClaims,
    parts: Vec<String>,
}

impl<'a> Snapshot<'a> {
    fn new(key: &'a SigningKey, position: u64, rules: &[Rule]) -> Self {
        let parts = parts(rules);
        let claims = SnapshotClaims {
            iss: "https://broker".into(),
            iat: UnixTime::from_secs(NOW),
            epoch: Epoch::from_bits(1),
            position: Position::new(position),
            audience: None,
            kids: vec![key.kid().clone()],
            count: rules.len() as u64,
            parts: parts.iter().map(|data| part_hash(data)).collect(),
        };
        Self { key, header: json!({ "alg": "ES256", "typ": TYP, "kid": key.kid().as_str() }), claims, parts }
    }

    fn with(mut self, change: impl FnOnce(&mut SnapshotClaims)) -> Self {
        change(&mut self.claims);
        self
    }

    fn with_header(mut self, name: &str, value: Value) -> Self {
        self.header[name] = value;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let jws = sign(self.key, &self.header, &serde_json::to_value(&self.claims).unwrap());
        let cursor = Cursor::new(self.claims.epoch, self.claims.position, None);
        let mut bytes = write(Kind::Snapshot, &cursor, &jws).to_vec();
        for part in &self.parts {
            bytes.extend_from_slice(&write(Kind::Part, &cursor, part));
        }
        bytes
    }
}

fn sign(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let input = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
    format!("{input}.{}", B64.encode(key.sign(input.as_bytes()).unwrap()))
}

fn token(key: &SigningKey, task: &str) -> String {
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": key.kid().as_str() });
    let claims = json!({
        "iss": "https://broker", "sub": "w", "client_id": "w", "aud": "https://orders",
        "iat": NOW, "nbf": NOW, "exp": NOW + 300, "jti": "0190163d-8694-839b-aea5-966c26f8ad91",
        "scope": "orders:read", "txn": task, "rev": 0,
    });
    sign(key, &header, &claims)
}

fn rule(task: &str, position: u64) -> Rule {
    let selector = Selector::Task(WorkloadId::parse("w").unwrap(), TaskId::parse(task).unwrap());
    let until = Some(UnixTime::from_secs(NOW + 300));
    Rule { kind: RuleKind::Task, digest: selector.digest(), position: Position::new(position), until }
}

fn key() -> SigningKey {
    SigningKey::generate().unwrap().0
}

/// Polls once an hour, so that a test alone says when the feed is asked.
fn options(stub: &Stub) -> VerifierOptions {
    VerifierOptions {
        issuer: "https://broker".into(),
        clock: Clock::manual(UnixTime::from_secs(NOW)),
        poll: Duration::from_secs(3600),
        cool_down: Duration::from_secs(3600),
        ..VerifierOptions::new(&stub.url)
    }
}

/// A broker whose task `ended` ended at position 5, and a verifier that knows it.
async fn connected(key: &SigningKey) -> (Stub, Verifier) {
    let stub = Stub::start().await;
    stub.put_keys(&[key]);
    stub.put_feed(&Snapshot::new(key, 5, &[rule("ended", 5)]).bytes());
    let verifier = Verifier::connect(options(&stub)).await.unwrap();
    (stub, verifier)
}

async fn outcome(verifier: &Verifier, token: &str) -> Result<(), Invalid> {
    verifier.verify(token, &Expect::default()).await.map(|_| ())
}

const REVOKED: Result<(), Invalid> = Err(Invalid::Revoked(RuleKind::Task));

#[tokio::test]
async fn tokens_are_judged_by_the_brokers_keys_and_rules() {
    let key = key();
    let (stub, verifier) = connected(&key).await;
    let (live, ended) = (token(&key, "live"), token(&key, "ended"));
    assert_eq!((outcome(&verifier, &live).await, outcome(&verifier, &ended).await), (Ok(()), REVOKED));
    stub.put_feed(&Snapshot::new(&key, 6, &[rule("ended", 5), rule("live", 6)]).bytes());
    verifier.shared.poll().await.unwrap();
    assert_eq!((outcome(&verifier, &live).await, outcome(&verifier, &ended).await), (REVOKED, REVOKED));
    assert_eq!((verifier.view().position(), verifier.view().len()), (Position::new(6), 2));
}

#[tokio::test]
async fn a_wrong_feed_is_named_and_the_view_kept() {
    let (key, other) = (key(), key());
    let (stub, verifier) = connected(&key).await;
    stub.put_keys(&[&key]);
    let good = || Snapshot::new(&key, 9, &[rule("live", 9)]);
    let without = |what: &str| {
        let text = String::from_utf8(good().bytes()).unwrap();
        text.split_inclusive("\n\n").filter(|event| !event.contains(what)).collect::<String>().into_bytes()
    };
    let mut forged = Snapshot { key: &other, ..good() };
    forged.header = json!({ "alg": "ES256", "typ": TYP, "kid": key.kid().as_str() });
    let long = [b"event: snapshot\ndata: ".to_vec(), vec![b'a'; 2 << 20]].concat();
    let many = good().with(|claims| claims.parts = vec![String::new(); 5000]).bytes();
    let altered = String::from_utf8(good().bytes()).unwrap().replace(",9,", ",8,").into_bytes();
    let kid = |name: &str| KeyId::parse(name).unwrap();
    type Says = fn(&FeedError) -> bool;
    let table: Vec<(&str, Vec<u8>, Says)> = vec![
        ("forged", forged.bytes(), |error| matches!(error, FeedError::Signature)),
        ("another key", Snapshot::new(&other, 9, &[]).bytes(), |error| matches!(error, FeedError::Key(_))),
        ("no kid", good().with_header("kid", Value::Null).bytes(), |error| matches!(error, FeedError::Jws(_))),
        ("a token", good().with_header("typ", json!("at+jwt")).bytes(), |error| matches!(error, FeedError::Jws(_))),
        ("none", good().with_header("alg", json!("none")).bytes(), |error| matches!(error, FeedError::Jws(_))),
        ("not its own", good().with(|claims| claims.kids = vec![kid("x")]).bytes(), |error| {
            matches!(error, FeedError::Key(_))
        }),
        ("issuer", good().with(|claims| claims.iss.push('/')).bytes(), |error| matches!(error, FeedError::Issuer(_))),
        (
            "audience",
            good().with(|claims| claims.audience = Some(AudienceUri::parse("https://x").unwrap())).bytes(),
            |error| matches!(error, FeedError::Audience),
        ),
        ("future", good().with(|claims| claims.iat = UnixTime::from_secs(NOW + 6)).bytes(), |error| {
            matches!(error, FeedError::Future(_))
        }),
        ("replayed", Snapshot::new(&key, 4, &[]).bytes(), |error| {
            matches!(error, FeedError::Replace(ReplaceError::Backwards { .. }))
        }),
        ("altered", altered, |error| matches!(error, FeedError::Snapshot(_))),
        ("no part", without("event: part"), |error| matches!(error, FeedError::Snapshot(_))),
        ("no snapshot", without("event: snapshot"), |error| matches!(error, FeedError::NoSnapshot)),
        ("count", good().with(|claims| claims.count = 2).bytes(), |error| matches!(error, FeedError::Snapshot(_))),
        ("ahead", good().with(|claims| claims.position = Position::new(8)).bytes(), |error| {
            matches!(error, FeedError::Snapshot(_))
        }),
        ("many", many, |error| matches!(error, FeedError::Snapshot(_))),
        ("long", long, |error| matches!(error, FeedError::Event(_))),
        ("empty", Vec::new(), |error| matches!(error, FeedError::NoSnapshot)),
        ("binary", vec![0xff, b'\n'], |error| matches!(error, FeedError::Event(_))),
    ];
    let (live, ended) = (token(&key, "live"), token(&key, "ended"));
    for (name, bytes, says) in table {
        stub.put_feed(&bytes);
        let error = verifier.shared.poll().await.expect_err(name);
        assert!(says(&error), "{name}: {error:?}");
        assert_eq!((verifier.view().position(), verifier.view().len()), (Position::new(5), 1), "{name}");
        assert_eq!((outcome(&verifier, &live).await, outcome(&verifier, &ended).await), (Ok(()), REVOKED), "{name}");
    }
    for (status, content_type) in [(503, "text/event-stream"), (200, "text/html")] {
        stub.put(FEED, status, content_type, &good().bytes());
        assert!(matches!(verifier.shared.poll().await, Err(FeedError::Answer(..))), "{status} {content_type}");
    }
    stub.put_feed(&good().bytes());
    verifier.shared.poll().await.unwrap();
    assert_eq!(outcome(&verifier, &live).await, REVOKED);
}

#[tokio::test]
async fn a_view_that_ages_refuses_everything_until_it_is_renewed() {
    let key = key();
    let (stub, verifier) = connected(&key).await;
    let (live, ended) = (token(&key, "live"), token(&key, "ended"));
    let at = |secs| verifier.shared.checker.clock().set(UnixTime::from_secs(NOW + secs));
    at(9);
    assert_eq!(outcome(&verifier, &live).await, Ok(()));
    at(11);
    assert_eq!((outcome(&verifier, &live).await, verifier.is_fresh()), (Err(Invalid::Stale), false));
    assert_eq!(outcome(&verifier, &ended).await, REVOKED, "what is known to have ended is said to have ended");
    // The same snapshot heard again is no younger for that.
    verifier.shared.poll().await.unwrap();
    assert_eq!(outcome(&verifier, &live).await, Err(Invalid::Stale));
    let fresh = Snapshot::new(&key, 5, &[rule("ended", 5)]).with(|claims| claims.iat = UnixTime::from_secs(NOW + 10));
    stub.put_feed(&fresh.bytes());
    verifier.shared.poll().await.unwrap();
    assert_eq!(outcome(&verifier, &live).await, Ok(()));
    assert!(verifier.view_age().unwrap() >= Duration::from_secs(1));
}

#[tokio::test]
async fn an_unknown_kid_has_the_keys_fetched_once_for_all_who_ask() {
    let (old, new) = (key(), key());
    let stub = Stub::start().await;
    stub.put_keys(&[&old]);
    let both = vec![old.kid().clone(), new.kid().clone()];
    stub.put_feed(&Snapshot::new(&old, 5, &[]).with(|claims| claims.kids = both).bytes());
    let verifier = Verifier::connect(VerifierOptions { cool_down: Duration::ZERO, ..options(&stub) }).await.unwrap();
    stub.put_keys(&[&old, &new]);
    let (verifier, token) = (Arc::new(verifier), Arc::new(token(&new, "live")));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (verifier, token) = (Arc::clone(&verifier), Arc::clone(&token));
        asking.spawn(async move { outcome(&verifier, &token).await });
    }
    assert!(asking.join_all().await.iter().all(Result::is_ok));
    // One at the start, one for the key the feed names or for the sixteen, and one more for who asked meanwhile.
    assert!((2..=3).contains(&stub.hits(JWKS)), "{}", stub.hits(JWKS));
}

#[tokio::test]
async fn within_the_cool_down_made_up_keys_send_nobody_to_the_broker() {
    let key = key();
    let (stub, verifier) = connected(&key).await;
    for _ in 0..50 {
        assert_eq!(outcome(&verifier, &token(&self::key(), "live")).await, Err(Invalid::Key));
    }
    assert_eq!(stub.hits(JWKS), 1);
}

#[tokio::test]
async fn a_key_that_the_feed_does_not_name_counts_no_more_whatever_the_jwks_says() {
    let (old, new) = (key(), key());
    let stub = Stub::start().await;
    stub.put_keys(&[&old, &new]);
    stub.put_feed(&Snapshot::new(&old, 5, &[]).with(|claims| claims.kids.push(new.kid().clone())).bytes());
    let verifier = Verifier::connect(options(&stub)).await.unwrap();
    let tokens = [token(&old, "live"), token(&new, "live")];
    assert_eq!([outcome(&verifier, &tokens[0]).await, outcome(&verifier, &tokens[1]).await], [Ok(()), Ok(())]);
    stub.put_feed(&Snapshot::new(&new, 6, &[]).bytes());
    verifier.shared.poll().await.unwrap();
    let told = [outcome(&verifier, &tokens[0]).await, outcome(&verifier, &tokens[1]).await];
    assert_eq!(told, [Err(Invalid::Key), Ok(())]);
}

#[tokio::test]
async fn a_revoked_key_ends_its_tokens_and_signs_no_snapshot() {
    let (thief, new) = (key(), key());
    let stub = Stub::start().await;
    stub.put_keys(&[&thief, &new]);
    stub.put_feed(&Snapshot::new(&thief, 5, &[]).with(|claims| claims.kids.push(new.kid().clone())).bytes());
    let verifier = Verifier::connect(options(&stub)).await.unwrap();
    let digest = Selector::Key(thief.kid().clone()).digest();
    let rule = Rule { kind: RuleKind::Key, digest, position: Position::new(6), until: None };
    let both = vec![thief.kid().clone(), new.kid().clone()];
    stub.put_feed(&Snapshot::new(&new, 6, &[rule]).with(|claims| claims.kids = both).bytes());
    verifier.shared.poll().await.unwrap();
    let told = outcome(&verifier, &token(&thief, "live")).await;
    assert_eq!(told, Err(Invalid::Revoked(RuleKind::Key)));
    stub.put_feed(&Snapshot::new(&thief, 99, &[]).with(|claims| claims.epoch = Epoch::from_bits(2)).bytes());
    assert!(matches!(verifier.shared.poll().await, Err(FeedError::Key(_))));
}

#[tokio::test]
async fn a_new_epoch_ends_the_tokens_of_the_old_one_and_is_not_left_for_it() {
    let (old, new) = (key(), key());
    let (stub, verifier) = connected(&old).await;
    let (before, after) = (token(&old, "live"), token(&new, "ended"));
    stub.put_keys(&[&old, &new]);
    verifier.shared.fetch_keys().await.unwrap();
    stub.put_feed(&Snapshot::new(&new, 1, &[]).with(|claims| claims.epoch = Epoch::from_bits(2)).bytes());
    verifier.shared.poll().await.unwrap();
    assert_eq!((outcome(&verifier, &before).await, outcome(&verifier, &after).await), (Err(Invalid::Key), Ok(())));
    stub.put_feed(&Snapshot::new(&old, 50, &[]).bytes());
    assert!(matches!(verifier.shared.poll().await, Err(FeedError::Replace(ReplaceError::Left(_)))));
}

#[tokio::test]
async fn a_verifier_for_one_audience_asks_for_its_rules_and_takes_its_tokens_alone() {
    let key = key();
    let stub = Stub::start().await;
    stub.put_keys(&[&key]);
    for (uri, told) in [("https://orders", Ok(())), ("https://bills", Err(Invalid::Audience))] {
        let audience = AudienceUri::parse(uri).unwrap();
        let path = format!("{FEED}&audience={}", uri.replace(':', "%3A").replace('/', "%2F"));
        let snapshot = Snapshot::new(&key, 5, &[]).with(|claims| claims.audience = Some(audience.clone()));
        stub.put(&path, 200, "text/event-stream; charset=utf-8", &snapshot.bytes());
        let verifier = Verifier::connect(VerifierOptions { audience: Some(audience), ..options(&stub) }).await.unwrap();
        assert_eq!(outcome(&verifier, &token(&key, "live")).await, told, "{uri}");
        let other = Expect { audience: Some("https://orders"), ..Expect::default() };
        assert_eq!(verifier.check(&token(&key, "live"), &other).map(|_| ()), told, "{uri}");
    }
}

#[tokio::test]
async fn without_a_first_view_it_says_why() {
    let key = key();
    let stub = Stub::start().await;
    let told = Verifier::connect(options(&stub)).await;
    assert!(matches!(told, Err(ConnectError::Keys(JwksError::Status(404)))), "{told:?}");
    stub.put(JWKS, 200, "application/json", br#"{"keys":[]}"#);
    let told = Verifier::connect(options(&stub)).await;
    assert!(matches!(told, Err(ConnectError::Keys(JwksError::Set(_)))), "{told:?}");
    stub.put_keys(&[&key]);
    let told = Verifier::connect(options(&stub)).await;
    assert!(matches!(told, Err(ConnectError::Feed(FeedError::Answer(404, _)))), "{told:?}");
    let far = VerifierOptions { clock: Clock::system(), ..VerifierOptions::new("http://192.0.2.1:1") };
    let told = Verifier::connect(far).await;
    let plain = matches!(told, Err(ConnectError::Keys(JwksError::Fetch(crate::fetch::FetchError::PlainHttp { .. }))));
    assert!(plain, "{told:?}");
}

#[tokio::test]
async fn it_polls_by_itself_says_what_is_wrong_and_ends_when_dropped() {
    let key = key();
    let mut stub = Stub::start().await;
    stub.put_keys(&[&key]);
    stub.put_feed(&Snapshot::new(&key, 5, &[]).bytes());
    let often = VerifierOptions { poll: Duration::from_millis(5), ..options(&stub) };
    let verifier = Verifier::connect(often).await.unwrap();
    let live = token(&key, "live");
    assert_eq!(outcome(&verifier, &live).await, Ok(()));
    stub.put_feed(&Snapshot::new(&key, 6, &[rule("live", 6)]).bytes());
    // Two more answers: the first may have been the old one, and is taken in before the feed is asked again.
    stub.reached(FEED, stub.hits(FEED) + 3).await;
    assert_eq!(outcome(&verifier, &live).await, REVOKED);
    assert!(verifier.problem().is_none());
    stub.put_feed(b"data: x\n\n");
    stub.reached(FEED, stub.hits(FEED) + 3).await;
    assert!(matches!(verifier.problem().as_deref(), Some(FeedError::NoSnapshot)));
    let shared = Arc::downgrade(&verifier.shared);
    drop(verifier);
    let ended = async {
        while shared.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
}
