//! A verifier against a broker of a few lines, which says whatever a test wants it to say.

use std::future::Future;

use super::super::fixtures::{NOW, Snapshot, heartbeat, key, keys, revoke, rule, token};
use super::super::stub::{FEED, JWKS, Stub};
use super::super::{JwksError, Observer};
use super::*;
use crate::jose::es256::SigningKey;
use crate::model::{Clock, Epoch, Position, Rule, RuleKind, Selector, UnixTime};
use crate::revocation::ReplaceError;

/// A test alone says when the keys may be fetched anew.
pub(super) fn options(stub: &Stub) -> VerifierOptions {
    VerifierOptions {
        issuer: "https://broker".into(),
        clock: Clock::manual(UnixTime::from_secs(NOW)),
        cool_down: Duration::from_secs(3600),
        ..VerifierOptions::new(&stub.url)
    }
}

/// A broker whose task `ended` ended at position 5, and a verifier that knows it.
pub(super) async fn connected(key: &SigningKey) -> (Stub, Verifier) {
    let stub = Stub::start().await;
    stub.put_keys(&[key]);
    stub.put_feed(&Snapshot::new(key, 5, &[rule("ended", 5)]).bytes());
    let verifier = Verifier::connect(options(&stub)).await.unwrap();
    (stub, verifier)
}

pub(super) async fn outcome(verifier: &Verifier, token: &str) -> Result<(), Invalid> {
    verifier.verify(token, &Expect::default()).await.map(|_| ())
}

/// Waits until something holds that another task brings about.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let held = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(within(held).await.is_some(), "{what}");
}

async fn within<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_secs(20), work).await.ok()
}

/// The feed says something wrong, is left, and is begun again with what the stub says by then.
pub(super) async fn wrong(stub: &Stub, verifier: &Verifier, pushed: &[u8], then: &[u8]) -> Arc<FeedError> {
    stub.put_feed(then);
    stub.push(pushed);
    let mut problem = None;
    until("it says what is wrong", || {
        problem = verifier.problem();
        problem.is_some()
    })
    .await;
    problem.unwrap()
}

pub(super) const REVOKED: Result<(), Invalid> = Err(Invalid::Revoked(RuleKind::Task));

#[tokio::test]
async fn an_end_is_known_as_soon_as_it_is_pushed() {
    let key = key();
    let (stub, verifier) = connected(&key).await;
    let (live, ended) = (token(&key, "live"), token(&key, "ended"));
    assert_eq!((outcome(&verifier, &live).await, outcome(&verifier, &ended).await), (Ok(()), REVOKED));
    stub.push(&revoke(5, &[rule("live", 6)]));
    until("the end is heard", || verifier.check(&live, &Expect::default()).is_err()).await;
    assert_eq!((outcome(&verifier, &live).await, outcome(&verifier, &ended).await), (REVOKED, REVOKED));
    assert_eq!((verifier.view().position(), verifier.view().len()), (Position::new(6), 2));
    assert!(verifier.problem().is_none());
}

#[tokio::test]
async fn a_feed_that_is_cut_is_gone_on_with_where_it_was_left() {
    let key = key();
    let (mut stub, verifier) = connected(&key).await;
    stub.push(&[revoke(5, &[rule("a", 6)]), heartbeat(7, 2, NOW * 1000)].concat());
    until("it is heard", || verifier.view().position() == Position::new(7)).await;
    stub.put_feed(&[revoke(6, &[rule("live", 8)]), heartbeat(8, 1, NOW * 1000)].concat());
    stub.cut();
    stub.reached(FEED, 2).await;
    until("what was missed is heard", || verifier.view().position() == Position::new(8)).await;
    until("all is well", || verifier.problem().is_none()).await;
    assert_eq!(outcome(&verifier, &token(&key, "live")).await, REVOKED);
    let cursors = stub.cursors();
    assert!(cursors[0].is_none() && cursors[1].is_some(), "{cursors:?}");
}

