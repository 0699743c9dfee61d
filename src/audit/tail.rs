//! Reads the end of a log, and follows it, also when it goes on in a new file.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::model::{AudienceUri, DecisionId, LeaseId, TaskId, WorkloadId};

use super::error::AuditError;

/// Which lines are asked for; what is absent does not narrow.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this event, by its word (`mint`).
    pub event: Option<String>,
    /// That came out so (`refused`).
    pub outcome: Option<String>,
    /// That explain this decision.
    pub decision_id: Option<DecisionId>,
    /// About this workload.
    pub workload: Option<WorkloadId>,
    /// About this resource server.
    pub audience: Option<AudienceUri>,
    /// About this task or its children.
    pub task: Option<TaskId>,
    /// About this lease, or its renewal.
    pub lease: Option<LeaseId>,
}

/// What a filter looks at.
#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(borrow)]
    decision_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    workload: Option<Cow<'a, str>>,
    #[serde(borrow)]
    audience: Option<Cow<'a, str>>,
    task: Option<TaskId>,
    lease: Option<LeaseId>,
    predecessor: Option<LeaseId>,
}

impl Filter {
    /// Whether a line is among those asked for. What is no line of jitney's is passed on, for someone has to see it.
    pub fn selects(&self, line: &[u8]) -> bool {
        let Ok(seen) = serde_json::from_slice::<Seen<'_>>(line) else { return true };
        let equal = |wanted: Option<&str>, seen: Option<&str>| wanted.is_none_or(|wanted| seen == Some(wanted));
        equal(self.event.as_deref(), Some(&seen.event))
            && equal(self.outcome.as_deref(), Some(&seen.outcome))
            && equal(self.decision_id.as_ref().map(DecisionId::as_str), seen.decision_id.as_deref())
            && equal(self.workload.as_ref().map(WorkloadId::as_str), seen.workload.as_deref())
            && equal(self.audience.as_ref().map(AudienceUri::as_str), seen.audience.as_deref())
            && self.task.as_ref().is_none_or(|task| seen.task.is_some_and(|seen| seen.is_within(task)))
            && self.lease.is_none_or(|lease| seen.lease == Some(lease) || seen.predecessor == Some(lease))
    }
}

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
        let identity = (meta.dev(), meta.ino());
        let (lines, offset) = read_back(&file, meta.len(), n, &filter).map_err(failed)?;
        Ok((lines, Self { path: path.to_owned(), filter, file, identity, offset }))
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
        if now_there.is_some_and(|meta| (meta.dev(), meta.ino()) != self.identity) {
            self.file = File::open(&self.path)?;
            let meta = self.file.metadata()?;
            self.identity = (meta.dev(), meta.ino());
            self.offset = 0;
            self.read_whole_lines(lines)?;
        }
        Ok(())
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
            self.offset += last as u64 + 1;
            rest.drain(..=last);
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// Reads chunk by chunk from the end until `n` lines are found; gives them and where the last whole line ends.
fn read_back(file: &File, len: u64, n: usize, filter: &Filter) -> io::Result<(Vec<String>, u64)> {
    let mut found = VecDeque::new();
    // What was read and belongs to a line that begins further up.
    let mut rest: Vec<u8> = Vec::new();
    let mut start = len;
    let mut end_of_lines = None;
    while start > 0 && (found.len() < n || end_of_lines.is_none()) {
        let size = start.min(Follow::CHUNK);
        start -= size;
        let mut chunk = vec![0; size as usize];
        file.read_exact_at(&mut chunk, start)?;
        chunk.append(&mut rest);
        rest = chunk;
        if end_of_lines.is_none() {
            let Some(last) = rest.iter().rposition(|b| *b == b'\n') else { continue };
            end_of_lines = Some(start + last as u64 + 1);
            rest.truncate(last);
        }
        while found.len() < n
            && let Some(newline) = rest.iter().rposition(|b| *b == b'\n')
        {
            let line = rest.split_off(newline + 1);
            rest.pop();
            if filter.selects(&line) {
                found.push_front(text(&line));
            }
        }
    }
    if start == 0 && found.len() < n && end_of_lines.is_some() && filter.selects(&rest) {
        found.push_front(text(&rest));
    }
    Ok((found.into(), end_of_lines.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::super::chain::Chain;
    use super::super::record::{AuditRecord, Event, Outcome};
    use super::*;

    /// Lines by turns of two workloads; the line's number is in `count`.
    fn lines(from: u64, to: u64) -> Vec<u8> {
        let (mut chain, mut out) = (Chain::START, Vec::new());
        for n in from..to {
            let workload = WorkloadId::parse(["even", "odd"][(n % 2) as usize]).unwrap();
            let task = TaskId::parse(&format!("t/{n}")).unwrap();
            let record = AuditRecord::new(Event::Complete, Outcome::Done).workload(workload).task(task).count(n);
            chain.push(&mut out, "b1", 0, &record).unwrap();
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
}
