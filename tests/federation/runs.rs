//! A run of a platform from its first token to its completed task; what its token may do, and for which task.

use serde_json::{Value, json};

use super::common::{Backing, Broker, Key, Platform, Token, complete_path, on_both_stores};
use super::{by, trusting};

on_both_stores!(
    a_run_is_its_own_task_and_its_token_may_be_shown_again,
    a_run_completes_itself_and_no_other,
    policies_and_the_audit_log_see_what_was_kept,
);

const RUN: &str =
    "claims = { repository_id = \"1\" }\nkeep = [\"repository\", \"actor\"]\ntask = \"{run_id}.{run_attempt}\"";

fn claims(run: u64) -> Value {
    json!({"repository_id": "1", "repository": "o/r", "run_id": run.to_string(), "run_attempt": 1, "sub": "repo:o/r"})
}

/// A platform, its key, and a broker that trusts it.
fn scene(backing: &Backing) -> (Platform, Key, Broker) {
    let (platform, key) = (Platform::http(), Key::rsa());
    platform.publish(&[(&key, "p1")]);
    let broker = trusting(&platform, RUN).start(backing);
    (platform, key, broker)
}

fn a_run_is_its_own_task_and_its_token_may_be_shown_again(backing: &Backing) {
    let (platform, key, broker) = scene(backing);
    let shown = platform.token(&key, "p1", claims(77));
    let token = broker.granted(&by(&shown));
    assert_eq!((token.claim("sub"), token.claim("txn")), ("job".into(), "77.1".into()));
    for _ in 0..3 {
        assert_ne!(broker.granted(&by(&shown)).claim("jti"), token.claim("jti"), "each is a lease of its own");
    }
    assert_eq!(broker.granted(&by(&shown).task("77.1")).claim("txn"), "77.1");
    assert_eq!(broker.granted(&by(&shown).task("77.1/migrate")).claim("txn"), "77.1/migrate");
    for other in ["78.1", "77", "77.10", "mine"] {
        let answer = broker.ask(&by(&shown).task(other));
        assert_eq!(answer.outcome(), (400, "invalid_request".into()), "{other}");
        assert!(answer.field("error_description").contains("77.1"), "{}", answer.text());
    }
    let nameless = platform.token(&key, "p1", json!({"repository_id": "1", "run_id": "77"}));
    let answer = broker.ask(&by(&nameless));
    assert_eq!(answer.outcome(), (400, "invalid_request".into()));
    assert!(answer.field("error_description").contains("run_attempt"), "{}", answer.text());
    let asked = platform.asked();
    assert_eq!(broker.granted(&by(&platform.token(&key, "p1", claims(78)))).claim("txn"), "78.1");
    assert_eq!(platform.asked(), asked, "keys that are known are not asked for");
}

fn a_run_completes_itself_and_no_other(backing: &Backing) {
    let (platform, key, broker) = scene(backing);
    let shown = platform.token(&key, "p1", claims(77));
    let other = platform.token(&key, "p1", claims(78));
    let by_form = |shown: &str, path: &str| broker.send(&by(shown).at(path));
    let (token, theirs) = (broker.granted(&by(&shown)), broker.granted(&by(&other)));
    let child = broker.granted(&by(&shown).task("77.1/step"));
    // Renewed by its own run alone.
    let renewed = by_form(&shown, &format!("/v1/leases/{}/renew", token.lease())).expect(200);
    assert_eq!(Token::of(&renewed).claim("txn"), "77.1");
    let answer = by_form(&shown, &format!("/v1/leases/{}/renew", theirs.lease()));
    assert_eq!(answer.outcome(), (400, "invalid_grant".into()), "{}", answer.text());
    // Introspected and revoked.
    let told = broker.send(&by(&shown).with("token", &child.text).at("/oauth2/introspect")).expect(200);
    assert_eq!(told.json()["active"], true);
    let second = broker.granted(&by(&shown));
    broker.send(&by(&shown).with("token", &second.text).at("/oauth2/revoke")).expect(200);
    assert!(!broker.stands(&second) && broker.stands(&token));
    // Another run's is not its own, though it is its workload's: not to be seen, and not to be ended.
    let told = broker.send(&by(&shown).with("token", &theirs.text).at("/oauth2/introspect")).expect(200);
    assert_eq!(told.json(), json!({"active": false}));
    broker.send(&by(&shown).with("token", &theirs.text).at("/oauth2/revoke")).expect(200);
    let nameless = platform.token(&key, "p1", json!({"repository_id": "1", "run_id": "78"}));
    broker.send(&by(&nameless).with("token", &theirs.text).at("/oauth2/revoke")).expect(200);
    assert!(broker.stands(&theirs), "ended by another run");
    // Completed.
    let answer = by_form(&shown, &complete_path("78.1"));
    assert_eq!(answer.outcome(), (400, "invalid_request".into()), "{}", answer.text());
    by_form(&shown, &complete_path("77.1/step")).expect(204);
    assert!(!broker.stands(&child) && broker.stands(&token));
    by_form(&shown, &complete_path("77.1")).expect(204);
    by_form(&shown, &complete_path("77.1")).expect(204);
    assert!(!broker.stands(&token) && broker.stands(&theirs));
    assert_eq!(broker.ask(&by(&shown)).outcome(), (400, "invalid_grant".into()), "the task has ended");
}

fn policies_and_the_audit_log_see_what_was_kept(backing: &Backing) {
    let (platform, key) = (Platform::http(), Key::ec());
    platform.publish(&[(&key, "p1")]);
    let forbid = "@id(\"not-by-mallory\") forbid (principal, action, resource) when { context.identity.type == \"oidc\" && \
                  context.identity.claims has actor && context.identity.claims.actor == \"mallory\" };";
    let broker = trusting(&platform, RUN).policy("actors.cedar", forbid).start(backing);
    let ask = |actor: &str| {
        let mut claims = claims(77);
        claims["actor"] = actor.into();
        claims["secret"] = "not kept".into();
        broker.ask(&by(&platform.token(&key, "p1", claims)))
    };
    ask("alice").expect(200);
    let refused = ask("mallory");
    assert_eq!(refused.outcome(), (400, "invalid_scope".into()));
    assert!(refused.field("error_description").contains("not-by-mallory"));
    let kept = |actor: &str| json!({"iss": platform.url(), "repository": "o/r", "actor": actor});
    let line = broker.decision(&refused.field("decision_id"));
    assert_eq!((&line["identity"], &line["claims"]), (&json!("oidc"), &kept("mallory")));
    let granted = broker.audited(&[("event", "mint"), ("outcome", "granted")]);
    assert_eq!((&granted["claims"], &granted["task"]), (&kept("alice"), &json!("77.1")));
}