#[tokio::test]
async fn a_feed_that_says_something_wrong_is_named_the_view_kept_and_a_snapshot_asked_for() {
    let key = key();
    let (stub, verifier) = connected(&key).await;
    let (live, ended) = (token(&key, "live"), token(&key, "ended"));
    let told = wrong(&stub, &verifier, &revoke(8, &[rule("live", 9)]), b"").await;
    assert!(matches!(*told, FeedError::Gap { .. }), "{told:?}");
    assert_eq!((verifier.view().position(), verifier.view().len()), (Position::new(5), 1));
    assert_eq!((outcome(&verifier, &live).await, outcome(&verifier, &ended).await), (Ok(()), REVOKED));
    let missed = Snapshot::new(&key, 9, &[rule("ended", 5), rule("lost", 8), rule("live", 9)]);
    stub.put_feed(&[missed.bytes(), heartbeat(9, 3, NOW * 1000)].concat());
    stub.cut();
    until("the feed is well again", || verifier.problem().is_none()).await;
    assert_eq!((outcome(&verifier, &live).await, verifier.view().len()), (REVOKED, 3));
    assert!(stub.cursors().iter().all(Option::is_none), "no cursor from before the gap: {:?}", stub.cursors());
}

#[tokio::test]
async fn a_cursor_that_cannot_be_sent_or_is_not_liked_is_forgotten() {
    let key = key();
    let (stub, verifier) = connected(&key).await;
    let beat = String::from_utf8(heartbeat(5, 1, NOW * 1000)).unwrap();
    let id = beat.lines().find(|line| line.starts_with("id: ")).unwrap().to_owned();
    stub.push(beat.replace(&id, "id: \u{1}").as_bytes());
    stub.put_feed(&[Snapshot::new(&key, 9, &[rule("live", 9)]).bytes(), heartbeat(9, 1, NOW * 1000)].concat());
    stub.cut();
    until("a snapshot is asked for", || verifier.view().position() == Position::new(9)).await;
    assert_eq!(stub.cursors(), [None, None]);
    stub.put(FEED, 431, "text/plain", b"");
    stub.cut();
    until("it is refused", || matches!(verifier.problem().as_deref(), Some(FeedError::Answer(431, _)))).await;
    stub.put_feed(&[Snapshot::new(&key, 12, &[]).bytes(), heartbeat(12, 0, NOW * 1000)].concat());
    until("a snapshot is asked for", || verifier.view().position() == Position::new(12)).await;
    assert_eq!(stub.cursors(), [None, None, None]);
}

#[tokio::test]
async fn an_answer_that_is_no_feed_is_named() {
    let key = key();
    let (stub, verifier) = connected(&key).await;
    for (status, content_type) in [(503, "text/event-stream"), (200, "text/html")] {
        stub.put(FEED, status, content_type, &Snapshot::new(&key, 9, &[]).bytes());
        stub.cut();
        let is_named = || matches!(verifier.problem().as_deref(), Some(FeedError::Answer(said, _)) if *said == status);
        until("it is named", is_named).await;
        assert_eq!(verifier.view().position(), Position::new(5));
    }
}

#[tokio::test]
async fn a_feed_cut_in_the_middle_of_its_snapshot_changes_nothing() {
    let key = key();
    let (mut stub, verifier) = connected(&key).await;
    let second = Snapshot::new(&key, 9, &[rule("live", 9)]).with(|claims| claims.epoch = Epoch::from_bits(2)).bytes();
    let begun = second.windows(2).position(|pair| pair == b"\n\n").unwrap() + 20;
    stub.put_feed(&second[..begun]);
    stub.cut();
    stub.reached(FEED, 2).await;
    assert_eq!((verifier.view().epoch(), verifier.view().position()), (Some(Epoch::from_bits(1)), Position::new(5)));
    stub.put_feed(&second);
    stub.cut();
    until("the whole one is heard", || verifier.view().epoch() == Some(Epoch::from_bits(2))).await;
    assert!(stub.cursors().iter().skip(2).all(Option::is_none), "{:?}", stub.cursors());
}

