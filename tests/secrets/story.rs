//! The whole story, told twice for each store: as text and as JSON.

use std::fs;

use serde_json::json;

use crate::common::{
    API, Ask, Assertion, Backing, Broker, Key, Redis, Request, SAFE, Setup, complete_path, eventually, key_of,
};
use crate::scene::Scene;

#[test]
fn embedded_and_text() {
    tell(None, "text");
}

#[test]
fn embedded_and_json() {
    tell(None, "json");
}

#[test]
fn redis_and_text() {
    tell(Some(Behind::a_password()), "text");
}

#[test]
fn redis_and_json() {
    tell(Some(Behind::a_password()), "json");
}

/// A Redis behind a password.
struct Behind {
    redis: Redis,
    password: String,
}

impl Behind {
    fn a_password() -> Self {
        let mut random = [0; 20];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random).unwrap();
        let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let redis = Redis::with(&[&SAFE[..], &["--requirepass", &password]].concat());
        Self { redis, password }
    }

    fn url(&self) -> String {
        self.redis.url().replace("redis://", &format!("redis://:{}@", self.password))
    }
}

fn tell(behind: Option<Behind>, format: &str) {
    let setup = Setup::default().set("JITNEY_TELEMETRY_LOG", "trace").set("JITNEY_TELEMETRY_FORMAT", format);
    let setup = match &behind {
        Some(behind) => setup.set("JITNEY_STORE_URL", &behind.url()),
        None => setup,
    };
    let mut scene = Scene::of(setup.start_on(None));
    if let Some(behind) = &behind {
        scene.hoard.password(&behind.password);
    }
    tokens_and_ends(&mut scene);
    refused(&mut scene);
    malformed(&mut scene);
    misplaced(&mut scene);
    workloads_commands(&mut scene);
    operators_commands(&mut scene);
    if let Some(behind) = &behind {
        store_away(&mut scene, &behind.redis);
        wrong_password(&mut scene, behind);
    }
    audit_failing(&mut scene);
    scene.broker.operator("/admin/v1/keys/rotate", json!({"now": true})).expect(200);
    scene.token("after-rotation");
    assert!(scene.hoard.count > 80, "{}", scene.hoard.count);
    let dir = behind.as_ref().map(|behind| behind.redis.dir());
    scene.search(dir, &["serve", "run"]);
}

fn tokens_and_ends(scene: &mut Scene) {
    let [completed, revoked, renewed, bearer] = ["a", "b", "c", "d"].map(|task| scene.token(task));
    scene.send(API, "/oauth2/introspect", &[("token", &completed.text)]).expect(200);
    scene.send("demo", &complete_path("a"), &[]).expect(204);
    scene.send(API, "/oauth2/introspect", &[("token", &completed.text)]).expect(200);
    scene.send("demo", "/oauth2/revoke", &[("token", &revoked.text)]).expect(200);
    scene.send("other", "/oauth2/revoke", &[("token", &renewed.text)]).expect(200);
    scene.send("demo", &format!("/v1/leases/{}/renew", renewed.lease()), &[]).expect(200);
    for (token, task, status) in [(&bearer, "d", 204), (&revoked, "b", 401), (&renewed, "another", 403)] {
        let request = Request::new("POST", &complete_path(task)).bearer(&token.text);
        scene.request("a completion by token", &request).expect(status);
    }
    scene.send("auto", "/oauth2/token", &[("task", "")]).expect(200);
}

/// What was sent must not come back by way of a log, an answer or an audit line.
fn refused(scene: &mut Scene) {
    for more in [
        &[("scope", "orders:eat")][..],
        &[("resource", "https://nobody.example.com")],
        &[("ttl", "0")],
        &[("ttl", "99999")],
        &[("task", "a")],
        &[("task", "//")],
        &[("client_id", "other")],
        &[("grant_type", "password")],
    ] {
        assert!(scene.send("demo", "/oauth2/token", more).status >= 400, "{more:?}");
    }
    for client in ["nobody", "expired", "nothing", "no-owner"] {
        assert!(scene.send(client, "/oauth2/token", &[]).status >= 400, "{client}");
    }
    let twice = Assertion::of("demo").text();
    scene.send_with("demo", "/oauth2/token", &[], twice.clone()).expect(200);
    scene.send_with("demo", "/oauth2/token", &[], twice.clone()).expect(401);
    let doubled = Ask::of("demo").assertion(&twice).also("client_assertion", &twice).request();
    scene.request("a doubled assertion", &doubled).expect(400);
}

