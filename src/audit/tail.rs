//! Reads the end of a log, and follows it, also when it goes on in another file, or in several since one looked.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::AuditError;
use super::files::{Closed, LogFiles, identity, open};
use super::filter::Filter;

/// The last `n` lines that `filter` selects, the oldest first, without their newlines.
///
/// # Errors
/// [`AuditError::Io`] where the file cannot be read.
pub fn tail(path: &Path, n: usize, filter: &Filter) -> Result<Vec<String>, AuditError> {
    Follow::open(path, n, filter.clone()).map(|(lines, _)| lines)
}

/// A reader that goes on where it stopped; a file that became shorter is read again from its top.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    filter: Filter,
    file: File,
    identity: (u64, u64),
    /// Behind the last whole line that was read.
    offset: u64,
    /// The number of that line.
    seq: u64,
}

impl Follow {
    const CHUNK: u64 = 1 << 16;

    /// The last `n` lines that `filter` selects, and a reader for what comes behind them.
    ///
    /// # Errors
    /// [`AuditError::Io`] where the file cannot be read.
    pub fn open(path: &Path, n: usize, filter: Filter) -> Result<(Vec<String>, Self), AuditError> {
        let failed = |error: io::Error| AuditError::io(path, "it cannot be read", &error);
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let (mut lines, end) = read_back(&file, meta.len(), n, &filter).map_err(failed)?;
        let mut follow =
            Self { path: path.to_owned(), filter, file, identity: identity(&meta), offset: end.offset, seq: end.seq };
        if !end.is_before {
            follow.read_closed(&mut lines, n).map_err(failed)?;
        }
        Ok((lines.into(), follow))
    }

    /// Adds lines in front until there are `n`, of files that were closed before.
    fn read_closed(&mut self, lines: &mut VecDeque<String>, n: usize) -> io::Result<()> {
        let closed = LogFiles::of(&self.path)?.closed;
        for Closed { path, last } in closed.into_iter().rev() {
            // A file that has no line yet goes on behind the last of these.
            self.seq = self.seq.max(last);
            if lines.len() >= n {
                break;
            }
            let (file, _) = open(&path)?;
            let (mut before, end) = read_back(&file, file.metadata()?.len(), n - lines.len(), &self.filter)?;
            before.append(lines);
            *lines = before;
            if end.is_before {
                break;
            }
        }
        Ok(())
    }

    /// The whole lines that were written since and are asked for; none where there are none. Never waits: call again
    /// after a while.
    ///
    /// # Errors
    /// [`AuditError::Io`] where the file cannot be read. A file that is gone is awaited, not an error.
    pub fn next_lines(&mut self) -> Result<Vec<String>, AuditError> {
        let mut lines = Vec::new();
        self.read_on(&mut lines).map_err(|error| AuditError::io(&self.path, "it cannot be read", &error))?;
        Ok(lines)
    }

    fn read_on(&mut self, lines: &mut Vec<String>) -> io::Result<()> {
        // Looked at before reading: what the old file still gets until then is read too.
        let now_there = fs::metadata(&self.path).ok();
        if self.file.metadata()?.len() < self.offset {
            self.offset = 0;
        }
        self.read_whole_lines(lines)?;
        if now_there.is_none_or(|meta| identity(&meta) == self.identity) {
            return Ok(());
        }
        // Files may have come and been closed since the last look, and may be closed in this very moment: looked at as one.
        let LogFiles { closed, current } = match LogFiles::of(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            files => files?,
        };
        for Closed { path, last } in closed {
            if last > self.seq {
                self.go_on_in(open(&path)?.0, lines)?;
            }
        }
        match current {
            Some((_, file)) if identity(&file.metadata()?) != self.identity => self.go_on_in(file, lines),
            _ => Ok(()),
        }
    }

    fn go_on_in(&mut self, file: File, lines: &mut Vec<String>) -> io::Result<()> {
        self.identity = identity(&file.metadata()?);
        self.file = file;
        self.offset = 0;
        self.read_whole_lines(lines)
    }

