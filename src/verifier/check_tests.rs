//! Tokens that are good, and every way a token is not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Value, json};

use super::*;
use crate::jose::es256::SigningKey;
use crate::model::{Epoch, Position, Rule, RuleKind, Selector, WorkloadId};

const NOW: u64 = 1_790_000_000;

struct Broker {
    key: SigningKey,
    clock: Clock,
    view: Arc<View>,
    checker: Checker,
}

impl Broker {
    fn new() -> Self {
        let (key, _) = SigningKey::generate().unwrap();
        let clock = Clock::manual(UnixTime::from_secs(NOW));
        let view = Arc::new(View::new());
        let options = CheckerOptions { clock: clock.clone(), ..CheckerOptions::new("https://broker") };
        let checker = Checker::new(options, Arc::clone(&view));
        checker.set_keys(vec![(key.kid().clone(), key.public().clone())]);
        Self { key, clock, view, checker }
    }

    fn header(&self) -> Value {
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": self.key.kid().as_str() })
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", B64.encode(header), B64.encode(claims));
        format!("{input}.{}", B64.encode(self.key.sign(input.as_bytes()).unwrap()))
    }

    /// As the broker writes them. [`Broker::header`] has the same members in another order.
    fn token(&self, claims: &Value) -> String {
        self.sign_as_usual(&claims.to_string())
    }

    fn sign_as_usual(&self, claims: &str) -> String {
        self.sign(&format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{}"}}"#, self.key.kid()), claims)
    }

    /// A good token with `name` set to `value` in its claims; `null` takes the claim out.
    fn with(&self, name: &str, value: Value) -> String {
        self.token(&edited(claims(), name, value))
    }

    fn at(&self, secs: u64) {
        self.clock.set(UnixTime::from_secs(secs));
    }

    fn end(&self, selector: &Selector, position: u64) {
        let until = (selector.kind() != RuleKind::Key).then(|| UnixTime::from_secs(NOW + 300));
        let rule = Rule { kind: selector.kind(), digest: selector.digest(), position: Position::new(position), until };
        self.view.apply(&[rule], rule.position, self.clock.now());
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://broker", "sub": "nightly", "client_id": "nightly", "aud": "https://orders",
        "iat": NOW, "nbf": NOW, "exp": NOW + 300, "jti": "0190163d-8694-839b-aea5-966c26f8ad91",
        "scope": "orders:read orders:write", "txn": "run-1/a", "rev": 7, "later": { "claim": [1] },
    })
}

fn edited(mut object: Value, name: &str, value: Value) -> Value {
    let members = object.as_object_mut().unwrap();
    match value {
        Value::Null => members.remove(name),
        value => members.insert(name.into(), value),
    };
    object
}

fn outcome(told: Result<Arc<VerifiedToken>, Invalid>) -> Result<(), Invalid> {
    told.map(|_| ())
}

#[test]
fn a_good_token_passes_at_first_sight_and_again() {
    let broker = Broker::new();
    let expect = Expect { audience: Some("https://orders/"), scopes: &["orders:read"], task: Some("run-1/a") };
    let token = broker.token(&claims());
    let first = broker.checker.check(&token, &expect).unwrap();
    assert_eq!((first.claims().txn.as_str(), first.kid()), ("run-1/a", broker.key.kid()));
    let second = broker.checker.check(&token, &expect).unwrap();
    assert!(Arc::ptr_eq(&first, &second), "seen before");
    let header = edited(broker.header(), "typ", json!("application/at+JWT"));
    assert_eq!(outcome(broker.checker.inspect(&broker.sign(&header.to_string(), &claims().to_string()))), Ok(()));
}

