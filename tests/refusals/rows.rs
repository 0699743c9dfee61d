//! The table of refusals, row by row.

use serde_json::{Value, json};

use crate::common::{
    API, Answer, Ask, Assertion, Backing, Broker, JWT_BEARER, Request, SECOND, complete_path, key_of, on_both_stores,
};

on_both_stores!(
    a_known_caller_is_told_what_was_refused_and_the_log_knows_why,
    an_unknown_caller_is_invalid_client,
    a_challenge_comes_only_where_authorization_was_used,
    what_a_later_jitney_may_read_is_passed_over_and_the_answer_says_so,
    a_governance_gap_is_unauthorized_client,
    a_token_that_is_not_good_is_challenged,
    a_good_token_for_another_task_is_insufficient,
    every_endpoint_wants_to_know_who_asks,
    a_flood_of_unknown_callers_is_counted,
    what_is_not_served_has_no_decision,
);

/// Checks a refusal whole, its decision in the audit log included; gives its description.
#[track_caller]
fn refused(broker: &Broker, answer: &Answer, status: u16, error: &str) -> String {
    assert_eq!(answer.outcome(), (status, error.into()), "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let line = broker.decision(&answer.field("decision_id"));
    assert_eq!(line["outcome"], "refused", "{line}");
    assert!(line["refusal"].is_string(), "{line}");
    let description = answer.field("error_description");
    assert!(!description.is_empty() && description.chars().all(|c| matches!(c, ' '..='~') && c != '"' && c != '\\'));
    description
}

fn a_known_caller_is_told_what_was_refused_and_the_log_knows_why(backing: &Backing) {
    let broker = Broker::start(backing);
    broker.complete("demo", "ended").expect(204);
    let demo = || Ask::of("demo");
    let rows = [
        (demo().without("task"), "invalid_request", "task"),
        (demo().with("task", ""), "invalid_request", "task"),
        (demo().task("a//b"), "invalid_request", "task"),
        (demo().task("a/../b"), "invalid_request", "task"),
        (demo().task("/a"), "invalid_request", "task"),
        (demo().task("a b"), "invalid_request", "task"),
        (demo().task(&"x".repeat(129)), "invalid_request", "task"),
        (demo().without("resource"), "invalid_request", "resource"),
        (demo().also("audience", SECOND), "invalid_request", "differ"),
        (demo().also("resource", SECOND), "invalid_request", "differ"),
        (demo().with("ttl", 0), "invalid_request", "ttl"),
        (demo().with("ttl", -5), "invalid_request", "ttl"),
        (demo().with("ttl", "5m"), "invalid_request", "ttl"),
        (demo().with("ttl", "1.5"), "invalid_request", "ttl"),
        (demo().with("ttl", 601), "invalid_request", "600"),
        (demo().with("ttl", "99999999999999999999"), "invalid_request", "ttl"),
        (demo().without("scope"), "invalid_scope", "scope"),
        (demo().with("scope", "orders:eat"), "invalid_scope", "orders:eat"),
        (demo().with("scope", "orders:read orders:eat"), "invalid_scope", "orders:eat"),
        (demo().with("scope", "orders:purge"), "invalid_scope", "orders:purge"),
        (demo().with("scope", "orders:read orders:purge"), "invalid_scope", "orders:purge"),
        (demo().with("scope", "orders:read:*"), "invalid_scope", ""),
        (demo().with("scope", "orders:read\\"), "invalid_scope", ""),
        (Ask::of("nothing"), "invalid_scope", "orders:read"),
        (demo().with("resource", "https://nobody.example.com"), "invalid_target", ""),
        (demo().with("resource", format!("{API}/v2")), "invalid_target", ""),
        (demo().task("ended"), "invalid_grant", "ended"),
        (demo().task("ended/child"), "invalid_grant", "ended"),
    ];
    let mut http = broker.connect();
    for (ask, error, named) in rows {
        let description = refused(&broker, &http.ask(&ask.request()).unwrap(), 400, error);
        assert!(description.contains(named), "{description:?} does not name {named:?}: {ask:?}");
    }
    let good = [
        demo(),
        demo().with("resource", format!("{API}/")),
        demo().also("audience", API).also("resource", format!("{API}/")),
        demo().without("resource").with("audience", API),
        demo().with("colour", "red").with("ttl", ""),
    ];
    for ask in good {
        let token = http.ask(&ask.request()).unwrap().expect(200);
        assert_eq!(crate::common::Token::of(&token).claim("aud"), API, "the declared spelling");
    }
    let line = broker.audited(&[("refusal", "denied_scope"), ("workload", "demo")]);
    assert_eq!((line["audience"].clone(), line["policies"].clone()), (json!(API), json!(["nobody-purges"])), "{line}");
}

fn an_unknown_caller_is_invalid_client(backing: &Backing) {
    let broker = Broker::start(backing);
    let fresh = || Assertion::of("demo").text();
    let stranger = Assertion::of("stranger").text();
    let bare = |ask: &Ask| ask.clone().without("client_assertion").without("client_assertion_type");
    let ask = Ask::of("demo").assertion("x");
    let rows = [
        bare(&ask),
        bare(&ask).with("client_assertion", fresh()),
        bare(&ask).with("client_assertion_type", JWT_BEARER),
        bare(&ask)
            .with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
            .also("client_assertion", fresh()),
        bare(&ask).with("client_id", "demo").with("client_secret", "secret"),
        ask.clone().assertion("nonsense"),
        ask.clone().assertion("a.b.c"),
        ask.clone().assertion(stranger),
        ask.clone().assertion(Assertion::of("demo").signed(key_of("other"))),
    ];
    for ask in &rows {
        let answer = broker.ask(ask);
        refused(&broker, &answer, 401, "invalid_client");
        assert_eq!(answer.header("www-authenticate"), None, "RFC 6749 section 5.2");
    }
    // What is no client's business to be authenticated for.
    let rows = [
        (Ask::of("demo").with("grant_type", "password"), "unsupported_grant_type"),
        (
            Ask::of("demo").with("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            "unsupported_grant_type",
        ),
        (Ask::of("demo").without("grant_type"), "invalid_request"),
    ];
    for (ask, error) in rows {
        refused(&broker, &broker.ask(&ask), 400, error);
    }
    // RFC 6749 section 2.3: one way to authenticate, not two.
    for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", &complete_path("t")] {
        let ask = Ask::of("demo").with("token", "x").with("client_secret", "hush").at(path);
        let description = refused(&broker, &broker.send(&ask), 400, "invalid_request");
        assert!(description.contains("client_secret") && !description.contains("hush"), "{description}");
    }
    for twice in ["grant_type", "task", "scope", "ttl", "client_assertion"] {
        let ask = Ask::of("demo").with("ttl", 5).assertion(fresh()).also(twice, "again");
        let description = refused(&broker, &broker.ask(&ask), 400, "invalid_request");
        assert!(description.contains(twice), "{description}");
    }
    broker.mint("demo", "t");
}

fn a_challenge_comes_only_where_authorization_was_used(backing: &Backing) {
    let broker = Broker::start(backing);
    for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"] {
        let basic = Ask::of("demo").at(path).header("Authorization", "Basic ZGVtbzpzZWNyZXQ=");
        let answer = broker.send(&basic);
        refused(&broker, &answer, 401, "invalid_client");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Basic "));
    }
}

