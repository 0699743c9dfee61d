//! The files of a set of policies: from a directory, or from memory.
//!
//! Owns reading, bounds on size, the stamps that tell a change, and the digest. Never looks inside a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{Context, SHA256};

use super::diagnostic::{Diagnostic, SourceFile};
use super::links::Links;
use super::listing::{Listing, Stray};
use super::reading::{leads_out, lies_in, open, text_of};

/// The files read so far, by path relative to the set's directory, with `/`.
pub(super) struct Sources {
    root: Option<PathBuf>,
    /// The same without links; none where there is no such folder.
    home: Option<PathBuf>,
    files: BTreeMap<String, SourceFile>,
    /// Those of them that lie elsewhere, as they are shown to people: nothing of what they say is.
    away: BTreeSet<Arc<str>>,
    stamps: Stamps,
    /// Those that nothing is read through, where they lead out; a broker reads through all.
    links: Option<Links>,
}

/// What was looked at, as it was then.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// What a file looked like just before it was read; `None` where there was none to read.
    files: BTreeMap<String, Option<Stamp>>,
    /// What lay beside the set's files. Nothing reads it, so only whether it is there counts.
    strays: BTreeSet<Stray>,
}

/// Length, modification, change and inode: a rewritten file differs in one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
}

impl Sources {
    /// Reads the set's own files under `dir`; those they name are read by [`Sources::fetch`].
    /// What could not be read is a finding; what could is there all the same.
    pub(super) fn directory(dir: &Path, links: Option<&Links>) -> (Self, Vec<Diagnostic>) {
        let mut sources = Self {
            root: Some(dir.to_owned()),
            home: fs::canonicalize(dir).ok(),
            files: BTreeMap::new(),
            away: BTreeSet::new(),
            stamps: Stamps::default(),
            links: links.cloned(),
        };
        let mut findings = Vec::new();
        match Listing::of(dir) {
            Ok(mut listing) => {
                if let Some(links) = links {
                    listing.keep(|path| !links.lead_out(path));
                }
                findings.extend(listing.strays.iter().filter_map(|stray| stray.error(dir)));
                sources.stamps.strays = listing.strays;
                for name in listing.own {
                    if let Err(error) = sources.fetch(&name) {
                        findings.push(unreadable(&dir.join(&name), &error));
                    }
                }
            }
            Err(error) => findings.push(
                unreadable(dir, &error)
                    .help("name the folder of the set; that of a broker is `[policies] dir` of its configuration"),
            ),
        }
        (sources, findings)
    }

    /// Takes `(path, text)` pairs as if they lay in a directory.
    pub(super) fn memory<P: Into<String>, T: Into<Arc<str>>>(files: impl IntoIterator<Item = (P, T)>) -> Self {
        let files = files
            .into_iter()
            .map(|(path, text)| {
                let path: String = path.into();
                let file = SourceFile { path: path.as_str().into(), text: text.into() };
                (path, file)
            })
            .collect();
        Self { root: None, home: None, files, away: BTreeSet::new(), stamps: Stamps::default(), links: None }
    }

    /// The same as if they had been read under `dir`: findings name the files there.
    pub(super) fn as_read(dir: &Path, files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut sources = Self::memory(files);
        for (path, file) in &mut sources.files {
            file.path = dir.join(path).to_string_lossy().as_ref().into();
        }
        sources
    }

