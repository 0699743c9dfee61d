//! The proxies that people run, each with its file of `deploy/proxies` as it stands.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::{API, Answer, Ask, Backing, Broker, ISSUER, Request, clean, eventually, now};
use crate::process::{Guard, mint, of, revoke, told};
use crate::scene::{Front, Places, Service, claiming, deploy, program, said, tampered};

/// What some proxies, and some services behind them, take for the method or the path.
const FOREIGN: [&str; 6] =
    ["X-Original-Method", "X-Original-URI", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Method", "X-Forwarded-Uri"];

#[test]
fn nginx_asks_the_guard() {
    guarded("nginx", &["nginx.conf"], |dir| {
        // What Debian's own file has, for a user without a root's rights.
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = temporary.iter().map(|name| format!("{name}_temp_path {name};\n")).collect();
        let main = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nworker_processes 1;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}include nginx.conf;\n}}\n"
        );
        std::fs::write(dir.join("main.conf"), main).unwrap();
        let mut command = program("nginx");
        command.arg("-p").arg(dir).args(["-c", "main.conf", "-e", "stderr"]);
        command
    });
}

#[test]
fn caddy_asks_the_guard() {
    guarded("caddy", &["Caddyfile"], |dir| {
        let mut command = program("caddy");
        let home = ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"];
        command.args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"]).envs(home.map(|name| (name, dir)));
        command
    });
}

#[test]
fn envoy_asks_the_guard() {
    guarded("envoy", &["envoy-ext-authz.yaml"], |_| envoy("envoy-ext-authz.yaml"));
}

#[test]
fn haproxy_asks_the_guard() {
    guarded("haproxy", &["haproxy.cfg", "haproxy.lua"], |_| {
        let mut command = program("haproxy");
        command.args(["-db", "-f", "haproxy.cfg"]);
        command
    });
}

