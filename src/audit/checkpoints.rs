//! Checkpoints: what a broker says under its signature of a line it has written, in a file beside the log.
//!
//! A chain alone cannot tell that its end was cut off or written anew; a checkpoint can. Owns that file: a JSON object a line,
//! each with the signed checkpoint and the public key that checks it. Never signs and never checks a signature: the broker's
//! keys do.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::AuditError;
use super::files::Names;

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The broker's issuer.
    pub iss: String,
    /// The broker that wrote the line.
    pub broker: String,
    /// When it was signed, Unix seconds.
    pub iat: u64,
    /// The line's number in the chain.
    pub seq: u64,
    /// The line's hash, 64 hex digits: through the chain it stands for every line before.
    pub head: String,
    /// The number of the line that the checkpoint before told of; 0 before the first.
    pub after: u64,
    /// How many lines came since.
    pub count: u64,
}

/// A checkpoint as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    v: u8,
    /// The line it tells of. What counts is what is signed; this is for people.
    pub seq: u64,
    /// The signed [`Checkpoint`], a compact JWS of type `audit-checkpoint+jwt`.
    pub checkpoint: String,
    /// The public key that it is signed with (a JWK), so that it can be checked when the key is long retired.
    pub key: Value,
}

/// Longer than this no checkpoint is.
const MAX_ENTRY: u64 = 16 * 1024;

/// The checkpoints in a file ([`beside`] the log), oldest first. Half an entry at the end, as a broker leaves that dies, is passed over.
///
/// # Errors
/// [`AuditError::Io`]; [`AuditError::Checkpoint`] with the first entry that is none. Where there is no file, there are none.
pub fn checkpoints(path: &Path) -> Result<Vec<Kept>, AuditError> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| AuditError::io(path, "the checkpoints cannot be read", &error))?,
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let entry = |(line, text): (u64, &str)| {
        let kept = serde_json::from_str::<Kept>(text).ok().filter(|kept| kept.v == 1);
        kept.ok_or_else(|| AuditError::Checkpoint { path: path.to_owned(), line, why: "it is no checkpoint".into() })
    };
    (1..).zip(whole.lines()).map(entry).collect()
}

/// The file of a log's checkpoints.
pub fn beside(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".checkpoints");
    name.into()
}

/// The checkpoints of a log that is being written.
#[derive(Debug)]
pub struct Checkpoints {
    log: PathBuf,
    path: PathBuf,
    last: u64,
}

impl Checkpoints {
    /// Those of the log at `log`; a file is made with the first of them.
    ///
    /// # Errors
    /// [`AuditError::Io`].
    pub fn open(log: &Path) -> Result<Self, AuditError> {
        let path = beside(log);
        let last = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            opened => opened
                .and_then(last_of)
                .map_err(|error| AuditError::io(&path, "the checkpoints cannot be read", &error))?,
        };
        Ok(Self { log: log.to_owned(), path, last })
    }

    /// The line that the last one tells of; 0 before the first.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Sees to it that the disk has all lines since the last checkpoint: nothing else may be signed for, or a power cut would
    /// make an honest log look cut off. Blocks.
    ///
    /// # Errors
    /// [`AuditError::Io`].
    pub fn settle(&self) -> Result<(), AuditError> {
        let names = Names::of(&self.log);
        let synced = |path: &Path| File::open(path).and_then(|file| file.sync_data());
        let all = || -> io::Result<()> {
            for closed in names.list()?.iter().filter(|closed| closed.last > self.last) {
                synced(&closed.path)?;
            }
            synced(&self.log)?;
            File::open(names.folder())?.sync_all()
        };
        all().map_err(|error| AuditError::io(&self.log, "it cannot be synced for a checkpoint", &error))
    }

    /// Adds one, and waits until the disk has it. Blocks.
    ///
    /// # Errors
    /// [`AuditError::Io`]; nothing of it is then kept.
    pub fn add(&mut self, seq: u64, checkpoint: String, key: Value) -> Result<(), AuditError> {
        let mut entry = serde_json::to_vec(&Kept { v: 1, seq, checkpoint, key }).unwrap_or_default();
        entry.push(b'\n');
        self.append(&entry).map_err(|error| AuditError::io(&self.path, "a checkpoint cannot be written", &error))?;
        self.last = seq;
        Ok(())
    }

    fn append(&self, entry: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        let len = whole(&mut file)?;
        // Half an entry that a broker left when it died.
        file.set_len(len)?;
        let written = file.write_all(entry).and_then(|()| file.sync_data());
        if written.is_err() {
            let _ = file.set_len(len);
        }
        written
    }
}

/// Where the last whole entry ends.
fn whole(file: &mut File) -> io::Result<u64> {
    let len = file.metadata()?.len();
    let start = len.saturating_sub(MAX_ENTRY);
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.read_to_end(&mut end)?;
    match end.iter().rposition(|b| *b == b'\n') {
        Some(at) => Ok(start + at as u64 + 1),
        None if start == 0 => Ok(0),
        None => Err(io::Error::new(ErrorKind::InvalidData, "it holds no checkpoint of this log's form")),
    }
}

/// The line that the last whole entry tells of.
fn last_of(mut file: File) -> io::Result<u64> {
    let len = whole(&mut file)?;
    let start = len.saturating_sub(MAX_ENTRY);
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(len - start).read_to_end(&mut end)?;
    let last = end.split(|b| *b == b'\n').rfind(|line| !line.is_empty());
    let none = || io::Error::new(ErrorKind::InvalidData, "its last line is no checkpoint");
    last.map_or(Ok(0), |line| serde_json::from_slice::<Kept>(line).map(|kept| kept.seq).map_err(|_| none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Value {
        serde_json::json!({"kty": "EC"})
    }

    #[test]
    fn what_is_added_is_read_back_also_behind_half_an_entry() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("audit.jsonl");
        fs::write(&log, "").unwrap();
        let mut all = Checkpoints::open(&log).unwrap();
        assert_eq!((all.last(), checkpoints(&beside(&log)).unwrap().len()), (0, 0));
        all.settle().unwrap();
        all.add(3, "a.b.c".into(), key()).unwrap();
        let mut file = OpenOptions::new().append(true).open(beside(&log)).unwrap();
        file.write_all(b"{\"v\":1,\"seq\":9").unwrap();
        assert_eq!(checkpoints(&beside(&log)).unwrap().len(), 1);
        let mut all = Checkpoints::open(&log).unwrap();
        assert_eq!(all.last(), 3);
        for seq in 4..200 {
            all.add(seq, "a.b.c".into(), key()).unwrap();
        }
        let seqs: Vec<u64> = checkpoints(&beside(&log)).unwrap().iter().map(|kept| kept.seq).collect();
        assert_eq!(seqs, (3..200).collect::<Vec<_>>());
        assert_eq!(Checkpoints::open(&log).unwrap().last(), 199);
    }

    #[test]
    fn what_is_none_is_named_by_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("audit.jsonl");
        let mut all = Checkpoints::open(&log).unwrap();
        all.add(1, "a.b.c".into(), key()).unwrap();
        let whole = fs::read_to_string(beside(&log)).unwrap();
        fs::write(beside(&log), format!("{whole}nonsense\n{whole}")).unwrap();
        let error = checkpoints(&beside(&log)).unwrap_err();
        assert!(matches!(error, AuditError::Checkpoint { line: 2, .. }), "{error}");
        fs::write(beside(&log), "nonsense\n").unwrap();
        assert!(Checkpoints::open(&log).is_err());
    }
}