    /// The file at `path`, read at most once.
    pub(super) fn fetch(&mut self, path: &str) -> io::Result<SourceFile> {
        if let Some(file) = self.files.get(path) {
            return Ok(file.clone());
        }
        let Some(root) = &self.root else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no such file in the set"));
        };
        if self.links.as_ref().is_some_and(|links| links.lead_out(Path::new(path))) {
            return Err(leads_out());
        }
        let full = root.join(path);
        // The stamp is taken first: a change while reading is then seen at the next look.
        self.stamps.files.insert(path.to_owned(), stamp(&full).ok());
        let opened = open(&full)?;
        let is_away = !self.home.as_ref().is_some_and(|home| lies_in(home, &opened, &full));
        let file = SourceFile { path: full.to_string_lossy().as_ref().into(), text: text_of(opened)?.into() };
        if is_away {
            self.away.insert(file.path.clone());
        }
        self.files.insert(path.to_owned(), file.clone());
        Ok(file)
    }

    /// The files directly in `folder` (`""` or `name/`) that end in `ending`: stem and file, sorted.
    pub(super) fn of_kind(&self, folder: &str, ending: &str) -> Vec<(String, SourceFile)> {
        self.files
            .iter()
            .filter_map(|(path, file)| {
                let stem = path.strip_prefix(folder)?.strip_suffix(ending)?;
                (!stem.is_empty() && !stem.contains('/')).then(|| (stem.to_owned(), file.clone()))
            })
            .collect()
    }

    /// Hex SHA-256 over every file's path and content, in the order of paths. Lengths go in front, so that no two
    /// different sets run together to the same bytes.
    pub(super) fn digest(&self) -> String {
        let mut hash = Context::new(&SHA256);
        for (path, file) in &self.files {
            for part in [path.as_bytes(), file.text.as_bytes()] {
                hash.update(&(part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A warning for each file that nothing reads, and that somebody may think is read. Asked once all is read; where
    /// that was `cut_short`, what might still have been named by another file is not told of.
    pub(super) fn strays(&self, cut_short: bool) -> Vec<Diagnostic> {
        let Some(root) = &self.root else { return Vec::new() };
        let strays = self.stamps.strays.iter();
        let unread = strays.filter(|stray| stray.name().is_none_or(|name| !self.stamps.files.contains_key(name)));
        unread.filter(|stray| !cut_short || stray.is_policy_like()).filter_map(|stray| stray.warning(root)).collect()
    }

    /// Takes from findings what they quote of a file that lies elsewhere. Who may put a link into the folder may have the
    /// broker read what its user may read, its own environment too; findings end up in logs and before others' eyes.
    pub(super) fn conceal(&self, findings: &mut [Diagnostic]) {
        let quoted = |finding: &&mut Diagnostic| self.away.contains(finding.file.as_str());
        findings.iter_mut().filter(quoted).for_each(Diagnostic::conceal);
    }

    /// The files read, by path relative to the set's directory.
    pub(super) fn files(&self) -> &BTreeMap<String, SourceFile> {
        &self.files
    }

    /// What was looked at, as it was then.
    pub(super) fn into_stamps(self) -> Stamps {
        self.stamps
    }
}

/// Whether a look at the directory now shows anything else than `then`.
pub(super) fn changed(dir: &Path, then: &Stamps) -> bool {
    // A directory that cannot be listed is a change: the reload then says what is wrong with it.
    let Ok(now) = Listing::of(dir) else { return true };
    now.strays != then.strays
        || now.own.iter().any(|name| !then.files.contains_key(name))
        || then.files.iter().any(|(path, then)| stamp(&dir.join(path)).ok() != *then)
}

/// `path` as written in a file of `folder`, relative to the set's directory; an absolute one stays.
pub(crate) fn resolve(folder: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::metadata(path)?;
    Ok(Stamp {
        len: meta.len(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
        inode: meta.ino(),
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::error("unreadable", format!("cannot read {}: {error}", path.display())).in_file(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_from_the_folder_of_the_file_that_names_it() {
        assert_eq!(resolve("workloads", "../keys/a.json"), "keys/a.json");
        assert_eq!(resolve("workloads", "a.json"), "workloads/a.json");
        assert_eq!(resolve("workloads", "./x/../a.json"), "workloads/a.json");
        assert_eq!(resolve("workloads", "../../shared/a.json"), "../shared/a.json");
        assert_eq!(resolve("workloads", "/etc/a.json"), "/etc/a.json");
    }

    #[test]
    fn the_digest_tells_files_apart_and_not_their_order() {
        let digest = |files: &[(&str, &str)]| Sources::memory(files.iter().copied()).digest();
        assert_eq!(digest(&[("a", "1"), ("b", "2")]), digest(&[("b", "2"), ("a", "1")]));
        assert_ne!(digest(&[("a", "1b2")]), digest(&[("a", "1"), ("b", "2")]));
        assert_ne!(digest(&[("a", "1")]), digest(&[("a", "2")]));
        assert_eq!(digest(&[]).len(), 64);
    }

    #[test]
    fn only_the_set_s_own_files_are_read_and_a_change_of_any_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("workloads")).unwrap();
        for name in ["a.cedar", ".b.cedar", "README.md", "workloads/w.toml", "workloads/w.toml~", "workloads/x.TOML"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let (sources, findings) = Sources::directory(dir.path(), None);
        assert!(findings.is_empty());
        assert_eq!(sources.files.keys().collect::<Vec<_>>(), ["a.cedar", "workloads/w.toml"]);
        let stamps = sources.into_stamps();
        assert!(!changed(dir.path(), &stamps));
        fs::remove_file(dir.path().join("workloads/x.TOML")).unwrap();
        assert!(changed(dir.path(), &stamps), "a stray that is mended");
        let (sources, _) = Sources::directory(dir.path(), None);
        let stamps = sources.into_stamps();
        fs::create_dir(dir.path().join("sub")).unwrap();
        assert!(!changed(dir.path(), &stamps));
        fs::write(dir.path().join("sub/x.cedar"), "").unwrap();
        assert!(changed(dir.path(), &stamps), "a new stray");
        fs::remove_dir_all(dir.path().join("sub")).unwrap();
        assert!(!changed(dir.path(), &stamps));
        fs::write(dir.path().join("workloads/w.toml"), "xy").unwrap();
        assert!(changed(dir.path(), &stamps));
        let (sources, _) = Sources::directory(dir.path(), None);
        let stamps = sources.into_stamps();
        fs::write(dir.path().join("c.cedar"), "").unwrap();
        assert!(changed(dir.path(), &stamps));
        fs::remove_file(dir.path().join("c.cedar")).unwrap();
        assert!(!changed(dir.path(), &stamps));
        fs::remove_file(dir.path().join("a.cedar")).unwrap();
        assert!(changed(dir.path(), &stamps));
    }

    #[test]
    fn a_pipe_is_a_finding_and_nobody_waits_for_its_writer() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("a.cedar");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let folder = dir.path().to_owned();
        std::thread::spawn(move || tell.send(Sources::directory(&folder, None).1));
        let findings = told.recv_timeout(std::time::Duration::from_secs(20)).expect("it is not waited for");
        assert!(findings[0].message.contains("not a regular file"), "{}", findings[0].message);
    }

    #[test]
    fn a_directory_that_is_not_there_and_a_file_that_is_no_text_are_findings() {
        let dir = tempfile::tempdir().unwrap();
        let (_, findings) = Sources::directory(&dir.path().join("nowhere"), None);
        assert_eq!(findings[0].code, "unreadable");
        fs::write(dir.path().join("a.cedar"), [0xff, 0xfe]).unwrap();
        let (_, findings) = Sources::directory(dir.path(), None);
        assert!(findings[0].message.contains("not UTF-8"), "{}", findings[0].message);
    }
}
