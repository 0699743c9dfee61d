//! When the files of a set came and were last changed, and by whom: from the history of git, where the folder has one.
//!
//! Owns the one call of `git log`. A folder without git, or git itself missing, is no error: then there is no history.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

use super::git::git;
use crate::model::UnixTime;

/// So many commits are looked at, and so many bytes of what git says.
const COMMITS: &str = "--max-count=20000";
const MOST: u64 = 64 << 20;

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// Its hash.
    pub id: String,
    /// When it was made, by its committer's clock.
    pub at: UnixTime,
    /// Who wrote it.
    pub author: String,
    /// Its first line.
    pub subject: String,
}

/// A file's first and last commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Story {
    /// The one that brought it.
    pub created: Commit,
    /// The one that changed it last.
    pub changed: Commit,
}

/// What git knows of a folder.
#[derive(Debug, Clone, Default)]
pub struct History {
    stories: HashMap<String, Story>,
    commits: Vec<(Commit, Vec<String>)>,
}

impl History {
    /// The history of `dir`; none where there is no git, no repository, or git took too long.
    pub fn of(dir: &Path) -> Option<Self> {
        log(dir).map(|text| Self::read(&text)).filter(|history| !history.commits.is_empty())
    }

    /// A file's first and last commit, by its path relative to the folder.
    pub fn story(&self, file: &str) -> Option<&Story> {
        self.stories.get(file)
    }

    /// All commits that touched the folder, the newest first, each with the files it touched there.
    pub fn commits(&self) -> impl Iterator<Item = (&Commit, &[String])> {
        self.commits.iter().map(|(commit, files)| (commit, files.as_slice()))
    }

    /// Reads `git log -z --name-only` of [`FORMAT`]. No name and no subject holds a NUL: nothing in them can pass for another
    /// commit.
    fn read(text: &[u8]) -> Self {
        let mut history = Self::default();
        let mut parts = text.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).peekable();
        while parts.next().is_some_and(|part| part.is_empty()) {
            let (Some(id), Some(at), Some(author), Some(subject), Some(_)) =
                (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
            else {
                break;
            };
            let commit = Commit { id, at: UnixTime::from_secs(at.parse().unwrap_or(0)), author, subject };
            let mut files = Vec::new();
            while let Some(file) = parts.next_if(|part| !part.is_empty()) {
                let file = file.strip_prefix('\n').map(str::to_owned).unwrap_or(file);
                // Newest first: the last one told is the one that brought it.
                let story = history.stories.entry(file.clone());
                story
                    .and_modify(|story| story.created = commit.clone())
                    .or_insert_with(|| Story { created: commit.clone(), changed: commit.clone() });
                files.push(file);
            }
            history.commits.push((commit, files));
        }
        history
    }
}

/// Hash, committer's time, author, subject.
const FORMAT: &str = "--format=%x00%H%x00%ct%x00%an <%ae>%x00%s%x00";

/// What git says; none where it fails, takes too long, or says too much: a history that was cut off has no beginning, and nobody
/// would be told who brought a file.
fn log(dir: &Path) -> Option<Vec<u8>> {
    let words = [
        "log",
        "-z",
        "--name-only",
        "--relative",
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
        "--no-show-signature",
        "--no-color",
        "--no-mailmap",
        FORMAT,
        COMMITS,
        "HEAD",
        "--",
        ".",
    ];
    git(Some(dir), &words, Vec::new(), MOST).ok().filter(|said| said.is_good).map(|said| said.out)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    fn run(dir: &Path, at: u64, words: &[&str]) {
        let at = format!("@{at} +0000");
        let mut command = Command::new("git");
        command.arg("-C").arg(dir).args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]).args(words);
        command.env("GIT_COMMITTER_DATE", &at).env("GIT_AUTHOR_DATE", &at).env("GIT_CONFIG_GLOBAL", "/dev/null");
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn a_file_has_a_first_and_a_last_commit_and_a_folder_without_git_none() {
        let root = tempfile::tempdir().unwrap();
        assert!(History::of(root.path()).is_none());
        let dir = root.path().join("policies");
        fs::create_dir_all(dir.join("workloads")).unwrap();
        let commit = |at, what: &str| {
            run(root.path(), at, &["add", "-A"]);
            run(root.path(), at, &["commit", "-q", "--no-verify", "-m", what]);
        };
        run(root.path(), 1, &["init", "-q"]);
        assert!(History::of(&dir).is_none(), "no commit yet");
        fs::write(dir.join("workloads/w.toml"), "one").unwrap();
        fs::write(root.path().join("else"), "").unwrap();
        commit(100, "brings w");
        fs::write(dir.join("workloads/größe x.toml"), "one").unwrap();
        commit(200, "brings another");
        fs::write(dir.join("workloads/w.toml"), "two").unwrap();
        commit(300, "changes <b>w</b>");
        fs::write(root.path().join("else"), "more").unwrap();
        commit(400, "nothing here");
        // A setting of the repository's that names a program: it is not run.
        let trap = root.path().join("trap");
        run(root.path(), 1, &["config", "log.showSignature", "true"]);
        run(root.path(), 1, &["config", "gpg.program", &format!("sh -c 'touch {}'", trap.display())]);
        let history = History::of(&dir).unwrap();
        let story = history.story("workloads/w.toml").unwrap();
        assert_eq!((story.created.at.secs(), story.created.subject.as_str()), (100, "brings w"));
        assert_eq!((story.changed.at.secs(), story.changed.subject.as_str()), (300, "changes <b>w</b>"));
        assert_eq!(story.changed.author, "Ada <ada@example.com>");
        assert_eq!(history.story("workloads/größe x.toml").unwrap().created.at.secs(), 200);
        assert!(history.story("else").is_none() && history.story("../else").is_none());
        let told: Vec<_> = history.commits().map(|(commit, files)| (commit.at.secs(), files.len())).collect();
        assert_eq!(told, [(300, 1), (200, 1), (100, 1)]);
        assert!(!trap.exists());
    }
}
