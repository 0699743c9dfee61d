//! A program that uses libraries of others as a process: settings by its environment, lines in, a JSON object a line out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

use super::{clean, wait_for_exit};

/// How long a program may take to say its next line: a busy machine loads a big library slowly.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Its process ends with the value.
pub struct Program {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    dir: tempfile::TempDir,
}

impl Program {
    /// Starts a program of `tests/clients`.
    pub fn start(name: &str, settings: &[(&str, &str)]) -> Self {
        Self::start_of(&Shelf::CLIENTS, name, settings)
    }

    /// Starts a program of this shelf.
    pub fn start_of(shelf: &Shelf, name: &str, settings: &[(&str, &str)]) -> Self {
        let home = shelf.installed();
        // Node looks for packages in the folders above a program: so that is where it is put.
        let dir = tempfile::tempdir_in(&home).unwrap();
        let program = shelf.sources().join(name);
        let mut command = if name.ends_with(".mjs") {
            std::fs::copy(&program, dir.path().join(name)).unwrap();
            let mut command = clean(root().join(NODE).to_str().unwrap());
            command.arg(dir.path().join(name));
            command
        } else {
            let mut command = clean(home.join("venv/bin/python").to_str().unwrap());
            command.arg(&program);
            command
        };
        let stderr = std::fs::File::create(dir.path().join("stderr")).unwrap();
        command
            .envs(settings.iter().copied())
            .envs([("NO_PROXY", "127.0.0.1,localhost"), ("no_proxy", "127.0.0.1,localhost")])
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr);
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        Self { name: name.to_owned(), input: child.stdin.take(), child, lines, dir }
    }

    /// Writes it a line.
    #[track_caller]
    pub fn tell(&mut self, line: &str) {
        writeln!(self.input.as_ref().expect("its input is open"), "{line}").unwrap_or_else(|error| {
            panic!("{}: {error}\n{}", self.name, self.stderr());
        });
    }

    /// What it says next.
    #[track_caller]
    pub fn says(&self) -> Value {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}: {line}", self.name)),
            Err(error) => panic!("{} says no more ({error}):\n{}", self.name, self.stderr()),
        }
    }

    /// What it says next, which must be about this step.
    #[track_caller]
    pub fn step(&self, step: &str) -> Value {
        let said = self.says();
        assert_eq!(said["step"], step, "{}: {said}\n{}", self.name, self.stderr());
        said
    }

    /// Its input ends, and so must it, well and with nothing more to say.
    #[track_caller]
    pub fn ends(mut self) {
        drop(self.input.take());
        let status = wait_for_exit(&mut self.child);
        assert!(status.success(), "{}: {status}\n{}", self.name, self.stderr());
        assert_eq!(self.lines.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected), "{}", self.name);
    }

    fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Programs, and the libraries that `tests/run` has installed for them.
pub struct Shelf {
    /// The programs' folder.
    from: &'static str,
    /// The libraries' folder.
    to: &'static str,
}

/// The one Node of all tests comes with the Python packages of `tests/clients`.
const NODE: &str = "target/clients/node";

impl Shelf {
    /// Clients of the broker.
    pub const CLIENTS: Self = Self { from: "tests/clients", to: "target/clients" };
    /// Issuers of platforms' tokens.
    pub const ISSUERS: Self = Self { from: "tests/federation/issuers", to: "target/issuers" };

    fn sources(&self) -> PathBuf {
        root().join(self.from)
    }

    /// Where `tests/run` has put the libraries: the very ones that are pinned now.
    fn installed(&self) -> PathBuf {
        let home = root().join(self.to);
        let same = Command::new("sha256sum")
            .args(["--check", "--status", "--strict"])
            .args([home.join("venv/made-from"), home.join("node_modules/made-from")])
            .current_dir(root())
            .status();
        assert!(
            same.is_ok_and(|status| status.success()),
            "the libraries are not in {}, or not the pinned ones: `bash tests/run` installs them",
            self.to
        );
        home
    }
}

/// The folder of the sources of the clients' programs.
pub fn sources() -> PathBuf {
    Shelf::CLIENTS.sources()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
