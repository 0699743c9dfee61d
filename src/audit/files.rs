//! The files of one log: the one that is written, and those that it was before, oldest first.
//!
//! Owns the names of closed files: `audit.jsonl` becomes `audit-2026-11-28-000000004711.jsonl`, the day of its last line
//! and that line's number. Never writes a line.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// How the closed files of a log are called.
#[derive(Debug, Clone)]
pub(super) struct Names {
    folder: PathBuf,
    stem: OsString,
    extension: Option<OsString>,
}

/// A file that the log was once written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) path: PathBuf,
    /// The number of its last line.
    pub(super) last: u64,
}

impl Names {
    /// Of the log that is written at `path`.
    pub(super) fn of(path: &Path) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stem = path.file_stem().unwrap_or_default().to_owned();
        Self { folder: folder.to_owned(), stem, extension: path.extension().map(ToOwned::to_owned) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name of the file whose last line was written on `day` (`2026-11-28`) and has the number `last`.
    pub(super) fn closed(&self, day: &str, last: u64) -> PathBuf {
        let mut name = self.stem.clone();
        name.push(format!("-{day}-{last:012}"));
        if let Some(extension) = &self.extension {
            name.push(".");
            name.push(extension);
        }
        self.folder.join(name)
    }

    /// The closed files that are there, oldest first.
    ///
    /// # Errors
    /// The folder cannot be listed. One that is not there holds none.
    pub(super) fn list(&self) -> io::Result<Vec<Closed>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if let Some(last) = self.last_of(&path) {
                found.push(Closed { path, last });
            }
        }
        found.sort_by_key(|closed| closed.last);
        Ok(found)
    }

    /// The number that the name of a closed file tells; nothing where it is none of this log's.
    fn last_of(&self, path: &Path) -> Option<u64> {
        if path.extension() != self.extension.as_deref() {
            return None;
        }
        let stem = path.file_stem()?.as_encoded_bytes().strip_prefix(self.stem.as_encoded_bytes())?;
        number_in(std::str::from_utf8(stem).ok()?.strip_prefix('-')?)
    }
}

/// The number of the last line of a file that is closed, as its name tells it, of whatever log it is; nothing where the name is
/// none of a closed file.
pub fn closed_at(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_str()?;
    let number = stem.rfind('-')?;
    number_in(stem.get(number.checked_sub(10)?..)?)
}

