//! The log's file: opened, locked, its end read; appended to by whole lines only; reopened when it is not what it was.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::chain::{Chain, Hex, Link, MAX_LINE, Stamp};
use super::error::AuditError;
use super::log::Durability;

/// What a freshly opened file told about the chain.
pub(super) struct Opened {
    /// The last whole line, or [`Chain::START`] where there is none.
    pub(super) chain: Chain,
    /// Half a line that was set aside: a sentence about it.
    pub(super) torn: Option<String>,
}

/// The file at a path, or what is to become of it.
pub(super) struct LogFile {
    path: PathBuf,
    durability: Durability,
    held: Option<Held>,
}

/// An open file. The advisory lock lives as long as it does.
struct Held {
    file: File,
    identity: (u64, u64),
    /// Everything up to here is whole lines that were acknowledged.
    len: u64,
    /// A failed write may have left bytes behind `len`.
    dirty: bool,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, durability: Durability) -> Self {
        Self { path, durability, held: None }
    }

    /// Makes sure that the path holds the file as it was left. Gives what was found where it had to be opened anew.
    pub(super) fn ready(&mut self, now_ms: u64) -> Result<Option<Opened>, AuditError> {
        if let Some(held) = &mut self.held
            && let Some(len) = held.len_at(&self.path)
        {
            // Not cut, it stays as it is: opened anew, lines that were never acknowledged would count as written.
            let was_cut =
                held.mend().map_err(|error| AuditError::io(&self.path, "half a write cannot be cut off", &error))?;
            // Of another length than it was left, somebody else changed it.
            if was_cut || len == held.len {
                return Ok(None);
            }
        }
        // The lock goes with the file, or the same file could not be opened again.
        self.held = None;
        let (held, opened) = open(&self.path, self.durability, now_ms)?;
        self.held = Some(held);
        Ok(Some(opened))
    }

    /// Appends whole lines: one write where the system takes them at once. After an error none of them is in the file.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), AuditError> {
        self.append_by(lines, |file, lines| file.write_all(lines))
    }

    fn append_by(
        &mut self,
        lines: &[u8],
        write: impl FnOnce(&mut File, &[u8]) -> io::Result<()>,
    ) -> Result<(), AuditError> {
        let Some(held) = &mut self.held else { return Err(AuditError::Closed) };
        let result = write(&mut held.file, lines).and_then(|()| match self.durability {
            Durability::Write => Ok(()),
            Durability::Sync => held.file.sync_data(),
        });
        match result {
            Ok(()) => {
                held.len += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                held.dirty = true;
                // Where even this fails, it is tried again before the next write.
                let _ = held.mend();
                Err(AuditError::io(&self.path, "it cannot be written", &error))
            }
        }
    }
}

impl Held {
    /// How long it is, where the path still names this file. Something else there, or nothing, or a silent system: nothing.
    fn len_at(&self, path: &Path) -> Option<u64> {
        let meta = fs::metadata(path).ok()?;
        ((meta.dev(), meta.ino()) == self.identity).then_some(meta.len())
    }

    /// Cuts what a failed write left; whether there was any.
    fn mend(&mut self) -> io::Result<bool> {
        let is_dirty = std::mem::take(&mut self.dirty);
        if is_dirty && let Err(error) = self.file.set_len(self.len) {
            self.dirty = true;
            return Err(error);
        }
        Ok(is_dirty)
    }
}

