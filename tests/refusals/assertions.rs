//! Client assertions (RFC 7523, RFC 8725): what is taken, what is refused, and what a refusal must not tell.

use serde_json::{Value, json};

use crate::common::{
    Ask, Assertion, Backing, Broker, ISSUER, Key, Request, Setup, key_of, key_of_kind, now, on_both_stores,
};

on_both_stores!(
    what_the_contract_allows_is_taken,
    what_is_wrong_in_the_claims_is_refused_and_named,
    what_is_wrong_in_form_and_header_is_refused,
    nothing_tells_which_clients_and_keys_exist,
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
}

fn what_is_wrong_in_the_claims_is_refused_and_named(backing: &Backing) {
    let broker = Broker::start(backing);
    let (now, demo) = (now(), || Assertion::of("demo"));
    let rows = [
        (demo().claim("aud", Value::Null), "aud"),
        (demo().claim("aud", "https://elsewhere.example.com"), ISSUER),
        (demo().claim("aud", format!("{ISSUER}/oauth2/token")), "accept_endpoint_audience"),
        (demo().claim("aud", format!("{ISSUER}/")), "aud"),
        (demo().claim("aud", json!([ISSUER, "https://elsewhere.example.com"])), "aud"),
        (demo().claim("aud", json!([])), "aud"),
        (demo().claim("aud", json!({"a": ISSUER})), "aud"),
        (demo().claim("iss", Value::Null), "iss"),
        (demo().claim("iss", "other"), "iss"),
        (demo().claim("iss", 7), "iss"),
        (demo().claim("exp", Value::Null), "exp"),
        (demo().claim("exp", "soon"), "exp"),
        (demo().claim("exp", now - 60), "expire"),
        (demo().claim("exp", now + 3700), "hour"),
        (demo().claim("exp", -1), "exp"),
        (demo().claim("iat", now - 400), "300 s"),
        (demo().claim("iat", now + 90), "future"),
        (demo().claim("iat", Value::Null).claim("exp", now + 400), "300 s"),
        (demo().claim("nbf", now + 90), "not valid yet"),
        (demo().claim("jti", Value::Null), "jti"),
        (demo().claim("jti", ""), "jti"),
        (demo().claim("jti", 7), "jti"),
        (demo().claim("jti", "x".repeat(300)), "jti"),
    ];
    for (assertion, named) in rows {
        let (status, description) = take(&broker, "demo", &assertion.clone().text());
        assert_eq!(status, 401, "{assertion:?}");
        assert!(description.contains(named), "{description:?} does not name {named:?}");
    }
    let (status, description) = take(&broker, "demo", &demo().claim("sub", Value::Null).signed(key_of("demo")));
    assert!(status == 401 && description.contains("sub"), "{description}");
    let other = broker.ask(&Ask::of("demo").with("client_id", "other"));
    assert_eq!(other.outcome(), (401, "invalid_client".into()));
    broker.mint("demo", "t");
}