fn what_a_later_jitney_may_read_is_passed_over_and_the_answer_says_so(backing: &Backing) {
    let broker = Broker::start(backing);
    let details = r#"[{"type":"order","actions":["read"]}]"#;
    let ask = Ask::of("demo").with("authorization_details", details).at("/oauth2/token").header("DPoP", "e30.e30.e30");
    let answer = broker.send(&ask).expect(200).json();
    assert_eq!(answer["token_type"], "Bearer");
    assert!(answer["scope"].is_string() && answer.get("authorization_details").is_none(), "{answer}");
    let metadata = broker.get("/.well-known/oauth-authorization-server").expect(200).json();
    for later in ["authorization_details_types_supported", "dpop_signing_alg_values_supported"] {
        assert!(metadata.get(later).is_none(), "{later}");
    }
}

fn a_governance_gap_is_unauthorized_client(backing: &Backing) {
    let broker = Broker::start(backing);
    for workload in ["expired", "no-owner", "no-purpose", "no-expires"] {
        refused(&broker, &broker.ask(&Ask::of(workload)), 400, "unauthorized_client");
    }
    broker.operator("/admin/v1/workloads/demo/quarantine", json!({"reason": "a test"})).expect(200);
    refused(&broker, &broker.ask(&Ask::of("demo")), 400, "unauthorized_client");
    refused(&broker, &broker.ask(&Ask::of(API)), 400, "unauthorized_client");
    broker.mint("other", "t");
}

