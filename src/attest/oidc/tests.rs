//! Platform tokens under pinned keys: whose they are, and everything that makes them nobody's.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::fixtures::{ISSUER, Key, NOW, attestor, with};
use super::super::{Attestor, Caller, ClientAuth, Endpoint, Fault, TaskBy, Unproven};
use crate::model::{Reason, TaskId, UnixTime};
use crate::policy::{PolicySet, SingleUse};

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const CLUSTER: &str = "https://cluster.example.com";

struct World {
    rsa: Key,
    ec: Key,
    ed: Key,
    stranger: Key,
    /// Of the cluster.
    other: Key,
    set: PolicySet,
}

const HEAD: &str = "owner = \"t\"\npurpose = \"p\"\nexpires = 2027-06-30\n";

fn identity(issuer: &str, keys: &str, more: &str) -> String {
    format!("[[identity]]\ntype = \"oidc\"\nissuer = \"{issuer}\"\njwks_file = \"{keys}\"\n{more}\n")
}

impl World {
    fn new() -> Self {
        let (rsa, ec, ed, stranger, other) = (Key::rsa(), Key::ec(), Key::ed(), Key::ec(), Key::ec());
        let keys = json!({"keys": [rsa.jwk(Some("r")), ec.jwk(Some("e")), ed.jwk(Some("d"))]});
        let cluster_keys = json!({"keys": [other.jwk(Some("c"))]});
        let deploy = "claims = { repository_id = \"1\", ref = { glob = \"refs/tags/v*\" } }\nkeep = [\"repository\", \"ref\", \
                      \"actor\"]\ntask = \"{run_id}.{run_attempt}\"";
        let pod = "claims = { sub = \"system:serviceaccount:ci:builder\" }\naudience = \"jitney\"\nkeep = \
                   [\"kubernetes.io/namespace\"]\ntask = \"auto\"";
        let twin = "claims = { repository_id = \"2\", environment = \"production\" }";
        let files = [
            ("workloads/deploy.toml", format!("{HEAD}{}", identity(GITHUB, "platform.jwks.json", deploy))),
            ("workloads/twin-a.toml", format!("{HEAD}{}", identity(GITHUB, "platform.jwks.json", twin))),
            ("workloads/twin-b.toml", format!("{HEAD}{}", identity(GITHUB, "platform.jwks.json", twin))),
            ("workloads/pod.toml", format!("{HEAD}{}", identity(CLUSTER, "cluster.jwks.json", pod))),
            ("workloads/platform.jwks.json", keys.to_string()),
            ("workloads/cluster.jwks.json", cluster_keys.to_string()),
        ];
        let set = PolicySet::from_sources(files, UnixTime::from_secs(NOW)).unwrap_or_else(|found| panic!("{found}")).0;
        Self { rsa, ec, ed, stranger, other, set }
    }

