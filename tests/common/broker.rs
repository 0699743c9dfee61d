//! A broker: `jitney serve --dev` as a process of a test's own, with its data in a temporary folder.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{Answer, Backing, Catalogue, Http, ISSUER, Request, key_of, within};

/// How a broker is started.
#[derive(Debug, Clone)]
pub struct Setup {
    catalogue: Option<Catalogue>,
    environment: Vec<(String, String)>,
    before: Vec<String>,
    config: Option<String>,
}

impl Default for Setup {
    /// With the tests' own policies and the issuer all of them share.
    fn default() -> Self {
        let environment = vec![("JITNEY_SERVER_ISSUER".to_owned(), ISSUER.to_owned())];
        Self { catalogue: Some(Catalogue::default()), environment, before: Vec::new(), config: None }
    }
}

impl Setup {
    /// As a person starts it the first time: nothing but `--dev`.
    pub const fn plain() -> Self {
        Self { catalogue: None, environment: Vec::new(), before: Vec::new(), config: None }
    }

    /// With this file in the policies.
    pub fn policy(mut self, path: &str, content: impl ToString) -> Self {
        self.catalogue.get_or_insert_default().put(path, content.to_string());
        self
    }

    /// With this setting, by its environment twin.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Started by this command, which is given the broker's own as arguments.
    pub fn under(mut self, words: &[&str]) -> Self {
        self.before = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Started with a configuration file of this text, in place of `--dev`.
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// Starts it.
    pub fn start(self, backing: &Backing) -> Broker {
        self.start_on(backing.url())
    }

    /// Starts it on this store, or on the one in its own folder.
    pub fn start_on(self, store: Option<String>) -> Broker {
        let mut broker = self.stopped(store);
        broker.start_again();
        broker
    }

    /// Prepares its folder without starting it.
    pub fn stopped(self, store: Option<String>) -> Broker {
        let root = tempfile::tempdir().unwrap();
        if let Some(catalogue) = &self.catalogue {
            catalogue.write(&root.path().join("data/policies"));
        }
        if let Some(config) = &self.config {
            std::fs::write(root.path().join("jitney.toml"), config).unwrap();
        }
        Broker {
            root,
            setup: self,
            store,
            child: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            scheme: "http".to_owned(),
            stdout: Arc::default(),
        }
    }
}

/// A running broker, or one between two runs. Its process ends with the value.
pub struct Broker {
    root: tempfile::TempDir,
    setup: Setup,
    store: Option<String>,
    child: Option<Child>,
    address: SocketAddr,
    scheme: String,
    stdout: Arc<Mutex<String>>,
}

impl Broker {
    /// One with the tests' policies.
    pub fn start(backing: &Backing) -> Self {
        Setup::default().start(backing)
    }

