//! What a broker may say wrongly, and a clock, without shutting a verifier out for good; and how much a view may hold.

use super::super::fixtures::{NOW, Snapshot, heartbeat, key, revoke, rule, token};
use super::super::stub::{FEED, Stub};
use super::tests::{REVOKED, connected, options, outcome, until, wrong};
use super::*;
use crate::model::{Position, UnixTime};

#[tokio::test]
async fn a_place_that_a_heartbeat_makes_up_shuts_nobody_out() {
    let key = key();
    let (mut stub, verifier) = connected(&key).await;
    stub.push(&heartbeat(u64::MAX, 1, NOW * 1000));
    until("it is believed", || verifier.view().position() == Position::new(u64::MAX)).await;
    // From here on the broker tells the truth: first to who comes back to the place that was made up.
    stub.put_feed(&heartbeat(6, 0, NOW * 1000));
    stub.push(&heartbeat(6, 1, NOW * 1000));
    stub.reached(FEED, 2).await;
    let truth = Snapshot::new(&key, 6, &[rule("ended", 5), rule("live", 6)]);
    stub.put_feed(&[truth.bytes(), heartbeat(6, 2, NOW * 1000)].concat());
    until("the truth is heard", || verifier.view().position() == Position::new(6)).await;
    until("all is well", || verifier.problem().is_none()).await;
    assert_eq!(outcome(&verifier, &token(&key, "live")).await, REVOKED);
    let cursors = stub.cursors();
    assert!(cursors[1].is_some() && cursors[2..].iter().all(Option::is_none), "{cursors:?}");
}

#[tokio::test]
async fn more_rules_than_a_view_may_hold_are_named_and_nobody_is_let_through() {
    let key = key();
    let stub = Stub::start().await;
    stub.put_keys(&[&key]);
    let three = Snapshot::new(&key, 7, &[rule("ended", 5), rule("a", 6), rule("live", 7)]).bytes();
    stub.put_feed(&three);
    let few = || VerifierOptions { max_rules: 2, ..options(&stub) };
    let told = Verifier::connect(few()).await;
    let is_named = |error: &FeedError| matches!(error, FeedError::TooMany { told: 3, most: 2 });
    assert!(matches!(&told, Err(ConnectError::Feed(error)) if is_named(error)), "{told:?}");
    stub.put_feed(&Snapshot::new(&key, 5, &[rule("ended", 5)]).bytes());
    let verifier = Verifier::connect(few()).await.unwrap();
    let told = wrong(&stub, &verifier, &revoke(5, &[rule("a", 6), rule("live", 7)]), &three).await;
    assert!(is_named(&told) && told.to_string().contains("3 live rules, and this view may hold 2"), "{told}");
    assert_eq!(outcome(&verifier, &token(&key, "live")).await, REVOKED, "what was heard is not forgotten");
    verifier.shared.checker.clock().set(UnixTime::from_secs(NOW + 11));
    assert_eq!(outcome(&verifier, &token(&key, "other")).await, Err(Invalid::Stale));
    let later = NOW + 400;
    verifier.shared.checker.clock().set(UnixTime::from_secs(later));
    let one = Snapshot::new(&key, 8, &[]).with(|claims| claims.iat = UnixTime::from_secs(later));
    stub.put_feed(&[one.bytes(), heartbeat(8, 0, later * 1000)].concat());
    until("there is room again", || verifier.problem().is_none() && verifier.is_fresh()).await;
}

#[tokio::test]
async fn a_clock_that_was_ahead_for_long_and_is_back_has_the_log_told_anew() {
    let key = key();
    let (stub, verifier) = connected(&key).await;
    let (live, ended) = (token(&key, "live"), token(&key, "ended"));
    let clock = verifier.shared.checker.clock();
    clock.set(UnixTime::from_secs(NOW + 5000));
    stub.push(&heartbeat(6, 1, NOW * 1000));
    until("what is past has left", || verifier.view().is_empty()).await;
    clock.set(UnixTime::from_secs(NOW));
    for each in [&live, &ended] {
        assert_eq!(outcome(&verifier, each).await, Err(Invalid::Expired), "nobody knows whether it stands");
    }
    let again = [Snapshot::new(&key, 6, &[rule("ended", 5)]).bytes(), heartbeat(6, 1, NOW * 1000)].concat();
    let told = wrong(&stub, &verifier, &heartbeat(6, 1, NOW * 1000), &again).await;
    assert!(matches!(*told, FeedError::Dropped), "{told:?}");
    until("all is well", || verifier.problem().is_none()).await;
    assert_eq!((outcome(&verifier, &live).await, outcome(&verifier, &ended).await), (Ok(()), REVOKED));
}

#[tokio::test]
async fn a_clock_that_is_put_back_makes_nothing_good_again() {
    let key = key();
    let (stub, verifier) = connected(&key).await;
    let (live, clock) = (token(&key, "live"), verifier.shared.checker.clock());
    assert_eq!(outcome(&verifier, &live).await, Ok(()));
    clock.set(UnixTime::from_secs(NOW + 301));
    stub.push(&heartbeat(6, 1, (NOW + 301) * 1000));
    until("it is heard", || verifier.view().position() == Position::new(6)).await;
    clock.set(UnixTime::from_secs(NOW - 20));
    assert_eq!(outcome(&verifier, &live).await, Err(Invalid::Expired));
}
