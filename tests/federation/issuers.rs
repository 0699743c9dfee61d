//! Issuers as they are: over TLS, rotating under load, away, slow, redirecting, inside the network.

use serde_json::json;

use super::common::{Backing, DISCOVERY, Key, Platform, Reply, Request, eventually, platform_token, workload_path};
use super::{by, platform_workload, trusting};

const JOB: &str = "claims = { sub = \"a-job\" }\ntask = \"auto\"";

#[test]
fn an_issuer_of_a_private_authority_is_asked_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (platform, authority) = Platform::tls(dir.path());
    let key = Key::ed();
    platform.publish(&[(&key, "p1")]);
    let trusting = || trusting(&platform, JOB);
    let broker = trusting().set("JITNEY_FEDERATION_CA_FILE", authority.to_str().unwrap()).start(&Backing::Embedded);
    assert!(broker.granted(&by(&platform.token(&key, "p1", json!({})))).claim("txn").starts_with("auto-"));
    // Without it, the certificate is nobody's.
    let distrusting = trusting().start(&Backing::Embedded);
    let answer = distrusting.ask(&by(&platform.token(&key, "p1", json!({}))));
    assert_eq!(answer.outcome(), (503, "temporarily_unavailable".into()), "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    let line = distrusting.decision(&answer.field("decision_id"));
    assert!(line["detail"].as_str().unwrap().contains("TLS"), "{line}");
}

#[test]
fn an_issuer_that_fails_costs_its_own_tokens_alone_and_counts_again_when_it_is_back() {
    let rows = [
        ("away", Reply::Raw("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".into())),
        ("rubbish", Reply::Raw("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nno!".into())),
        ("redirecting", Reply::Raw("HTTP/1.1 302 Found\r\nLocation: /keys\r\nContent-Length: 0\r\n\r\n".into())),
        (
            "another's name",
            Reply::Json(json!({"issuer": "https://other.example.com", "jwks_uri": "https://a.example.com"})),
        ),
        ("leading inside", Reply::Raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into())),
        ("slow", Reply::Never),
    ];
    for (name, reply) in rows {
        let (platform, key) = (Platform::http(), Key::ec());
        platform.publish(&[(&key, "p1")]);
        let reply = match name {
            "leading inside" => {
                Reply::Json(json!({"issuer": platform.url(), "jwks_uri": "https://169.254.169.254/keys"}))
            }
            _ => reply,
        };
        platform.answer(DISCOVERY, reply);
        let broker = trusting(&platform, JOB).start(&Backing::Embedded);
        let shown = platform.token(&key, "p1", json!({}));
        let answer = broker.ask(&by(&shown));
        assert_eq!(answer.outcome(), (503, "temporarily_unavailable".into()), "{name}: {}", answer.text());
        assert!(!answer.text().contains(platform.url()), "{name}: {}", answer.text());
        let status = broker.admin(&Request::get("/admin/v1/status")).expect(200).json()["issuers"].clone();
        assert_eq!((&status[0]["issuer"], &status[0]["available"]), (&json!(platform.url()), &json!(false)), "{name}");
        // One that is slow has not failed yet.
        if name != "slow" {
            let away = &status[0]["away"];
            assert!(away["since"].is_u64() && away["why"].is_string(), "{name}: {status}");
            let told = broker.cli("demo", &["status"]);
            let told = String::from_utf8(told.stderr).unwrap();
            assert!(
                told.contains(&format!("the keys of the issuer {} cannot be fetched since", platform.url())),
                "{told}"
            );
        }
        broker.mint("demo", "t");
        platform.publish(&[(&key, "p1")]);
        eventually(&format!("{name}: the issuer counts again"), || {
            (broker.ask(&by(&shown)).status == 200).then_some(())
        });
        let metrics = broker.admin(&Request::get("/metrics")).text();
        for outcome in ["fetched", "failed"] {
            let none = format!("jitney_issuer_fetches_total{{outcome=\"{outcome}\"}} 0");
            assert!(metrics.contains("jitney_issuer_fetches_total") && !metrics.contains(&none), "{name}: {outcome}");
        }
    }
}

