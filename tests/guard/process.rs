//! A guard as a process of a test's own, and what a test asks it.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::Signal;

use crate::common::{Answer, Broker, Http, ISSUER, Request, Token, clean, eventually, wait_for_exit};

/// What a guard says of a token that it lets pass.
pub const HEADERS: [&str; 4] = ["x-jitney-workload", "x-jitney-task", "x-jitney-scope", "x-jitney-lease"];

/// A running guard. Its process ends with the value.
pub struct Guard {
    child: Option<Child>,
    pub address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Guard {
    /// Beside this broker, with these options; its view is there.
    #[track_caller]
    pub fn start(broker: &Broker, words: &[&str]) -> Self {
        let guard = Self::start_at(&broker.url(), ISSUER, words);
        guard.is_ready();
        guard
    }

    /// With these rules, a file's text, for this kind of proxy.
    #[track_caller]
    pub fn with_rules(broker: &Broker, proxy: &str, rules: &str, words: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules.toml");
        std::fs::write(&file, rules).unwrap();
        let own = ["--proxy", proxy, "--rules", file.to_str().unwrap()];
        Self::start(broker, &[&own[..], words].concat())
    }

    /// For the broker at this address, whether it is there or not.
    #[track_caller]
    pub fn start_at(url: &str, issuer: &str, words: &[&str]) -> Self {
        let listen = ["guard", "--listen", "127.0.0.1:0"];
        Self::run(&[&listen[..], words].concat(), &[("JITNEY_URL", url), ("JITNEY_ISSUER", issuer)])
    }

    /// Beside this broker, without an option.
    #[track_caller]
    pub fn by_environment(broker: &Broker, settings: &[(&str, &str)]) -> Self {
        let url = broker.url();
        Self::run(&["guard"], &[&[("JITNEY_URL", url.as_str()), ("JITNEY_ISSUER", ISSUER)], settings].concat())
    }

    /// With these words and settings.
    #[track_caller]
    pub fn run(words: &[&str], settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = clean(env!("CARGO_BIN_EXE_jitney"))
            .args(words)
            .envs(settings.iter().copied())
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(dir.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (found, says) = mpsc::channel();
        std::thread::spawn(move || {
            let told = lines.find_map(|line| line.ok()?.strip_prefix("listening on http://").map(str::to_owned));
            drop(told.map(|address| found.send(address)));
            lines.for_each(drop);
        });
        let mut guard = Self { child: Some(child), address: SocketAddr::from(([127, 0, 0, 1], 0)), dir };
        match says.recv_timeout(Duration::from_secs(30)) {
            Ok(address) => guard.address = address.parse().expect(&address),
            Err(error) => panic!("the guard does not start: {error}\n{}", guard.stderr()),
        }
        guard
    }

    /// Waits until it is ready.
    #[track_caller]
    pub fn is_ready(&self) {
        eventually("the guard is ready", || (self.get("/readyz").status == 200).then_some(()));
    }

    #[track_caller]
    pub fn send(&self, request: &Request) -> Answer {
        Http::tcp(self.address).unwrap().ask(request).unwrap()
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send(&Request::get(path))
    }

    /// Asks as a proxy does, with this token.
    #[track_caller]
    pub fn auth(&self, token: &Token) -> Answer {
        self.send(&Request::get("/v1/forward-auth").bearer(&token.text))
    }

    /// What `/v1/verify` says of a form.
    #[track_caller]
    pub fn verify(&self, form: &[(&str, &str)]) -> Answer {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send(&Request::form("/v1/verify", &form))
    }

    /// What it has said on standard error.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
    }

    /// Puts it to sleep; on return all of it sleeps. [`Signal::CONT`] wakes it.
    pub fn sleeps(&self) {
        self.signal(Signal::STOP);
        let pid = rustix::process::Pid::from_child(self.child.as_ref().expect("it runs"));
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::UNTRACED).unwrap();
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends it in order.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let mut child = self.child.take().expect("it runs");
        let status = wait_for_exit(&mut child);
        assert!(status.success(), "{status}\n{}", self.stderr());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The four headers of an answer; none where one is missing, or there twice.
pub fn told(answer: &Answer) -> Option<[String; 4]> {
    let only = |name: &str| {
        let mut found = answer.headers.iter().filter(|(each, _)| each.eq_ignore_ascii_case(name));
        let first = found.next()?;
        found.next().is_none().then(|| first.1.clone())
    };
    let [workload, task, scope, lease] = HEADERS.map(only);
    Some([workload?, task?, scope?, lease?])
}

/// What they must say of a token.
pub fn of(token: &Token) -> [String; 4] {
    ["sub", "txn", "scope", "jti"].map(|name| token.claim(name))
}

/// The challenge of an answer.
pub fn challenge(answer: &Answer) -> &str {
    answer.header("www-authenticate").unwrap_or_default()
}

/// A token of the workload `demo` that it must be granted.
#[track_caller]
pub fn mint(broker: &Broker, ask: &crate::common::Ask) -> Token {
    Token::of(&broker.send(&ask.request()).expect(200))
}

/// Ends a token as an operator does; on return the end is acknowledged.
#[track_caller]
pub fn revoke(broker: &Broker, token: &Token) {
    let words = ["lease", "revoke", "--lease", &token.lease(), "--reason", "test"];
    let output = broker.cli("demo", &words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
