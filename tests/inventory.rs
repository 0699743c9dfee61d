//! The inventory and the report from outside: a broker, its operator, an auditor's files.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "inventory/report.rs"]
mod report;
#[path = "inventory/story.rs"]
mod story;

use std::path::Path;
use std::process::Command;

/// Makes a folder a repository with one commit of all that is in it.
fn commit(dir: &Path, author: &str, subject: &str) {
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(dir).args(["-c", "user.email=ada@example.com", "-c", &format!("user.name={author}")]);
        let output = command.args(words).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    if !dir.join(".git").exists() {
        git(&["init", "-q"]);
    }
    git(&["add", "-A"]);
    git(&["commit", "-q", "--no-verify", "-m", subject]);
}

/// A day so many days from now, as a file has it.
fn day(ahead: i64) -> String {
    let output = Command::new("date").args(["-u", "+%F", "-d", &format!("{ahead} days")]).output().unwrap();
    common::done(&output).trim().to_owned()
}