#[test]
fn keys_that_come_wrong_are_none() {
    let long = format!("{{\"keys\":[],\"pad\":\"{}\"}}", "x".repeat(300 << 10));
    let ok = |body: &str| Reply::Raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let rows = [
        ("/keys", "302", Reply::Raw("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".into())),
        ("/keys", "no usable keys", ok("rubbish")),
        ("/keys", "longer than", ok(&long)),
        (DISCOVERY, "longer than", ok(&long)),
    ];
    for (path, why, reply) in rows {
        let (platform, key) = (Platform::http(), Key::ec());
        platform.publish(&[(&key, "p1")]);
        platform.answer(path, reply);
        let broker = trusting(&platform, JOB).start(&Backing::Embedded);
        let answer = broker.ask(&by(&platform.token(&key, "p1", json!({}))));
        assert_eq!(answer.outcome(), (503, "temporarily_unavailable".into()), "{why}: {}", answer.text());
        let line = broker.decision(&answer.field("decision_id"));
        assert!(line["detail"].as_str().unwrap().contains(why), "{why}: {line}");
    }
}

#[test]
fn nobody_there_is_no_keys_and_an_issuer_that_goes_away_keeps_those_it_had() {
    // A port on which nobody listens any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (platform, key) = (Platform::http(), Key::ec());
    platform.publish(&[(&key, "p1")]);
    let down = format!("http://{gone}");
    let broker = trusting(&platform, JOB)
        .set("JITNEY_FEDERATION_ALLOW_PRIVATE", &format!("{},{down}", platform.url()))
        .policy(&workload_path("other-job"), platform_workload(&down, JOB))
        .start(&Backing::Embedded);
    let answer = broker.ask(&by(&platform_token(&down, json!({})).header("kid", "p1").signed(&key)));
    assert_eq!(answer.outcome(), (503, "temporarily_unavailable".into()), "{}", answer.text());
    assert!(answer.header("retry-after").is_some() && !answer.text().contains(&down));
    // The other one was asked once; what it has told holds while it is away.
    broker.granted(&by(&platform.token(&key, "p1", json!({}))));
    let unavailable = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    platform.answer(DISCOVERY, Reply::Raw(unavailable.into()));
    platform.answer("/keys", Reply::Raw(unavailable.into()));
    broker.granted(&by(&platform.token(&key, "p1", json!({"jti": "while it is away"}))));
    let unknown = broker.ask(&by(&platform.token(&Key::ec(), "p2", json!({}))));
    assert_eq!(unknown.outcome(), (401, "invalid_client".into()), "{}", unknown.text());
}

#[test]
fn what_a_stranger_is_told_of_keys_depends_on_the_issuer_and_on_no_client() {
    let (platform, key, stranger) = (Platform::http(), Key::ec(), Key::ec());
    platform.publish(&[(&key, "p1")]);
    let broker = trusting(&platform, JOB).start(&Backing::Embedded);
    broker.granted(&by(&platform.token(&key, "p1", json!({}))));
    for kid in ["made-up", "p1"] {
        for id in ["job", "demo", "nobody"] {
            let answer = broker.ask(&by(&platform.token(&stranger, kid, json!({}))).with("client_id", id));
            assert_eq!(answer.outcome(), (401, "invalid_client".into()), "{kid}, {id}: {}", answer.text());
        }
    }
    // An issuer whose keys were never to be had.
    let away = Platform::http();
    away.answer(
        "/keys",
        Reply::Raw(
            "HTTP/1.1 503 Service Unavailable
content-length: 0

"
            .into(),
        ),
    );
    let broker = trusting(&away, JOB).start(&Backing::Embedded);
    for id in ["job", "demo", "nobody"] {
        let answer = broker.ask(&by(&away.token(&stranger, "p1", json!({}))).with("client_id", id));
        assert_eq!(answer.outcome(), (503, "temporarily_unavailable".into()), "{id}: {}", answer.text());
    }
}

