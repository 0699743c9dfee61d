//! The two trees that are compared: a folder as it lies there, or as it was at a revision.
//!
//! Owns reading them whole. A tree that a broker would not load is no answer to anything, so it is an error.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use thiserror::Error;

use super::revision;
use crate::governance::beside::{self, Unreadable};
use crate::model::UnixTime;
use crate::policy::{Diagnostics, Links, PolicySet, Read, SourceFile, closest};

/// What stands beside the set and belongs to it in a review.
const BESIDE: [(&str, &str); 2] = [("invariants", ".cedar"), ("widenings", ".toml")];

/// Why there is nothing to compare.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The program is missing.
    #[error("git cannot be run: {0}")]
    NoGit(io::Error),
    /// What was named is nothing.
    #[error("{revision}: {told}")]
    Revision {
        /// As it was named.
        revision: String,
        /// What git says.
        told: String,
    },
    /// There is no folder, and no revision, of that name.
    #[error("{name} is neither a folder nor a revision of this repository")]
    Neither {
        /// As it was named.
        name: String,
        /// A folder that is called nearly so.
        near: Option<String>,
    },
    /// It is a file.
    #[error("{0} is a file, not a folder of policies")]
    NotAFolder(String),
    /// A folder and a revision bear one name.
    #[error("{0} is a folder, and may be a revision as well")]
    Ambiguous(String),
    /// A revision without the folder.
    #[error("{revision} has no folder {dir}")]
    NoFolder {
        /// As it was named.
        revision: String,
        /// The folder.
        dir: String,
    },
    /// git failed.
    #[error("{told}")]
    Git {
        /// What it says.
        told: String,
    },
    /// A file beside the set.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A link in it: what it leads to is not what was reviewed.
    #[error("{name} holds a link")]
    Linked {
        /// The tree.
        name: String,
        /// Each link.
        findings: Diagnostics,
    },
    /// A link in it, or another repository, at a revision.
    #[error("{path} at {revision} is a link, or another repository")]
    LinkedAt {
        /// The commit.
        revision: String,
        /// Which.
        path: String,
    },
    /// A broker would not load it.
    #[error("{name} does not load")]
    Unloadable {
        /// The tree.
        name: String,
        /// What is wrong in it.
        findings: Diagnostics,
    },
}

/// One of the two.
#[derive(Debug)]
pub struct Tree {
    /// As it was named.
    pub name: String,
    /// The set.
    pub set: PolicySet,
    /// `invariants/*.cedar` and `widenings/*.toml`, by path.
    pub(crate) beside: BTreeMap<String, SourceFile>,
    /// Whether there was nothing at all: a folder that a change makes.
    pub is_missing: bool,
}

/// Whether a name can hardly mean a folder, also where this clone does not have the revision.
fn is_named_like_a_commit(name: &str) -> bool {
    let revision = name.split_once(':').map_or(name, |(revision, _)| revision);
    let is_hash = matches!(revision.len(), 40 | 64) && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash || revision == "HEAD" || revision.starts_with("refs/")
}