/// The number in `2026-11-28-000000004711`.
fn number_in(told: &str) -> Option<u64> {
    let (day, number) = told.split_at_checked(10)?;
    let is_day =
        day.bytes().enumerate().all(|(at, b)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    let digits = number.strip_prefix('-').filter(|digits| (12..=20).contains(&digits.len()))?;
    (is_day && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// How often a log is looked at that is being closed meanwhile.
const TRIES: usize = 3;

/// A log's files as they were at one moment.
#[derive(Debug)]
pub(super) struct LogFiles {
    pub(super) closed: Vec<Closed>,
    /// The one that was written then. It stays the same file when it is closed afterwards.
    pub(super) current: Option<(PathBuf, File)>,
}

impl LogFiles {
    /// Those of the log at `path`. A closed file may be named too: it is read alone.
    ///
    /// # Errors
    /// There is no such log, or it cannot be looked at.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut tries = 0;
        let (current, closed) = loop {
            // Opened before the others are listed: closed in between, it is among them.
            let current = match open(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                opened => Some(opened?),
            };
            let mut closed = match Names::of(path).list() {
                // Who may read the log and not list its folder reads what is written now.
                Err(error) if error.kind() == ErrorKind::PermissionDenied && current.is_some() => Vec::new(),
                listed => listed?,
            };
            let listed = closed.len();
            if let Some((_, own)) = &current {
                closed.retain(|closed| !fs::metadata(&closed.path).is_ok_and(|meta| identity(&meta) == *own));
            }
            // Looked at anew, what was closed has its own name alone. A name that stays is a link that somebody made: it
            // hides no other file.
            tries += 1;
            if closed.len() == listed || tries == TRIES {
                break (current, closed);
            }
        };
        if current.is_none() && closed.is_empty() {
            return Err(io::Error::new(ErrorKind::NotFound, "there is no such file"));
        }
        Ok(Self { closed, current: current.map(|(file, _)| (path.to_owned(), file)) })
    }

    /// Each file with its path, opened when its turn comes.
    pub(super) fn each(self) -> impl Iterator<Item = (PathBuf, io::Result<File>)> {
        let closed = self.closed.into_iter().map(|closed| {
            let file = open(&closed.path).map(|(file, _)| file);
            (closed.path, file)
        });
        closed.chain(self.current.map(|(path, file)| (path, Ok(file))))
    }
}

/// Device and inode: what a file is, whatever it is called.
pub(super) fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// Opens a file of a log to be read. Whatever else has its name, a pipe say, is not waited for.
pub(super) fn open(path: &Path) -> io::Result<(File, (u64, u64))> {
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other(format!("{} is no regular file", path.display())));
    }
    Ok((file, identity(&meta)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_files_are_found_by_their_names_in_the_order_of_their_lines() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::of(&dir.path().join("audit.jsonl"));
        let in_order =
            [names.closed("2026-11-28", 9), names.closed("2026-11-27", 10), names.closed("2026-11-29", 1 << 60)];
        assert_eq!(in_order[0].file_name().unwrap(), "audit-2026-11-28-000000000009.jsonl");
        assert_eq!(in_order.each_ref().map(|path| closed_at(path)), [Some(9), Some(10), Some(1 << 60)]);
        let others = [
            "audit.jsonl",
            "audit.jsonl.1",
            "audit-2026-11-28-9.jsonl",
            "audit-2026-11-28-000000000009.jsonl.gz",
            "audit-2026-11-2x-000000000009.jsonl",
            "audit-2026-11-28x000000000009.jsonl",
            "other-2026-11-28-000000000009.jsonl",
            "audit-2026-11-28-99999999999999999999.jsonl",
            "audit-ä.jsonl",
        ];
        for name in in_order.iter().map(PathBuf::from).rev().chain(others.iter().map(|name| dir.path().join(name))) {
            fs::write(name, "").unwrap();
        }
        for name in others.iter().filter(|name| !name.starts_with("other")) {
            assert_eq!(closed_at(Path::new(name)).filter(|_| name.ends_with(".jsonl")), None, "{name}");
        }
        let found: Vec<PathBuf> = names.list().unwrap().into_iter().map(|closed| closed.path).collect();
        assert_eq!(found, in_order);
        assert!(Names::of(&dir.path().join("gone/audit.jsonl")).list().unwrap().is_empty());
        let bare = Names::of(Path::new("log"));
        assert_eq!(
            (bare.folder(), bare.closed("2026-11-28", 1)),
            (Path::new("."), "./log-2026-11-28-000000000001".into())
        );
    }

    #[test]
    fn a_file_that_is_closed_while_it_is_looked_at_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        assert!(LogFiles::of(&path).is_err());
        fs::write(Names::of(&path).closed("2026-11-27", 3), "a").unwrap();
        fs::write(&path, "b").unwrap();
        let count = || LogFiles::of(&path).unwrap().each().count();
        assert_eq!(count(), 2);
        let second = Names::of(&path).closed("2026-11-28", 5);
        fs::hard_link(&path, &second).unwrap();
        assert_eq!(count(), 2, "the same file under both names");
        // Nor does a link hide those whose names come behind it.
        let link = Names::of(&path).closed("2020-01-01", 0);
        std::os::unix::fs::symlink("audit.jsonl", &link).unwrap();
        let read: Vec<PathBuf> = LogFiles::of(&path).unwrap().each().map(|(path, _)| path).collect();
        assert_eq!(read, [Names::of(&path).closed("2026-11-27", 3), path.clone()]);
        fs::remove_file(link).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(count(), 2, "between two files the log is what was closed");
    }
}