fn malformed(scene: &mut Scene) {
    let good = || Assertion::of("demo");
    let changed = {
        let text = good().text();
        let (rest, signature) = text.rsplit_once('.').unwrap();
        let first = if signature.starts_with('A') { 'B' } else { 'A' };
        format!("{rest}.{first}{}", &signature[1..])
    };
    let text = good().text();
    for assertion in [
        changed,
        good().signed(&Key::ec()),
        good().signed(&Key::ed()),
        good().header("typ", "at+jwt").text(),
        good().header("crit", json!(["x"])).text(),
        good().header("kid", "nobody's").text(),
        good().claim("aud", "https://elsewhere.example.com").text(),
        good().claim("exp", 1).text(),
        good().claim("jti", json!(null)).text(),
        good().claim("iss", key_of("demo").jwks()).text(),
        Assertion::raw(r#"{"alg":"ES256""#, "{", key_of("demo")),
        format!(" {text}"),
        format!("{text}="),
        format!("{text}.{text}"),
        text.replace('.', " "),
        text[..text.len() - 30].to_owned(),
    ] {
        for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/v1/tasks/t/complete"] {
            let answer = scene.send_with("demo", path, &[], assertion.clone());
            assert!(matches!(answer.status, 400 | 401), "{path}: {}", answer.text());
        }
    }
    scene.hoard.jws(&text);
}

/// Where a secret does not belong: in a path, in a query, in another parameter, in a header, in a reason.
fn misplaced(scene: &mut Scene) {
    let token = scene.token("misplaced").text;
    let assertion = Assertion::of("demo").text();
    scene.hoard.jws(&assertion);
    for secret in [&token, &assertion] {
        for path in [format!("/{secret}"), format!("/oauth2/token/{secret}"), format!("/v1/tasks/{secret}")] {
            scene.request("a path with a secret", &Request::get(&path));
        }
        scene.request("a query with a secret", &Request::get(&format!("/oauth2/jwks?token={secret}"))).expect(200);
        scene.request("a filter with a secret", &Request::get(&format!("/v1/revocations?once=1&audience={secret}")));
        scene.send("demo", &complete_path(secret), &[]);
        scene.send("demo", &format!("/v1/leases/{secret}/renew"), &[]);
        for name in ["task", "scope", "resource", "ttl", "grant_type", "client_id", "client_assertion_type", secret] {
            scene.send("demo", "/oauth2/token", &[(name, secret)]);
        }
        let ask = || Request::new("POST", "/oauth2/token");
        scene.request("a body that is no form", &ask().header("Content-Type", "application/json").body(secret));
        scene.request("an Authorization", &ask().bearer(secret));
        scene.request("another Authorization", &ask().header("Authorization", &format!("Basic {secret}")));
        scene.request("a header", &Request::get("/livez").header(&format!("X-{}", &secret[..60]), secret));
        let reason = json!({"reason": format!("found {secret} in a log")});
        scene.broker.operator("/admin/v1/workloads/other/quarantine", reason.clone()).expect(200);
        let inventory = scene.broker.operator_sees("/admin/v1/workloads").to_string();
        assert!(inventory.contains("found [redacted] in a log"), "{inventory}");
        scene.say("the inventory", inventory);
        scene.broker.operator("/admin/v1/workloads/other/release", reason.clone()).expect(200);
        let mut all = reason;
        all["workload"] = json!(secret);
        for (what, answer) in [
            ("a revocation", scene.broker.operator("/admin/v1/revocations", all)),
            ("a lease", scene.broker.admin(&Request::get(&format!("/admin/v1/leases/{secret}")))),
            ("a workload", scene.broker.admin(&Request::get(&format!("/admin/v1/workloads/{secret}")))),
            ("an audience", scene.broker.admin(&Request::get(&format!("/admin/v1/audiences/{secret}")))),
        ] {
            assert!(answer.status >= 400, "{what}");
            scene.say(format!("an operator's answer about {what}"), answer.body);
        }
    }
}

fn workloads_commands(scene: &mut Scene) {
    let ask = ["--audience", API, "--scope", "orders:read", "--task"];
    let with = |first: &'static str, task: &'static str| [&[first], &ask[..], &[task]].concat();
    let token = String::from_utf8(scene.cli(&with("token", "cli-1"), 0).stdout).unwrap();
    scene.hoard.jws(token.trim());
    let file = scene.broker.data().parent().unwrap().join("token");
    fs::write(&file, &token).unwrap();
    scene.cli(&["verify", "--token-file", file.to_str().unwrap()], 0);
    scene.cli(&["verify", "--output", "json", "--token-file", file.to_str().unwrap()], 0);
    scene.cli(&["complete", "--task", "cli-1"], 0);
    scene.cli(&["verify", "--token-file", file.to_str().unwrap()], 1);
    scene.cli(&with("token", "cli-1"), 1);
    scene.cli(&["token", "--audience", API, "--scope", "orders:eat", "--task", "cli-2"], 1);
    scene.cli(&["token", "--audience", API, "--scope", "orders:read", "--task", "cli-2", "--ttl", "2h"], 1);
    scene.cli(&["token", "--audience", "https://nobody.example.com", "--scope", "a", "--task", "cli-2"], 1);
    let mut assertion = Assertion::of("demo").text();
    scene.hoard.jws(&assertion);
    assertion.push('\n');
    fs::write(&file, assertion).unwrap();
    for code in [0, 1] {
        let mut command = scene.command(&with("token", "cli-3"));
        command.env_remove("JITNEY_KEY_FILE").env("JITNEY_ASSERTION_FILE", &file);
        assert_eq!(scene.run(command, true).status.code(), Some(code), "an assertion counts once");
    }
    // A key file that is none, and an assertion in the place of a key.
    for (name, path) in [("JITNEY_KEY_FILE", file.clone()), ("JITNEY_ASSERTION_FILE", scene.key_file())] {
        let mut command = scene.command(&with("token", "cli-4"));
        command.env_remove("JITNEY_KEY_FILE").env(name, path);
        assert_eq!(scene.run(command, true).status.code(), Some(1), "{name}");
    }
    let run = [&with("run", "cli-5")[..], &["--", "sh", "-c", "test -n \"$JITNEY_TOKEN\" && sleep 0.1"]].concat();
    scene.cli(&run, 0);
}

