//! What a guard answers by itself: to a proxy, to a program, to a probe, to a scrape.

use crate::common::{API, Ask, Backing, Broker, Http, Request, SECOND, Token, eventually, jitney};
use crate::process::{Guard, challenge, mint, of, revoke, told};

const REALM: &str = r#"Bearer realm="jitney""#;

#[test]
fn a_good_token_passes_and_no_other() {
    let broker = Broker::start(&Backing::Embedded);
    let guard = Guard::start(&broker, &["--audience", API]);
    let good = mint(&broker, &Ask::of("demo").with("scope", "orders:read orders:write"));
    for _ in 0..2 {
        let answer = guard.auth(&good).expect(200);
        assert_eq!((told(&answer), answer.body.len()), (Some(of(&good)), 0));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let elsewhere = mint(&broker, &Ask::of("demo").with("resource", SECOND));
    let tampered = Token { text: good.text.replace(&good.text[60..64], "AAAA"), ..good.clone() };
    for (token, why) in [(&elsewhere, "it is for another audience"), (&tampered, "")] {
        let answer = guard.auth(token).expect(401);
        assert!(challenge(&answer).starts_with(&format!("{REALM}, error=\"invalid_token\", ")), "{answer:?}");
        assert!(challenge(&answer).contains(why), "{answer:?}");
        assert_eq!(told(&answer), None);
    }
    revoke(&broker, &good);
    let answer = eventually("the end has come", || Some(guard.auth(&good)).filter(|answer| answer.status != 200));
    assert_eq!(
        challenge(&answer.expect(401)),
        format!("{REALM}, error=\"invalid_token\", error_description=\"it was revoked, by a rule on its lease\"")
    );
}

#[test]
fn the_token_is_read_from_the_one_authorization_header_and_nowhere_else() {
    let broker = Broker::start(&Backing::Embedded);
    let guard = Guard::start(&broker, &["--audience", API]);
    let good = mint(&broker, &Ask::of("demo")).text;
    let ask = |request: Request| guard.send(&request);
    let get = || Request::get("/v1/forward-auth");
    ask(get().header("authorization", &format!("bEaReR {good}"))).expect(200);
    ask(Request::new("HEAD", "/v1/forward-auth").header("Connection", "close").bearer(&good)).expect(200);
    for (name, value) in [
        ("X-None", String::new()),
        ("Authorization", "Basic YTpi".to_owned()),
        ("Authorization", "Bearer".to_owned()),
        ("Authorization", format!("Token {good}")),
        ("Cookie", format!("access_token={good}")),
        ("X-Forwarded-Access-Token", good.clone()),
        ("Proxy-Authorization", format!("Bearer {good}")),
    ] {
        assert_eq!(challenge(&ask(get().header(name, &value)).expect(401)), REALM, "{name}: {value}");
    }
    let in_query = Request::get(&format!("/v1/forward-auth?access_token={good}"));
    assert_eq!(challenge(&ask(in_query).expect(401)), REALM);
    let twice = ask(get().bearer(&good).bearer(&good)).expect(403);
    assert!(challenge(&twice).contains("invalid_request"), "{twice:?}");
    ask(Request::new("POST", "/v1/forward-auth").bearer(&good)).expect(405);
}

#[test]
fn what_a_caller_claims_to_be_is_not_what_a_proxy_is_told() {
    let broker = Broker::start(&Backing::Embedded);
    let guard = Guard::start(&broker, &["--audience", API]);
    let good = mint(&broker, &Ask::of("demo"));
    let forged = crate::process::HEADERS
        .iter()
        .fold(Request::get("/v1/forward-auth").bearer(&good.text), |request, name| request.header(name, "admin"));
    assert_eq!(told(&guard.send(&forged).expect(200)), Some(of(&good)));
}

#[test]
fn a_program_asks_as_it_asks_for_introspection() {
    let broker = Broker::start(&Backing::Embedded);
    let guard = Guard::start(&broker, &["--audience", API]);
    let good = mint(&broker, &Ask::of("demo"));
    let active = guard.verify(&[("token", &good.text)]).expect(200);
    assert_eq!(active.header("cache-control"), Some("no-store"));
    let mut wanted = good.claims.clone();
    wanted["active"] = true.into();
    wanted["token_type"] = "Bearer".into();
    assert_eq!(active.json(), wanted);
    assert_eq!(guard.verify(&[("token", &good.text), ("scope", "orders:read")]).expect(200).json()["active"], true);
    let elsewhere = mint(&broker, &Ask::of("demo").with("resource", SECOND));
    let forms: [&[(&str, &str)]; 4] = [
        &[("token", &good.text), ("scope", "orders:write")],
        &[("token", &good.text), ("scope", "orders:read orders:write")],
        &[("token", &elsewhere.text)],
        &[("token", "x")],
    ];
    for form in forms {
        assert_eq!(guard.verify(form).expect(200).text(), r#"{"active":false}"#, "{form:?}");
    }
    for form in [&[][..], &[("token", "a"), ("token", "b")], &[("token", "a"), ("scope", "a  b")]] {
        assert_eq!(guard.verify(form).outcome(), (400, "invalid_request".into()), "{form:?}");
    }
    guard.send(&Request::json("/v1/verify", &serde_json::json!({"token": good.text}))).expect(415);
    guard.get("/v1/verify").expect(405);
    revoke(&broker, &good);
    eventually("the end has come", || {
        (guard.verify(&[("token", &good.text)]).expect(200).text() == r#"{"active":false}"#).then_some(())
    });
}

#[test]
fn probes_a_scrape_and_paths_that_are_not_there() {
    let broker = Broker::start(&Backing::Embedded);
    let mut guard = Guard::start(&broker, &["--audience", API, "--audience", SECOND]);
    guard.get("/livez").expect(200);
    let ready = guard.get("/readyz").expect(200).json();
    assert_eq!(ready["ready"], true);
    assert!(ready["view_age_ms"].as_u64().unwrap() < 10_000 && ready.as_object().unwrap().len() == 2, "{ready}");
    for audience in [API, SECOND] {
        guard.auth(&mint(&broker, &Ask::of("demo").with("resource", audience))).expect(200);
    }
    let metrics = guard.get("/metrics").expect(200);
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = metrics.text();
    for line in [r#"jitney_guard_answers_total{endpoint="forward_auth",outcome="admitted"} 2"#, "jitney_guard_ready 1"]
    {
        assert!(text.lines().any(|each| each == line), "{line} is not in\n{text}");
    }
    for path in [
        "/",
        "/v1",
        "/v1/forward-authx",
        "/v1/forward-auth%2Fx",
        "/oauth2/token",
        "/V1/forward-auth",
        "//v1/forward-auth",
    ] {
        guard.get(path).expect(404);
    }
    guard.send(&Request::new("DELETE", "/readyz")).expect(405);
    let mut kept = Http::tcp(guard.address).unwrap();
    assert_eq!(kept.ask(&Request::get("/livez")).unwrap().status, 200);
    guard.stop();
    assert!(kept.is_closed());
}

#[test]
fn what_is_set_up_wrongly_is_told_with_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.toml"), "[[rule]]\nprefix = \"/\"\n\nscope = [\"a\"]\n").unwrap();
    std::fs::write(dir.path().join("open.toml"), "[[rule]]\nprefix = \"/\"\n").unwrap();
    let url = ("JITNEY_URL", "http://127.0.0.1:9");
    for (settings, words, code, says, next) in [
        (&[url][..], &[][..], 2, "must know its resource server", "--audience"),
        (&[], &["--audience", API], 2, "JITNEY_URL", ""),
        (&[url], &["--audience", API, "--rules", "open.toml"], 2, "without --proxy", "nginx"),
        (&[url], &["--proxy", "nginx", "--rules", "open.toml"], 2, "no --audience", "--audience"),
        (
            &[url],
            &["--audience", API, "--proxy", "nginx", "--rules", "bad.toml"],
            1,
            "bad.toml:4: unknown field `scope`",
            "docs/verify.md",
        ),
        (
            &[url],
            &["--audience", API, "--proxy", "nginx", "--rules", "none.toml"],
            1,
            "none.toml: cannot be read",
            "name a file that is there",
        ),
        (&[url], &["--audience", API, "--max-staleness", "0s"], 2, "no time at all", "the least is `1s`"),
        (&[url], &["--audience", API, "--listen", "127.0.0.1"], 2, "there is no port", "write 127.0.0.1:8181"),
        (&[url], &["--audience", API, "--listen", "::1"], 2, "there is no port", "write [::1]:8181"),
        (&[url], &["--audience", API, "--listen", "here"], 2, "no address to listen on", "127.0.0.1:8181"),
        (&[url], &["--audience", API, "--max-rules", "0"], 2, "--max-rules", ""),
        (&[url, ("JITNEY_TELEMETRY_FORMAT", "xml")], &["--audience", API], 2, "JITNEY_TELEMETRY_FORMAT", "correct it"),
        (&[url, ("JITNEY_GUARD_PROXY", "apache")], &["--audience", API], 2, "apache", ""),
    ] {
        let output = jitney(dir.path(), settings, &[&["guard"], words].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}\n{stderr}");
        assert!(stderr.contains("error: ") && stderr.contains(says) && stderr.contains(next), "{words:?}\n{stderr}");
    }
}

#[test]
fn it_is_set_up_by_the_environment_too_and_writes_its_log_as_json() {
    let broker = Broker::start(&Backing::Embedded);
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules.toml");
    std::fs::write(&rules, "[[rule]]\nprefix = \"/open\"\npublic = true\n").unwrap();
    let settings = [
        ("JITNEY_GUARD_LISTEN", "127.0.0.1:0"),
        ("JITNEY_AUDIENCE", &format!("{API} {SECOND}")),
        ("JITNEY_GUARD_MAX_STALENESS", "5s"),
        ("JITNEY_GUARD_PROXY", "envoy"),
        ("JITNEY_GUARD_RULES", rules.to_str().unwrap()),
        ("JITNEY_TELEMETRY_FORMAT", "json"),
    ];
    let guard = Guard::by_environment(&broker, &settings);
    guard.is_ready();
    guard.get("/v1/forward-auth/open/x").expect(200);
    guard.get("/v1/forward-auth/closed").expect(403);
    let line = guard.stderr().lines().next().unwrap().to_owned();
    let line: serde_json::Value = serde_json::from_str(&line).expect(&line);
    assert_eq!((&line["message"], &line["audiences"]), (&"guarding".into(), &format!("{API} {SECOND}").into()));
    assert_eq!(line["proxy"], "envoy", "by the word that the option takes");
}

#[test]
fn its_log_says_why_a_request_is_refused_unread_and_nothing_of_a_token() {
    let broker = Broker::start(&Backing::Embedded);
    let guard = Guard::start(&broker, &["--audience", API, "--proxy", "nginx"]);
    let good = mint(&broker, &Ask::of("demo"));
    for _ in 0..50 {
        let answer =
            guard.send(&Request::get("/v1/forward-auth").bearer(&good.text).header("X-Rewrite-URL", "/secret"));
        assert!(challenge(&answer.expect(403)).contains("x-rewrite-url"));
    }
    let told =
        || guard.stderr().lines().filter(|line| line.contains("no one meaning")).map(str::to_owned).collect::<Vec<_>>();
    let lines = eventually("it says so", || Some(told()).filter(|lines| !lines.is_empty()));
    assert!(lines[0].contains("x-rewrite-url") && lines[0].contains("proxy=nginx"), "{lines:?}");
    assert!(lines.len() < 25, "not each time: {lines:?}");
    assert!(!guard.stderr().contains(&good.text) && !guard.stderr().contains("/secret"), "{lines:?}");
}

#[test]
fn a_broker_of_another_name_and_more_rules_than_it_may_hold_are_told_with_what_to_do() {
    let broker = Broker::start(&Backing::Embedded);
    let url = broker.url();
    let other = Guard::start_at(&url, "https://other.example.com", &["--audience", API]);
    let hint = format!("JITNEY_ISSUER={}", crate::common::ISSUER);
    eventually("it says which", || other.stderr().contains(&hint).then_some(()));
    for n in 0..3 {
        let task = format!("t-{n}");
        mint(&broker, &Ask::of("demo").task(&task));
        assert!(broker.cli("demo", &["complete", "--task", &task]).status.success());
    }
    let few = Guard::start_at(&url, crate::common::ISSUER, &["--audience", API, "--max-rules", "2"]);
    eventually("it says so", || few.stderr().contains("--max-rules").then_some(()));
    few.get("/readyz").expect(503);
    assert_eq!(few.auth(&mint(&broker, &Ask::of("demo"))).status, 503, "{}", few.stderr());
}
