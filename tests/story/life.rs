//! The life of a token: granted, verified offline and by introspection, completed or revoked, refused from then on.

use serde_json::{Value, json};

use crate::common::{
    API, Ask, Assertion, Backing, Broker, ISSUER, Jwks, SECOND, Setup, Token, eventually, key_of_kind, now,
    on_both_stores,
};

on_both_stores!(
    a_token_says_what_was_granted_and_its_keys_are_published,
    a_completed_task_is_over_at_once_and_stays_over,
    ending_a_task_ends_its_children_and_nobody_else_s,
    a_task_that_never_lived_can_be_closed,
    a_closed_name_is_free_again_after_its_time,
    a_token_completes_its_task_also_after_its_end,
    a_token_that_is_over_ends_nothing_of_a_name_that_lives_again,
    introspection_tells_each_what_is_theirs,
    a_workload_revokes_its_own_tokens_only,
    a_lease_ends_at_its_time,
    a_task_may_be_named_by_the_broker,
    the_shell_ends_a_task_that_the_broker_named,
    every_algorithm_and_key_is_taken,
    times_are_granted_whole_or_not_at_all,
    several_tokens_share_a_task_and_end_together,
);

fn a_token_says_what_was_granted_and_its_keys_are_published(backing: &Backing) {
    let broker = Broker::start(backing);
    let ask = Ask::of("demo").task("build-42").with("scope", "orders:write orders:read");
    let before = now();
    let answer = broker.ask(&ask).expect(200);
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 300);
    assert_eq!((body["scope"].clone(), body["task"].clone()), (json!("orders:write orders:read"), json!("build-42")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let token = Jwks::fetch(&broker).check(&answer.field("access_token"), "at+jwt").unwrap();
    assert_eq!(token.header, json!({"alg": "ES256", "typ": "at+jwt", "kid": token.kid()}));
    let iat = token.number("iat");
    assert!((before..=now()).contains(&iat));
    let expected = json!({
        "iss": ISSUER, "sub": "demo", "client_id": "demo", "aud": API, "iat": iat, "nbf": iat, "exp": iat + 300,
        "jti": body["lease_id"], "scope": "orders:write orders:read", "txn": "build-42", "rev": 0,
    });
    assert_eq!(token.claims, expected);
    let line = broker.audited(&[("event", "mint"), ("lease", &token.lease())]);
    assert_eq!((line["outcome"].clone(), line["policies"].clone()), (json!("granted"), json!(["most-do-all"])));
}

fn a_completed_task_is_over_at_once_and_stays_over(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "build-42");
    let (other, others) = (broker.mint("demo", "build-43"), broker.mint("other", "build-42"));
    assert!(broker.stands(&token));

    assert_eq!(broker.complete("demo", "build-42").expect(204).body, b"");
    assert!(!broker.stands(&token));
    broker.complete("demo", "build-42").expect(204);

    let late = broker.ask(&Ask::of("demo").task("build-42"));
    assert_eq!(late.outcome(), (400, "invalid_grant".into()));
    assert_eq!(broker.decision(&late.field("decision_id"))["refusal"], "task_ended");
    assert!(!broker.stands(&token), "a late retry wakes nothing");
    assert!(broker.stands(&other) && broker.stands(&others), "one task is ended, and one workload's");
    broker.mint("other", "build-42");
    broker.audited(&[("event", "complete"), ("task", "build-42"), ("workload", "demo")]);
}

fn ending_a_task_ends_its_children_and_nobody_else_s(backing: &Backing) {
    let broker = Broker::start(backing);
    let [parent, child, grandchild, sibling] =
        ["deploy", "deploy/migrate", "deploy/migrate/1", "deploy-2"].map(|task| broker.mint("demo", task));
    broker.complete("demo", "deploy/migrate").expect(204);
    assert!(broker.stands(&parent) && !broker.stands(&child) && !broker.stands(&grandchild));
    assert_eq!(broker.ask(&Ask::of("demo").task("deploy/migrate/2")).outcome(), (400, "invalid_grant".into()));
    broker.mint("demo", "deploy/check");

    broker.complete("demo", "deploy").expect(204);
    assert!(!broker.stands(&parent) && broker.stands(&sibling));
    assert_eq!(broker.ask(&Ask::of("demo").task("deploy/check")).outcome(), (400, "invalid_grant".into()));
}

fn a_task_that_never_lived_can_be_closed(backing: &Backing) {
    let broker = Broker::start(backing);
    broker.complete("demo", "never").expect(204);
    broker.complete("demo", "never").expect(204);
    assert_eq!(broker.ask(&Ask::of("demo").task("never")).outcome(), (400, "invalid_grant".into()));
    broker.mint("other", "never");
}

