//! `jitney demo` plays to its end, and leaves nothing behind, however it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

fn demo(tmp: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jitney"));
    // Settings of another broker must not reach the demo's.
    command.arg("demo").env("TMPDIR", tmp).env("JITNEY_STORE_URL", "redis://127.0.0.1:1");
    command
}

fn left(tmp: &Path) -> usize {
    std::fs::read_dir(tmp).unwrap().count()
}

/// Reads what the demo says up to a line that contains `mark`.
fn up_to(child: &mut Child, mark: &str) -> String {
    let mut said = String::new();
    let mut reader = BufReader::new(child.stdout.as_mut().unwrap());
    while !said.contains(mark) {
        assert_ne!(reader.read_line(&mut said).unwrap(), 0, "it ended without `{mark}`: {said}");
    }
    said
}

#[test]
fn it_plays_the_whole_life_of_a_token_in_under_forty_lines() {
    let tmp = tempfile::tempdir().unwrap();
    let output = demo(tmp.path()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""), "{said}");
    for step in [
        "✓ granted: orders:read at https://api.example.com",
        "✓ valid",
        "✗ refused: invalid_scope",
        "no policy grants orders:delete",
        "✓ completed",
        "✗ not valid: it was revoked, by a rule on its task",
        "✓ revoked: rule 2 of the log",
        "✗ not valid: it was revoked, by a rule on its workload",
        "the chain is whole",
    ] {
        assert!(said.contains(step), "{step} is missing in:\n{said}");
    }
    assert!(said.lines().count() < 40 && said.lines().all(|line| line.chars().count() <= 110), "{said}");
    assert!(!said.contains('\u{1b}'), "no colours where there is no terminal");
    assert_eq!(left(tmp.path()), 0);
}

#[test]
fn kept_it_runs_until_it_is_interrupted_and_what_it_prints_can_be_pasted() {
    let tmp = tempfile::tempdir().unwrap();
    let mut child = demo(tmp.path()).arg("--keep").stdout(Stdio::piped()).spawn().unwrap();
    let said = up_to(&mut child, "jitney status");
    let commands: Vec<&str> = said.lines().skip_while(|line| !line.starts_with("  . /")).collect();
    let bin = Path::new(env!("CARGO_BIN_EXE_jitney")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let pasted =
        Command::new("sh").arg("-c").arg(commands.join("\n")).env("PATH", path).current_dir(tmp.path()).output();
    let pasted = String::from_utf8(pasted.unwrap().stdout).unwrap();
    assert!(
        pasted.starts_with("valid\n") && pasted.contains("not valid: it was revoked, by a rule on its task"),
        "{pasted}"
    );
    std::fs::remove_file(tmp.path().join("token")).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(left(tmp.path()), 0);
}

#[test]
fn terminated_half_way_it_takes_its_broker_and_folder_with_it() {
    let tmp = tempfile::tempdir().unwrap();
    let mut child = demo(tmp.path()).stdout(Stdio::piped()).spawn().unwrap();
    let said = up_to(&mut child, "at http://127.0.0.1:");
    let address = said.trim().rsplit("http://").next().unwrap().to_owned();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(left(tmp.path()), 0);
    assert!(std::net::TcpStream::connect(address).is_err(), "its broker is still there");
}
