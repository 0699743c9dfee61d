//! The embedded store's file is taken away under a running broker.

use std::fs;

use crate::common::{API, Backing, Broker, Feed, Jwks, Token, eventually, within};

fn minted_within_seconds(broker: &Broker) -> Token {
    within(std::time::Duration::from_secs(15), "it mints again", || {
        let answer = broker.ask(&crate::common::Ask::of("demo"));
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
        (answer.status == 200).then(|| Token::of(&answer))
    })
}

#[test]
fn nothing_is_acknowledged_that_is_in_no_file() {
    let broker = Broker::start(&Backing::Embedded);
    let (token, ended) = (broker.mint("demo", "live"), broker.mint("demo", "ended"));
    broker.complete("demo", "ended").expect(204);
    let epoch = Feed::fetch(&broker).claims["epoch"].clone();
    let (folder, aside) = (broker.data().join("store"), broker.data().join("aside"));
    fs::rename(&folder, &aside).unwrap();
    for _ in 0..3 {
        let answer = broker.ask(&crate::common::Ask::of("demo"));
        assert_eq!(answer.outcome(), (503, "temporarily_unavailable".into()), "{}", answer.text());
        assert_eq!(broker.complete("demo", "live").outcome(), (503, "temporarily_unavailable".into()));
    }
    let readiness = eventually("it is not ready", || Some(broker.get("/readyz")).filter(|answer| answer.status == 503));
    assert!(readiness.text().contains("leases.redb"), "{}", readiness.text());
    fs::rename(&aside, &folder).unwrap();
    minted_within_seconds(&broker);
    assert!(broker.stands(&token) && !broker.stands(&ended), "it goes on where it was left");
    assert_eq!(Feed::fetch(&broker).claims["epoch"], epoch);
}

#[test]
fn a_store_that_is_removed_is_a_new_epoch_before_and_after_a_restart() {
    let mut broker = Broker::start(&Backing::Embedded);
    let old = broker.mint("demo", "live");
    let epoch = Feed::fetch(&broker).claims["epoch"].clone();
    fs::remove_file(broker.data().join("store/leases.redb")).unwrap();
    let fresh = within(std::time::Duration::from_secs(20), "there is a new epoch", || {
        let token = minted_within_seconds(&broker);
        (token.kid() != old.kid()).then_some(token)
    });
    assert_ne!(Feed::fetch(&broker).claims["epoch"], epoch);
    assert_eq!(broker.introspect(API, &old.text)["active"], false, "what was lost may have ended it");
    eventually("the old keys are gone", || (!Jwks::fetch(&broker).kids().contains(&old.kid())).then_some(()));
    broker.complete("demo", "live").expect(204);
    broker.audited(&[("event", "epoch.start")]);
    assert!(broker.stop().success());
    broker.start_again();
    assert!(broker.stands(&fresh), "what was acknowledged since is there");
    assert_eq!(broker.ask(&crate::common::Ask::of("demo").task("live")).outcome(), (400, "invalid_grant".into()));
}