/// The whole story of a proxy that asks a guard: who passes, as whom, who does not, and what if nobody answers.
fn guarded(kind: &str, files: &[&str], command: impl Fn(&Path) -> Command) {
    let broker = Broker::start(&Backing::Embedded);
    let rules = deploy("rules.toml");
    let mut guard = Guard::start(&broker, &["--proxy", kind, "--rules", rules.to_str().unwrap()]);
    let service = Service::start();
    let front =
        Front::start(files, &Places { guard: guard.address, service: &service, broker: broker.address() }, command);
    let good = mint(&broker, &Ask::of("demo"));
    let get = || claiming(Request::get("/orders/7?x=/healthz"));

    let answer = front.ask(&get().bearer(&good.text)).expect(200);
    assert_eq!((answer.text(), said(&service.reached())), ("served".into(), of(&good)), "{kind}");
    let public = front.ask(&claiming(Request::get("/healthz")).bearer(&good.text)).expect(200);
    assert_eq!((public.text(), said(&service.reached())), ("served".into(), Default::default()), "{kind}");

    // What other kinds of proxies say it by is no reason to refuse anybody, and tells neither guard nor service anything.
    for name in FOREIGN {
        let answer = front.ask(&get().bearer(&good.text).header(name, "/healthz").header("X-Jitney-Role", "admin"));
        assert_eq!(answer.status, 200, "{kind} {name}: {answer:?}");
        let reached = service.reached().concat().to_lowercase().replace('_', "-");
        assert!(!reached.contains(&format!("\n{}:", name.to_lowercase())), "{kind} {name}: {reached}");
        // nginx takes away only what it is told by name.
        assert!(kind == "nginx" || !reached.contains("x-jitney-role"), "{kind}: {reached}");
    }

    let none = front.ask(&get()).expect(401);
    assert!(
        none.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")),
        "{kind}: {none:?}"
    );
    front.ask(&get().bearer(&tampered(&good))).expect(401);
    front.ask(&get().bearer(&good.text).bearer(&good.text)).status.ne(&200).then_some(()).expect(kind);
    let little = front.ask(&claiming(Request::new("POST", "/orders/7")).bearer(&good.text)).expect(403);
    let challenge = little.header("www-authenticate").unwrap_or_default();
    assert!(
        challenge.contains(r#"error="insufficient_scope""#) && challenge.contains("orders:write"),
        "{kind}: {little:?}"
    );
    front.ask(&claiming(Request::get("/")).bearer(&good.text)).expect(403);
    for (name, value) in [
        ("X-Original-Method", "GET"),
        ("X-Original-URI", "/healthz"),
        ("X-Original-URL", "/healthz"),
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Uri", "/healthz"),
    ] {
        // A proxy may pass it on, replace it or leave it out: it makes nobody pass.
        let answer = front.ask(&Request::new("POST", "/orders/7").header(name, value));
        assert!(matches!(answer.status, 401 | 403), "{kind} {name}: {answer:?}");
    }
    for path in
        ["/healthz/../orders", "/healthz/..;/orders", "/orders//7", "/%2e%2e/orders", "/orders%2f7", "/orders;x"]
    {
        // Some proxies refuse them themselves, or tidy them up: what passes has met its rule.
        let answer = front.ask(&Request::get(path));
        assert!(matches!(answer.status, 400 | 401 | 403), "{kind} {path}: {answer:?}");
    }
    for path in ["/healthz#/orders", "/healthz#", "/healthz#/../orders/7"] {
        // No part of a target: of what is behind it a guard behind Envoy sees nothing, so the proxy must not let it through.
        let answer = front.ask(&Request::get(path));
        assert!(matches!(answer.status, 400 | 401 | 403), "{kind} {path}: {answer:?}");
    }
    assert_eq!(service.reached(), Vec::<String>::new(), "{kind}");

    revoke(&broker, &good);
    eventually("the end has come", || (front.ask(&get().bearer(&good.text)).status == 401).then_some(()));
    service.reached();
    front.ask(&get().bearer(&good.text)).expect(401);
    let other = mint(&broker, &Ask::of("demo"));
    front.ask(&get().bearer(&other.text)).expect(200);
    service.reached();
    hangs(kind, &guard, &|| front.ask(&get().bearer(&other.text)));
    assert_eq!(service.reached(), Vec::<String>::new(), "{kind}");
    eventually("it goes on", || (front.ask(&get().bearer(&other.text)).status == 200).then_some(()));
    service.reached();
    guard.stop();
    let answer = front.ask(&get().bearer(&other.text));
    assert!(matches!(answer.status, 403 | 500..=504), "{kind}: {answer:?}");
    assert!(front.ask(&Request::get("/healthz")).status >= 400, "{kind}");
    assert_eq!(service.reached(), Vec::<String>::new(), "{kind}");
}

/// A guard that is there and says nothing is not waited for: a limit of two seconds, and of a busy machine some more.
fn hangs(kind: &str, guard: &Guard, ask: &dyn Fn() -> Answer) {
    guard.sleeps();
    let begun = Instant::now();
    let (answer, took) = (ask(), begun.elapsed());
    guard.signal(Signal::CONT);
    assert!(matches!(answer.status, 403 | 500..=504), "{kind}: {answer:?}");
    assert!(took < Duration::from_secs(6), "{kind}: {took:?}");
}

/// Envoy of PyPI, run by itself: its Python would not hand a signal on.
fn envoy(file: &str) -> Command {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guard/venv");
    let mut same = Command::new("sha256sum");
    same.args(["--check", "--status", "--strict"]).arg(home.join("made-from")).current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(
        same.status().is_ok_and(|status| status.success()),
        "Envoy is not in {}, or not the pinned one: `bash tests/run` installs it",
        home.display()
    );
    let find = "import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), '_bin', 'envoy'))";
    let found = clean(home.join("bin/python").to_str().unwrap()).args(["-c", find]).output().unwrap();
    let mut command = clean(String::from_utf8(found.stdout).unwrap().trim());
    command.args(["-c", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]);
    command
}

/// Traefik comes in no package that is installed here. So its file is read as YAML, and the guard is asked as Traefik v2 and v3
/// ask (`pkg/middlewares/auth/forward.go`): by GET, with the headers of `authRequestHeaders` and its own `X-Forwarded-*`.
#[test]
fn what_traefik_asks_is_answered() {
    const READ: &str = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/deploy/venv/bin/python");
    let read = Command::new(python).args(["-c", READ]).arg(deploy("traefik.yaml")).output().expect("`bash tests/run`");
    let file: serde_json::Value = serde_json::from_slice(&read.stdout).unwrap();
    let auth = &file["http"]["middlewares"]["jitney"]["forwardAuth"];
    assert_eq!(auth["trustForwardHeader"], false, "a caller's X-Forwarded-Uri would be believed");
    assert_eq!(auth["authRequestHeaders"], serde_json::json!(["Authorization"]));
    let names = |value: &serde_json::Value| {
        let names = value.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_lowercase());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&auth["authResponseHeaders"]), crate::process::HEADERS);
    assert_eq!(names(&file["http"]["routers"]["api"]["middlewares"]), ["one-path", "jitney"]);
    let taken_away = file["http"]["middlewares"]["one-path"]["headers"]["customRequestHeaders"].as_object().unwrap();
    assert!(FOREIGN.iter().all(|name| taken_away.get(*name).is_some_and(|value| value == "")), "{taken_away:?}");
    let path = auth["address"].as_str().unwrap().strip_prefix("http://127.0.0.1:8181").unwrap();

    let broker = Broker::start(&Backing::Embedded);
    let rules = deploy("rules.toml");
    let guard = Guard::start(&broker, &["--proxy", "traefik", "--rules", rules.to_str().unwrap()]);
    let asks = |method: &str, uri: &str| {
        let own = [
            ("User-Agent", "Go-http-client/1.1"),
            ("X-Forwarded-For", "192.0.2.7"),
            ("X-Forwarded-Method", method),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "api.example.com"),
            ("X-Forwarded-Uri", uri),
            ("Accept-Encoding", "gzip"),
        ];
        own.iter().fold(Request::get(path), |request, (name, value)| request.header(name, value))
    };
    let good = mint(&broker, &Ask::of("demo"));
    let passed = guard.send(&asks("GET", "/orders/7?x=1").bearer(&good.text)).expect(200);
    // It takes away what the caller sent under each of these names, and sets what it finds: so each must be there.
    assert_eq!(told(&passed), Some(of(&good)));
    assert_eq!(told(&guard.send(&asks("GET", "/healthz")).expect(200)), Some(Default::default()));
    guard.send(&asks("GET", "/orders/7")).expect(401);
    guard.send(&asks("POST", "/orders/7").bearer(&good.text)).expect(403);
    revoke(&broker, &good);
    eventually("the end has come", || {
        (guard.send(&asks("GET", "/orders/7").bearer(&good.text)).status == 401).then_some(())
    });
}