    fn read_whole_lines(&mut self, lines: &mut Vec<String>) -> io::Result<()> {
        let mut rest = Vec::new();
        let mut buffer = vec![0; Self::CHUNK as usize];
        let mut at = self.offset;
        loop {
            let read = self.file.read_at(&mut buffer, at)?;
            if read == 0 {
                return Ok(());
            }
            at += read as u64;
            rest.extend_from_slice(&buffer[..read]);
            let Some(last) = rest.iter().rposition(|b| *b == b'\n') else { continue };
            let whole = &rest[..last];
            lines.extend(whole.split(|b| *b == b'\n').filter(|line| self.filter.selects(line)).map(text));
            self.seq = number(whole.rsplit(|b| *b == b'\n').next().unwrap_or_default()).unwrap_or(self.seq);
            self.offset += last as u64 + 1;
            rest.drain(..=last);
        }
    }
}

/// The number of a line; nothing where it has none.
fn number(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        seq: u64,
    }
    serde_json::from_slice::<Numbered>(line).ok().map(|line| line.seq)
}

/// The end of a file: behind its last whole line, and that line's number.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    offset: u64,
    seq: u64,
    /// A line was read that is older than anything asked for: so are those before it.
    is_before: bool,
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// Reads chunk by chunk from the end until `n` lines are found; gives them and where the last whole line ends.
fn read_back(file: &File, len: u64, n: usize, filter: &Filter) -> io::Result<(VecDeque<String>, End)> {
    let mut found = VecDeque::new();
    // What was read and belongs to a line that begins further up.
    let mut rest: Vec<u8> = Vec::new();
    let mut start = len;
    let mut end: Option<End> = None;
    let mut is_numbered = false;
    while start > 0 && (found.len() < n || !is_numbered) {
        let size = start.min(Follow::CHUNK);
        start -= size;
        let mut chunk = vec![0; size as usize];
        file.read_exact_at(&mut chunk, start)?;
        chunk.append(&mut rest);
        rest = chunk;
        if end.is_none() {
            let Some(last) = rest.iter().rposition(|b| *b == b'\n') else { continue };
            end = Some(End { offset: start + last as u64 + 1, ..End::default() });
            rest.truncate(last);
        }
        while (found.len() < n || !is_numbered)
            && let Some(newline) = rest.iter().rposition(|b| *b == b'\n')
        {
            let line = rest.split_off(newline + 1);
            rest.pop();
            take(&line, &mut end, &mut is_numbered);
            if found.len() < n && filter.selects(&line) {
                found.push_front(text(&line));
            } else if filter.is_long_before(&line) {
                return Ok((found, End { is_before: true, ..end.unwrap_or_default() }));
            }
        }
    }
    if start == 0 && end.is_some() {
        take(&rest, &mut end, &mut is_numbered);
        if found.len() < n && filter.selects(&rest) {
            found.push_front(text(&rest));
        }
    }
    Ok((found, end.unwrap_or_default()))
}

/// Notes the last line's number.
fn take(line: &[u8], end: &mut Option<End>, is_numbered: &mut bool) {
    if let Some(end) = end.as_mut().filter(|_| !*is_numbered) {
        end.seq = number(line).unwrap_or(0);
        *is_numbered = true;
    }
}

#[cfg(test)]
mod tests {
    use super::super::chain::Chain;
    use super::super::files::Names;
    use super::super::record::{AuditRecord, Event, Outcome};
    use super::*;
    use crate::model::{TaskId, WorkloadId};

    /// Lines by turns of two workloads; the line's number is in `count`.
    fn lines(from: u64, to: u64) -> Vec<u8> {
        let (mut chain, mut out) = (Chain::START, Vec::new());
        for n in from..to {
            let workload = WorkloadId::parse(["even", "odd"][(n % 2) as usize]).unwrap();
            let task = TaskId::parse(&format!("t/{n}")).unwrap();
            let record = AuditRecord::new(Event::Complete, Outcome::Done).workload(workload).task(task).count(n);
            chain.push(&mut out, "b1", 0, &record);
        }
        out
    }

