//! Renewal: a chain of leases, decided anew at each link, to its limit and no further.

use serde_json::json;

use crate::common::{Ask, Assertion, Backing, Broker, Token, eventually, now, on_both_stores};

on_both_stores!(
    a_lease_has_one_successor_and_both_stand,
    a_chain_ends_at_its_limit,
    revoking_a_lease_ends_its_successors_and_not_what_came_before,
    a_token_under_a_revoked_key_still_names_the_chain_to_end,
    only_a_standing_lease_of_one_s_own_is_renewed,
    a_bearer_token_renews_nothing,
);

fn a_lease_has_one_successor_and_both_stand(backing: &Backing) {
    let broker = Broker::start(backing);
    let first = broker.granted(&Ask::of("demo").task("t").with("scope", "orders:write").with("ttl", 60));
    let second = Token::of(&broker.renew("demo", &first.lease(), Some(120)).expect(200));
    for claim in ["sub", "aud", "scope", "txn", "iss"] {
        assert_eq!(second.claim(claim), first.claim(claim));
    }
    assert_ne!(second.lease(), first.lease());
    assert_eq!(second.number("exp"), second.number("iat") + 120);
    assert!(broker.stands(&first) && broker.stands(&second));

    assert_eq!(broker.renew("demo", &first.lease(), None).outcome(), (400, "invalid_grant".into()));
    let third = Token::of(&broker.renew("demo", &second.lease(), None).expect(200));
    let shown = broker.operator_sees(&format!("/admin/v1/leases/{}", second.lease()));
    assert_eq!(
        (shown["predecessor"].as_str(), shown["successor"].as_str()),
        (Some(&*first.lease()), Some(&*third.lease()))
    );
    broker.audited(&[("event", "renew"), ("lease", &third.lease()), ("predecessor", &second.lease())]);
    broker.complete("demo", "t").expect(204);
    assert!([first, second, third].iter().all(|token| !broker.stands(token)));
}

fn a_chain_ends_at_its_limit(backing: &Backing) {
    let broker = Broker::start(backing);
    let first = broker.granted(&Ask::of("brief").task("t").with("ttl", 2));
    let limit = first.number("iat") + 4;
    let second = Token::of(&broker.renew("brief", &first.lease(), Some(2)).expect(200));
    eventually("a second has passed", || (now() > first.number("iat")).then_some(()));
    let beyond = broker.renew("brief", &second.lease(), Some(4));
    assert_eq!(beyond.outcome(), (400, "invalid_request".into()), "{}", beyond.text());
    let third = Token::of(&broker.renew("brief", &second.lease(), None).expect(200));
    assert_eq!(third.number("exp"), limit, "without a ttl it gets what is left");
    eventually("the limit is reached", || (now() >= limit).then_some(()));
    assert_eq!(broker.renew("brief", &third.lease(), None).outcome(), (400, "invalid_grant".into()));
    assert_eq!(broker.renew("brief", &third.lease(), Some(1)).outcome(), (400, "invalid_grant".into()));
}

fn revoking_a_lease_ends_its_successors_and_not_what_came_before(backing: &Backing) {
    let broker = Broker::start(backing);
    let first = broker.mint("demo", "t");
    let renewed = |token: &Token| Token::of(&broker.renew("demo", &token.lease(), None).expect(200));
    let second = renewed(&first);
    let third = renewed(&second);
    broker.revoke("demo", &second.text).expect(200);
    assert_eq!([&first, &second, &third].map(|token| broker.stands(token)), [true, false, false]);
    assert_eq!(broker.renew("demo", &third.lease(), None).outcome(), (400, "invalid_grant".into()));
}

fn a_token_under_a_revoked_key_still_names_the_chain_to_end(backing: &Backing) {
    let broker = Broker::start(backing);
    let first = broker.mint("demo", "t");
    broker.operator("/admin/v1/keys/rotate", json!({"now": true})).expect(200);
    let second = Token::of(&broker.renew("demo", &first.lease(), None).expect(200));
    assert_ne!(first.kid(), second.kid());
    broker.operator_revokes(json!({"key": first.kid()}));
    assert_eq!([&first, &second].map(|token| broker.stands(token)), [false, true]);
    // Nobody vouches for what such a token says: it ends what is the caller's, and of another's nothing.
    let forged = Assertion::of("demo").header("typ", "at+jwt").header("kid", "nobody-s").claim("jti", second.lease());
    broker.revoke("other", &first.text).expect(200);
    broker.revoke("other", &forged.text()).expect(200);
    broker.revoke("demo", &format!("{}x", first.text)).expect(200);
    assert!(broker.stands(&second));
    broker.revoke("demo", &first.text).expect(200);
    assert!(!broker.stands(&second));
    assert_eq!(broker.renew("demo", &second.lease(), None).outcome(), (400, "invalid_grant".into()));
    broker.audited(&[("event", "revoke"), ("lease", &first.lease()), ("workload", "demo")]);
}

fn only_a_standing_lease_of_one_s_own_is_renewed(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "t");
    let unknown = "0190163d-8694-839b-aea5-966c26f8ad91";
    for (workload, lease) in [("other", &*token.lease()), ("demo", unknown), ("demo", "nonsense")] {
        let answer = broker.renew(workload, lease, None);
        assert_eq!(answer.outcome(), (400, "invalid_grant".into()), "{workload} {lease}");
    }
    broker.complete("demo", "t").expect(204);
    assert_eq!(broker.renew("demo", &token.lease(), None).outcome(), (400, "invalid_grant".into()));
}

fn a_bearer_token_renews_nothing(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "t");
    let request = crate::common::Request::new("POST", &format!("/v1/leases/{}/renew", token.lease()));
    let answer = broker.send(&request.bearer(&token.text));
    assert_eq!(answer.outcome(), (401, "invalid_token".into()));
    broker.renew("demo", &token.lease(), None).expect(200);
}
