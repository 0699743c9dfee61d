//! Which files of a directory are a set's own, and which lie beside them and are read by nobody.
//!
//! Owns names and places only, and never opens a file. A policy that forbids and is not read is access that somebody
//! believes to be closed: so what looks like a part of the set, and is none, is told.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;

/// Where a set's files lie, and what kind they are.
const FOLDERS: [(&str, &[&str]); 3] =
    [("", &[".cedar", ".cedarschema"]), ("workloads/", &[".toml"]), ("audiences/", &[".toml"])];
/// All endings of a set's files.
const ENDINGS: [&str; 3] = [".cedar", ".cedarschema", ".toml"];
/// Beside a set: the cases it is tried with, what must never be possible, and what a change has stated to widen.
/// Others read them, by the ending that each has.
const BESIDE: [(&str, &str); 3] = [("invariants/", ".cedar"), ("tests/", ".toml"), ("widenings/", ".toml")];
/// Beside a set: what its check is told to let pass.
const CHECK: &str = "check.toml";
/// Folders within folders are looked into so far.
const DEEPEST: usize = 4;

/// What a directory holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The set's own files, by path relative to the directory.
    pub own: Vec<String>,
    /// What lies beside them.
    pub strays: BTreeSet<Stray>,
}

/// A file that is not one of the set's own, by path relative to the directory. Another file may still name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stray(PathBuf);

impl Listing {
    /// Lists `dir`. Hidden files are passed over: editors and ConfigMap mounts keep theirs there.
    ///
    /// # Errors
    /// The directory, or one of the set's folders in it, cannot be listed.
    pub(super) fn of(dir: &Path) -> io::Result<Self> {
        let mut listing = Self::default();
        for (folder, endings) in FOLDERS {
            let entries = match fs::read_dir(dir.join(folder)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.is_empty() => continue,
                entries => entries?,
            };
            for entry in entries {
                listing.sort_in(dir, folder, endings, &entry?);
            }
        }
        for (folder, ending) in BESIDE {
            // What cannot be listed there keeps no set from being loaded.
            for entry in fs::read_dir(dir.join(folder)).into_iter().flatten().flatten() {
                listing.sort_beside(dir, folder, ending, &entry.file_name());
            }
        }
        Ok(listing)
    }

    /// Keeps those whose path is for `keep`.
    pub(super) fn keep(&mut self, keep: impl Fn(&Path) -> bool) {
        self.own.retain(|name| keep(Path::new(name)));
        self.strays.retain(|stray| keep(&stray.0));
    }

    fn sort_in(&mut self, dir: &Path, folder: &str, endings: &[&str], entry: &fs::DirEntry) {
        let name = entry.file_name();
        let path = Path::new(folder).join(&name);
        match name.to_str() {
            Some(name) if is_passed_over(name) => {}
            Some(name) if endings.iter().any(|ending| name.ends_with(ending)) => {
                self.own.push(format!("{folder}{name}"))
            }
            Some(name) if folder.is_empty() && (is_known_folder(name) || name == CHECK) => {}
            _ if entry.path().is_dir() => self.look_into(dir, &path, 1),
            _ => drop(self.strays.insert(Stray(path))),
        }
    }

    /// A file beside the set that is read by nobody is an invariant that is held against nothing: also one that is hidden, for
    /// who hides one switches it off.
    fn sort_beside(&mut self, dir: &Path, folder: &str, ending: &str, name: &OsStr) {
        let path = Path::new(folder).join(name);
        match name.to_str() {
            Some(name) if is_hidden_one(name, ending) => drop(self.strays.insert(Stray(path))),
            Some(name) if is_passed_over(name) || name.ends_with(ending) => {}
            _ if dir.join(&path).is_dir() => self.look_into(dir, &path, 1),
            _ => drop(self.strays.insert(Stray(path))),
        }
    }

    /// A folder that no set has. Keys may lie in it, and other things: only what looks like a part of the set is told.
    fn look_into(&mut self, dir: &Path, folder: &Path, depth: usize) {
        // What cannot be listed there is no part of the set.
        for entry in fs::read_dir(dir.join(folder)).into_iter().flatten().flatten() {
            let (name, path) = (entry.file_name(), folder.join(entry.file_name()));
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_passed_over(&name.to_string_lossy()) {
                continue;
            }
            if is_folder && depth < DEEPEST {
                self.look_into(dir, &path, depth + 1);
            } else if !is_folder && ending_of(&path).is_some() {
                self.strays.insert(Stray(path));
            }
        }
    }
}