/// What is neither a folder nor a revision: by what it looks like.
fn mistaken(name: &str, told: &str) -> TreeError {
    let path = Path::new(name);
    if path.exists() {
        return TreeError::NotAFolder(name.to_owned());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folders = fs::read_dir(parent).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
    let names: Vec<String> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let wanted = path.file_name().unwrap_or_default().to_string_lossy();
    let near = closest(&wanted, names.iter().map(String::as_str)).map(|near| path.with_file_name(near));
    if near.is_none() && told != revision::NEITHER {
        let told = format!("there is no such folder, and no such revision: {told}");
        return TreeError::Revision { revision: name.to_owned(), told };
    }
    TreeError::Neither { name: name.to_owned(), near: near.map(|near| near.to_string_lossy().into_owned()) }
}

impl Tree {
    /// Reads what `name` means: a folder; or `REVISION`, whose folder `dir` it is; or `REVISION:FOLDER`.
    ///
    /// # Errors
    /// [`TreeError`]; a revision without the folder only where it `must_be`.
    pub fn read(name: &str, dir: &str, must_be: bool, now: UnixTime) -> Result<Self, TreeError> {
        if Path::new(name).is_dir() {
            // Whoever proposes a change may also make a folder that is called like the revision it is held against.
            let is_plain =
                !["/", "./", "../"].iter().any(|start| name.starts_with(start)) && name != "." && name != "..";
            if is_plain && (is_named_like_a_commit(name) || revision::is_known(name)?) {
                return Err(TreeError::Ambiguous(name.to_owned()));
            }
            return Self::of_folder(name, now);
        }
        let (commit, dir) = name.split_once(':').unwrap_or((name, dir));
        let files = revision::folder_at(commit, dir.trim_end_matches('/')).map_err(|error| match error {
            TreeError::Revision { told, .. } if !name.starts_with('-') => mistaken(name, &told),
            other => other,
        })?;
        if files.is_empty() && must_be {
            return Err(TreeError::NoFolder { revision: commit.to_owned(), dir: dir.to_owned() });
        }
        Self::of_files(name, dir, files, now)
    }

    /// `invariants/*.cedar`.
    pub(crate) fn invariants(&self) -> Vec<SourceFile> {
        let of = self.beside.iter().filter(|(path, _)| path.starts_with("invariants/"));
        of.map(|(_, file)| file.clone()).collect()
    }

    /// A folder on disk.
    ///
    /// # Errors
    /// [`TreeError::Unloadable`], [`TreeError::Unreadable`].
    pub fn of_folder(name: &str, now: UnixTime) -> Result<Self, TreeError> {
        let dir = Path::new(name);
        let links = Links::of(dir);
        let linked = links.findings();
        if !linked.is_empty() {
            return Err(TreeError::Linked { name: name.to_owned(), findings: Diagnostics(linked) });
        }
        let loaded = Read::of(dir, &links, now).loaded;
        let (set, _) = loaded.map_err(|findings| TreeError::Unloadable { name: name.to_owned(), findings })?;
        let mut beside = BTreeMap::new();
        for (folder, ending) in BESIDE {
            let files = beside::files(dir, folder, ending)
                .map_err(|Unreadable { path, error }| TreeError::Unreadable { path, error })?;
            beside.extend(files.into_iter().map(|(name, file)| (format!("{folder}/{name}"), file)));
        }
        Ok(Self { name: name.to_owned(), set, beside, is_missing: false })
    }

    /// From memory, by path below `dir`.
    ///
    /// # Errors
    /// [`TreeError::Unloadable`].
    pub fn of_files(name: &str, dir: &str, files: BTreeMap<String, String>, now: UnixTime) -> Result<Self, TreeError> {
        let is_missing = files.is_empty();
        let is_beside = |path: &String| {
            let of = |(folder, ending): (&str, &str)| {
                let file = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
                file.is_some_and(|file| file.ends_with(ending) && !file.contains('/') && !file.starts_with('.'))
            };
            BESIDE.into_iter().any(of)
        };
        let (beside, own): (BTreeMap<_, _>, BTreeMap<_, _>) = files.into_iter().partition(|(path, _)| is_beside(path));
        let shown = |path: String, text: String| {
            let at = format!("{}/{path}", dir.trim_end_matches('/'));
            (path, SourceFile { path: at.into(), text: text.into() })
        };
        let loaded = PolicySet::from_sources(own.into_iter().filter(|(path, _)| is_of_a_set(path)), now);
        let (set, _) = loaded.map_err(|findings| TreeError::Unloadable { name: name.to_owned(), findings })?;
        let beside = beside.into_iter().map(|(path, text)| shown(path, text)).collect();
        Ok(Self { name: name.to_owned(), set, beside, is_missing })
    }
}

/// Hidden files are no part of a set, here as on disk; tests are read by others.
fn is_of_a_set(path: &str) -> bool {
    !path.split('/').any(|part| part.starts_with('.')) && !path.starts_with("tests/")
}
