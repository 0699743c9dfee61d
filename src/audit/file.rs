//! The log's file: opened, locked, its end read; appended to by whole lines only; reopened when it is not what it was.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::chain::{Chain, Link, MAX_LINE, Stamp};
use super::error::AuditError;
use super::files::{self, Names};
use super::log::Durability;
use super::rotate::{self, Rotation};

/// What a freshly opened file told about the chain.
pub(super) struct Opened {
    /// The last whole line: of the file, else of the last one that was closed; [`Chain::START`] where there is none.
    pub(super) chain: Chain,
    /// The file has no line yet, and the chain's last one stands in this closed file.
    pub(super) behind: Option<PathBuf>,
    /// Half a line that was set aside: a sentence about it.
    pub(super) torn: Option<String>,
}

/// The file at a path, or what is to become of it.
pub(super) struct LogFile {
    path: PathBuf,
    durability: Durability,
    rotation: Rotation,
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
    /// When its first line was written, and its last.
    first_ms: Option<u64>,
    last_ms: u64,
}

impl LogFile {
    pub(super) const fn new(path: PathBuf, durability: Durability, rotation: Rotation) -> Self {
        Self { path, durability, rotation, held: None }
    }

    /// Whether it has to be closed before the next line.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.held.as_ref().is_some_and(|held| self.rotation.is_due(held.len, held.first_ms, now_ms))
    }

    /// Closes the file, whose last line is the chain's, and opens the next. Where it fails half-way, `ready` goes on.
    pub(super) fn rotate(&mut self, chain: &Chain, now_ms: u64) -> Result<Opened, AuditError> {
        let last_ms = self.held.as_ref().map_or(now_ms, |held| held.last_ms);
        rotate::close(&self.path, chain, last_ms)?;
        self.held = None;
        let (held, opened) = open(&self.path, self.durability, now_ms)?;
        self.held = Some(held);
        Ok(opened)
    }

    /// The closed files that are too many.
    pub(super) fn too_many(&self) -> Vec<PathBuf> {
        rotate::beyond(&self.path, self.rotation.keep)
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
    pub(super) fn append(&mut self, lines: &[u8], now_ms: u64) -> Result<(), AuditError> {
        self.append_by(lines, |file, lines| file.write_all(lines))?;
        if let Some(held) = &mut self.held {
            held.first_ms.get_or_insert(now_ms);
            held.last_ms = now_ms;
        }
        Ok(())
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
        // The name has to last as long as the lines; so has that of a file which was closed a moment ago.
        let folder = Names::of(path).folder().to_owned();
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("its folder cannot be synced"))?;
    }
    let identity = (meta.dev(), meta.ino());
    let mut held = Held { file, identity, len: meta.len(), dirty: false, first_ms: None, last_ms: now_ms };
    let opened = read_end(path, &mut held, now_ms)?;
    Ok((held, opened))
}

/// Reads the last whole line; sets half a line behind it aside.
fn read_end(path: &Path, held: &mut Held, now_ms: u64) -> Result<Opened, AuditError> {
    let end = End::of(path, &mut held.file, held.len)?;
    let Some(last) = end.last() else {
        // Nothing but half a line: ours if it begins as ours do, else somebody's file.
        let opening = br#"{"v":1,"time":""#;
        let common = end.half().len().min(opening.len());
        if end.half()[..common] != opening[..common] {
            return Err(foreign(path, "there is no line of this log's form"));
        }
        let (chain, behind) = match last_closed(path)? {
            Some((chain, closed)) => (chain, Some(closed)),
            None => (Chain::START, None),
        };
        let torn = set_aside(path, held, end.half(), now_ms)?;
        return Ok(Opened { chain, behind, torn });
    };
    let link = Link::read(last).map_err(|why| foreign(path, why))?;
    let chain = Chain { seq: link.seq, head: link.hash };
    held.last_ms = Stamp::parse(link.time).unwrap_or(now_ms);
    held.first_ms = first_moment(path, &mut held.file)?;
    let torn = set_aside(path, held, end.half(), now_ms)?;
    Ok(Opened { chain, behind: None, torn })
}