fn a_token_that_is_not_good_is_challenged(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "t");
    let revoked = broker.mint("demo", "t");
    broker.revoke("demo", &revoked.text).expect(200);
    let forged = Assertion::of("demo").header("typ", "at+jwt").header("kid", token.kid()).claims(token.claims.clone());
    let forged = forged.signed(key_of("stranger"));
    let cut = &token.text[..token.text.len() - 4];
    for text in ["nonsense", cut, &forged, &Assertion::of("demo").text(), &revoked.text] {
        let answer = broker.complete_by(text, "t");
        refused(&broker, &answer, 401, "invalid_token");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer ") && challenge.contains(r#"error="invalid_token""#), "{challenge}");
    }
    for request in [
        Request::new("POST", &complete_path("t")),
        Request::new("POST", &format!("/v1/leases/{}/renew", token.lease())),
        Request::new("POST", &complete_path("t")).header("Authorization", "Basic eDp5"),
    ] {
        let answer = broker.send(&request);
        refused(&broker, &answer, 401, "invalid_token");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer") && !challenge.contains("error"), "{challenge}");
    }
    let renew = Request::new("POST", &format!("/v1/leases/{}/renew", token.lease())).bearer(&token.text);
    let answer = broker.send(&renew);
    refused(&broker, &answer, 401, "invalid_token");
    assert!(answer.header("www-authenticate").unwrap().contains(r#"error="invalid_token""#));
    assert!(broker.stands(&token), "none of it ended anything");
}

fn a_good_token_for_another_task_is_insufficient(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "deploy/migrate");
    for task in ["deploy", "deploy/migrate/1", "other", "deploy%2Fmigrate"] {
        let answer = broker.complete_by(&token.text, task);
        refused(&broker, &answer, 403, "insufficient_scope");
        assert!(answer.header("www-authenticate").unwrap().contains(r#"error="insufficient_scope""#));
    }
    let both = Ask::bare("demo").at(&complete_path("deploy/migrate")).bearer(&token.text);
    refused(&broker, &broker.send(&both), 400, "invalid_request");
    assert!(broker.stands(&token));
    for task in ["a//b", "a b", "%20", "%ff", "a%00"] {
        let request =
            Ask::bare("demo").at(&format!("/v1/tasks/{}/complete", task.replace('/', "%2F").replace(' ', "%20")));
        refused(&broker, &broker.send(&request), 400, "invalid_request");
    }
}

fn every_endpoint_wants_to_know_who_asks(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "t");
    let lease = format!("/v1/leases/{}/renew", token.lease());
    for path in ["/oauth2/introspect", "/oauth2/revoke", &complete_path("t"), &lease] {
        let ask = Ask::nobody().assertion(Assertion::of("demo").signed(key_of("other"))).with("token", &token.text);
        refused(&broker, &broker.send(&ask.at(path)), 401, "invalid_client");
    }
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        refused(&broker, &broker.send(&Ask::nobody().with("token", &token.text).at(path)), 401, "invalid_client");
        refused(&broker, &broker.send(&Ask::bare("demo").at(path)), 400, "invalid_request");
    }
    assert!(broker.stands(&token));
}

fn a_flood_of_unknown_callers_is_counted(backing: &Backing) {
    let broker = Broker::start(backing);
    let mut http = broker.connect();
    let flood = Ask::of("demo").assertion("nonsense").request();
    let mut ids = std::collections::HashSet::new();
    for _ in 0..200 {
        let answer = http.ask(&flood).unwrap();
        assert_eq!(answer.outcome(), (401, "invalid_client".into()));
        ids.insert(answer.field("decision_id"));
    }
    assert_eq!(ids.len(), 200, "each has a decision_id of its own");
    let count = |line: &Value| line["count"].as_u64().unwrap_or_default();
    let of = |event: &str| {
        let audit = broker.audit();
        let lines = audit.lines().iter().filter(|line| line["event"] == event && line["refusal"] == "invalid_client");
        lines.cloned().collect::<Vec<_>>()
    };
    crate::common::eventually("all are written or counted", || {
        let (written, counted) = (of("mint").len() as u64, of("refused.summary").iter().map(count).sum::<u64>());
        (written + counted == 200).then_some(())
    });
    assert!(of("mint").len() < 100, "{} lines", of("mint").len());
    // A known caller's refusal has its line all the same.
    let known = http.ask(&Ask::of("nothing").request()).unwrap();
    refused(&broker, &known, 400, "invalid_scope");
}

fn what_is_not_served_has_no_decision(backing: &Backing) {
    let broker = Broker::start(backing);
    let form = Ask::of("demo").form();
    let rows = [
        (Request::get("/nothing/here"), 404),
        (Request::new("POST", "/oauth2"), 404),
        (Request::new("POST", "/v1/tasks/a/b/complete"), 404),
        (Request::get("/admin/v1/status"), 404),
        (Request::get("/metrics"), 404),
        (Request::get("/v1/forward-auth"), 404),
        (Request::get("/oauth2/token"), 405),
        (Request::new("DELETE", "/oauth2/jwks"), 405),
        (Request::get(&complete_path("t")), 405),
        (Request::form("/oauth2/token", &format!("{form}&x={}", "x".repeat(70_000))), 413),
        (Request::new("POST", "/oauth2/token").header("Content-Type", "application/json").body("{}"), 415),
        (Request::new("POST", "/oauth2/token").body(&form), 415),
        (Request::new("POST", &complete_path("t")).header("Content-Type", "text/plain").body("x"), 415),
        (Request::get("/oauth2/jwks").header("X-Long", &"x".repeat(20_000)), 431),
    ];
    for (request, status) in rows {
        let answer = broker.send(&request);
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&request.bytes()[..60]));
        assert!(answer.json().get("decision_id").is_none(), "{}", answer.text());
        if status == 405 {
            assert!(answer.header("allow").is_some_and(|allow| !allow.is_empty()), "RFC 9110 section 15.5.6");
        }
        broker.get("/livez").expect(200);
    }
    broker.mint("demo", "t");
}