    fn counts(lines: &[String]) -> Vec<u64> {
        lines
            .iter()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["count"].as_u64().unwrap())
            .collect()
    }

    #[test]
    fn the_last_lines_come_in_order_however_far_back_they_stand() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), lines(0, 1000)).unwrap();
        let all = Filter::default();
        assert_eq!(counts(&tail(file.path(), 3, &all).unwrap()), [997, 998, 999]);
        assert_eq!(counts(&tail(file.path(), 5000, &all).unwrap()), (0..1000).collect::<Vec<_>>());
        assert!(tail(file.path(), 0, &all).unwrap().is_empty());
        let odd = Filter { workload: Some(WorkloadId::parse("odd").unwrap()), ..Filter::default() };
        assert_eq!(counts(&tail(file.path(), 2, &odd).unwrap()), [997, 999]);
        let task = Filter { task: Some(TaskId::parse("t/0").unwrap()), ..Filter::default() };
        assert_eq!(counts(&tail(file.path(), 2, &task).unwrap()), [0]);
    }

    #[test]
    fn following_goes_on_behind_the_last_whole_line_and_into_a_new_file() {
        use std::io::Write as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let text = lines(0, 12);
        let cut = lines(0, 10).len() + 7;
        fs::write(&path, &text[..cut]).unwrap();
        let (seen, mut follow) = Follow::open(&path, 2, Filter::default()).unwrap();
        assert_eq!(counts(&seen), [8, 9]);
        assert!(follow.next_lines().unwrap().is_empty(), "half a line is not told");
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&text[cut..]).unwrap();
        assert_eq!(counts(&follow.next_lines().unwrap()), [10, 11]);
        fs::rename(&path, folder.path().join("old")).unwrap();
        assert!(follow.next_lines().unwrap().is_empty(), "a file that is gone is awaited");
        fs::write(&path, lines(20, 22)).unwrap();
        assert_eq!(counts(&follow.next_lines().unwrap()), [20, 21]);
    }

    #[test]
    fn closed_files_are_part_of_the_end_and_none_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let all = lines(0, 40);
        let ends: Vec<usize> = all.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
        let part = |from: usize, to: usize| &all[if from == 0 { 0 } else { ends[from - 1] }..ends[to - 1]];
        let close = |last: u64| fs::rename(&path, Names::of(&path).closed("1970-01-01", last)).unwrap();
        fs::write(&path, part(0, 5)).unwrap();
        close(5);
        fs::write(&path, part(5, 9)).unwrap();
        close(9);
        fs::write(&path, part(9, 12)).unwrap();
        let everything = Filter::default();
        assert_eq!(counts(&tail(&path, 8, &everything).unwrap()), (4..12).collect::<Vec<_>>());
        assert_eq!(counts(&tail(&path, 50, &everything).unwrap()), (0..12).collect::<Vec<_>>());
        let (seen, mut follow) = Follow::open(&path, 1, Filter::default()).unwrap();
        assert_eq!(counts(&seen), [11]);
        // Two files come and go between two looks, and the one that was followed got more before it was closed.
        fs::write(&path, part(9, 14)).unwrap();
        close(14);
        fs::write(&path, part(14, 20)).unwrap();
        close(20);
        fs::write(&path, part(20, 21)).unwrap();
        assert_eq!(counts(&follow.next_lines().unwrap()), (12..21).collect::<Vec<_>>());
        assert!(follow.next_lines().unwrap().is_empty());
        // Closed, and the next has no line yet.
        close(21);
        fs::write(&path, "").unwrap();
        assert!(follow.next_lines().unwrap().is_empty());
        let (_, mut late) = Follow::open(&path, 0, Filter::default()).unwrap();
        fs::write(&path, part(21, 23)).unwrap();
        for follow in [&mut follow, &mut late] {
            assert_eq!(counts(&follow.next_lines().unwrap()), [21, 22]);
        }
    }

    #[test]
    fn times_narrow() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (mut chain, mut out) = (Chain::START, Vec::new());
        for n in 0..9 {
            chain.push(&mut out, "b1", n * 1000, &AuditRecord::new(Event::Stop, Outcome::Done).count(n));
        }
        fs::write(file.path(), out).unwrap();
        let then = Filter { since: Some(2000), until: Some(5000), ..Filter::default() };
        assert_eq!(counts(&tail(file.path(), 9, &then).unwrap()), [2, 3, 4]);
    }
}