impl Stray {
    /// Its path, where it is text.
    pub(super) fn name(&self) -> Option<&str> {
        self.0.to_str()
    }

    /// Whether it ends as the files of a set do, in letters of any case.
    pub(super) fn is_policy_like(&self) -> bool {
        ending_of(&self.0).is_some()
    }

    /// A name that is no text names nothing that a policy, a log or a person could mean.
    pub(super) fn error(&self, dir: &Path) -> Option<Diagnostic> {
        if self.name().is_some() {
            return None;
        }
        let path = dir.join(&self.0).to_string_lossy().into_owned();
        let found = Diagnostic::error("name", format!("the name of {path} is not UTF-8")).in_file(&path);
        Some(found.help("rename it, or move it out of the folder of the set"))
    }

    /// Why nothing reads it, and the mend.
    pub(super) fn warning(&self, dir: &Path) -> Option<Diagnostic> {
        let name = self.name()?;
        let path = dir.join(name).to_string_lossy().into_owned();
        let found = Diagnostic::warning("stray", format!("nothing reads {path}: it is no part of the set"));
        Some(found.in_file(&path).help(self.mend(name)))
    }

    fn mend(&self, name: &str) -> String {
        if let Some((folder, ending)) = BESIDE.into_iter().find(|(folder, _)| name.starts_with(folder)) {
            return format!(
                "what {folder} holds is read from {folder}NAME{ending}, in small letters, not hidden, and from no \
                            folder in it: rename it or move it there, or move it out of the folder of the set"
            );
        }
        let (folder, base) = name.rsplit_once('/').map_or(("", name), |(folder, base)| (folder, base));
        let is_known = folder.is_empty() || FOLDERS.iter().any(|(known, _)| known.trim_end_matches('/') == folder);
        let Some(ending) = ending_of(&self.0) else {
            return "policies end in .cedar, workloads and audiences in .toml: rename it, or move it out of the folder of \
                    the set"
                .into();
        };
        let (is_toml, in_place) = (ending == ".toml", is_known && folder.is_empty() != (ending == ".toml"));
        match (in_place, is_toml) {
            (true, _) => {
                let stem = base.get(..base.len() - ending.len()).unwrap_or(base);
                format!("endings are written in small letters: rename it to {stem}{ending}")
            }
            (false, true) => {
                "workloads are read from workloads/, audiences from audiences/, and from no folder in them: \
                              move it there"
                    .into()
            }
            (false, false) => {
                "policies and the schema are read from the folder of the set itself: move it there".into()
            }
        }
    }
}

/// The ending of a set's file that `path` has, in letters of any case.
fn ending_of(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    ENDINGS.into_iter().find(|ending| name.ends_with(ending))
}

/// The set's folders, which are listed by themselves, and those beside them that others read.
fn is_known_folder(name: &str) -> bool {
    let mut all = FOLDERS.iter().map(|(folder, _)| *folder).chain(BESIDE.iter().map(|(folder, _)| *folder));
    all.any(|folder| folder.strip_suffix('/') == Some(name))
}

/// One that would be read, were it not hidden. An editor's lock is none, nor what a ConfigMap mount keeps.
fn is_hidden_one(name: &str, ending: &str) -> bool {
    name.starts_with('.')
        && !name.starts_with("..")
        && !name.starts_with(".#")
        && name.to_ascii_lowercase().ends_with(ending)
}