#[tokio::test]
async fn a_feed_that_falls_silent_is_left_for_another_connection() {
    let key = key();
    let mut stub = Stub::start().await;
    stub.put_keys(&[&key]);
    stub.put_feed(&Snapshot::new(&key, 5, &[]).bytes());
    let soon = VerifierOptions { timeout: Duration::from_millis(100), ..options(&stub) };
    let verifier = Verifier::connect(soon).await.unwrap();
    stub.reached(FEED, 3).await;
    let silent = |problem: &FeedError| matches!(problem, FeedError::Silent(_) | FeedError::Fetch(_));
    assert!(verifier.problem().is_some_and(|problem| silent(&problem)), "{:?}", verifier.problem());
    assert!(stub.cursors()[2].is_some());
}

#[tokio::test]
async fn a_view_that_ages_refuses_everything_until_a_heartbeat_or_accepts_where_it_is_told_to() {
    let key = key();
    let (stub, verifier) = connected(&key).await;
    let lenient = VerifierOptions { when_stale: WhenStale::Accept, ..options(&stub) };
    let lenient = Verifier::connect(lenient).await.unwrap();
    let (live, ended) = (token(&key, "live"), token(&key, "ended"));
    let at = |secs| {
        [&verifier, &lenient]
            .into_iter()
            .for_each(|each| each.shared.checker.clock().set(UnixTime::from_secs(NOW + secs)));
    };
    at(9);
    assert_eq!(outcome(&verifier, &live).await, Ok(()));
    at(11);
    assert_eq!((outcome(&verifier, &live).await, verifier.is_fresh()), (Err(Invalid::Stale), false));
    assert_eq!((outcome(&lenient, &live).await, lenient.is_fresh()), (Ok(()), false));
    for each in [&verifier, &lenient] {
        assert_eq!(outcome(each, &ended).await, REVOKED, "what is known to have ended is said to have ended");
    }
    // What was true long ago is no younger for being heard now.
    stub.push(&heartbeat(6, 1, NOW * 1000));
    until("it is heard", || verifier.view().position() == Position::new(6)).await;
    assert_eq!(outcome(&verifier, &live).await, Err(Invalid::Stale));
    stub.push(&heartbeat(7, 1, (NOW + 10) * 1000));
    until("it is heard", || verifier.view().position() == Position::new(7)).await;
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
    stub.push(&keys(&[new.kid()]));
    until("it is heard", || verifier.check(&tokens[0], &Expect::default()).is_err()).await;
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
    stub.push(&revoke(5, &[rule]));
    until("it is heard", || verifier.view().position() == Position::new(6)).await;
    assert_eq!(outcome(&verifier, &token(&thief, "live")).await, Err(Invalid::Revoked(RuleKind::Key)));
    let stolen = Snapshot::new(&thief, 99, &[]).with(|claims| claims.epoch = Epoch::from_bits(2)).bytes();
    let told = wrong(&stub, &verifier, &stolen, b"").await;
    assert!(matches!(*told, FeedError::Key(_)), "{told:?}");
}

#[tokio::test]
async fn a_new_epoch_ends_the_tokens_of_the_old_one_and_is_not_left_for_it() {
    let (old, new) = (key(), key());
    let stub = Stub::start().await;
    stub.put_keys(&[&old, &new]);
    stub.put_feed(&Snapshot::new(&old, 5, &[rule("ended", 5)]).bytes());
    let verifier = Verifier::connect(options(&stub)).await.unwrap();
    let (before, after) = (token(&old, "live"), token(&new, "ended"));
    stub.push(&Snapshot::new(&new, 1, &[]).with(|claims| claims.epoch = Epoch::from_bits(2)).bytes());
    until("it is heard", || verifier.view().epoch() == Some(Epoch::from_bits(2))).await;
    assert_eq!((outcome(&verifier, &before).await, outcome(&verifier, &after).await), (Err(Invalid::Key), Ok(())));
    let told = wrong(&stub, &verifier, &Snapshot::new(&old, 50, &[]).bytes(), b"").await;
    assert!(matches!(*told, FeedError::Replace(ReplaceError::Left(_))), "{told:?}");
}

