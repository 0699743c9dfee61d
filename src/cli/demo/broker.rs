//! The demo's own broker: this very program as `jitney serve --dev`, in a temporary folder, on a free port.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::cli::{Failure, fresh};

/// How long a broker may take to listen. A first start on a slow disk takes a second or two.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take to finish what is in flight.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What helps where no folder can be made.
const TMPDIR: &str = "name a folder that can be written in TMPDIR";

/// A running broker and its folder.
pub(super) struct Broker {
    child: Child,
    folder: Folder,
    settings: HashMap<String, String>,
}

/// A folder that is removed when it is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Broker {
    /// Starts it and waits until it listens.
    pub(super) async fn start() -> Result<Self, Failure> {
        let folder = Folder::create()?;
        let log = folder.0.join("broker.log");
        let cannot = |error: std::io::Error| {
            let next = "start one yourself: jitney serve --dev";
            Failure::new(format!("the demo's broker cannot be started: {error}"), next)
        };
        let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
        command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data"]).arg(&folder.0);
        // Settings of another broker or workload have no place in this one.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("JITNEY_")) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log).map_err(cannot)?);
        let mut child = command.kill_on_drop(true).spawn().map_err(cannot)?;
        let Some(stdout) = child.stdout.take() else {
            return Err(Failure::unexpected("the demo's broker has no output"));
        };
        let mut lines = BufReader::new(stdout).lines();
        if !matches!(timeout(START_WITHIN, listening(&mut lines)).await, Ok(true)) {
            let _ = child.kill().await;
            return Err(not_started(&log));
        }
        // What it says later is read too, or a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let file = folder.0.join("workload.env");
        let settings = fs::read_to_string(&file)
            .map(|text| read_settings(&text))
            .map_err(|error| Failure::unexpected(format!("{} cannot be read: {error}", file.display())))?;
        Ok(Self { child, folder, settings })
    }

    /// A setting that the broker wrote for its workload, resource server or operator.
    pub(super) fn setting(&self, name: &str) -> Option<String> {
        self.settings.get(name).cloned()
    }

    /// The file with all of them.
    pub(super) fn settings_file(&self) -> PathBuf {
        self.folder.0.join("workload.env")
    }

    /// Ends it in order, and removes its folder.
    pub(super) async fn stop(mut self) {
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(STOP_WITHIN, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// Waits until it ends by itself, which it should not.
    pub(super) async fn ended(&mut self) {
        let _ = self.child.wait().await;
    }
}

impl Folder {
    fn create() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("jitney-demo-{}", fresh::name()));
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Failure::new(format!("{} cannot be made: {error}", path.display()), TMPDIR))?;
        Ok(Self(path))
    }
}

async fn listening(lines: &mut Lines<BufReader<ChildStdout>>) -> bool {
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("listening on http") {
            return true;
        }
    }
    false
}

fn not_started(log: &Path) -> Failure {
    let said = fs::read_to_string(log).unwrap_or_default();
    let said =
        said.lines().rev().find(|line| line.contains("error")).or(said.lines().last()).unwrap_or("it said nothing");
    let said = said.strip_prefix("error: ").unwrap_or(said);
    Failure::new(format!("the demo's broker did not start: {said}"), "jitney serve --dev")
}

/// Reads `export NAME=VALUE` lines; a value may stand in single quotes.
fn read_settings(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("export ")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches(['\'', '"']).replace("'\\''", "'")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_a_shell_would() {
        let settings =
            read_settings("# a comment\nexport JITNEY_URL=http://127.0.0.1:1\nexport JITNEY_ADMIN='unix:/a b'\n");
        assert_eq!(settings["JITNEY_URL"], "http://127.0.0.1:1");
        assert_eq!(settings["JITNEY_ADMIN"], "unix:/a b");
        assert_eq!(settings.len(), 2);
    }
}