fn a_closed_name_is_free_again_after_its_time(backing: &Backing) {
    let broker = Setup::default().set("JITNEY_TASKS_CLOSED_FOR", "2s").start(backing);
    let token = broker.mint("demo", "t");
    broker.complete("demo", "t").expect(204);
    let completed = now();
    let retry = || Some(broker.ask(&Ask::of("demo").task("t"))).filter(|answer| answer.status == 200);
    let fresh = Token::of(&eventually("the name is free again", retry));
    assert!(now() >= completed + 2, "not before its time");
    assert!(broker.stands(&fresh) && !broker.stands(&token), "and what was ended stays ended");
}

fn a_token_completes_its_task_also_after_its_end(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "t/1");
    let same = broker.mint("demo", "t/1");
    broker.complete_by(&token.text, "t/1").expect(204);
    assert!(!broker.stands(&token) && !broker.stands(&same));
    broker.complete_by(&token.text, "t/1").expect(204);
    // One that was revoked otherwise completes nothing.
    let revoked = broker.mint("demo", "t/2");
    broker.revoke("demo", &revoked.text).expect(200);
    assert_eq!(broker.complete_by(&revoked.text, "t/2").outcome(), (401, "invalid_token".into()));
    broker.mint("demo", "t/2");
    drop(broker);

    let strict = Setup::default().set("JITNEY_TASKS_BEARER_COMPLETE", "false").start(backing);
    let token = strict.mint("demo", "t/3");
    assert_eq!(strict.complete_by(&token.text, "t/3").outcome(), (403, "insufficient_scope".into()));
    assert!(strict.stands(&token));
}

fn a_token_that_is_over_ends_nothing_of_a_name_that_lives_again(backing: &Backing) {
    let broker = Setup::default().set("JITNEY_TASKS_CLOSED_FOR", "2s").start(backing);
    let old = broker.mint("demo", "t");
    broker.complete_by(&old.text, "t").expect(204);
    let retry = || Some(broker.ask(&Ask::of("demo").task("t"))).filter(|answer| answer.status == 200);
    let fresh = Token::of(&eventually("the name is free again", retry));
    for _ in 0..3 {
        broker.complete_by(&old.text, "t").expect(204);
    }
    assert!(broker.stands(&fresh));
    broker.mint("demo", "t");
    broker.complete_by(&fresh.text, "t").expect(204);
    assert!(!broker.stands(&fresh));
}

fn introspection_tells_each_what_is_theirs(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "t");
    let mut expected = token.claims.clone();
    expected["active"] = json!(true);
    expected["token_type"] = json!("Bearer");
    assert_eq!(broker.introspect(API, &token.text), expected);
    assert_eq!(broker.introspect("demo", &token.text), expected);

    let nothing = json!({"active": false});
    assert_eq!(broker.introspect("other", &token.text), nothing);
    assert_eq!(broker.introspect(SECOND, &token.text), nothing);
    let (body, signature) = token.text.rsplit_once('.').unwrap();
    let forged = format!("{body}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    // The last character carries bits that mean nothing: with them set, it is another spelling of the same signature.
    let last = char::from(signature.as_bytes()[signature.len() - 1] + 1);
    let respelt = format!("{body}.{}{last}", &signature[..signature.len() - 1]);
    let alien = Assertion::of("demo").header("typ", "at+jwt").header("kid", token.kid()).text();
    for text in ["nonsense", "a.b.c", &forged, &respelt, &alien, &token.text[1..]] {
        assert_eq!(broker.introspect(API, text), nothing, "{text}");
    }
}

fn a_workload_revokes_its_own_tokens_only(backing: &Backing) {
    let broker = Broker::start(backing);
    let (token, same_task) = (broker.mint("demo", "t"), broker.mint("demo", "t"));
    broker.revoke("other", &token.text).expect(200);
    broker.revoke("demo", "nonsense").expect(200);
    broker.revoke(API, &token.text).expect(200);
    assert!(broker.stands(&token));
    broker.revoke("demo", &token.text).expect(200);
    assert!(!broker.stands(&token) && broker.stands(&same_task));
    broker.revoke("demo", &token.text).expect(200);
    broker.mint("demo", "t");
    broker.audited(&[("event", "revoke"), ("lease", &token.lease()), ("workload", "demo")]);
}