#[test]
fn a_forged_header_is_refused_for_what_it_is() {
    let broker = Broker::new();
    let jwk = broker.key.public().to_jwk();
    for (name, value, invalid) in [
        ("alg", json!("none"), Invalid::Algorithm),
        ("alg", json!("HS256"), Invalid::Algorithm),
        ("alg", json!("RS256"), Invalid::Algorithm),
        ("alg", json!("EdDSA"), Invalid::Algorithm),
        ("alg", json!("es256"), Invalid::Algorithm),
        ("typ", Value::Null, Invalid::Type),
        ("typ", json!("JWT"), Invalid::Type),
        ("typ", json!("revocations+jwt"), Invalid::Type),
        ("typ", json!("client-authentication+jwt"), Invalid::Type),
        ("kid", Value::Null, Invalid::Key),
        ("kid", json!("another"), Invalid::Key),
        ("kid", json!(""), Invalid::Key),
        ("jwk", jwk, Invalid::Header),
        ("jku", json!("https://evil/jwks"), Invalid::Header),
        ("x5c", json!([]), Invalid::Header),
        ("x5u", json!("https://evil"), Invalid::Header),
        ("crit", json!(["exp"]), Invalid::Header),
        ("b64", json!(false), Invalid::Header),
        ("kid", json!(7), Invalid::Header),
    ] {
        let header = edited(broker.header(), name, value.clone()).to_string();
        let token = broker.sign(&header, &claims().to_string());
        assert_eq!(outcome(broker.checker.inspect(&token)), Err(invalid), "{name} {value}");
    }
    let twice = format!(r#"{{"alg":"ES256","typ":"JWT","typ":"at+jwt","kid":"{}"}}"#, broker.key.kid());
    assert_eq!(outcome(broker.checker.inspect(&broker.sign(&twice, &claims().to_string()))), Err(Invalid::Format));
}

#[test]
fn what_is_no_compact_jws_is_refused_for_its_form() {
    let broker = Broker::new();
    let good = broker.token(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let json = json!({ "protected": parts[0], "payload": parts[1], "signature": parts[2] }).to_string();
    for bad in [
        "",
        "..",
        &format!("{good}."),
        &format!(" {good}"),
        &format!("{good}="),
        &format!("{}.{}", parts[0], parts[1]),
        &format!("{}.{}.", parts[0], parts[1]),
        &json,
        &"a".repeat(100_000),
    ] {
        assert_eq!(outcome(broker.checker.inspect(bad)), Err(Invalid::Format), "{bad:.80}");
    }
}

#[test]
fn a_signature_that_does_not_fit_is_refused() {
    let broker = Broker::new();
    let good = broker.token(&claims());
    let (input, signature) = good.rsplit_once('.').unwrap();
    let bytes = B64.decode(signature).unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        format!("{input}.{}", B64.encode(bytes))
    };
    let other = Broker::new();
    let stolen_name = other.sign(&broker.header().to_string(), &claims().to_string());
    let moved = broker.with("aud", json!("https://bills"));
    let spliced = format!("{}.{signature}", moved.rsplit_once('.').unwrap().0);
    for bad in [
        with(&|bytes| bytes[10] ^= 1),
        with(&|bytes| bytes[50] ^= 1),
        with(&|bytes| bytes[..32].fill(0)),
        with(&|bytes| bytes[32..].fill(0)),
        with(&|bytes| bytes.fill(0xff)),
        with(&|bytes| bytes.truncate(63)),
        with(&|bytes| bytes.push(0)),
        stolen_name,
        spliced,
    ] {
        assert_eq!(outcome(broker.checker.inspect(&bad)), Err(Invalid::Signature), "{bad}");
    }
}

#[test]
fn claims_that_are_missing_or_malformed_are_refused() {
    let broker = Broker::new();
    for name in ["iss", "sub", "client_id", "aud", "iat", "nbf", "exp", "jti", "scope", "txn", "rev"] {
        assert_eq!(outcome(broker.checker.inspect(&broker.with(name, Value::Null))), Err(Invalid::Claims), "{name}");
    }
    for (name, value) in [
        ("aud", json!(["https://orders"])),
        ("aud", json!(["https://orders", "https://bills"])),
        ("exp", json!("1790000300")),
        ("exp", json!(1_790_000_300.5)),
        ("exp", json!(-1)),
        ("exp", json!(1e30)),
        ("rev", json!("7")),
        ("rev", json!(-1)),
        ("scope", json!(["orders:read"])),
        ("scope", json!("")),
        ("jti", json!("not-a-lease")),
        ("txn", json!("../x")),
        ("sub", json!("a b")),
        ("act", json!("nightly")),
        ("act", json!({ "act": { "sub": "x" } })),
        ("act", json!(["nightly"])),
        ("act", json!({ "sub": "x", "act": ["nightly", null] })),
    ] {
        let told = outcome(broker.checker.inspect(&broker.with(name, value.clone())));
        assert_eq!(told, Err(Invalid::Claims), "{name} {value}");
    }
    let text = claims().to_string();
    let twice = text.replacen('{', &format!("{{\"exp\":{},", NOW + 9000), 1);
    let inside = text.replacen('{', r#"{"more":{"a":1,"a":2},"#, 1);
    let members = ["iss", "sub", "client_id", "aud", "iat", "nbf", "exp", "jti", "scope", "txn", "rev"];
    let list = Value::from(members.map(|name| claims()[name].clone()).to_vec()).to_string();
    for bad in [twice.as_str(), &inside, &list, "[]", "\"x\"", "", &format!("{text} x")] {
        let told = outcome(broker.checker.inspect(&broker.sign(&broker.header().to_string(), bad)));
        assert!(matches!(told, Err(Invalid::Claims | Invalid::Format)), "{bad}: {told:?}");
    }
    assert_eq!(outcome(broker.checker.inspect(&broker.with("iss", json!("https://broker/")))), Err(Invalid::Issuer));
}

/// RFC 7515 §4, RFC 7519 §4: the names within an object are unique. Two readers could take two of them.
#[test]
fn a_member_that_is_there_twice_is_refused_wherever_it_stands() {
    let broker = Broker::new();
    let (header, text) = (broker.header().to_string(), claims().to_string());
    let first = |text: &str, members: &str| text.replacen('{', &format!("{{{members},"), 1);
    for members in [
        r#""sub":"other""#,
        r#""x":1,"x":1"#,
        r#""x":1,"\u0078":2"#,
        r#""x":{"y":1,"y":2}"#,
        r#""x":[{"y":{"z":1,"z":1}}]"#,
        r#""act":{"sub":"a","sub":"b"}"#,
        r#""act":{"sub":"a","x":1,"x":2}"#,
        r#""cnf":{"jkt":"a","jkt":"b"}"#,
    ] {
        let told = outcome(broker.checker.inspect(&broker.sign(&header, &first(&text, members))));
        assert_eq!(told, Err(Invalid::Claims), "{members}");
    }
    for members in [r#""x":1,"x":1"#, r#""x":{"y":1,"y":2}"#, r#""kid":"k""#, r#""typ":"JWT""#] {
        let told = outcome(broker.checker.inspect(&broker.sign(&first(&header, members), &text)));
        assert_eq!(told, Err(Invalid::Format), "in the header: {members}");
    }
    let passed = first(&text, r#""x":{"y":1},"z":{"y":1,"Y":[{"y":1},{"y":1}]},"X":2"#);
    assert_eq!(
        outcome(broker.checker.inspect(&broker.sign(&header, &passed))),
        Ok(()),
        "what nobody reads is passed over"
    );
    let mut list: Vec<Value> = claims().as_object().unwrap().values().cloned().collect();
    list.push(Value::Null);
    let told = outcome(broker.checker.inspect(&broker.sign(&header, &Value::from(list).to_string())));
    assert_eq!(told, Err(Invalid::Claims), "claims without names");
}

#[test]
fn expectations_are_held_against_a_seen_token_too() {
    let broker = Broker::new();
    let token = broker.token(&claims());
    let expect = Expect { audience: Some("https://orders"), scopes: &["orders:read", "orders:write"], task: None };
    for _ in 0..2 {
        let check = |expect: Expect<'_>| outcome(broker.checker.check(&token, &expect));
        assert_eq!(check(expect), Ok(()));
        assert_eq!(check(Expect { audience: Some("https://bills"), ..expect }), Err(Invalid::Audience));
        assert_eq!(check(Expect { scopes: &["orders:read", "orders:delete"], ..expect }), Err(Invalid::Scope));
        assert_eq!(check(Expect { task: Some("run-1"), ..expect }), Err(Invalid::Task));
        // The order is fixed: the audience comes before all of them.
        let all = Expect { audience: Some("https://x"), scopes: &["x"], task: Some("x") };
        assert_eq!(check(all), Err(Invalid::Audience));
    }
    assert!(Invalid::Scope.is_insufficient() && !Invalid::Audience.is_insufficient());
}

#[test]
fn times_have_their_bounds_to_the_second_seen_or_not() {
    let broker = Broker::new();
    let token = broker.token(&claims());
    let at = |secs| {
        broker.at(secs);
        outcome(broker.checker.inspect(&token))
    };
    for _ in 0..2 {
        assert_eq!(at(NOW - 6), Err(Invalid::NotYet));
        assert_eq!(at(NOW - 5), Ok(()));
        assert_eq!(at(NOW + 299), Ok(()));
        assert_eq!(at(NOW + 300), Err(Invalid::Expired));
    }
    broker.at(NOW);
    let later = broker.token(&edited(edited(claims(), "iat", json!(NOW + 6)), "nbf", json!(NOW)));
    assert_eq!(outcome(broker.checker.inspect(&later)), Err(Invalid::IssuedLater));
}

#[test]
fn a_rule_ends_a_seen_token_and_a_later_one_lives() {
    let broker = Broker::new();
    let (old, new) = (broker.token(&claims()), broker.with("rev", json!(9)));
    let verified = broker.checker.inspect(&old).unwrap();
    assert_eq!(outcome(broker.checker.inspect(&new)), Ok(()));
    broker.end(&Selector::Workload(WorkloadId::parse("another").unwrap()), 8);
    assert_eq!(outcome(broker.checker.inspect(&old)), Ok(()));
    broker.end(&Selector::Workload(WorkloadId::parse("nightly").unwrap()), 9);
    for _ in 0..2 {
        assert_eq!(outcome(broker.checker.inspect(&old)), Err(Invalid::Revoked(RuleKind::Workload)));
        assert_eq!(outcome(broker.checker.inspect(&new)), Ok(()));
        assert_eq!(broker.checker.judge(&verified), Err(Invalid::Revoked(RuleKind::Workload)));
    }
}

#[test]
fn an_actor_that_is_revoked_ends_the_token_it_acts_in() {
    let broker = Broker::new();
    let token = broker.with("act", json!({ "sub": "agent", "act": { "sub": "first" } }));
    assert_eq!(outcome(broker.checker.inspect(&token)), Ok(()));
    broker.end(&Selector::Workload(WorkloadId::parse("first").unwrap()), 8);
    assert_eq!(outcome(broker.checker.inspect(&token)), Err(Invalid::Revoked(RuleKind::Workload)));
}

#[test]
fn a_new_epoch_has_seen_tokens_judged_again() {
    let broker = Broker::new();
    let token = broker.token(&claims());
    broker.view.replace(Epoch::from_bits(1), Position::new(50), &[], broker.clock.now()).unwrap();
    assert_eq!(outcome(broker.checker.inspect(&token)), Ok(()));
    let all = Rule {
        kind: RuleKind::All,
        digest: Selector::All.digest(),
        position: Position::new(8),
        until: Some(UnixTime::from_secs(NOW + 300)),
    };
    broker.view.replace(Epoch::from_bits(2), Position::new(8), &[all], broker.clock.now()).unwrap();
    assert_eq!(outcome(broker.checker.inspect(&token)), Err(Invalid::Revoked(RuleKind::All)));
}

#[test]
fn a_key_that_is_withdrawn_or_changed_ends_seen_tokens() {
    let broker = Broker::new();
    let token = broker.token(&claims());
    let verified = broker.checker.inspect(&token).unwrap();
    let (kid, key) = (broker.key.kid().clone(), broker.key.public().clone());
    let (other, _) = SigningKey::generate().unwrap();
    broker.checker.set_keys(vec![(kid.clone(), key), (other.kid().clone(), other.public().clone())]);
    assert!(Arc::ptr_eq(&verified, &broker.checker.inspect(&token).unwrap()), "a key more changes nothing");
    broker.checker.set_keys(vec![(kid, other.public().clone())]);
    assert_eq!(outcome(broker.checker.inspect(&token)), Err(Invalid::Signature));
    broker.checker.set_keys(vec![]);
    assert_eq!(outcome(broker.checker.inspect(&token)), Err(Invalid::Key));
    assert_eq!(broker.checker.judge(&verified), Err(Invalid::Key));
}

#[test]
fn no_more_tokens_are_remembered_than_was_allowed() {
    let broker = Broker::new();
    let options = CheckerOptions { seen: 16, clock: broker.clock.clone(), ..CheckerOptions::new("https://broker") };
    let checker = Checker::new(options, Arc::clone(&broker.view));
    checker.set_keys(vec![(broker.key.kid().clone(), broker.key.public().clone())]);
    for rev in 0..100 {
        checker.inspect(&broker.with("rev", json!(rev))).unwrap();
    }
    let seen = checker.seen.as_ref().unwrap();
    assert!(seen.len() <= 16 && seen.weight() <= 16 * SEEN_BYTES, "{} of {}", seen.len(), seen.weight());
    for length in 0..40 {
        checker.inspect(&broker.with("padding", json!("x".repeat(100 * length)))).unwrap();
    }
    assert!(seen.weight() <= 16 * SEEN_BYTES);
}

#[test]
fn an_expired_token_is_not_remembered() {
    let broker = Broker::new();
    broker.at(NOW + 300);
    assert_eq!(outcome(broker.checker.inspect(&broker.token(&claims()))), Err(Invalid::Expired));
    assert!(broker.checker.seen.as_ref().unwrap().is_empty());
}

/// A verifier whose clock was ahead has dropped rules by it, and does not take what they ended for good when it is back.
#[test]
fn what_was_past_by_a_clock_that_was_ahead_stays_past() {
    let broker = Broker::new();
    let (token, longer) = (broker.token(&claims()), broker.with("exp", json!(NOW + 900)));
    let selector = Selector::Workload(WorkloadId::parse("somebody-else").unwrap());
    broker.end(&selector, 99);
    assert!(broker.checker.inspect(&token).is_ok());
    broker.at(NOW + 2700);
    broker.view.expire(broker.clock.now());
    broker.at(NOW);
    assert_eq!(broker.checker.inspect(&token).err(), Some(Invalid::Expired));
    assert!(broker.checker.inspect(&longer).is_ok(), "no rule that was dropped can have ended it");
    broker.view.restore(&[], broker.view.position(), broker.clock.now());
    assert!(broker.checker.inspect(&token).is_ok());
}
