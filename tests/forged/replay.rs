//! An assertion counts once: in a row, at once, at whichever endpoint, at whichever broker of a store.

use std::sync::Barrier;

use serde_json::json;

use crate::common::{
    API, Ask, Assertion, Backing, Broker, ISSUER, Redis, Setup, base64url, complete_path, from_base64url, key_of,
    on_both_stores,
};

on_both_stores!(
    in_a_row_it_counts_once,
    in_other_words_it_counts_once,
    at_once_it_counts_once,
    at_all_endpoints_together_it_counts_once,
    what_ends_a_token_ends_its_other_spelling,
);

const REPLAYED: u16 = 401;

fn in_a_row_it_counts_once(backing: &Backing) {
    let broker = Broker::start(backing);
    let used = Ask::of("demo").assertion(Assertion::of("demo").text());
    let token = broker.granted(&used);
    for _ in 0..3 {
        let again = broker.ask(&used);
        assert_eq!(again.outcome(), (401, "invalid_client".into()));
        assert_eq!(broker.decision(&again.field("decision_id"))["refusal"], "invalid_client");
    }
    assert!(broker.stands(&token), "whoever replays ends nothing");
    // One that got nothing is used up too.
    let refused = Ask::of("nothing").assertion(Assertion::of("nothing").text());
    assert_eq!(broker.ask(&refused).outcome(), (400, "invalid_scope".into()));
    assert_eq!(broker.ask(&refused).outcome(), (401, "invalid_client".into()));
    // The same jti of another client is another assertion.
    let same = |client: &str| Ask::of(client).assertion(Assertion::of(client).claim("jti", "same").text());
    broker.granted(&same("demo"));
    broker.granted(&same("other"));
    assert_eq!(broker.ask(&same("demo")).status, REPLAYED, "a jti counts, not a text");
}

/// A text may be changed so that its signature still fits, or signed anew: the jti says that it is the same.
fn in_other_words_it_counts_once(backing: &Backing) {
    let broker = Broker::start(backing);
    let good = Assertion::of("demo");
    let text = good.clone().text();
    broker.granted(&Ask::of("demo").assertion(&text));
    let rows = [
        ("the other s", mirrored(&text)),
        ("signed again", good.clone().text()),
        ("another header", good.clone().header("typ", "JWT").text()),
        ("the issuer in a list", good.clone().claim("aud", json!([ISSUER])).text()),
        ("the jti escaped", Assertion::raw(r#"{"alg":"ES256"}"#, &escaped(&good), key_of("demo"))),
    ];
    for (what, text) in rows {
        let answer = broker.ask(&Ask::of("demo").assertion(&text));
        assert_eq!(answer.outcome(), (401, "invalid_client".into()), "{what}");
        assert!(answer.field("error_description").contains("used before"), "{what}: {}", answer.text());
    }
    let renamed = good.clone().claim("jti", format!("{}+", crate::common::Token::read(&text).claim("jti")));
    broker.granted(&Ask::of("demo").assertion(renamed.text()));
}

/// The same JWS with the other `s`, which fits as well.
fn mirrored(text: &str) -> String {
    let (message, signature) = text.rsplit_once('.').unwrap();
    let mut signature = from_base64url(signature);
    let s = crate::encodings::mirrored(&signature[32..]);
    signature[32..].copy_from_slice(&s);
    format!("{message}.{}", base64url(signature))
}

fn what_ends_a_token_ends_its_other_spelling(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "t");
    let other = mirrored(&token.text);
    let is_active = |text: &str| broker.introspect(API, text)["active"].as_bool().unwrap();
    assert!(is_active(&token.text) && is_active(&other));
    broker.revoke("demo", &token.text).expect(200);
    assert!(!is_active(&token.text) && !is_active(&other));
    let refused = broker.complete_by(&other, "t");
    assert_eq!(refused.outcome(), (401, "invalid_token".into()), "{}", refused.text());
}

/// The claims with the first letter of the jti as an escape.
fn escaped(good: &Assertion) -> String {
    let claims = good.claims_text();
    let at = claims.find(r#""jti":""#).unwrap() + 7;
    format!("{}\\u{:04x}{}", &claims[..at], claims.as_bytes()[at], &claims[at + 1..])
}

fn at_once_it_counts_once(backing: &Backing) {
    let broker = Broker::start(backing);
    for _ in 0..5 {
        assert_eq!(won(&[&broker], 16, &Ask::of("demo").assertion(Assertion::of("demo").text())), 1);
    }
}

fn at_all_endpoints_together_it_counts_once(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "t");
    let renew = format!("/v1/leases/{}/renew", token.lease());
    let complete = complete_path("never");
    let paths = ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", &complete, &renew];
    for first in paths {
        let assertion = Assertion::of("demo").text();
        let ask = Ask::of("demo").assertion(assertion).with("token", "nonsense");
        let answer = broker.send(&ask.at(first));
        assert!(answer.status < 300, "{first}: {}", answer.text());
        for second in paths {
            assert_eq!(broker.send(&ask.at(second)).status, REPLAYED, "{first}, then {second}");
        }
    }
}

#[test]
fn at_two_brokers_it_counts_once() {
    let redis = Redis::start();
    let brokers = [Setup::default().start_on(Some(redis.url())), Setup::default().start_on(Some(redis.url()))];
    let ask = Ask::of("demo").assertion(Assertion::of("demo").text());
    brokers[0].granted(&ask);
    assert_eq!(brokers[1].ask(&ask).status, REPLAYED);
    for _ in 0..5 {
        let ask = Ask::of("demo").assertion(Assertion::of("demo").text());
        assert_eq!(won(&[&brokers[0], &brokers[1]], 8, &ask), 1);
    }
}

/// How many of so many threads a broker get a token by the same request at the same moment.
fn won(brokers: &[&Broker], threads: usize, ask: &Ask) -> usize {
    let (request, barrier) = (ask.request(), Barrier::new(brokers.len() * threads));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..brokers.len() * threads)
            .map(|at| {
                let (mut http, request, barrier) = (brokers[at % brokers.len()].connect(), &request, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    http.ask(request).unwrap().status
                })
            })
            .collect();
        asking.into_iter().map(|each| each.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, 200 | 401)), "{statuses:?}");
    statuses.iter().filter(|status| **status == 200).count()
}
