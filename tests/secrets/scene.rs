//! A broker at its most talkative, everything secret that it met, and everything that was said about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::common::{Answer, Ask, Assertion, Broker, ISSUER, Request, Token, clean, key_of};
use crate::hoard::Hoard;
use crate::relay::Relay;
use crate::watch::{Watch, command_line};

pub struct Scene {
    pub broker: Broker,
    pub hoard: Hoard,
    pub watch: Watch,
    relay: Relay,
    /// What was said, and where.
    said: Vec<(String, Vec<u8>)>,
}

impl Scene {
    pub fn of(broker: Broker) -> Self {
        let relay = Relay::before(broker.address());
        let mut hoard = Hoard::default();
        for client in ["demo", "other", "auto", crate::common::API] {
            hoard.pem(&key_of(client).pem());
        }
        Self { broker, hoard, watch: Watch::start(), relay, said: Vec::new() }
    }

    /// Keeps what was said, to be searched once everything secret is known.
    pub fn say(&mut self, what: impl Into<String>, text: impl Into<Vec<u8>>) {
        self.said.push((what.into(), text.into()));
    }

    /// Sends a request, keeps the token that comes or else everything that is answered.
    pub fn request(&mut self, what: &str, request: &Request) -> Answer {
        let answer = self.broker.send(request);
        let token = answer.field("access_token");
        if token.is_empty() {
            self.say(format!("the answer to {what}"), answer.body.clone());
        } else {
            self.hoard.jws(&token);
        }
        self.say(format!("a header of the answer to {what}"), format!("{:?}", answer.headers));
        answer
    }

    /// Sends a request by this client with a fresh assertion.
    pub fn send(&mut self, client: &str, path: &str, more: &[(&str, &str)]) -> Answer {
        self.send_with(client, path, more, Assertion::of(client).text())
    }

    /// With this one.
    pub fn send_with(&mut self, client: &str, path: &str, more: &[(&str, &str)], assertion: String) -> Answer {
        if assertion.matches('.').count() >= 2 {
            self.hoard.jws(&assertion);
        }
        let ask = if path == "/oauth2/token" { Ask::of(client) } else { Ask::bare(client) };
        let ask = more.iter().fold(ask.assertion(assertion), |ask, (name, value)| ask.with(name, value));
        self.request(&format!("{path} {more:?}"), &ask.at(path))
    }

    /// A token of `demo`'s for this task.
    pub fn token(&mut self, task: &str) -> Token {
        Token::of(&self.send("demo", "/oauth2/token", &[("task", task)]).expect(200))
    }

    /// A command of the binary, through the relay.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = clean(env!("CARGO_BIN_EXE_jitney"));
        command
            .env("JITNEY_URL", self.relay.url())
            .env("JITNEY_ISSUER", ISSUER)
            .env("JITNEY_WORKLOAD", "demo")
            .env("JITNEY_KEY_FILE", self.key_file())
            .env("JITNEY_ADMIN", format!("unix:{}", self.broker.data().join("admin.sock").display()))
            .args(words)
            .current_dir(self.broker.data())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it, and keeps what it says on standard error; on standard output too, unless it was asked for a token.
    pub fn run(&mut self, mut command: Command, is_asked_for_a_token: bool) -> Output {
        let child = command.spawn().unwrap();
        self.watch.note(command_line(child.id()));
        let output = child.wait_with_output().unwrap();
        let words = format!("{:?}", command.get_args().collect::<Vec<_>>());
        self.say(format!("standard error of {words}"), output.stderr.clone());
        if !is_asked_for_a_token {
            self.say(format!("standard output of {words}"), output.stdout.clone());
        }
        output
    }

    /// Runs a command that must end with this code.
    #[track_caller]
    pub fn cli(&mut self, words: &[&str], code: i32) -> Output {
        let output = self.run(self.command(words), words[0] == "token");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
        let failed = stderr.contains("error: ");
        assert!(!failed || stderr.contains("  next: ") || stderr.contains("--help"), "no next step: {stderr}");
        output
    }

    /// `demo`'s key.
    pub fn key_file(&self) -> PathBuf {
        let path = self.broker.data().join("demo-key.pem");
        fs::write(&path, key_of("demo").pem()).unwrap();
        path
    }

    /// Stops the broker, and looks for everything secret in everything that was said or written.
    pub fn search(mut self, store: Option<&Path>, seen: &[&str]) {
        let data = self.broker.data();
        for (_, bytes) in files(&data) {
            let text = String::from_utf8_lossy(&bytes);
            if text.contains("PRIVATE KEY") {
                self.hoard.pem(&text);
            }
        }
        for secret in self.relay.secrets() {
            self.hoard.jws(&secret);
        }
        let metrics = self.broker.admin(&Request::get("/metrics")).expect(200).text();
        self.say("the metrics", metrics);
        assert!(self.broker.stop().success());
        let log = self.broker.stderr();
        assert!(log.contains("TRACE") || log.contains("DEBUG"), "it was loud");
        // The same search must be able to fail.
        let planted = Assertion::of("planted").text();
        let middle = (log.len() / 2..).find(|at| log.is_char_boundary(*at)).unwrap();
        self.hoard.jws(&planted);
        let with = format!("{}{planted}{}", &log[..middle], &log[middle..]);
        assert!(self.hoard.find(with.as_bytes()).is_some(), "a token in the middle of the log is found");
        self.say("the log", log);
        self.say("standard output", self.broker.stdout());
        self.say("the audit log", fs::read(self.broker.audit_path()).unwrap());
        for (path, bytes) in files(&data).into_iter().chain(store.map(files).unwrap_or_default()) {
            if !String::from_utf8_lossy(&bytes).contains("PRIVATE KEY") {
                self.say(path, bytes);
            }
        }
        for (what, text) in &self.said {
            self.hoard.not_in(what, text);
        }
        self.watch.end(&self.hoard, seen);
    }
}

/// Every file below a folder.
pub fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found
}
