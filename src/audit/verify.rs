//! Reads a whole log, over all its files, and says whether it is as it was written, or which line is the first that is not.
//!
//! Finds lines changed, dropped, inserted and reordered, and half a last line. What it cannot find by itself: whole
//! lines cut off the end, and an end that was written anew with its sums. Both show against what is known from elsewhere:
//! [`Wanted::points`], which signed checkpoints tell, [`Wanted::head`] kept from before, a line that a subscriber has seen,
//! or the leases in the store.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{Broken, Fault};
use super::files::{self, LogFiles};
use super::pieces;
use super::seek;
use super::walk::{Lines, Place, Walk, Wrong};

/// A log that is as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How many lines were looked at.
    pub lines: u64,
    /// The first, if there is one.
    pub first: Option<LineInfo>,
    /// The last, if there is one.
    pub last: Option<LineInfo>,
    /// The last line's hash, 64 hex digits (of zero where there is none): the next line's `prev`.
    pub head: String,
    /// Where the log began in another file, which is not here: the hash of the last line there.
    pub continues: Option<String>,
    /// The brokers that wrote it, in the order of their names.
    pub brokers: Vec<String>,
    /// How many of the wanted points it has, each with the hash it must have.
    pub points: u64,
}

/// One line's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineInfo {
    /// Its number in the chain.
    pub seq: u64,
    /// When it was written, RFC 3339.
    pub time: String,
}

/// A line as it is known from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Its number in the chain.
    pub seq: u64,
    /// Its hash, 64 hex digits.
    pub head: String,
}

/// What a log must hold besides being whole.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// A [`Summary::head`] from before: the hash of one of its lines, or of the last line of the file that it continues.
    pub head: Option<&'a str>,
    /// Lines that it must have, in the order of their numbers; those from before its first one are passed over.
    pub points: &'a [Point],
    /// A line to begin at, which must be there: what stands before it is not looked at.
    pub from: Option<&'a Point>,
}

impl Wanted<'_> {
    /// The hash that the line of this number must have, where one is known.
    pub(super) fn point(&self, seq: u64) -> Option<&str> {
        if self.points.is_empty() {
            return None;
        }
        let at = self.points.binary_search_by_key(&seq, |point| point.seq).ok()?;
        Some(&self.points[at].head)
    }

    /// The number of the last line that must be there.
    pub(super) fn last(&self) -> Option<u64> {
        self.points.last().map(|point| point.seq)
    }
}

/// Checks the log at `path` from its first line to its last. Half a last line that a running broker is just writing is
/// left out.
///
/// # Errors
/// [`Broken`] with the first line that is wrong.
pub fn verify(path: &Path) -> Result<Summary, Broken> {
    verify_with(path, Wanted::default())
}

/// The same, and `head`, a [`Summary::head`] from before, must still stand in it: else lines were cut off its end, or it was
/// written anew.
///
/// # Errors
/// As [`verify`]; [`Fault::HeadMissing`].
pub fn verify_holding(path: &Path, head: &str) -> Result<Summary, Broken> {
    verify_with(path, Wanted { head: Some(head), ..Wanted::default() })
}

/// The same, and all that is wanted must be in it. Reads on all cores.
///
/// # Errors
/// As [`verify`]; [`Fault::HeadMissing`]; [`Fault::Truncated`] where it ends before a point, or a closed file before the line
/// that its name tells, behind which no point is looked for; [`Fault::Inserted`] where it goes on behind that; [`Fault::Changed`]
/// at a point that is another line.
pub fn verify_with(path: &Path, wanted: Wanted<'_>) -> Result<Summary, Broken> {
    let unreadable = |error: io::Error| Broken {
        file: Some(path.to_owned()),
        line: 1,
        fault: Fault::Unreadable,
        why: error.to_string(),
    };
    let log = Log::open(path).map_err(unreadable)?;
    // A closed file that is read alone is all there is to see: the points behind its last line are other files'.
    let last = files::closed_at(path);
    let within = last.map_or(wanted.points.len(), |last| wanted.points.partition_point(|point| point.seq <= last));
    let wanted = Wanted { points: &wanted.points[..within], ..wanted };
    let told = match wanted.from {
        Some(point) => seek::walk_from(&log, point, wanted),
        None => whole(&log, wanted),
    };
    let told = told.and_then(|walk| {
        let at = walk.at;
        Ok((walk.finish(wanted)?, at))
    });
    let (summary, at) = told.map_err(|wrong| log.broken(wrong))?;
    let found = summary.last.as_ref().map_or(0, |found| found.seq);
    match last {
        Some(last) if found < last => {
            let why = format!("its name says that it was closed behind line {last}, which is not there");
            Err(log.broken(Wrong::new(at, Fault::Truncated, why)))
        }
        Some(last) if found > last => {
            let why = format!("its name says that it was closed behind line {last}, and here it goes on");
            let line = at.line.saturating_sub(found - last - 1);
            Err(log.broken(Wrong::new(Place { line, ..at }, Fault::Inserted, why)))
        }
        _ => Ok(summary),
    }
}