#[tokio::test]
async fn a_verifier_for_one_audience_asks_for_its_rules_and_takes_its_tokens_alone() {
    let key = key();
    let stub = Stub::start().await;
    stub.put_keys(&[&key]);
    for (uri, told) in [("https://orders", Ok(())), ("https://bills", Err(Invalid::Audience))] {
        let audience = AudienceUri::parse(uri).unwrap();
        let path = format!("{FEED}?audience={}", uri.replace(':', "%3A").replace('/', "%2F"));
        let snapshot = Snapshot::new(&key, 5, &[]).with(|claims| claims.audience = Some(audience.clone()));
        stub.put_feed_at(&path, "text/event-stream; charset=utf-8", &snapshot.bytes());
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
    stub.put_feed(b": nothing yet\n\n");
    let told = Verifier::connect(VerifierOptions { start_within: Duration::from_millis(50), ..options(&stub) }).await;
    assert!(matches!(told, Err(ConnectError::Feed(FeedError::Late(_)))), "{told:?}");
    stub.put(FEED, 200, "text/event-stream", b"");
    let told = Verifier::connect(options(&stub)).await;
    assert!(matches!(told, Err(ConnectError::Feed(FeedError::Ended))), "{told:?}");
    let far = VerifierOptions { clock: Clock::system(), ..VerifierOptions::new("http://192.0.2.1:1") };
    let told = Verifier::connect(far).await;
    let plain = matches!(told, Err(ConnectError::Keys(JwksError::Fetch(crate::fetch::FetchError::PlainHttp { .. }))));
    assert!(plain, "{told:?}");
}

/// Counts what it hears.
#[derive(Debug, Default)]
struct Counts(std::sync::Mutex<[usize; 4]>);

impl Counts {
    fn add(&self, at: usize, count: usize) {
        self.0.lock().unwrap()[at] += count;
    }
}

impl Observer for Counts {
    fn checked(&self, outcome: &Result<Arc<VerifiedToken>, Invalid>) {
        self.add(0, usize::from(outcome.is_ok()));
    }

    fn connected(&self, anew: bool) {
        self.add(1, usize::from(anew));
    }

    fn heard(&self, rules: usize) {
        self.add(2, rules);
    }

    fn lost(&self, _: &FeedError) {
        self.add(3, 1);
    }
}

#[tokio::test]
async fn it_tells_an_observer_what_it_does_and_ends_when_dropped() {
    let key = key();
    let (stub, counts) = (Stub::start().await, Arc::new(Counts::default()));
    stub.put_keys(&[&key]);
    stub.put_feed(&Snapshot::new(&key, 5, &[rule("ended", 5)]).bytes());
    let observer: Arc<dyn Observer> = counts.clone();
    let verifier = Verifier::connect(VerifierOptions { observer: Some(observer), ..options(&stub) }).await.unwrap();
    assert_eq!(
        (outcome(&verifier, &token(&key, "live")).await, outcome(&verifier, "x").await.is_err()),
        (Ok(()), true)
    );
    stub.push(&revoke(5, &[rule("live", 6)]));
    until("it is heard", || verifier.view().position() == Position::new(6)).await;
    wrong(&stub, &verifier, b"data: x\n\nevent: heartbeat\ndata: x\n\n", b"").await;
    until("all is told", || *counts.0.lock().unwrap() == [1, 1, 2, 1]).await;
    let shared = Arc::downgrade(&verifier.shared);
    drop(verifier);
    until("its tasks end", || shared.upgrade().is_none()).await;
}
