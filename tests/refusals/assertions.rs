//! Client assertions (RFC 7523): what is taken. What is refused is the table of `tests/forged.rs`.

use serde_json::{Value, json};

use crate::common::{Ask, Assertion, Backing, Broker, ISSUER, Request, Setup, now, on_both_stores};

on_both_stores!(
    what_the_contract_allows_is_taken,
    the_endpoint_s_url_counts_only_by_configuration,
    a_token_of_the_broker_s_own_is_no_assertion,
);

fn take(broker: &Broker, client: &str, assertion: &str) -> (u16, String) {
    let answer = broker.ask(&Ask::of(client).assertion(assertion));
    let description = answer.field("error_description");
    if answer.status != 200 {
        assert_eq!(answer.outcome(), (401, "invalid_client".into()), "{}", answer.text());
        assert!(!answer.field("decision_id").is_empty());
    }
    (answer.status, description)
}

fn what_the_contract_allows_is_taken(backing: &Backing) {
    let broker = Broker::start(backing);
    let (now, demo) = (now(), || Assertion::of("demo"));
    let rows = [
        demo(),
        demo().claim("aud", json!([ISSUER])),
        demo().claim("iat", Value::Null).claim("exp", now + 290),
        demo().claims(json!({"iat": now - 250, "exp": now + 3590})),
        demo().claims(json!({"iat": now + 20, "nbf": now + 20, "exp": now + 60})),
        demo().claims(json!({"iat": now - 60, "exp": now - 20})),
        demo().claim("nbf", 0).claim("whatever", json!({"deep": [1, {"x": null}]})),
        demo().header("typ", "JWT"),
        demo().header("typ", "jwt"),
        demo().header("typ", "client-authentication+jwt"),
        demo().header("whatever", "more"),
    ];
    for assertion in rows {
        assert_eq!(take(&broker, "demo", &assertion.clone().text()).0, 200, "{assertion:?}");
    }
    let ask = Ask::of("demo").with("client_id", "demo");
    broker.granted(&ask);
    let other = broker.ask(&Ask::of("demo").with("client_id", "other"));
    assert_eq!(other.outcome(), (401, "invalid_client".into()));
}

fn the_endpoint_s_url_counts_only_by_configuration(backing: &Backing) {
    let broker = Setup::default().set("JITNEY_SERVER_ACCEPT_ENDPOINT_AUDIENCE", "true").start(backing);
    let named = |path: &str| Assertion::of("demo").claim("aud", format!("{ISSUER}{path}")).text();
    assert_eq!(take(&broker, "demo", &named("/oauth2/token")).0, 200);
    assert_eq!(take(&broker, "demo", &named("/oauth2/revoke")).0, 401, "that of another endpoint");
    assert_eq!(take(&broker, "demo", &named("")).0, 200);
    let complete = Ask::nobody().assertion(named("/v1/tasks/t/complete")).at("/v1/tasks/t/complete");
    broker.send(&complete).expect(204);
}

fn a_token_of_the_broker_s_own_is_no_assertion(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "t");
    let snapshot = broker.get("/v1/revocations?once=1").text();
    let snapshot = snapshot.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned();
    for text in [&token.text, &snapshot] {
        assert_eq!(take(&broker, "demo", text).0, 401);
    }
    assert_eq!(broker.complete_by(&snapshot, "t").status, 401);
    let ask = Request::form("/oauth2/token", &Ask::of("demo").with("client_assertion", &token.text).form());
    assert_eq!(broker.send(&ask).outcome(), (400, "invalid_request".into()), "an assertion twice");
}
