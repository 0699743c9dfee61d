//! Forward-auth on the broker's own listener, where its settings ask for it.

use crate::common::{API, Ask, Backing, Broker, Redis, Request, SECOND, Setup, Token, eventually};
use crate::process::{challenge, mint, of, revoke, told};
use crate::scene::tampered;

fn asked(proxy: &str) -> Setup {
    Setup::default()
        .set("JITNEY_SERVER_FORWARD_AUTH", "true")
        .set("JITNEY_SERVER_FORWARD_AUTH_AUDIENCES", API)
        .set("JITNEY_SERVER_FORWARD_AUTH_PROXY", proxy)
}

fn get(token: &str) -> Request {
    Request::get("/v1/forward-auth").bearer(token)
}

/// Whether the broker's own description has it.
fn is_described(broker: &Broker) -> bool {
    broker.get("/openapi.json").expect(200).json()["paths"].get("/v1/forward-auth").is_some()
}

#[test]
fn nobody_is_told_which_tokens_are_good_by_a_broker_that_is_not_asked_to() {
    let broker = Broker::start(&Backing::Embedded);
    let good = mint(&broker, &Ask::of("demo"));
    broker.send(&get(&good.text)).expect(404);
    assert!(!is_described(&broker));
    let nobody = Setup::default().set("JITNEY_SERVER_FORWARD_AUTH", "true").stopped(None).fails_to_start();
    let said = String::from_utf8_lossy(&nobody.stderr);
    assert!(said.contains("`forward_auth` without `forward_auth_audiences`"), "{said}");
}

#[test]
fn a_broker_that_is_asked_to_answers_a_proxy_as_a_guard_does() {
    let broker = asked("nginx").start(&Backing::Embedded);
    let good = mint(&broker, &Ask::of("demo"));
    let answer = broker.send(&get(&good.text)).expect(200);
    assert_eq!((told(&answer), answer.body.len()), (Some(of(&good)), 0));
    assert_eq!(challenge(&broker.get("/v1/forward-auth").expect(401)), r#"Bearer realm="jitney""#);
    broker.send(&get(&tampered(&good))).expect(401);
    let elsewhere = mint(&broker, &Ask::of("demo").with("resource", SECOND));
    let other = broker.send(&get(&elsewhere.text)).expect(401);
    assert!(challenge(&other).contains("it is for another audience"), "{other:?}");
    let foreign = broker.send(&get(&good.text).header("X-Forwarded-Uri", "/")).expect(403);
    assert!(challenge(&foreign).contains("x-forwarded-uri"), "{foreign:?}");
    eventually("the log says why", || broker.stderr().contains("x-forwarded-uri").then_some(()));
    assert!(!broker.stderr().contains(&good.text), "and nothing of the token");
    broker.send(&Request::new("POST", "/v1/forward-auth").bearer(&good.text)).expect(405);
    assert!(is_described(&broker));
    let figures = broker.admin(&Request::get("/metrics")).text();
    assert!(figures.contains(r#"jitney_request_seconds_count{endpoint="forward_auth"} 6"#), "{figures}");
    revoke(&broker, &good);
    let ended = broker.send(&get(&good.text)).expect(401);
    assert!(challenge(&ended).contains("it was revoked, by a rule on its lease"), "{ended:?}");
}

#[test]
fn an_audience_that_nobody_declares_is_told_when_it_is_loaded() {
    let typo = "https://api.exampel.com";
    let both = format!("{API},{typo}");
    let setup = asked("nginx").set("JITNEY_SERVER_FORWARD_AUTH_AUDIENCES", &both);
    let broker = setup.start(&Backing::Embedded);
    let said = broker.stderr();
    let told: Vec<&str> = said.lines().filter(|line| line.contains("no file of the policies declares it")).collect();
    assert!(told.len() == 1 && told[0].contains(typo), "{said}");
}

#[test]
fn envoy_s_paths_are_those_of_the_endpoint() {
    let broker = asked("envoy").start(&Backing::Embedded);
    let good = mint(&broker, &Ask::of("demo"));
    let at = |method: &str, path: &str| broker.send(&Request::new(method, path).bearer(&good.text));
    at("POST", "/v1/forward-auth/orders/7?x=1").expect(200);
    at("GET", "/v1/forward-authority").expect(404);
}

#[test]
fn what_ended_at_one_broker_has_ended_at_the_other_and_without_the_store_nobody_knows() {
    let redis = Redis::start();
    let [here, there] = [(); 2].map(|()| asked("none").start_on(Some(redis.url())));
    for _ in 0..20 {
        let token: Token = mint(&here, &Ask::of("demo"));
        there.send(&get(&token.text)).expect(200);
        revoke(&here, &token);
        there.send(&get(&token.text)).expect(401);
    }
    let token = mint(&here, &Ask::of("demo"));
    redis.kill();
    let answer = there.send(&get(&token.text)).expect(503);
    assert_eq!(answer.header("retry-after"), Some("1"));
}