fn whole(log: &Log, wanted: Wanted<'_>) -> Result<Walk, Wrong> {
    let mut walk = Walk::new(wanted);
    match pieces::walk(log, Start::default(), &mut walk, wanted)? {
        // Somewhere a line did not fit: from there on one by one, to call it by its name.
        Some(start) => walk_on(log, start, walk, wanted),
        None => Ok(walk),
    }
}

/// Where in a log to begin: the file, and the byte in it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Start {
    pub(super) file: usize,
    pub(super) offset: u64,
}

/// Walks on line by line. The walk must have come to where `start` is.
pub(super) fn walk_on(log: &Log, start: Start, mut walk: Walk, wanted: Wanted<'_>) -> Result<Walk, Wrong> {
    for file in start.file..log.len() {
        let offset = if file == start.file { start.offset } else { 0 };
        if offset == 0 {
            walk.enter(file);
        }
        let next = Place { line: walk.at.line + 1, file };
        let opened = log.file(file).map_err(|error| Wrong::new(next, Fault::Unreadable, error.to_string()))?;
        let mut lines = Lines::new(From { file: &opened, offset });
        let below = |seq| (file + 1..log.len()).any(|later| log.has(later, seq));
        let is_last = file + 1 == log.len();
        text(&mut walk, &mut lines, wanted, || is_last && is_being_written(&opened), below)?;
    }
    Ok(walk)
}

/// Walks over one text to its end.
fn text(
    walk: &mut Walk,
    lines: &mut Lines<impl Read>,
    wanted: Wanted<'_>,
    is_being_written: impl Fn() -> bool,
    below: impl FnOnce(u64) -> bool,
) -> Result<(), Wrong> {
    loop {
        let next = Place { line: walk.at.line + 1, ..walk.at };
        let Some(line) = lines.next().map_err(|none| none.at(next))? else { return Ok(()) };
        let Some(line) = line.strip_suffix(b"\n") else {
            if is_being_written() {
                return Ok(());
            }
            return Err(Wrong::new(next, Fault::Truncated, "the file ends in half a line"));
        };
        if let Err(misfit) = walk.step(line, wanted) {
            return Err(misfit.explain(|seq| lines.has(seq) || below(seq)));
        }
    }
}

/// Checks text from anywhere; `is_being_written` is asked where it ends in half a line.
///
/// # Errors
/// As [`verify_holding`].
pub fn verify_text(
    read: impl Read,
    head: Option<&str>,
    is_being_written: impl Fn() -> bool,
) -> Result<Summary, Broken> {
    let wanted = Wanted { head, ..Wanted::default() };
    let mut walk = Walk::new(wanted);
    let walked = text(&mut walk, &mut Lines::new(read), wanted, is_being_written, |_| false);
    let told = walked.and_then(|()| walk.finish(wanted));
    told.map_err(|Wrong { at, fault, why }| Broken { file: None, line: at.line, fault, why })
}

/// The files of a log, to be opened by many.
pub(super) struct Log {
    paths: Vec<PathBuf>,
    /// The one that is written: held from the beginning, since its name may come to mean another.
    current: Option<File>,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let LogFiles { closed, current } = LogFiles::of(path)?;
        let mut paths: Vec<PathBuf> = closed.into_iter().map(|closed| closed.path).collect();
        let current = current.map(|(path, file)| {
            paths.push(path);
            file
        });
        Ok(Self { paths, current })
    }

    pub(super) const fn len(&self) -> usize {
        self.paths.len()
    }

    pub(super) fn file(&self, at: usize) -> io::Result<File> {
        match &self.current {
            Some(file) if at + 1 == self.paths.len() => file.try_clone(),
            _ => files::open(&self.paths[at]).map(|(file, _)| file),
        }
    }

    fn has(&self, file: usize, seq: u64) -> bool {
        self.file(file).is_ok_and(|file| Lines::new(From { file: &file, offset: 0 }).has(seq))
    }

    fn broken(&self, Wrong { at, fault, why }: Wrong) -> Broken {
        Broken { file: self.paths.get(at.file).cloned(), line: at.line, fault, why }
    }
}

/// A file from some byte on, whatever place another reader of it has come to.
pub(super) struct From<'a> {
    pub(super) file: &'a File,
    pub(super) offset: u64,
}

impl Read for From<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Whether a broker holds the file's lock.
fn is_being_written(file: &File) -> bool {
    let is_free = file.try_lock_shared().is_ok();
    if is_free {
        // Closing the file would free it too; a broker that starts just now should not have to wait for that.
        let _ = file.unlock();
    }
    !is_free
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