fn what_is_wrong_in_form_and_header_is_refused(backing: &Backing) {
    let broker = Broker::start(backing);
    let (key, demo) = (key_of("demo"), || Assertion::of("demo"));
    let good = demo().text();
    let parts: Vec<&str> = good.split('.').collect();
    let (claims, header) = (demo().claims_text(), r#"{"alg":"ES256"}"#);
    let twice = |json: &str, member: &str| json.replacen('{', &format!("{{{member},"), 1);
    let secret = key.jwks();
    let hmac = |alg: &str, message: &[u8]| {
        let hash = if alg == "HS512" { ring::hmac::HMAC_SHA512 } else { ring::hmac::HMAC_SHA256 };
        ring::hmac::sign(&ring::hmac::Key::new(hash, secret.as_bytes()), message).as_ref().to_vec()
    };
    let rows = [
        ("unsigned", demo().signed_by("none", |_, _| Vec::new())),
        ("none in capitals", demo().signed_by("NONE", |_, _| vec![0; 64])),
        ("signed with a public key as secret", demo().signed_by("HS256", hmac)),
        ("the same, longer", demo().signed_by("HS512", hmac)),
        ("another algorithm's name", demo().header("alg", "ES384").signed(key)),
        ("an algorithm of another key", demo().header("alg", "RS256").signed(key)),
        ("no algorithm", Assertion::raw("{}", &claims, key)),
        ("an algorithm that is no string", Assertion::raw(r#"{"alg":7}"#, &claims, key)),
        ("typ of an access token", demo().header("typ", "at+jwt").text()),
        ("typ of a snapshot", demo().header("typ", "revocations+jwt").text()),
        ("typ of something else", demo().header("typ", "dpop+jwt").text()),
        ("crit", demo().header("crit", json!(["exp"])).text()),
        ("crit of something unknown", demo().header("crit", json!(["x"])).header("x", 1).text()),
        ("an unencoded payload", demo().header("b64", false).header("crit", json!(["b64"])).text()),
        ("a key of its own", demo().header("jwk", key.jwk(None)).text()),
        ("a key of a stranger's", demo().header("jwk", key_of("stranger").jwk(None)).signed(key_of("stranger"))),
        ("a key from elsewhere", demo().header("jku", "https://elsewhere.example.com").text()),
        ("a certificate", demo().header("x5c", json!(["MIIB"])).text()),
        ("alg twice", Assertion::raw(&twice(header, r#""alg":"ES256""#), &claims, key)),
        ("sub twice", Assertion::raw(header, &twice(&claims, r#""sub":"other""#), key)),
        ("jti twice, one escaped", Assertion::raw(header, &twice(&claims, r#""\u006ati":"1""#), key)),
        ("a duplicate deep inside", Assertion::raw(header, &twice(&claims, r#""x":{"y":1,"y":1}"#), key)),
        ("claims that are a list", Assertion::raw(header, "[]", key)),
        ("claims with a tail", Assertion::raw(header, &format!("{claims}{{}}"), key)),
        ("claims that are no JSON", Assertion::raw(header, "nonsense", key)),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("four parts", format!("{good}.{}", parts[2])),
        ("five parts", format!("{good}.{}.{}", parts[1], parts[2])),
        ("padding", format!("{good}==")),
        ("a space in front", format!(" {good}")),
        ("a line break behind", format!("{good}\n")),
        ("a changed claim", format!("{}.{}.{}", parts[0], parts[1].replacen('e', "f", 1), parts[2])),
        ("the other spelling of base64", good.replace(['-', '_'], "+")),
        ("a signature of zeros", demo().signed_by("ES256", |_, _| vec![0; 64])),
        ("a signature as ASN.1", demo().signed_by("ES256", |alg, message| asn1(&key.sign(alg, message)))),
        (
            "a signature with a tail",
            demo().signed_by("ES256", |alg, message| [key.sign(alg, message), vec![0]].concat()),
        ),
        ("sixty kilobytes", demo().claim("x", "x".repeat(60_000)).text()),
    ];
    for (what, assertion) in rows {
        // Of signatures with - or _ none has another spelling.
        if assertion != good {
            let answer = broker.ask(&Ask::of("demo").assertion(&assertion));
            let refused = [(401, "invalid_client".to_owned()), (400, "invalid_request".to_owned())];
            assert!(refused.contains(&answer.outcome()) || answer.status == 413, "{what}: {}", answer.text());
        }
    }
    assert_eq!(take(&broker, "demo", &good).0, 200, "none of them used up the good one");
}

fn nothing_tells_which_clients_and_keys_exist(backing: &Backing) {
    let broker = Broker::start(backing);
    let stranger = key_of("stranger");
    let told = [
        take(&broker, "demo", &Assertion::of("demo").signed(stranger)),
        take(&broker, "demo", &Assertion::of("nobody").signed(stranger)),
        take(&broker, "demo", &Assertion::of("https://nobody.example.com").signed(stranger)),
        take(&broker, "demo", &Assertion::of("expired").signed(stranger)),
        take(&broker, "demo", &Assertion::of("no-owner").signed(stranger)),
        take(&broker, "demo", &Assertion::of("demo").header("kid", "unknown").text()),
        take(&broker, "algs", &Assertion::of("algs").header("kid", "ed").signed(key_of("algs"))),
        take(
            &broker,
            "algs",
            &Assertion::of("algs").header("kid", "ec").header("alg", "EdDSA").signed(key_of_kind("ed")),
        ),
        take(&broker, "twins", &Assertion::of("twins").header("kid", "a").signed(key_of("twin-b"))),
        take(&broker, "algs", &Assertion::of("algs").header("alg", "RS256").signed(&Key::ec())),
    ];
    for each in &told {
        assert_eq!(each, &told[0]);
    }
    let audit = broker.audit();
    let why: Vec<&Value> = audit.lines().iter().filter(|line| line["refusal"] == "invalid_client").collect();
    assert!(why.iter().any(|line| line["detail"].to_string().contains("nobody")), "the log knows more: {why:?}");
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

/// `r` and `s` as TLS and X.509 write them.
fn asn1(signature: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
        let sign = if bytes[start] >= 0x80 { vec![0] } else { Vec::new() };
        let value = [sign, bytes[start..].to_vec()].concat();
        [vec![2, u8::try_from(value.len()).unwrap()], value].concat()
    };
    let body = [integer(&signature[..32]), integer(&signature[32..])].concat();
    [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
}
