//! No secret of jitney's at all: `jitney` inside a job or a pod finds who it is, from the first token to the ended task.
//!
//! The platforms are fakes on loopback, files laid out as they lay them out, and variables as they set them. So is the
//! broker: what a real one makes of such tokens is proven where its federation is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod fake;

#[path = "ambient/files.rs"]
mod files;
#[path = "ambient/github.rs"]
mod github;
#[path = "ambient/gitlab.rs"]
mod gitlab;
#[path = "ambient/nobody.rs"]
mod nobody;

use std::process::{Command, Output, Stdio};

use fake::broker::Broker;

const TOKEN: &str = "/oauth2/token";
const ASK: [&str; 4] = ["--audience", "https://api.example.com", "--scope", "orders:read"];

/// `jitney` with these arguments, and nothing in its environment but where the broker is: neither a key nor a name.
fn jitney(broker: &Broker, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jitney"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("JITNEY_URL", broker.url()).env("TMPDIR", broker.dir().join("tmp"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// `jitney run` of a shell script.
fn run(broker: &Broker, script: &str) -> Command {
    let mut command = jitney(broker, &["run"]);
    command.args(ASK).args(["--", "sh", "-c", script]);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What it printed, where it went well.
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout)
}

/// The assertions that the broker was shown, each once.
fn shown(broker: &Broker) -> Vec<String> {
    let mut shown: Vec<_> = broker.requests().iter().map(|each| each.form("client_assertion").unwrap()).collect();
    shown.dedup();
    shown
}
