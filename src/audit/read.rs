//! Reads the records of a log back, over all its files: what reports, exports and explanations are made of.
//!
//! Never checks the chain (`verify` does), and passes over what is no line of this log's form: [`Records::damaged`] counts
//! it. A line's fields are in `line`.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::chain::{MAX_LINE, Stamp};
use super::error::AuditError;
use super::files::LogFiles;
use super::line::{Line, moment_of};

/// The records of a log, the oldest first.
///
/// ```no_run
/// # fn main() -> Result<(), jitney::audit::AuditError> {
/// let mut granted = 0;
/// jitney::audit::Records::open("audit.jsonl".as_ref())?.for_each(|line| {
///     granted += u64::from(&*line.event == "mint" && &*line.outcome == "granted");
///     std::ops::ControlFlow::Continue(())
/// })?;
/// # Ok(()) }
/// ```
pub struct Records {
    files: Box<dyn Iterator<Item = (PathBuf, io::Result<File>)> + Send>,
    file: Option<(PathBuf, BufReader<File>)>,
    buffer: Vec<u8>,
    since: Option<String>,
    until: Option<String>,
    damaged: u64,
}

impl Records {
    /// Of the log at `path`: of every file that it was before, and of the one that is written, as far as it is whole lines.
    ///
    /// # Errors
    /// [`AuditError::Io`] where there is no log or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let files = LogFiles::of(path).map_err(|error| AuditError::io(path, "it cannot be read", &error))?;
        Ok(Self {
            files: Box::new(files.each()),
            file: None,
            buffer: Vec::with_capacity(1024),
            since: None,
            until: None,
            damaged: 0,
        })
    }

    /// Only those of `since` (milliseconds since the Unix epoch) or later, and before `until`.
    #[must_use]
    pub fn between(self, since: Option<u64>, until: Option<u64>) -> Self {
        let told = |ms: Option<u64>| ms.map(|ms| Stamp(ms).to_string());
        Self { since: told(since), until: told(until), ..self }
    }

    /// The next line as it stands in its file, without its newline, whatever it is: [`Line::parse`] reads it.
    ///
    /// # Errors
    /// [`AuditError::Io`] where a file cannot be read.
    pub fn next_raw(&mut self) -> Result<Option<&[u8]>, AuditError> {
        while self.advance()? {
            if !self.is_outside() {
                return Ok(Some(&self.buffer));
            }
        }
        Ok(None)
    }

    /// Tells every record until there are no more, or `tell` breaks off.
    ///
    /// # Errors
    /// As [`Records::next_raw`].
    pub fn for_each(&mut self, mut tell: impl FnMut(Line<'_>) -> ControlFlow<()>) -> Result<(), AuditError> {
        while self.advance()? {
            if self.is_outside() {
                continue;
            }
            match Line::parse(&self.buffer).map(&mut tell) {
                Some(ControlFlow::Continue(())) => {}
                Some(ControlFlow::Break(())) => break,
                None => self.damaged += 1,
            }
        }
        Ok(())
    }

    /// How many lines were passed over because they are none of this log's form.
    pub const fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Reads one whole line into the buffer, without its newline; whether there was one.
    fn advance(&mut self) -> Result<bool, AuditError> {
        loop {
            let Some((path, reader)) = &mut self.file else {
                let Some((path, file)) = self.files.next() else { return Ok(false) };
                let file = file.map_err(|error| AuditError::io(&path, "it cannot be read", &error))?;
                self.file = Some((path, BufReader::with_capacity(1 << 18, file)));
                continue;
            };
            self.buffer.clear();
            let read = reader.take(MAX_LINE as u64 + 1).read_until(b'\n', &mut self.buffer);
            read.map_err(|error| AuditError::io(path, "it cannot be read", &error))?;
            if self.buffer.last() == Some(&b'\n') {
                self.buffer.pop();
                return Ok(true);
            }
            // Half a line is what is just being written, or was left so; what is longer than any line is none.
            if self.buffer.len() <= MAX_LINE {
                self.file = None;
            } else {
                self.damaged += 1;
                skip_line(reader).map_err(|error| AuditError::io(path, "it cannot be read", &error))?;
            }
        }
    }

    /// Whether the buffer's line is of another time than what is asked for. Its moment stands at one place in each line.
    fn is_outside(&self) -> bool {
        let Some(time) = moment_of(&self.buffer) else { return false };
        self.since.as_ref().is_some_and(|since| time < since.as_bytes())
            || self.until.as_ref().is_some_and(|until| time >= until.as_bytes())
    }
}