fn open(path: &Path, durability: Durability, now_ms: u64) -> Result<(Held, Opened), AuditError> {
    let failed = |what| move |error: io::Error| AuditError::io(path, what, &error);
    let is_new = match fs::metadata(path) {
        Ok(meta) if meta.is_file() => false,
        Ok(_) => return Err(AuditError::NotRegular(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(failed("it cannot be read")(error)),
    };
    // Created for its owner alone; the mode of a file that is there already is its owner's choice. Not to hang where
    // the path became a pipe in between.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(nonblock);
    let file = options.open(path).map_err(failed("it cannot be opened"))?;
    let meta = file.metadata().map_err(failed("it cannot be read"))?;
    if !meta.is_file() {
        return Err(AuditError::NotRegular(path.to_owned()));
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(AuditError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => return Err(failed("it cannot be locked")(error)),
    }
    if is_new && durability == Durability::Sync {
        // The name has to last as long as the lines.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("its folder cannot be synced"))?;
    }
    let identity = (meta.dev(), meta.ino());
    let mut held = Held { file, identity, len: meta.len(), dirty: false };
    let opened = read_end(path, &mut held, now_ms)?;
    Ok((held, opened))
}

/// Reads the last whole line; sets half a line behind it aside.
fn read_end(path: &Path, held: &mut Held, now_ms: u64) -> Result<Opened, AuditError> {
    let foreign = |why: &str| AuditError::Foreign { path: path.to_owned(), why: why.to_owned() };
    let start = held.len.saturating_sub(2 * MAX_LINE as u64);
    let mut end = Vec::new();
    held.file
        .seek(SeekFrom::Start(start))
        .and_then(|_| held.file.read_to_end(&mut end))
        .map_err(|error| AuditError::io(path, "it cannot be read", &error))?;
    let whole = end.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let (lines, half) = end.split_at(whole);
    let Some(lines) = lines.strip_suffix(b"\n") else {
        // Nothing but half a line: ours if it begins as ours do, else somebody's file.
        let opening = br#"{"v":1,"time":""#;
        let common = half.len().min(opening.len());
        if half[..common] != opening[..common] {
            return Err(foreign("there is no line of this log's form"));
        }
        let torn = set_aside(path, held, half, now_ms)?;
        return Ok(Opened { chain: Chain::START, torn });
    };
    let last = &lines[lines.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1)..];
    let link = Link::read(last).map_err(foreign)?;
    let chain = Chain { seq: link.seq, head: Hex::of(last) };
    let torn = set_aside(path, held, half, now_ms)?;
    Ok(Opened { chain, torn })
}

/// Copies half a line to a file of its own, and only then cuts it from this one.
fn set_aside(path: &Path, held: &mut Held, half: &[u8], now_ms: u64) -> Result<Option<String>, AuditError> {
    if half.is_empty() {
        return Ok(None);
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".torn-{}", Stamp(now_ms)));
    let aside = PathBuf::from(name);
    let copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside);
    copy.and_then(|mut copy| copy.write_all(half).and_then(|()| copy.sync_all()))
        .map_err(|error| AuditError::io(&aside, "half a line cannot be set aside there", &error))?;
    let whole = held.len - half.len() as u64;
    held.file.set_len(whole).map_err(|error| AuditError::io(path, "half a line cannot be cut off", &error))?;
    held.len = whole;
    Ok(Some(format!("{} bytes of half a line were set aside in {}", half.len(), aside.display())))
}

#[cfg(test)]
mod tests {
    use super::super::record::{AuditRecord, Event, Outcome};
    use super::*;

    fn line(chain: &mut Chain) -> Vec<u8> {
        let mut line = Vec::new();
        chain.push(&mut line, "b1", 0, &AuditRecord::new(Event::Start, Outcome::Done)).unwrap();
        line
    }

    #[test]
    fn a_write_that_fails_half_way_leaves_only_whole_lines() {
        for durability in [Durability::Write, Durability::Sync] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("audit.jsonl");
            let mut file = LogFile::new(path.clone(), durability);
            assert!(file.ready(0).unwrap().is_some());
            let mut chain = Chain::START;
            let (first, second) = (line(&mut chain), line(&mut chain));
            file.append(&first).unwrap();
            let full = file.append_by(&second, |file, lines| {
                file.write_all(&lines[..lines.len() / 2])?;
                Err(ErrorKind::StorageFull.into())
            });
            assert!(full.unwrap_err().to_string().contains("it cannot be written"));
            assert_eq!(fs::read(&path).unwrap(), first);
            assert!(file.ready(0).unwrap().is_none(), "the same file goes on");
            file.append(&second).unwrap();
            assert_eq!(fs::read(&path).unwrap(), [first, second].concat());
        }
    }

    #[test]
    fn a_cut_that_fails_at_first_is_made_before_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut file = LogFile::new(path.clone(), Durability::Write);
        file.ready(0).unwrap();
        fs::write(&path, "{\"v\":1,\"ti").unwrap();
        file.held.as_mut().unwrap().dirty = true;
        assert!(file.ready(0).unwrap().is_none());
        assert!(fs::read(&path).unwrap().is_empty());
    }
}
