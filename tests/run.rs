//! `jitney run` with each way to end: the command's code is kept, the task is completed, nothing is left behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod fake;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use fake::broker::{Broker, Manner};
use rustix::process::{Pid, Signal, kill_process};

const COMPLETE: &str = "/v1/tasks/build-42/complete";
const TOKEN: &str = "/oauth2/token";

fn jitney(broker: &Broker) -> Command {
    // Signals that are ignored stay ignored: also where the tests run in a shell's background, which ignores SIGINT.
    let mut command = Command::new("env");
    command
        .args(["--default-signal", env!("CARGO_BIN_EXE_jitney")])
        .env("JITNEY_URL", broker.url())
        .env("JITNEY_WORKLOAD", "demo")
        .env("JITNEY_KEY_FILE", broker.dir().join("key.pem"))
        .env("TMPDIR", broker.dir().join("tmp"))
        .env_remove("JITNEY_ISSUER")
        .env_remove("JITNEY_ASSERTION_FILE")
        .args(["run", "--task", "build-42", "--audience", "https://api.example.com", "--scope", "orders:read", "--"])
        .stdin(Stdio::null());
    command
}

fn run(broker: &Broker, command: &[&str]) -> Output {
    jitney(broker).args(command).output().unwrap()
}

fn nothing_is_left(broker: &Broker) {
    let left: Vec<_> = std::fs::read_dir(broker.dir().join("tmp")).unwrap().flatten().map(|each| each.path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Starts a shell script that says `ready` when its traps are set.
fn started(broker: &Broker, script: &str) -> Child {
    let mut child = jitney(broker).args(["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    ready(&mut child);
    child
}

fn ready(child: &mut Child) {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn the_command_gets_the_token_its_code_is_kept_and_the_task_is_completed() {
    let broker = Broker::start(Manner::default());
    let script = "printf '%s %s %s' \"$JITNEY_TOKEN\" \"$(cat \"$JITNEY_TOKEN_FILE\")\" \"$(stat -c %a \"$JITNEY_TOKEN_FILE\")\"; exit 7";
    let output = run(&broker, &["sh", "-c", script]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "token-1 token-1 600");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(7), ""));
    assert_eq!(broker.heard(), [TOKEN, COMPLETE]);
    nothing_is_left(&broker);
}

#[test]
fn the_command_sees_no_credential_but_its_token() {
    let broker = Broker::start(Manner::default());
    let hidden = [
        "JITNEY_ADMIN",
        "JITNEY_STORE_URL",
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "CI_JOB_TOKEN",
    ];
    let mut command = jitney(&broker);
    for name in hidden {
        command.env(name, "planted");
    }
    // Root reads whatever it likes; anybody else not even the environment of the jitney above.
    let output = command.args(["sh", "-c", "env; [ \"$(id -u)\" = 0 ] || cat /proc/$PPID/environ"]).output().unwrap();
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(!seen.contains("planted") && !seen.contains("key.pem"), "{seen}");
    assert!(seen.contains("JITNEY_URL=") && seen.contains("JITNEY_TOKEN=token-1") && seen.contains("PATH="), "{seen}");
}

#[test]
fn without_a_grant_the_command_is_not_started() {
    let broker = Broker::start(Manner { grants: &[400], ..Manner::default() });
    let mark = broker.dir().join("started");
    let output = run(&broker, &["touch", mark.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("error: invalid_scope: said so (decision fake.1)"), "{said}");
    assert!(!mark.exists());
    assert_eq!(broker.heard(), [TOKEN]);
    nothing_is_left(&broker);
}

#[test]
fn what_cannot_start_is_127_or_126_and_the_task_is_completed() {
    for (program, code) in [("/nonexistent/program", 127), ("/etc/hostname", 126)] {
        let broker = Broker::start(Manner::default());
        let output = run(&broker, &[program]);
        assert_eq!(output.status.code(), Some(code));
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be started"));
        assert_eq!(broker.heard(), [TOKEN, COMPLETE]);
        nothing_is_left(&broker);
    }
}

#[test]
fn a_command_that_is_killed_is_128_and_its_signal() {
    let broker = Broker::start(Manner::default());
    assert_eq!(run(&broker, &["sh", "-c", "kill -KILL $$"]).status.code(), Some(137));
    assert_eq!(broker.heard(), [TOKEN, COMPLETE]);
}

#[test]
fn signals_are_passed_on_and_the_command_decides_what_they_mean() {
    for (sent, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::HUP, "HUP"), (Signal::USR1, "USR1")] {
        let broker = Broker::start(Manner::default());
        let script = format!("trap 'exit 3' {name}; echo ready; while :; do sleep 0.02; done");
        let mut child = started(&broker, &script);
        signal(&child, sent);
        assert_eq!(child.wait().unwrap().code(), Some(3), "{name}");
        assert_eq!(broker.heard(), [TOKEN, COMPLETE], "{name}");
        nothing_is_left(&broker);
    }
}

#[test]
fn a_signal_that_ends_the_command_is_told_as_shells_tell_it() {
    let broker = Broker::start(Manner::default());
    let mut child = started(&broker, "echo ready; exec sleep 60");
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(broker.heard(), [TOKEN, COMPLETE]);
}

#[test]
fn a_signal_that_was_to_be_ignored_stays_ignored() {
    let broker = Broker::start(Manner::default());
    let mut jitney = jitney(&broker);
    jitney.args(["sh", "-c", "echo ready; exec sleep 60"]);
    // As `nohup` does.
    let mut nohup = Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).args(jitney.get_args().skip(1));
    nohup.envs(jitney.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = nohup.stdout(Stdio::piped()).spawn().unwrap();
    ready(&mut child);
    signal(&child, Signal::HUP);
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(broker.heard(), [TOKEN, COMPLETE]);
}

#[test]
fn a_second_signal_keeps_the_task_from_nothing() {
    // The first completion is put off, so that the second signal meets a jitney that is completing.
    let broker = Broker::start(Manner { completes: &[503, 503, 503, 503, 204], ..Manner::default() });
    let mut child = started(&broker, "echo ready; exec sleep 60");
    signal(&child, Signal::TERM);
    while broker.count(COMPLETE) == 0 {
        std::thread::yield_now();
    }
    signal(&child, Signal::TERM);
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(broker.count(COMPLETE), 5);
}

#[test]
fn the_token_in_the_file_is_kept_fresh() {
    let broker = Broker::start(Manner { ttl: 2, ..Manner::default() });
    let script =
        "while [ \"$(cat \"$JITNEY_TOKEN_FILE\")\" = token-1 ]; do sleep 0.02; done; cat \"$JITNEY_TOKEN_FILE\"";
    let output = run(&broker, &["sh", "-c", script]);
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(0), "token-2"));
    assert_eq!(broker.heard(), [TOKEN, TOKEN, COMPLETE]);
}

#[test]
fn a_token_that_cannot_be_had_again_is_told_once_and_asked_for_until_it_can() {
    // Two refusals, then a busy broker, which is asked again within the same try.
    let broker = Broker::start(Manner { ttl: 2, grants: &[200, 400, 400, 503, 200], ..Manner::default() });
    let script =
        "while [ \"$(cat \"$JITNEY_TOKEN_FILE\")\" = token-1 ]; do sleep 0.02; done; cat \"$JITNEY_TOKEN_FILE\"";
    let output = run(&broker, &["sh", "-c", script]);
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(0), "token-5"));
    let said = String::from_utf8_lossy(&output.stderr);
    let warning = "warning: the token is not fresh, it is asked for again: invalid_scope: said so (decision fake.1)\n";
    assert_eq!(said, warning);
    assert_eq!(broker.heard(), [TOKEN, TOKEN, TOKEN, TOKEN, TOKEN, COMPLETE]);
    nothing_is_left(&broker);
}

#[test]
fn a_task_that_was_ended_is_told_and_not_asked_for_again() {
    let broker = Broker::start(Manner { ttl: 2, grants: &[200, 410, 200], ..Manner::default() });
    let mark = broker.dir().join("go-on");
    let script = "while [ ! -e \"$1\" ]; do sleep 0.02; done; exit 5";
    let mut child = jitney(&broker);
    child.args(["sh", "-c", script, "sh", mark.to_str().unwrap()]).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    assert!(said.starts_with("warning: the task has ended") && said.contains("invalid_grant: said so"), "{said}");
    assert!(child.try_wait().unwrap().is_none(), "the command is left alone");
    std::fs::write(&mark, "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_eq!(broker.heard(), [TOKEN, TOKEN, COMPLETE]);
    nothing_is_left(&broker);
}

#[test]
fn a_task_that_cannot_be_completed_is_told_and_changes_no_code() {
    let broker = Broker::start(Manner { completes: &[400], ..Manner::default() });
    let output = run(&broker, &["true"]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("error: the task build-42 was not completed"), "{said}");
    assert!(said.contains("jitney complete --task build-42"), "{said}");
}
