//! Writes files all or none: one that exists refuses all, and what was begun is taken back.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::super::Failure;
use super::draft::File;
use crate::policy::PolicySet;

/// What was made so far; removed again unless it is kept.
#[derive(Default)]
struct Made {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    is_kept: bool,
}

/// Writes all of them below `dir`; the policies must then load without a finding about them.
pub(super) fn write(dir: &Path, files: &[File]) -> Result<(), Failure> {
    let taken: Vec<String> = files
        .iter()
        .map(|file| dir.join(&file.path))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| path.display().to_string())
        .collect();
    if let Some((last, others)) = taken.split_last() {
        let what = match others {
            [] => format!("{last} is"),
            [first] => format!("{first} and {last} are"),
            [first, more @ ..] => format!("{first} and {} more files are", more.len() + 1),
        };
        return Err(Failure::new(
            format!("{what} there already: nothing was written"),
            "name another folder, or move what is there away",
        ));
    }
    if let Some(link) = files.iter().find_map(|file| link_to(dir, Path::new(&file.path))) {
        return Err(Failure::new(
            format!(
                "{} is a link: nothing was written, for it would be written to what the link leads to",
                link.display()
            ),
            "put the folder itself in the place of the link, or name another folder",
        ));
    }
    let mut made = Made::default();
    for file in files {
        let path = dir.join(&file.path);
        made.file(&path, file).map_err(|error| {
            let what = format!("{} cannot be written: {error}: nothing is left", path.display());
            Failure::new(what, "name a folder that this user may write")
        })?;
    }
    check(&dir.join("policies"))?;
    made.is_kept = true;
    Ok(())
}

/// The first link among the folders, below `dir`, in which a file is to lie.
fn link_to(dir: &Path, file: &Path) -> Option<PathBuf> {
    let folders = file.parent().into_iter().flat_map(Path::ancestors).filter(|each| !each.as_os_str().is_empty());
    let mut folders: Vec<PathBuf> = folders.map(|each| dir.join(each)).collect();
    folders.reverse();
    folders.into_iter().find(|path| path.is_symlink())
}

/// A broker of this build loads what was written, together with what was there.
fn check(policies: &Path) -> Result<(), Failure> {
    match PolicySet::load(policies) {
        Ok(_) => Ok(()),
        Err(findings) => {
            let told: Vec<String> = findings.0.iter().map(ToString::to_string).collect();
            let what = format!("a broker would not load these policies: nothing is left\n{}", told.join("\n"));
            Err(Failure::new(
                what,
                "mend what was there before, `jitney policy check` shows it, or name another folder",
            ))
        }
    }
}

impl Made {
    fn file(&mut self, path: &Path, file: &File) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            self.folder(parent, if file.path.starts_with(".jitney") { 0o700 } else { 0o777 })?;
        }
        let mode = if file.is_secret { 0o600 } else { 0o666 };
        let mut opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        self.files.push(path.to_owned());
        opened.write_all(file.text.expose().as_bytes())
    }

    /// Makes a folder, and those above it, where they are missing.
    fn folder(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.folder(parent, 0o777)?;
        }
        DirBuilder::new().mode(mode).create(path)?;
        self.folders.push(path.to_owned());
        Ok(())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
        // A folder in which somebody else put something meanwhile stays.
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: Secret::new(text.into()), is_secret: false }
    }

    fn left(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_cannot_be_written_whole_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        // A file stands where a folder is needed: the third write fails.
        fs::write(dir.path().join("policies"), "").unwrap();
        let files = [file("jitney.toml", ""), file("deep/er/x", ""), file("policies/workloads/w.toml", "")];
        let failure = write(dir.path(), &files).unwrap_err();
        assert!(failure.message.contains("policies/workloads/w.toml cannot be written"), "{}", failure.message);
        assert_eq!(left(dir.path()), ["policies"]);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("policies")).unwrap();
        let failure = write(dir.path(), &[file("jitney.toml", ""), file("policies/workloads/w.toml", "")]).unwrap_err();
        assert!(failure.message.contains("policies is a link: nothing was written"), "{}", failure.message);
        assert!(left(elsewhere.path()).is_empty());
        assert_eq!(left(dir.path()), ["policies"]);
    }

    #[test]
    fn policies_that_would_not_load_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("new");
        let failure = write(&new, &[file("policies/workloads/w.toml", "ownr = 'x'\n")]).unwrap_err();
        assert!(failure.message.contains("ownr"), "{}", failure.message);
        assert!(left(dir.path()).is_empty());
    }
}
