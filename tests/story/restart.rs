//! A restart, in order or not, loses nothing that was acknowledged.

use serde_json::json;

use crate::common::{Ask, Assertion, Backing, Broker, Feed, Jwks, on_both_stores};

on_both_stores!(an_orderly_restart_keeps_everything, a_killed_broker_has_kept_everything, a_kill_amid_mints_loses_none);

fn an_orderly_restart_keeps_everything(backing: &Backing) {
    keeps_everything(backing, |broker| assert!(broker.stop().success()));
}

fn a_killed_broker_has_kept_everything(backing: &Backing) {
    keeps_everything(backing, Broker::kill);
}

fn keeps_everything(backing: &Backing, end: impl Fn(&mut Broker)) {
    let mut broker = Broker::start(backing);
    let [live, completed, revoked, quarantined] =
        [("demo", "live"), ("demo", "completed"), ("demo", "revoked"), ("other", "t")].map(|(w, t)| broker.mint(w, t));
    broker.complete("demo", "completed").expect(204);
    broker.revoke("demo", &revoked.text).expect(200);
    broker.operator("/admin/v1/workloads/other/quarantine", json!({"reason": "a test"})).expect(200);
    let used = Assertion::of("demo").text();
    broker.granted(&Ask::of("demo").assertion(&used));
    let (keys, feed) = (Jwks::fetch(&broker), Feed::fetch(&broker));
    let policies = broker.operator_sees("/admin/v1/status")["policies"]["digest"].clone();

    end(&mut broker);
    broker.start_again();
    assert_eq!(Jwks::fetch(&broker).kids(), keys.kids(), "the keys");
    assert_eq!(Feed::fetch(&broker).rules, feed.rules, "the rules");
    assert_eq!(Feed::fetch(&broker).claims["epoch"], feed.claims["epoch"], "the epoch");
    let tokens = [&live, &completed, &revoked, &quarantined];
    assert_eq!(tokens.map(|token| broker.stands(token)), [true, false, false, false], "the leases and their ends");
    assert_eq!(broker.ask(&Ask::of("demo").task("completed")).outcome(), (400, "invalid_grant".into()));
    assert_eq!(broker.ask(&Ask::of("other")).outcome(), (400, "unauthorized_client".into()));
    assert_eq!(broker.ask(&Ask::of("demo").assertion(&used)).outcome(), (401, "invalid_client".into()));
    assert_eq!(broker.operator_sees("/admin/v1/status")["policies"]["digest"], policies, "the policies");
    assert_eq!(broker.operator_sees("/admin/v1/leases?task=live")["leases"].as_array().unwrap().len(), 1);

    // And it goes on from there.
    let fresh = broker.mint("demo", "live");
    assert!(fresh.number("rev") >= 3);
    broker.complete("demo", "live").expect(204);
    assert!(!broker.stands(&live) && !broker.stands(&fresh));
    assert!(broker.audit().lines().len() > 8, "one chain over both runs");
}

fn a_kill_amid_mints_loses_none(backing: &Backing) {
    let mut broker = Broker::start(backing);
    let address = broker.address();
    let minters: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let mut tokens = Vec::new();
                let Ok(mut http) = crate::common::Http::tcp(address) else { return tokens };
                while let Ok(answer) = http.ask(&Ask::of("demo").request()) {
                    tokens.push(crate::common::Token::of(&answer.expect(200)));
                }
                tokens
            })
        })
        .collect();
    let minted = || broker.audit().lines().iter().filter(|line| line["event"] == "mint").count();
    crate::common::eventually("enough are minted", || (minted() > 50).then_some(()));
    broker.kill();
    let tokens: Vec<_> = minters.into_iter().flat_map(|minter| minter.join().unwrap()).collect();
    assert!(tokens.len() > 20);
    broker.start_again();
    for token in &tokens {
        assert!(broker.stands(token), "{}", token.claims);
        broker.audited(&[("event", "mint"), ("lease", &token.lease())]);
    }
}