fn operators_commands(scene: &mut Scene) {
    let lease = scene.token("operators").lease();
    let kid = scene.broker.operator_sees("/admin/v1/keys")["keys"][0]["kid"].as_str().unwrap().to_owned();
    let policies = scene.broker.data().join("policies");
    for words in [
        &["status"][..],
        &["lease", "list"],
        &["lease", "show", &lease],
        &["workload", "list"],
        &["workload", "show", "demo"],
        &["audience", "list"],
        &["audience", "show", API],
        &["key", "list"],
        &["audit", "tail", "-n", "1000"],
        &["audit", "verify"],
        &["lease", "revoke", "--lease", &lease, "--reason", "a test"],
        &["lease", "revoke", "--key", &kid, "--reason", "a test", "--dry-run"],
        &["lease", "revoke", "--all", "--reason", "a test"],
        &["workload", "quarantine", "demo", "--reason", "a test"],
        &["workload", "release", "demo", "--reason", "a test"],
        &["key", "rotate"],
    ] {
        scene.cli(words, 0);
        scene.cli(&[words, &["--output", "json"]].concat(), 0);
    }
    scene.cli(&["key", "list", "--output", "pem"], 0);
    scene.cli(&["policy", "check", policies.to_str().unwrap()], 0);
    scene.cli(&["lease", "show", "0190163d-8694-839b-aea5-966c26f8ad91"], 1);
    scene.cli(&["workload", "show", "nobody"], 1);
    scene.cli(&["lease", "revoke", "--key", "nobody", "--reason", "a test"], 1);
    scene.cli(&["policy", "check", "/nonexistent"], 1);
}

fn store_away(scene: &mut Scene, redis: &Redis) {
    redis.pause();
    scene.send("demo", "/oauth2/token", &[]).expect(503);
    scene.send("demo", &complete_path("away"), &[]).expect(503);
    let status = scene.cli(&["status"], 0);
    let (told, warned) = (String::from_utf8_lossy(&status.stdout), String::from_utf8_lossy(&status.stderr));
    assert!(told.contains("AWAY since ") && told.contains("policy set"), "{told}");
    assert!(warned.contains("the store is away, last heard of "), "{warned}");
    scene.cli(&["lease", "list"], 1);
    redis.resume();
    eventually("the broker is ready again", || (scene.broker.get("/readyz").status == 200).then_some(()));
}

/// A broker that may not come in says so without its password.
fn wrong_password(scene: &mut Scene, behind: &Behind) {
    let wrong = format!("{}{}", &behind.password[20..], &behind.password[..20]);
    scene.hoard.password(&wrong);
    for url in [
        behind.redis.url().replace("redis://", &format!("redis://:{wrong}@")),
        format!("redis://:{wrong}@127.0.0.1:1"),
        format!("redis://:{wrong}@127.0.0.1:99999"),
        format!("postgres://:{wrong}@127.0.0.1"),
    ] {
        let setup = Setup::default().set("JITNEY_TELEMETRY_LOG", "trace").set("JITNEY_STORE_URL", &url);
        let output = setup.stopped(None).fails_to_start();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("error: ") && said.contains("  next: "), "{said}");
        scene.say("a broker that does not start", said);
        scene.say("a broker that does not start", output.stdout);
    }
}

fn audit_failing(scene: &mut Scene) {
    let (path, aside) = (scene.broker.audit_path(), scene.broker.data().join("aside"));
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    let fails = |scene: &mut Scene| scene.send("demo", "/oauth2/token", &[]).status == 503;
    assert!(fails(scene) && fails(scene));
    scene.cli(&["token", "--audience", API, "--scope", "orders:read", "--task", "unaudited"], 1);
    fs::remove_dir(&path).unwrap();
    let recovered = |scene: &mut Scene| scene.send("demo", "/oauth2/token", &[]).status == 200;
    eventually("the audit log is written again", || recovered(scene).then_some(()));
}

/// A password on the command line would be everybody's to see.
#[test]
fn a_password_is_not_taken_as_an_argument() {
    let password = "correct-horse-battery";
    for url in [format!("redis://:{password}@127.0.0.1:1"), format!("redis://jitney:{password}/x@127.0.0.1:1/0")] {
        let output = Setup::default().stopped(Some(url)).fails_to_start();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("a password is never an argument") && said.contains("next: JITNEY_STORE_URL="), "{said}");
        assert!(!said.contains(password), "{said}");
    }
    let backing = Backing::Redis(Redis::start());
    let broker = Broker::start(&backing);
    assert_eq!(broker.get("/readyz").status, 200, "an address alone is taken");
}
