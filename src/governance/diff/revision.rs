//! A folder as it was at a revision: git reads it from the repository around the working folder.
//!
//! Nothing is checked out, no hook runs, and no link is followed, but refused: what is read is what was committed. Never writes.

use std::collections::BTreeMap;

use super::trees::TreeError;
use crate::governance::git::{GitError, Said, git};

/// No file is larger than this, and no more is read of one revision.
const MAX_BYTES: u64 = 1 << 30;

/// What is told of a name that means nothing.
pub(super) const NEITHER: &str = "neither a folder nor a revision of this repository";

/// Endings of files that may mean something to a broker or to a review.
const MEANT: [&str; 4] = [".cedar", ".cedarschema", ".toml", ".json"];

/// The text files under `dir` at `revision`, by path below `dir`. None of them where the revision has no such folder.
pub(super) fn folder_at(revision: &str, dir: &str) -> Result<BTreeMap<String, String>, TreeError> {
    let commit = commit_of(revision)?;
    let blobs = blobs(&commit, dir)?;
    let texts = contents(&blobs)?;
    let mut files = BTreeMap::new();
    for ((path, _), text) in blobs.into_iter().zip(texts) {
        match text {
            Some(text) => drop(files.insert(path, text)),
            // A broker refuses such a file, so it must not count as none.
            None if MEANT.iter().any(|ending| path.ends_with(ending)) => {
                return Err(TreeError::Git { told: format!("{dir}/{path} at {revision} is not UTF-8") });
            }
            None => {}
        }
    }
    Ok(files)
}

/// Whether `name` means something as a revision of the repository around the working folder; nothing does where there is no git.
///
/// # Errors
/// [`TreeError::Git`]: git did not say.
pub(super) fn is_known(name: &str) -> Result<bool, TreeError> {
    let revision = name.split_once(':').map_or(name, |(revision, _)| revision);
    match commit_of(revision) {
        Ok(_) => Ok(true),
        Err(TreeError::Revision { .. } | TreeError::NoGit(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The commit that `revision` means.
fn commit_of(revision: &str) -> Result<String, TreeError> {
    let wrong = |told: String| TreeError::Revision { revision: revision.to_owned(), told };
    if revision.starts_with('-') {
        return Err(wrong("no revision begins with a dash".into()));
    }
    let wanted = format!("{revision}^{{commit}}");
    let said = ask(&["rev-parse", "--quiet", "--verify", "--end-of-options", &wanted])?;
    match said.is_good {
        true => Ok(String::from_utf8_lossy(&said.out).trim().to_owned()),
        false if said.told.is_empty() => Err(wrong(NEITHER.into())),
        false => Err(wrong(said.told)),
    }
}

/// Path and name of each regular file.
fn blobs(commit: &str, dir: &str) -> Result<Vec<(String, String)>, TreeError> {
    let failed = |told: String| TreeError::Git { told };
    // Paths are of the working folder, as those of every command are.
    let from_here = if dir.starts_with("../") || dir.starts_with("./") { "" } else { "./" };
    let spec = format!("{commit}:{from_here}{dir}");
    let said = ask(&["rev-parse", "--quiet", "--verify", "--end-of-options", &spec])?;
    if !said.is_good {
        return Ok(Vec::new());
    }
    let tree = String::from_utf8_lossy(&said.out).trim().to_owned();
    let said = ask(&["ls-tree", "--full-tree", "-r", "-z", &tree])?;
    if !said.is_good {
        return Err(failed(said.told));
    }
    let mut found = Vec::new();
    for entry in said.out.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        let entry = std::str::from_utf8(entry).map_err(|_| failed(format!("a name in {dir} is not UTF-8")))?;
        let parts = entry.split_once('\t').map(|(head, path)| (head.split(' ').collect::<Vec<_>>(), path));
        match parts {
            Some((head, path)) if matches!(head[..], ["100644" | "100755", "blob", _]) => {
                found.push((path.to_owned(), head[2].to_owned()));
            }
            // A link, or another repository: a broker reads what it leads to, and that is not what was committed here.
            Some((_, path)) => {
                return Err(TreeError::LinkedAt { revision: commit.to_owned(), path: format!("{dir}/{path}") });
            }
            None => return Err(failed(format!("git ls-tree said {entry:?}"))),
        }
    }
    Ok(found)
}

/// The text of each; none of what is no text.
fn contents(blobs: &[(String, String)]) -> Result<Vec<Option<String>>, TreeError> {
    let names: String = blobs.iter().map(|(_, name)| format!("{name}\n")).collect();
    let said = asked(git(None, &["cat-file", "--batch"], names.into_bytes(), MAX_BYTES))?;
    split(&said.out, blobs.len()).ok_or_else(|| TreeError::Git { told: "git cat-file ended early".into() })
}

/// `NAME blob SIZE`, a line end, that many bytes, a line end: for each.
fn split(mut all: &[u8], count: usize) -> Option<Vec<Option<String>>> {
    let mut texts = Vec::with_capacity(count);
    for _ in 0..count {
        let line = all.iter().position(|byte| *byte == b'\n')?;
        let size: usize = std::str::from_utf8(&all[..line]).ok()?.rsplit_once(' ')?.1.parse().ok()?;
        let bytes = all.get(line + 1..line + 1 + size)?;
        texts.push(String::from_utf8(bytes.to_vec()).ok());
        all = all.get(line + 2 + size..)?;
    }
    Some(texts)
}

fn ask(words: &[&str]) -> Result<Said, TreeError> {
    asked(git(None, words, Vec::new(), MAX_BYTES))
}

fn asked(said: Result<Said, GitError>) -> Result<Said, TreeError> {
    said.map_err(|error| match error {
        GitError::Missing(error) => TreeError::NoGit(error),
        other => TreeError::Git { told: other.to_string() },
    })
}