#[test]
fn keys_rotate_under_load_without_one_refusal() {
    let (platform, old, new) = (Platform::http(), Key::ec(), Key::ec());
    platform.publish(&[(&old, "p1")]);
    let broker = trusting(&platform, JOB).start(&Backing::Embedded);
    broker.granted(&by(&platform.token(&old, "p1", json!({}))));
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (platform, broker, old, new) = (&platform, &broker, &old, &new);
            scope.spawn(move || {
                for round in 0..20 {
                    if worker == 0 && round == 5 {
                        platform.publish(&[(new, "p2"), (old, "p1")]);
                    }
                    // Only who published the new key signs with it at once; the others know the old one.
                    let (key, kid) = if worker == 0 && round >= 5 { (new, "p2") } else { (old, "p1") };
                    let shown = platform.token(key, kid, json!({"jti": format!("{worker}-{round}")}));
                    broker.granted(&by(&shown));
                }
            });
        }
    });
    assert!(platform.asked() <= 6, "asked {} times", platform.asked());
    // Made-up keys send nobody there again.
    let before = platform.asked();
    for kid in ["x", "y", "z"] {
        assert_eq!(broker.ask(&by(&platform.token(&new, kid, json!({})))).status, 401);
    }
    assert_eq!(platform.asked(), before);
}

#[test]
fn an_issuer_inside_is_asked_only_where_it_is_named() {
    let (platform, key) = (Platform::http(), Key::ec());
    platform.publish(&[(&key, "p1")]);
    let broker = trusting(&platform, JOB)
        .set("JITNEY_FEDERATION_ALLOW_PRIVATE", "https://other.example.com:8443")
        .start(&Backing::Embedded);
    let answer = broker.ask(&by(&platform.token(&key, "p1", json!({}))));
    assert_eq!(answer.status, 503, "{}", answer.text());
    let line = broker.decision(&answer.field("decision_id"));
    assert!(line["detail"].as_str().unwrap().contains("allow_private"), "{line}");
    assert_eq!(platform.asked(), 0);
}

#[test]
fn an_issuer_that_comes_with_a_reload_counts_at_once_and_one_that_goes_no_more() {
    let (platform, key) = (Platform::http(), Key::ec());
    platform.publish(&[(&key, "p1")]);
    let broker = trusting(&platform, JOB).start(&Backing::Embedded);
    let shown = platform.token(&key, "p1", json!({}));
    broker.granted(&by(&shown));
    let path = broker.policy(&workload_path("job"));
    let file = platform_workload("https://idp.example.com", JOB);
    std::fs::write(&path, file).unwrap();
    broker.operator("/admin/v1/policies/reload", json!({})).expect(200);
    assert_eq!(broker.ask(&by(&shown)).outcome(), (401, "invalid_client".into()), "a token seen before, too");
    std::fs::write(&path, platform_workload(platform.url(), JOB)).unwrap();
    broker.operator("/admin/v1/policies/reload", json!({})).expect(200);
    broker.granted(&by(&shown));
}

/// What an issuer publishes stands in the broker's log; it must not pass for the log's own word there.
#[test]
fn an_issuer_cannot_write_a_line_of_the_log() {
    let (platform, key) = (Platform::http(), Key::ec());
    let forged = "evil\n2026-11-29T00:00:00Z  INFO jitney: all is well\r\u{1b}[2J\u{9b}31m\u{202e}";
    platform.answer(DISCOVERY, Reply::Json(json!({"issuer": forged, "jwks_uri": format!("{}/keys", platform.url())})));
    for format in ["text", "json"] {
        let broker = trusting(&platform, JOB).set("JITNEY_TELEMETRY_FORMAT", format).start(&Backing::Embedded);
        assert_eq!(broker.ask(&by(&platform.token(&key, "p1", json!({})))).status, 503);
        let log = eventually("the log tells of it", || Some(broker.stderr()).filter(|log| log.contains("all is well")));
        assert!(!log.lines().any(|line| line.starts_with("2026-11-29T00:00:00Z")), "{log}");
        assert!(!log.contains(['\r', '\u{1b}', '\u{9b}', '\u{202e}']), "{log:?}");
    }
}
