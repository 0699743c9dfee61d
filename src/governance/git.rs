//! git, run as a process: within a time and a size, for whoever reads a repository's history or one of its trees.
//!
//! Never asks a network, never writes, and runs no program that a repository's own settings name. What its output means, its
//! callers know.

use std::io::{self, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is kept of its complaints.
const COMPLAINTS: u64 = 64 << 10;
/// Between two looks at whether it has ended.
const AGAIN: Duration = Duration::from_millis(2);

/// Why git said nothing that counts.
#[derive(Debug, Error)]
pub(super) enum GitError {
    /// It cannot be started.
    #[error(transparent)]
    Missing(#[from] io::Error),
    /// It took too long, and was ended.
    #[error("git was not done after {} seconds", PATIENCE.as_secs())]
    Late,
    /// It says more than is read.
    #[error("git says more than {0} bytes")]
    TooMuch(u64),
}

/// What it said.
pub(super) struct Said {
    pub(super) out: Vec<u8>,
    /// The first line of its complaints.
    pub(super) told: String,
    pub(super) is_good: bool,
}

/// Runs it in `dir`, else in the working folder, with `input` to read, and takes at most so many bytes of what it says.
pub(super) fn git(dir: Option<&Path>, words: &[&str], input: Vec<u8>, most: u64) -> Result<Said, GitError> {
    let mut child = command(dir, words).spawn()?;
    let until = Instant::now() + PATIENCE;
    // Nobody waits for these threads: what it may have started itself can hold a pipe open for longer.
    if let Some(mut pipe) = child.stdin.take() {
        thread::spawn(move || pipe.write_all(&input));
    }
    let out = all(child.stdout.take(), most.saturating_add(1));
    let told = all(child.stderr.take(), COMPLAINTS);
    let read = out.recv_timeout(PATIENCE);
    let is_too_much = read.as_ref().is_ok_and(|out| out.len() as u64 > most);
    let ended = if read.is_ok() && !is_too_much { ended(&mut child, until) } else { None };
    let (Some(ended), Ok(out)) = (ended, read) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(if is_too_much { GitError::TooMuch(most) } else { GitError::Late });
    };
    let told = told.recv_timeout(PATIENCE).unwrap_or_default();
    let told = String::from_utf8_lossy(&told);
    let line = told.lines().next().unwrap_or_default();
    let told = line.strip_prefix("fatal: ").or_else(|| line.strip_prefix("error: ")).unwrap_or(line).to_owned();
    Ok(Said { out, told, is_good: ended.success() })
}

/// What a pipe gives, up to so many bytes; half of it counts for nothing.
fn all(pipe: Option<impl Read + Send + 'static>, most: u64) -> Receiver<Vec<u8>> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if pipe.is_none_or(|pipe| pipe.take(most).read_to_end(&mut bytes).is_ok()) {
            // Whoever waits may have given up.
            let _ = tell.send(bytes);
        }
    });
    told
}

fn ended(child: &mut Child, until: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => thread::sleep(AGAIN),
            _ => return None,
        }
    }
}

fn command(dir: Option<&Path>, words: &[&str]) -> Command {
    let mut command = Command::new("git");
    if let Some(dir) = dir {
        command.arg("-C").arg(dir);
    }
    // A repository's own settings may name programs.
    for setting in ["core.fsmonitor=false", "core.pager=cat", "log.showSignature=false", "core.quotePath=false"] {
        command.args(["-c", setting]);
    }
    command.args(["--no-pager", "--no-optional-locks", "--literal-pathspecs"]).args(words);
    for (name, value) in [("GIT_TERMINAL_PROMPT", "0"), ("GIT_NO_LAZY_FETCH", "1"), ("LC_ALL", "C")] {
        command.env(name, value);
    }
    // Where a hook runs this, these would lead to its repository rather than to the folder's.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_reads_and_says_is_bounded_and_its_complaint_is_told() {
        let said = git(None, &["hash-object", "--stdin"], b"a".to_vec(), 100).unwrap();
        assert!(said.is_good && said.out == b"2e65efe2a145dda7ee51d1741299f848e5bf752e\n", "{}", said.told);
        let said = git(None, &["no-such-command"], Vec::new(), 100).unwrap();
        assert!(!said.is_good && said.told.contains("no-such-command"), "{}", said.told);
        let much = git(None, &["hash-object", "--stdin"], Vec::new(), 10);
        assert!(matches!(much, Err(GitError::TooMuch(10))));
    }
}