    fn token(&self, over: Value) -> String {
        self.rsa.jws(r#"{"alg":"RS256","kid":"r","typ":"JWT"}"#, &with(claims(), &over).to_string())
    }
}

/// What GitHub says of a run for a tag.
fn claims() -> Value {
    json!({
        "iss": GITHUB, "sub": "repo:octo-org/octo-repo:ref:refs/tags/v1", "aud": ISSUER, "exp": NOW + 300, "iat": NOW,
        "nbf": NOW - 300, "jti": "example-id", "ref": "refs/tags/v1", "repository": "octo-org/octo-repo",
        "repository_id": "1", "run_id": "77", "run_attempt": "2", "event_name": "push",
    })
}

fn show_at(
    attestor: &Attestor,
    set: &PolicySet,
    token: &str,
    client_id: Option<&str>,
    now: u64,
) -> Result<Arc<Caller>, Unproven> {
    let jwt_bearer = Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let auth = ClientAuth { assertion_type: jwt_bearer, assertion: Some(token), client_id };
    attestor.attest(set, &auth, Endpoint::TOKEN, UnixTime::from_secs(now))
}

fn show(world: &World, token: &str) -> Result<Arc<Caller>, Unproven> {
    show_at(&attestor(false), &world.set, token, None, NOW)
}

#[test]
fn a_token_of_each_algorithm_proves_its_workload_and_attests_its_task() {
    let world = World::new();
    let claims = claims().to_string();
    for (key, header) in [
        (&world.rsa, r#"{"alg":"RS256","kid":"r"}"#),
        (&world.rsa, r#"{"alg":"PS256","kid":"r","typ":"jwt"}"#),
        (&world.ec, r#"{"alg":"ES256","kid":"e","typ":"JWT"}"#),
        (&world.ed, r#"{"alg":"EdDSA"}"#),
    ] {
        let caller =
            show(&world, &key.jws(header, &claims)).unwrap_or_else(|unproven| panic!("{header}: {unproven:?}"));
        assert_eq!((caller.who.id(), caller.identity.kind.as_str()), ("deploy", "oidc"));
        assert_eq!(caller.task, TaskBy::Platform(Ok(TaskId::parse("77.2").unwrap())));
        assert_eq!(caller.spent, None, "it may be shown again");
        let kept: Vec<_> = caller.identity.claims.iter().map(|(name, text)| format!("{name}={text}")).collect();
        assert_eq!(kept, [&format!("iss={GITHUB}"), "ref=refs/tags/v1", "repository=octo-org/octo-repo"]);
    }
}

#[test]
fn the_audience_is_the_one_its_identity_names() {
    let world = World::new();
    let pod = json!({
        "iss": CLUSTER, "sub": "system:serviceaccount:ci:builder", "aud": ["jitney"], "exp": NOW + 3600,
        "kubernetes.io": {"namespace": "ci", "pod": {"uid": "u"}}, "ref": "refs/tags/v1", "repository_id": "1",
    });
    let signed = |over: Value| world.other.jws(r#"{"alg":"ES256","kid":"c"}"#, &with(pod.clone(), &over).to_string());
    let caller = show(&world, &signed(json!({}))).unwrap();
    assert_eq!((caller.who.id(), &caller.task), ("pod", &TaskBy::Auto));
    assert_eq!(caller.identity.claims["kubernetes.io/namespace"], "ci");
    // The broker's own issuer is accepted here, but not of this one; nor is this one's audience of another's.
    assert_eq!(show(&world, &signed(json!({"aud": ISSUER}))).unwrap_err().fault, Fault::Claims);
    assert_eq!(show(&world, &world.token(json!({"aud": "jitney"}))).unwrap_err().fault, Fault::Claims);
    // A key of one issuer proves nothing of another.
    assert_eq!(show(&world, &signed(json!({"iss": GITHUB, "aud": ISSUER}))).unwrap_err().fault, Fault::UnknownKey);
}

#[test]
fn what_is_not_proven_has_one_answer_and_the_audit_log_has_the_reason() {
    let world = World::new();
    let signed = |key: &Key, header: &str| key.jws(header, &claims().to_string());
    let rows = [
        (
            "another tenant of the same name",
            world.token(json!({"repository_id": "9"})),
            Fault::Claims,
            "deploy: repository_id",
        ),
        (
            "a renamed organisation's successor",
            world.token(json!({"repository_id": "3"})),
            Fault::Claims,
            "repository_id",
        ),
        ("a branch", world.token(json!({"ref": "refs/heads/main"})), Fault::Claims, "deploy: ref"),
        ("a pull request from a fork", world.token(json!({"ref": "refs/pull/7/merge"})), Fault::Claims, "deploy: ref"),
        ("a tag within a branch's name", world.token(json!({"ref": "x/refs/tags/v1"})), Fault::Claims, "deploy: ref"),
        ("no claim at all", world.token(json!({"repository_id": null})), Fault::Claims, "deploy: repository_id"),
        ("a list of ids", world.token(json!({"repository_id": ["1"]})), Fault::Claims, "deploy: repository_id"),
        ("an unknown issuer", world.token(json!({"iss": "https://evil.example.com"})), Fault::UnknownIssuer, ""),
        ("the issuer with a slash", world.token(json!({"iss": format!("{GITHUB}/")})), Fault::UnknownIssuer, ""),
        ("a stranger's key", signed(&world.stranger, r#"{"alg":"ES256","kid":"e"}"#), Fault::BadSignature, ""),
        ("the cluster's key", signed(&world.other, r#"{"alg":"ES256","kid":"c"}"#), Fault::UnknownKey, ""),
        ("an unknown kid", signed(&world.rsa, r#"{"alg":"RS256","kid":"r2"}"#), Fault::UnknownKey, ""),
        ("another algorithm's name", signed(&world.ec, r#"{"alg":"ES256","kid":"r"}"#), Fault::UnknownKey, ""),
        (
            "two that fit",
            world.token(json!({"repository_id": "2", "environment": "production"})),
            Fault::AmbiguousClient,
            "twin-a and twin-b",
        ),
    ];
    let mut told = std::collections::BTreeSet::new();
    for (name, token, fault, why) in rows {
        let unproven = show(&world, &token).expect_err(name);
        assert_eq!((unproven.fault, unproven.refusal.reason), (fault, Reason::InvalidClient), "{name}");
        assert!(unproven.detail.unwrap_or_default().contains(why), "{name}");
        assert!(unproven.claimed.is_some_and(|claimed| claimed.contains("octo-org")), "{name}");
        told.insert(unproven.refusal.description);
    }
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn what_is_wrong_in_the_token_itself_is_named() {
    let world = World::new();
    let typed =
        |typ: &str| world.rsa.jws(&json!({"alg": "RS256", "kid": "r", "typ": typ}).to_string(), &claims().to_string());
    let rows = [
        (world.token(json!({"aud": "https://other-broker.example.com"})), "aud must be this broker's issuer"),
        (world.token(json!({"aud": [ISSUER, "https://other.example.com"]})), "this broker alone"),
        (world.token(json!({"aud": []})), "this broker alone"),
        (world.token(json!({"aud": null})), "no aud"),
        (world.token(json!({"aud": 7})), "aud must be a string"),
        (world.token(json!({"exp": NOW - 30})), "has expired"),
        (world.token(json!({"exp": null})), "no exp"),
        (world.token(json!({"exp": "soon"})), "exp must be a time"),
        (world.token(json!({"exp": NOW + 86_431})), "more than a day ahead"),
        (world.token(json!({"iat": NOW + 31})), "issued in the future"),
        (world.token(json!({"nbf": NOW + 31})), "not valid yet"),
        (world.token(json!({"sub": null})), "no sub"),
        (world.token(json!({"pad": "x".repeat(16_000)})), "longer than it may be"),
        (typed("at+jwt"), "typ must be JWT"),
        (typed("client-authentication+jwt"), "typ must be JWT"),
        (world.rsa.jws(r#"{"alg":"none"}"#, &claims().to_string()), "the algorithm is not accepted"),
        (world.rsa.jws(r#"{"alg":"RS256","jku":"https://a"}"#, &claims().to_string()), "`jku` is not accepted"),
    ];
    for (token, words) in rows {
        let unproven = show(&world, &token).unwrap_err();
        assert!(unproven.refusal.description.contains(&words.replace('"', "'")), "{words}: {unproven}");
        assert_eq!(unproven.fault, Fault::Form, "{words}");
    }
    for good in [json!({"exp": NOW - 29}), json!({"iat": NOW + 30, "nbf": NOW + 30}), json!({"iat": null, "jti": null})]
    {
        assert!(show(&world, &world.token(good.clone())).is_ok(), "{good}");
    }
}

#[test]
fn client_id_names_one_of_those_that_fit_and_no_other() {
    let world = World::new();
    let attestor = attestor(false);
    let twins = world.token(json!({"repository_id": "2", "environment": "production"}));
    let show = |token: &str, id: &str| show_at(&attestor, &world.set, token, Some(id), NOW);
    for id in ["twin-a", "twin-b", "twin-a"] {
        assert_eq!(show(&twins, id).unwrap().who.id(), id);
    }
    assert_eq!(show(&twins, "deploy").unwrap_err().fault, Fault::Claims);
    assert_eq!(show(&twins, "pod").unwrap_err().fault, Fault::UnknownClient);
    assert_eq!(show(&twins, "nobody").unwrap_err().fault, Fault::UnknownClient);
    assert_eq!(show(&world.token(json!({})), "deploy").unwrap().who.id(), "deploy");
}

#[test]
fn a_token_that_proves_two_is_one_token_for_the_store() {
    let world = World::new();
    let task = TaskId::parse("t").unwrap();
    let twins = world.token(json!({"repository_id": "2", "environment": "production"}));
    let [one, two] =
        ["twin-a", "twin-b"].map(|id| show_at(&attestor(false), &world.set, &twins, Some(id), NOW).unwrap());
    for how_far in [SingleUse::Lease, SingleUse::Task] {
        let [one, two] = [&one, &two].map(|caller| caller.spent_for(Some(how_far), &task).unwrap());
        assert_eq!((one.shard(), &one), (two.shard(), &two), "{how_far:?}");
    }
}

#[test]
fn before_a_signature_was_verified_nothing_depends_on_the_client_that_is_named() {
    let world = World::new();
    let unsigned = world.stranger.jws(r#"{"alg":"ES256","kid":"e"}"#, &claims().to_string());
    for id in [None, Some("deploy"), Some("pod"), Some("nobody")] {
        let fault = show_at(&attestor(false), &world.set, &unsigned, id, NOW).unwrap_err().fault;
        assert_eq!(fault, Fault::BadSignature, "{id:?}");
    }
}

#[test]
fn a_token_seen_before_is_held_against_the_clock_and_the_set_again() {
    let world = World::new();
    let attestor = attestor(false);
    let token = world.token(json!({}));
    let at = |set: &PolicySet, now: u64| show_at(&attestor, set, &token, None, now);
    for now in [NOW, NOW + 1, NOW + 329] {
        assert_eq!(at(&world.set, now).unwrap().who.id(), "deploy");
    }
    assert!(at(&world.set, NOW + 330).unwrap_err().refusal.description.contains("has expired"));
    let files =
        [("workloads/deploy.toml", format!("{HEAD}{}", identity(CLUSTER, "k.json", "claims = { sub = \"x\" }")))];
    let keys = [("workloads/k.json", json!({"keys": [world.other.jwk(None)]}).to_string())];
    let (other, _) = PolicySet::from_sources(files.into_iter().chain(keys), UnixTime::from_secs(NOW)).unwrap();
    assert_eq!(
        at(&other, NOW).unwrap_err().fault,
        Fault::UnknownIssuer,
        "what was proven against another set counts nothing"
    );
    let (head, _) = token.rsplit_once('.').unwrap();
    let unsigned = format!("{head}.AAAA");
    assert_eq!(show_at(&attestor, &world.set, &unsigned, None, NOW).unwrap_err().fault, Fault::BadSignature);
    let empty = show_at(&attestor, &world.set, &token, Some(""), NOW).unwrap_err();
    assert_eq!(empty.fault, Fault::UnknownClient, "an empty client_id is another than none");
}

#[test]
fn a_token_is_bound_by_what_was_signed_and_not_by_its_signature() {
    let world = World::new();
    let task = TaskId::parse("77.2").unwrap();
    let token = world.ec.jws(r#"{"alg":"ES256","kid":"e"}"#, &claims().to_string());
    let twin = other_signature(&token);
    assert_ne!(token, twin);
    let [one, two] = [&token, &twin].map(|token| show(&world, token).unwrap());
    let lease = one.spent_for(Some(SingleUse::Lease), &task).unwrap();
    assert_eq!(Some(&lease), two.spent_for(Some(SingleUse::Lease), &task).as_ref());
    assert_eq!(lease.until.secs(), NOW + 300 + 60);
    assert!(lease.subject.starts_with('\0') && lease.subject.ends_with(GITHUB), "{}", lease.subject);
    assert_eq!(lease.from.secs(), NOW, "its iat");
    let without = show(&world, &world.token(json!({"iat": null}))).unwrap();
    let without = without.spent_for(Some(SingleUse::Lease), &task).unwrap();
    assert_eq!(without.from.secs(), NOW + 300 - 24 * 3600 - 30, "no broker has taken it before");
    assert_eq!(one.spent_for(None, &task), None);
    let bound = one.spent_for(Some(SingleUse::Task), &task).unwrap();
    let other = one.spent_for(Some(SingleUse::Task), &TaskId::parse("78.1").unwrap()).unwrap();
    assert!(bound.digest == lease.digest && bound.digest == other.digest && bound.unless != other.unless);
    assert_eq!((bound.from, bound.until), (lease.from, lease.until));
}

/// The other signature that every ECDSA signature has: `s` taken from the order of the group.
fn other_signature(token: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = B64.decode(signature).unwrap();
    let order = B64.decode("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE").unwrap();
    let mut borrow = 0i16;
    for at in (0..32).rev() {
        let left = i16::from(order[at]) - i16::from(signature[32 + at]) - borrow;
        borrow = i16::from(left < 0);
        signature[32 + at] = u8::try_from(left.rem_euclid(256)).unwrap();
    }
    format!("{signed}.{}", B64.encode(signature))
}

#[test]
fn an_attested_task_is_the_only_one_but_for_its_children() {
    let world = World::new();
    let caller = show(&world, &world.token(json!({}))).unwrap();
    let ask = |task: &str| caller.task.attested(Some(&TaskId::parse(task).unwrap()));
    assert_eq!(caller.task.attested(None).unwrap().unwrap().as_str(), "77.2");
    assert_eq!(ask("77.2/migrate").unwrap().unwrap().as_str(), "77.2/migrate");
    for other in ["77", "77.20", "77.2x/y", "x/77.2"] {
        assert!(ask(other).unwrap_err().contains("77.2 or 77.2/STEP"), "{other}");
    }
    let caller = show(&world, &world.token(json!({"run_attempt": null}))).unwrap();
    assert!(caller.task.attested(None).unwrap_err().contains("no claim run_attempt"));
}