/// What people and editors leave beside any file: hidden ones, copies and locks, what is being written, and the text that
/// tells people about the folder.
fn is_passed_over(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let is_left_over = name.starts_with('.')
        || [".swp", ".swo", ".swx", ".tmp"].iter().any(|ending| lower.ends_with(ending))
        || name.ends_with('~')
        || (name.starts_with('#') && name.ends_with('#'))
        // vim's trial whether it may write here.
        || name == "4913";
    is_left_over || lower.starts_with("readme") || lower.ends_with(".md") || lower.ends_with(".markdown")
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        dir
    }

    fn strays(names: &[&str]) -> Vec<String> {
        let listing = Listing::of(folder(names).path()).unwrap();
        listing.strays.iter().map(|stray| stray.name().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_looks_like_a_part_of_the_set_and_is_none_is_told() {
        let names = [
            "no.CEDAR",
            "old.cedar.disabled",
            "sub/deep/x.cedar",
            "sub/x.Toml",
            "w.toml",
            "workloads/no.cedar",
            "workloads/sub/w.toml",
            "workloads/w.TOML",
        ];
        assert_eq!(strays(&names), names);
    }

    #[test]
    fn so_is_what_lies_beside_the_set_and_is_read_by_nobody() {
        let names = [
            "invariants/.money.cedar",
            "invariants/money.CEDAR",
            "invariants/money.cedar.txt",
            "invariants/sub/money.cedar",
            "tests/case.TOML",
            "tests/sub/case.toml",
            "widenings/p.cedar",
            "widenings/sub/p.toml",
        ];
        assert_eq!(strays(&names), names);
        for name in names {
            let folder = name.split_inclusive('/').next().unwrap();
            let mend = Stray(name.into()).warning(Path::new("/p")).unwrap().help.unwrap();
            assert!(mend.contains(&format!("is read from {folder}NAME.")), "{mend}");
        }
    }

    #[test]
    fn left_overs_and_what_is_for_people_is_not() {
        let silent = [
            ".a.cedar.swp",
            ".#a.cedar",
            "..data/a.cedar",
            "#a.cedar#",
            "4913",
            "README",
            "Readme.txt",
            "a.cedar.swp",
            "a.cedar.tmp",
            "a.cedar~",
            "docs.md",
            "keys/w.jwks.json",
            "sub/notes.txt",
            "invariants/i.cedar",
            "invariants/.#i.cedar",
            "invariants/..data/i.cedar",
            "invariants/.i.cedar.swp",
            "invariants/README.md",
            "invariants/i.cedar~",
            "tests/case.toml",
            "widenings/w.toml",
            "workloads/README.md",
            "workloads/w.toml~",
        ];
        assert_eq!(strays(&silent), [""; 0]);
        let own = ["a.cedar", "jitney.cedarschema", "workloads/w.toml", "audiences/a.toml"];
        let mut listed = Listing::of(folder(&own).path()).unwrap();
        listed.own.sort();
        assert_eq!(listed.own, ["a.cedar", "audiences/a.toml", "jitney.cedarschema", "workloads/w.toml"]);
        assert_eq!(listed.strays, BTreeSet::new());
    }

    #[test]
    fn each_warning_has_a_place_a_reason_and_a_mend() {
        for (name, mend) in [
            ("no.CEDAR", "rename it to no.cedar"),
            ("workloads/W.TOML", "rename it to W.toml"),
            ("workloads/no.cedar", "from the folder of the set itself"),
            ("sub/x.cedar", "from the folder of the set itself"),
            ("w.toml", "workloads are read from workloads/"),
            ("workloads/sub/w.toml", "from no folder in them"),
            ("x.ceder", "policies end in .cedar"),
        ] {
            let found = Stray(name.into()).warning(Path::new("/p")).unwrap();
            let shown = found.to_string();
            assert_eq!(found.file, format!("/p/{name}"));
            assert!(shown.contains("warning[stray]") && shown.contains("nothing reads"), "{shown}");
            assert!(found.help.as_ref().unwrap().contains(mend), "{shown}");
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_an_error() {
        let dir = folder(&["workloads/w.toml"]);
        let name = OsStr::from_bytes(b"workloads/\xff.toml");
        fs::write(dir.path().join(name), "").unwrap();
        let listing = Listing::of(dir.path()).unwrap();
        assert_eq!(listing.own, ["workloads/w.toml"]);
        let errors: Vec<_> = listing.strays.iter().filter_map(|stray| stray.error(dir.path())).collect();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].message.contains("not UTF-8") && errors[0].file.ends_with(".toml"), "{}", errors[0]);
    }

    #[test]
    fn folders_in_a_circle_come_to_an_end() {
        let dir = folder(&["sub/x.cedar"]);
        std::os::unix::fs::symlink(dir.path(), dir.path().join("sub/again")).unwrap();
        let listing = Listing::of(dir.path()).unwrap();
        assert_eq!(listing.strays.len(), 1);
    }
}