/// How many bytes the log at `path` has, over all its files: for whoever tells how far a reading is.
pub fn size(path: &Path) -> u64 {
    let files = LogFiles::of(path).into_iter().flat_map(LogFiles::each);
    files.filter_map(|(_, file)| file.ok()?.metadata().ok()).map(|meta| meta.len()).sum()
}

fn skip_line(reader: &mut BufReader<File>) -> io::Result<()> {
    reader.skip_until(b'\n').map(drop)
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_ref().map(|(path, _)| path);
        f.debug_struct("Records").field("file", &file).field("damaged", &self.damaged).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::chain::Chain;
    use super::super::files::Names;
    use super::super::record::{AuditRecord, Event, Outcome};
    use super::*;

    fn push(chain: &mut Chain, out: &mut Vec<u8>, at_ms: u64, record: &AuditRecord) {
        chain.push(out, "b1", at_ms, record);
    }

    fn all(mut records: Records) -> Vec<u64> {
        let mut seen = Vec::new();
        let tell = |line: Line<'_>| {
            seen.push(line.seq);
            ControlFlow::Continue(())
        };
        records.for_each(tell).unwrap();
        seen
    }

    #[test]
    fn all_files_of_a_log_are_one_and_times_narrow_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let mut chain = Chain::START;
        let mut write = |path: &Path, times: std::ops::Range<u64>| {
            let mut out = Vec::new();
            for at in times {
                push(&mut chain, &mut out, at, &AuditRecord::new(Event::Stop, Outcome::Done));
            }
            out.extend_from_slice(b"{\"v\":1,\"time\":\"half");
            fs::write(path, out).unwrap();
        };
        write(&Names::of(&path).closed("1970-01-01", 3), 0..3);
        write(&Names::of(&path).closed("1970-01-01", 5), 3..5);
        write(&path, 5..9);
        assert_eq!(all(Records::open(&path).unwrap()), (1..=9).collect::<Vec<_>>());
        assert_eq!(all(Records::open(&path).unwrap().between(Some(2), Some(6))), [3, 4, 5, 6]);
        let closed = Names::of(&path).closed("1970-01-01", 5);
        assert_eq!(all(Records::open(&closed).unwrap()), [4, 5], "a closed file is read alone");
    }

    #[test]
    fn what_is_no_line_is_counted_and_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let (mut chain, mut out) = (Chain::START, b"nonsense\n".to_vec());
        push(&mut chain, &mut out, 0, &AuditRecord::new(Event::Stop, Outcome::Done));
        out.extend_from_slice(&vec![b'x'; 3 * MAX_LINE]);
        out.push(b'\n');
        push(&mut chain, &mut out, 0, &AuditRecord::new(Event::Stop, Outcome::Done));
        fs::write(&path, out).unwrap();
        let mut records = Records::open(&path).unwrap();
        let mut seen = Vec::new();
        let tell = |line: Line<'_>| {
            seen.push(line.seq);
            ControlFlow::Continue(())
        };
        records.for_each(tell).unwrap();
        assert_eq!((seen, records.damaged()), (vec![1, 2], 2));
        let mut first = None;
        let stop = |line: Line<'_>| {
            first = Some(line.seq);
            ControlFlow::Break(())
        };
        Records::open(&path).unwrap().for_each(stop).unwrap();
        assert_eq!(first, Some(1));
        assert!(Records::open(&dir.path().join("none")).is_err());
    }
}