fn foreign(path: &Path, why: &str) -> AuditError {
    AuditError::Foreign { path: path.to_owned(), why: why.to_owned() }
}

/// The end of a file: its last lines, and half a line.
struct End {
    bytes: Vec<u8>,
    /// Where the half line begins.
    whole: usize,
}

impl End {
    fn of(path: &Path, file: &mut File, len: u64) -> Result<Self, AuditError> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(len.saturating_sub(2 * MAX_LINE as u64)))
            .and_then(|_| file.read_to_end(&mut bytes))
            .map_err(|error| AuditError::io(path, "it cannot be read", &error))?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        Ok(Self { bytes, whole })
    }

    fn last(&self) -> Option<&[u8]> {
        let lines = self.bytes[..self.whole].strip_suffix(b"\n")?;
        Some(&lines[lines.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1)..])
    }

    fn half(&self) -> &[u8] {
        &self.bytes[self.whole..]
    }
}

/// The last line of the last closed file: where the chain goes on when the log's own file has no line yet.
fn last_closed(path: &Path) -> Result<Option<(Chain, PathBuf)>, AuditError> {
    let failed = |path: &Path, error| AuditError::io(path, "it cannot be read", &error);
    let Some(closed) = Names::of(path).list().map_err(|error| failed(path, error))?.pop() else { return Ok(None) };
    let (mut file, _) = files::open(&closed.path).map_err(|error| failed(&closed.path, error))?;
    let len = file.metadata().map_err(|error| failed(&closed.path, error))?.len();
    let end = End::of(&closed.path, &mut file, len)?;
    let last = end.last().ok_or_else(|| foreign(&closed.path, "there is no line of this log's form"))?;
    let link = Link::read(last).map_err(|why| foreign(&closed.path, why))?;
    Ok(Some((Chain { seq: link.seq, head: link.hash }, closed.path)))
}

/// When the first line was written; nothing where it does not say, which no whole line of this log's does.
fn first_moment(path: &Path, file: &mut File) -> Result<Option<u64>, AuditError> {
    const UP_TO_THE_MOMENT: usize = 39;
    let mut head = [0; UP_TO_THE_MOMENT];
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.read_exact(&mut head))
        .map_err(|error| AuditError::io(path, "it cannot be read", &error))?;
    Ok(std::str::from_utf8(&head[15..]).ok().and_then(Stamp::parse))
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
        chain.push(&mut line, "b1", 0, &AuditRecord::new(Event::Start, Outcome::Done));
        line
    }

    #[test]
    fn a_write_that_fails_half_way_leaves_only_whole_lines() {
        for durability in [Durability::Write, Durability::Sync] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("audit.jsonl");
            let mut file = LogFile::new(path.clone(), durability, Rotation::default());
            assert!(file.ready(0).unwrap().is_some());
            let mut chain = Chain::START;
            let (first, second) = (line(&mut chain), line(&mut chain));
            file.append(&first, 0).unwrap();
            let full = file.append_by(&second, |file, lines| {
                file.write_all(&lines[..lines.len() / 2])?;
                Err(ErrorKind::StorageFull.into())
            });
            assert!(full.unwrap_err().to_string().contains("it cannot be written"));
            assert_eq!(fs::read(&path).unwrap(), first);
            assert!(file.ready(0).unwrap().is_none(), "the same file goes on");
            file.append(&second, 0).unwrap();
            assert_eq!(fs::read(&path).unwrap(), [first, second].concat());
        }
    }

    #[test]
    fn a_cut_that_fails_at_first_is_made_before_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut file = LogFile::new(path.clone(), Durability::Write, Rotation::default());
        file.ready(0).unwrap();
        fs::write(&path, "{\"v\":1,\"ti").unwrap();
        file.held.as_mut().unwrap().dirty = true;
        assert!(file.ready(0).unwrap().is_none());
        assert!(fs::read(&path).unwrap().is_empty());
    }
}