fn a_lease_ends_at_its_time(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.granted(&Ask::of("demo").task("t").with("ttl", 1));
    assert_eq!(token.number("exp"), token.number("iat") + 1);
    eventually("the token has expired", || (!broker.stands(&token)).then_some(()));
    assert!(now() >= token.number("exp"));
    let shown = broker.operator_sees(&format!("/admin/v1/leases/{}", token.lease()));
    assert_eq!(shown["state"], "expired");
    broker.complete_by(&token.text, "t").expect(401);
    broker.mint("demo", "t");
}

fn a_task_may_be_named_by_the_broker(backing: &Backing) {
    let broker = Broker::start(backing);
    let ask = Ask::of("auto").without("task");
    let (one, another) = (broker.granted(&ask), broker.granted(&ask));
    assert_ne!(one.claim("txn"), another.claim("txn"));
    broker.complete("auto", &one.claim("txn")).expect(204);
    assert!(!broker.stands(&one) && broker.stands(&another));
    assert_eq!(broker.mint("auto", "named").claim("txn"), "named");
}

fn the_shell_ends_a_task_that_the_broker_named(backing: &Backing) {
    let broker = Broker::start(backing);
    let cli = |words: &[&str]| {
        let output = broker.cli("auto", words);
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
            (Some(0), ""),
            "{words:?}"
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let ask = ["--audience", API, "--scope", "orders:read"];
    let one = Token::read(&cli(&[&["token"][..], &ask].concat()));
    let file = broker.data().join("token");
    std::fs::write(&file, &one.text).unwrap();
    assert!(broker.stands(&one));
    cli(&["complete", "--token-file", file.to_str().unwrap()]);
    assert!(!broker.stands(&one));
    // `run` remembers it.
    let command = ["--", "sh", "-c", "cat \"$JITNEY_TOKEN_FILE\""];
    let another = Token::read(&cli(&[&["run"][..], &ask, &command].concat()));
    assert_ne!(another.claim("txn"), one.claim("txn"));
    assert!(!broker.stands(&another));
    broker.ask(&Ask::of("auto").task(&another.claim("txn"))).expect(400);
}

fn every_algorithm_and_key_is_taken(backing: &Backing) {
    let broker = Broker::start(backing);
    for (kind, alg) in [("ec", "ES256"), ("ed", "EdDSA"), ("ed", "Ed25519"), ("rsa", "RS256"), ("rsa", "PS256")] {
        for kid in [Value::Null, kind.into()] {
            let assertion = Assertion::of("algs").header("alg", alg).header("kid", kid).signed(key_of_kind(kind));
            broker.granted(&Ask::of("algs").assertion(assertion));
        }
    }
    for (party, kid) in [("twin-a", "a"), ("twin-b", "b")] {
        let assertion = Assertion::of("twins").header("kid", kid).signed(crate::common::key_of(party));
        broker.granted(&Ask::of("twins").assertion(assertion));
    }
}

fn times_are_granted_whole_or_not_at_all(backing: &Backing) {
    let setup = Setup::default().set("JITNEY_TOKENS_DEFAULT_TTL", "15m");
    let broker = setup.start(backing);
    let lifetime = |token: &Token| token.number("exp") - token.number("iat");
    let default = broker.granted(&Ask::of("demo"));
    assert_eq!(lifetime(&default), 600, "the default is cut to what is allowed");
    assert_eq!(lifetime(&broker.granted(&Ask::of("demo").with("ttl", 600))), 600);
    let longer = broker.ask(&Ask::of("demo").with("ttl", 601));
    assert_eq!(longer.outcome(), (400, "invalid_request".into()));
    assert!(longer.field("error_description").contains("600"), "the longest is named: {}", longer.text());
    assert_eq!(lifetime(&broker.granted(&Ask::of("brief"))), 4);
    let longer = broker.ask(&Ask::of("brief").with("ttl", 5));
    assert_eq!(longer.outcome(), (400, "invalid_request".into()));
    assert!(longer.field("error_description").contains("brief-is-brief"), "its rule is named: {}", longer.text());
}

fn several_tokens_share_a_task_and_end_together(backing: &Backing) {
    let broker = Broker::start(backing);
    let mut tokens =
        vec![broker.mint("demo", "t"), broker.granted(&Ask::of("demo").task("t").with("resource", SECOND))];
    tokens.push(broker.granted(&Ask::of("demo").task("t").with("scope", "orders:read:42")));
    assert_eq!(tokens[2].claim("scope"), "orders:read:42");
    assert_eq!(broker.operator_sees("/admin/v1/leases?task=t")["leases"].as_array().unwrap().len(), 3);
    broker.complete("demo", "t").expect(204);
    assert!(tokens.iter().all(|token| !broker.stands(token)));
}