    /// Starts it on the folder it had before, and waits until it says where it listens.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(self.stderr_path()).unwrap();
        let mut child = self.command().stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        self.child = Some(child);
        let (found, says) = mpsc::channel();
        let stdout = Arc::clone(&self.stdout);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, url)) = line.split_once("listening on ") {
                    let _ = found.send(url.trim().to_owned());
                }
                let mut stdout = stdout.lock().unwrap();
                stdout.push_str(&line);
                stdout.push('\n');
            }
        });
        match says.recv_timeout(Duration::from_secs(30)) {
            Ok(url) => {
                let (scheme, address) = url.split_once("://").expect(&url);
                self.address = address.parse().expect(&url);
                self.scheme = scheme.to_owned();
            }
            Err(error) => panic!("the broker does not start: {error}\n{}", self.stderr()),
        }
    }

    /// Tries to start it where it cannot: runs it to its end.
    #[track_caller]
    pub fn fails_to_start(&self) -> Output {
        run(self.command())
    }

    fn command(&self) -> Command {
        let jitney = env!("CARGO_BIN_EXE_jitney").to_owned();
        let mut words = self.setup.before.iter().cloned().chain([jitney]);
        let mut command = clean(&words.next().unwrap());
        command.args(words).args(["serve", "--listen", "127.0.0.1:0"]);
        match self.setup.config {
            Some(_) => command.args(["--config", "jitney.toml"]),
            None => command.args(["--dev", "--data"]).arg(self.data()),
        };
        if let Some(store) = &self.store {
            command.args(["--store", store]);
        }
        command.envs(self.setup.environment.iter().cloned()).current_dir(self.root.path()).stdin(Stdio::null());
        command
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Its `--data` folder.
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// A file in its policies.
    pub fn policy(&self, path: &str) -> PathBuf {
        self.data().join("policies").join(path)
    }

    /// Its audit log.
    pub fn audit_path(&self) -> PathBuf {
        self.data().join("audit.jsonl")
    }

    /// What it has said on standard error, in all its runs.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.stderr_path()).unwrap_or_default()
    }

    /// What it has said on standard output.
    pub fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    fn stderr_path(&self) -> PathBuf {
        self.root.path().join("stderr")
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("it runs"))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Dies at once, as in a power cut of its own.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.take().unwrap().wait().unwrap();
    }

    /// Ends in order; its exit status.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until it has ended; its exit status.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for_exit(&mut self.child.take().unwrap())
    }

    /// A connection to its public listener.
    pub fn connect(&self) -> Http<std::net::TcpStream> {
        Http::tcp(self.address).unwrap()
    }

    /// A request on a connection of its own.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Answer {
        self.connect().ask(request).unwrap()
    }

    /// A GET.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send(&Request::get(path))
    }

    /// A connection to its admin socket.
    pub fn connect_admin(&self) -> Http<std::os::unix::net::UnixStream> {
        Http::unix(&self.data().join("admin.sock")).unwrap()
    }

    /// A request to its admin API.
    #[track_caller]
    pub fn admin(&self, request: &Request) -> Answer {
        self.connect_admin().ask(request).unwrap()
    }

    /// A command of the binary as this workload, and as an operator.
    pub fn cli(&self, workload: &str, words: &[&str]) -> Output {
        self.cli_with(workload, words, Stdio::null())
    }

    /// The same with this standard input.
    pub fn cli_with(&self, workload: &str, words: &[&str], stdin: Stdio) -> Output {
        self.cli_command(workload, words).stdin(stdin).output().unwrap()
    }

    /// The same, not yet started.
    pub fn cli_command(&self, workload: &str, words: &[&str]) -> Command {
        let key = self.root.path().join(format!("{workload}.pem"));
        std::fs::write(&key, key_of(workload).pem()).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mut command = clean(env!("CARGO_BIN_EXE_jitney"));
        command
            .env("JITNEY_URL", self.url())
            .env("JITNEY_ISSUER", ISSUER)
            .env("JITNEY_WORKLOAD", workload)
            .env("JITNEY_KEY_FILE", key)
            .env("JITNEY_ADMIN", format!("unix:{}", self.data().join("admin.sock").display()))
            .args(words)
            .current_dir(self.root.path());
        command
    }
}

impl Drop for Broker {
    #[allow(clippy::disallowed_macros, reason = "a failed test shows what its brokers said")]
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let stderr = self.stderr();
            let lines: Vec<&str> = stderr.lines().collect();
            eprintln!("--- a broker's last lines\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// Waits until a process has ended, and ends it itself after twenty seconds.
#[track_caller]
pub fn wait_for_exit(child: &mut Child) -> ExitStatus {
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        within(Duration::from_secs(20), "the process ends", || child.try_wait().unwrap())
    }));
    ended.unwrap_or_else(|_| {
        let _ = child.kill();
        let _ = child.wait();
        panic!("the process does not end");
    })
}

/// A command without jitney's settings in its environment.
pub fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("JITNEY_")) {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end, with these settings.
pub fn jitney(dir: &Path, environment: &[(&str, &str)], words: &[&str]) -> Output {
    let mut command = clean(env!("CARGO_BIN_EXE_jitney"));
    command.envs(environment.iter().copied()).args(words).current_dir(dir).stdin(Stdio::null());
    run(command)
}

#[track_caller]
fn run(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // What is said before a failure fits into a pipe.
    let status = wait_for_exit(&mut child);
    let output = child.wait_with_output().unwrap();
    Output { status, ..output }
}

/// Standard output of a command that did what it was asked.
#[track_caller]
pub fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The same as a document.
#[track_caller]
pub fn document(output: &Output) -> serde_json::Value {
    serde_json::from_str(&done(output)).unwrap()
}