/// What a plain check of the JWT gives, and what it does not.
#[test]
fn envoy_alone_checks_all_but_revocation() {
    let broker = Broker::start(&Backing::Embedded);
    let service = Service::start();
    let none = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let places = Places { guard: none, service: &service, broker: broker.address() };
    let front = Front::start(&["envoy-jwt.yaml"], &places, |dir| {
        // The broker is reached under another name than its issuer's.
        let file = dir.join("envoy-jwt.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let own = format!("issuer: http://{}", broker.address());
        assert!(text.contains(&own), "{text}");
        std::fs::write(&file, text.replace(&own, &format!("issuer: {ISSUER}"))).unwrap();
        envoy("envoy-jwt.yaml")
    });
    let good = mint(&broker, &Ask::of("demo"));
    let brief = mint(&broker, &Ask::of("demo").with("ttl", 1));
    let get = |token: &str| front.ask(&claiming(Request::get("/orders/7")).bearer(token));
    get(&good.text).expect(200);
    assert_eq!(said(&service.reached()), of(&good));
    get(&tampered(&good)).expect(401);
    front.ask(&claiming(Request::get("/orders/7"))).expect(401);
    let elsewhere = mint(&broker, &Ask::of("demo").with("resource", crate::common::SECOND));
    assert!(matches!(get(&elsewhere.text).status, 401 | 403));
    get(&mint(&broker, &Ask::of("demo").with("scope", "orders:write")).text).expect(403);
    // Its clock may be off by the second that is granted, and is asked in whole ones.
    eventually("the brief one is over", || (now() > brief.number("exp") + 2).then_some(()));
    get(&brief.text).expect(401);
    assert_eq!(service.reached(), Vec::<String>::new());
    revoke(&broker, &good);
    let guard = Guard::start(&broker, &["--audience", API]);
    eventually("a guard knows of the end", || (guard.auth(&good).status == 401).then_some(()));
    get(&good.text).expect(200);
    assert_eq!(said(&service.reached()), of(&good), "it has ended, and passes: nobody told Envoy");
}
