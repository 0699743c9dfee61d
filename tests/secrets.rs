//! A whole story at the loudest log level: no token, no assertion and no private key stands in anything that is written.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::path::Path;

use common::{API, Answer, Ask, Assertion, Backing, Broker, Request, Setup, Token, complete_path, on_both_stores};
use serde_json::json;

on_both_stores!(nothing_secret_is_written_anywhere);

/// What was sent and received that nobody else may see.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    /// A JWS: its signature makes it what it is, and its middle part tells whose it is.
    fn jws(&mut self, text: &str) {
        self.0.extend(text.split('.').skip(1).filter(|part| part.len() > 20).map(str::to_owned));
    }

    /// Sends a request by this client, and keeps its assertion and the token that comes.
    #[track_caller]
    fn send(&mut self, broker: &Broker, client: &str, path: &str, more: &[(&str, &str)]) -> Answer {
        let assertion = Assertion::of(client).text();
        self.jws(&assertion);
        let ask = if path == "/oauth2/token" { Ask::of(client) } else { Ask::bare(client) };
        let ask = more.iter().fold(ask.assertion(assertion), |ask, (name, value)| ask.with(name, value));
        let answer = broker.send(&ask.at(path));
        self.jws(&answer.field("access_token"));
        answer
    }

    fn find_in(&self, what: &str, text: &str) {
        for secret in &self.0 {
            assert!(!text.contains(secret.as_str()), "{what} holds {secret}");
        }
    }
}

fn nothing_secret_is_written_anywhere(backing: &Backing) {
    let mut broker = Setup::default().set("JITNEY_TELEMETRY_LOG", "trace").start(backing);
    let mut secrets = Secrets::default();
    a_whole_story(&broker, &mut secrets);
    broker.operator("/admin/v1/keys/rotate", json!({"now": true})).expect(200);
    for (path, text) in files(&broker.data()) {
        let private = text.split("-----").find(|part| part.contains('\n') && part.len() > 60);
        if text.contains("PRIVATE KEY") {
            let body: Vec<&str> = private.unwrap().lines().filter(|line| line.len() > 20).collect();
            assert!(!body.is_empty(), "{path}");
            secrets.0.extend(body.into_iter().map(str::to_owned));
        }
    }
    let metrics = broker.admin(&Request::get("/metrics")).expect(200).text();
    let leases =
        broker.operator_sees("/admin/v1/leases").to_string() + &broker.operator_sees("/admin/v1/keys").to_string();
    assert!(broker.stop().success());

    assert!(secrets.0.len() > 30);
    let log = broker.stderr();
    assert!(log.contains("DEBUG") || log.contains("TRACE"), "it was loud: {log}");
    secrets.find_in("the log", &log);
    secrets.find_in("standard output", &broker.stdout());
    secrets.find_in("the audit log", &fs::read_to_string(broker.audit_path()).unwrap());
    secrets.find_in("the metrics", &metrics);
    secrets.find_in("the admin API", &leases);
    for (path, text) in files(&broker.data()).into_iter().filter(|(_, text)| !text.contains("PRIVATE KEY")) {
        secrets.find_in(&path, &text);
    }
}

fn a_whole_story(broker: &Broker, secrets: &mut Secrets) {
    let mut mint =
        |task: &str| Token::of(&secrets.send(broker, "demo", "/oauth2/token", &[("task", task)]).expect(200));
    let [completed, revoked, renewed, bearer] = ["a", "b", "c", "d"].map(&mut mint);
    secrets.send(broker, API, "/oauth2/introspect", &[("token", &completed.text)]).expect(200);
    secrets.send(broker, "demo", &complete_path("a"), &[]).expect(204);
    secrets.send(broker, API, "/oauth2/introspect", &[("token", &completed.text)]).expect(200);
    secrets.send(broker, "demo", "/oauth2/revoke", &[("token", &revoked.text)]).expect(200);
    secrets.send(broker, "demo", &format!("/v1/leases/{}/renew", renewed.lease()), &[]).expect(200);
    broker.complete_by(&bearer.text, "d").expect(204);
    broker.complete_by(&revoked.text, "b").expect(401);
    broker.complete_by(&renewed.text, "another").expect(403);
    // Refusals of every kind: what was sent must not come back by way of a log.
    for more in [
        &[("scope", "orders:eat")][..],
        &[("resource", "https://nobody.example.com")],
        &[("ttl", "0")],
        &[("task", "a")],
        &[("client_id", "other")],
        &[("grant_type", "password")],
    ] {
        assert!(secrets.send(broker, "demo", "/oauth2/token", more).status >= 400, "{more:?}");
    }
    secrets.send(broker, "nobody", "/oauth2/token", &[]).expect(401);
    let twice = Assertion::of("demo").text();
    secrets.jws(&twice);
    secrets.jws(&Token::of(&broker.ask(&Ask::of("demo").assertion(&twice)).expect(200)).text);
    broker.ask(&Ask::of("demo").assertion(&twice)).expect(401);
    broker.ask(&Ask::of("demo").assertion(&twice).also("client_assertion", &twice)).expect(400);
    // Where a secret does not belong: in a path, in a query, in another parameter.
    let token = secrets.send(broker, "demo", "/oauth2/token", &[]).expect(200).field("access_token");
    broker.get(&format!("/{token}")).expect(404);
    broker.get(&format!("/oauth2/jwks?token={token}")).expect(200);
    secrets.send(broker, "demo", &complete_path(&token), &[]);
    secrets.send(broker, "demo", "/oauth2/token", &[("task", &token)]);
    secrets.send(broker, "demo", "/oauth2/token", &[("scope", &token)]);
    secrets.send(broker, "demo", "/oauth2/token", &[("resource", &token)]);
    secrets.send(broker, "demo", &format!("/v1/leases/{token}/renew"), &[]);
    broker.operator("/admin/v1/workloads/demo/quarantine", json!({"reason": "a test"})).expect(200);
    secrets.send(broker, "demo", "/oauth2/token", &[]).expect(400);
    broker.operator_revokes(json!({"all": true}));
}

/// Every file below a folder, as text.
fn files(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push((path.display().to_string(), String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()));
        }
    }
    found
}
