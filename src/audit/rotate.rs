//! Closing a file and going on in the next: when, under which name, and what of the old ones is kept.
//!
//! A file is closed by its renaming, which is one step: before it the file is the log's own, after it a closed one, and a
//! broker that died in between goes on from its last line. Never takes another file's name.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::chain::{Chain, Stamp};
use super::error::AuditError;
use super::files::Names;

/// When a file is closed, and how many closed ones are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Once it is at least so many bytes long; none: however long it gets.
    pub size: Option<u64>,
    /// With the first line of another day, UTC, than that of its first line.
    pub daily: bool,
    /// So many closed files stay, the youngest; none: all.
    pub keep: Option<u32>,
}

/// A day in milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1000;

impl Rotation {
    /// Whether a file of this length, whose first line was written at `first_ms`, is closed before the next line.
    pub(super) fn is_due(&self, len: u64, first_ms: Option<u64>, now_ms: u64) -> bool {
        // A clock that was set back closes nothing: the files of a day would be many.
        let is_past = first_ms.is_some_and(|first| now_ms / DAY > first / DAY);
        len > 0 && (self.size.is_some_and(|size| len >= size) || (self.daily && is_past))
    }
}

/// Whether the log's folder can be written, which every closing needs: better said at the start than by a log that stops.
pub(super) fn check(path: &Path, rotation: Rotation) -> Result<(), AuditError> {
    if rotation.size.is_none() && !rotation.daily {
        return Ok(());
    }
    let allowed = rustix::fs::access(Names::of(path).folder(), Access::WRITE_OK | Access::EXEC_OK);
    allowed.map_err(|error| {
        AuditError::io(
            path,
            "its folder cannot be written, as closing a file needs ([audit] rotate_size)",
            &error.into(),
        )
    })
}

/// Gives the log's file the name of a closed one, whose last line is the chain's.
pub(super) fn close(path: &Path, chain: &Chain, last_ms: u64) -> Result<PathBuf, AuditError> {
    let day = Stamp(last_ms).to_string();
    let closed = Names::of(path).closed(&day[..10], chain.seq);
    rename(path, &closed).map_err(|error| AuditError::io(path, "it cannot be renamed for the next file", &error))?;
    Ok(closed)
}

/// Renames where nothing has the new name.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system knows this; nobody else gives such names, so that looking first is nearly as good.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            if to.try_exists()? {
                return Err(io::Error::new(ErrorKind::AlreadyExists, format!("there is {} already", to.display())));
            }
            std::fs::rename(from, to)
        }
        Err(Errno::EXIST) => {
            Err(io::Error::new(ErrorKind::AlreadyExists, format!("there is {} already", to.display())))
        }
        renamed => Ok(renamed?),
    }
}

/// The closed files beyond those that are kept, oldest first.
pub(super) fn beyond(path: &Path, keep: Option<u32>) -> Vec<PathBuf> {
    let Some(keep) = keep else { return Vec::new() };
    let mut closed = Names::of(path).list().unwrap_or_default();
    closed.truncate(closed.len().saturating_sub(keep as usize));
    closed.into_iter().map(|closed| closed.path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_closed_by_its_length_or_with_the_day() {
        let by_size = Rotation { size: Some(100), ..Rotation::default() };
        assert!(!by_size.is_due(99, Some(0), 9 * DAY) && by_size.is_due(100, Some(0), 0));
        let daily = Rotation { daily: true, ..Rotation::default() };
        assert!(!daily.is_due(99, Some(0), DAY - 1) && daily.is_due(1, Some(DAY - 1), DAY));
        assert!(!daily.is_due(0, Some(0), DAY), "a file without a line is not closed");
        assert!(!daily.is_due(9, None, DAY) && !daily.is_due(9, Some(2 * DAY), DAY));
        assert!(!Rotation::default().is_due(u64::MAX, Some(0), u64::MAX));
    }

    #[test]
    fn no_other_file_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let chain = Chain { seq: 7, ..Chain::START };
        std::fs::write(&path, "a").unwrap();
        let closed = close(&path, &chain, DAY).unwrap();
        assert_eq!(closed.file_name().unwrap(), "audit-1970-01-02-000000000007.jsonl");
        std::fs::write(&path, "b").unwrap();
        let error = close(&path, &chain, DAY).unwrap_err().to_string();
        assert!(error.contains("already") && error.contains("audit.jsonl"), "{error}");
        assert_eq!((std::fs::read(&path).unwrap(), std::fs::read(&closed).unwrap()), (b"b".to_vec(), b"a".to_vec()));
    }

    #[test]
    fn the_oldest_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        for seq in [3, 1, 2] {
            std::fs::write(Names::of(&path).closed("2026-01-01", seq), "").unwrap();
        }
        let names =
            |keep| beyond(&path, keep).into_iter().map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert!(names(None).is_empty() && names(Some(3)).is_empty());
        assert!(names(Some(1)).iter().zip(["01.jsonl", "02.jsonl"]).all(|(name, end)| name.ends_with(end)));
        assert_eq!(names(Some(0)).len(), 3);
    }
}
