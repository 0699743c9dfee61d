//! The one thread that writes: takes all that waits, chains it, appends it in one write, then answers.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::answer::tell;
use super::chain::Chain;
use super::error::AuditError;
use super::file::{LogFile, Opened};
use super::log::Shared;
use super::queue::{Batch, Entry, Lost};
use super::record::{AuditRecord, Event, Outcome};

/// The most that one write carries; less while the file fails, so that trying costs little.
const CHUNK: usize = 1 << 20;
const CHUNK_WHILE_FAILING: usize = 1 << 16;

pub(super) struct Writer {
    shared: Arc<Shared>,
    file: LogFile,
    chain: Chain,
    /// The file is another than the chain's last line stands in: said by the next line.
    moved: Option<String>,
    /// Closed files that are too many: said by the next line, and removed once it is written.
    leaving: Vec<PathBuf>,
    buffer: Vec<u8>,
    /// Where each line of the buffer ends.
    ends: Vec<usize>,
    /// While the file cannot be written: since when, the first failure, and how many were refused for it.
    failing: Option<Failing>,
}

struct Failing {
    since_ms: u64,
    first: String,
    refused: u64,
}

impl Writer {
    /// A writer of a file that was opened already; `behind`: the chain's last line stands in this closed one.
    pub(super) fn new(shared: Arc<Shared>, file: LogFile, chain: Chain, behind: Option<PathBuf>) -> Self {
        let (moved, buffer, ends) = (behind.map(|closed| goes_on_from(&closed)), Vec::new(), Vec::new());
        Self { shared, file, chain, moved, leaving: Vec::new(), buffer, ends, failing: None }
    }

    /// Writes until the queue is closed and empty, or cannot be emptied.
    pub(super) fn run(mut self) {
        loop {
            let batch = self.shared.queue.take(self.failing.is_some());
            let is_last = batch.is_last;
            self.shared.set_writing(true);
            self.write(batch);
            self.shared.set_writing(false);
            if is_last {
                break;
            }
        }
    }

    fn write(&mut self, batch: Batch) {
        let Batch { mut entries, counted, mut lost, .. } = batch;
        for row in counted {
            let record = AuditRecord::refused(Event::RefusedSummary, row.reason).count(row.count).since(row.since_ms);
            entries.push_back(Entry { at_ms: self.shared.clock.now_ms(), record, answer: None });
        }
        // While failing, one line is tried even when nothing waits: readiness must come back without traffic.
        while !entries.is_empty() || lost.count > 0 || self.failing.is_some() {
            match self.write_chunk(&mut entries, lost) {
                Ok(()) => lost = Lost::default(),
                Err((error, chunk)) => {
                    self.fail(&error, chunk.into_iter().chain(entries).collect(), lost);
                    return;
                }
            }
        }
    }

    /// Writes as many of `entries` as one write carries, behind what is to be said first. What failed is given back.
    fn write_chunk(&mut self, entries: &mut VecDeque<Entry>, lost: Lost) -> Result<(), (AuditError, VecDeque<Entry>)> {
        let mut chunk = VecDeque::new();
        let now_ms = self.shared.clock.now_ms();
        if let Err(error) = self.ready(now_ms, entries) {
            return Err((error, chunk));
        }
        let mut chain = self.chain;
        self.preamble(&mut chain, lost);
        let limit = if self.failing.is_some() { CHUNK_WHILE_FAILING } else { CHUNK };
        while self.buffer.len() < limit
            && let Some(entry) = entries.pop_front()
        {
            self.push(&mut chain, entry.at_ms, &entry.record);
            chunk.push_back(entry);
        }
        if let Err(error) = self.file.append(&self.buffer, now_ms) {
            return Err((error, chunk));
        }
        self.chain = chain;
        self.succeed(chunk);
        Ok(())
    }

    /// Makes sure that the file is there as it was left, and goes on in another where it is due.
    fn ready(&mut self, now_ms: u64, entries: &mut VecDeque<Entry>) -> Result<(), AuditError> {
        if let Some(opened) = self.file.ready(now_ms)? {
            self.reopened(opened, entries);
        }
        // Closed only behind lines that follow from each other: what else is in the file now is said in it first.
        if self.moved.is_none() && self.file.is_due(now_ms) {
            let opened = self.file.rotate(&self.chain, now_ms)?;
            self.reopened(opened, entries);
            self.shared.closed.send_replace(Some(self.chain.into()));
            self.leaving = self.file.too_many();
        }
        Ok(())
    }

    /// The lines about the log itself that go before all others.
    fn preamble(&mut self, chain: &mut Chain, lost: Lost) {
        self.buffer.clear();
        self.ends.clear();
        let now_ms = self.shared.clock.now_ms();
        if let Some(how) = &self.moved {
            let record = AuditRecord::new(Event::ChainContinue, Outcome::Done).detail(how);
            self.push(chain, now_ms, &record);
        }
        if !self.leaving.is_empty() {
            let names: Vec<_> = self.leaving.iter().filter_map(|path| path.file_name()).collect();
            let names: Vec<_> = names.into_iter().map(|name| name.to_string_lossy()).collect();
            let record = AuditRecord::new(Event::ChainExpire, Outcome::Done)
                .count(self.leaving.len() as u64)
                .detail(&format!("no more than is kept: removed {}", names.join(", ")));
            self.push(chain, now_ms, &record);
        }
        if let Some(failing) = &self.failing {
            let record = AuditRecord::new(Event::ChainResume, Outcome::Done)
                .count(failing.refused)
                .since(failing.since_ms)
                .detail(&failing.first);
            self.push(chain, now_ms, &record);
        }
        if lost.count > 0 {
            let record = AuditRecord::new(Event::LostSummary, Outcome::Failed).count(lost.count).since(lost.since_ms);
            self.push(chain, now_ms, &record);
        }
    }

    fn push(&mut self, chain: &mut Chain, at_ms: u64, record: &AuditRecord) {
        chain.push(&mut self.buffer, &self.shared.broker, at_ms, record);
        self.ends.push(self.buffer.len());
    }

    /// Notes what a reopened file means for the chain: it goes on from this broker's own last line, wherever that is.
    fn reopened(&mut self, opened: Opened, entries: &mut VecDeque<Entry>) {
        if let Some(detail) = opened.torn {
            let record = AuditRecord::new(Event::ChainTorn, Outcome::Done).detail(&detail);
            entries.push_front(Entry { at_ms: self.shared.clock.now_ms(), record, answer: None });
        }
        let as_left = opened.chain.seq == self.chain.seq && opened.chain.head == self.chain.head;
        self.moved = match (opened.behind, opened.chain.seq) {
            (Some(closed), _) if as_left => Some(goes_on_from(&closed)),
            (None, _) if as_left => None,
            (None, 0) | (Some(_), _) => {
                Some(format!("the file is new; the log's line {} stands in another", self.chain.seq))
            }
            (None, seq) => {
                Some(format!("the file ends in line {seq}, and the last that was written is {}", self.chain.seq))
            }
        };
    }

    fn succeed(&mut self, chunk: VecDeque<Entry>) {
        let shared = &self.shared;
        shared.counters.lines.fetch_add(self.ends.len() as u64, Relaxed);
        shared.counters.writes.fetch_add(1, Relaxed);
        shared.written(self.chain);
        self.moved = None;
        for closed in std::mem::take(&mut self.leaving) {
            if let Err(error) = std::fs::remove_file(&closed) {
                tracing::warn!(%error, file = %closed.display(), "a closed audit log that is no more kept cannot be removed");
            }
        }
        if self.failing.take().is_some() {
            tracing::info!("the audit log is written again");
        }
        // Told before answered, so that nobody who subscribes after an answer hears of the line before it.
        if shared.lines.receiver_count() > 0 {
            let lines = Bytes::copy_from_slice(&self.buffer);
            let mut start = 0;
            for end in &self.ends {
                let _ = shared.lines.send(lines.slice(start..end - 1));
                start = *end;
            }
        }
        // Whoever waited may be gone; the lines stand all the same.
        tell(Ok(()), chunk.into_iter().filter_map(|entry| entry.answer).collect());
    }

    fn fail(&mut self, error: &AuditError, entries: VecDeque<Entry>, lost: Lost) {
        let shared = &self.shared;
        shared.counters.failures.fetch_add(1, Relaxed);
        shared.failed(error.to_string());
        let failing = self.failing.get_or_insert_with(|| {
            tracing::error!(%error, "the audit log cannot be written: no token is given until it can");
            Failing { since_ms: shared.clock.now_ms(), first: error.to_string(), refused: 0 }
        });
        let (mut kept, mut asked) = (VecDeque::with_capacity(entries.len()), Vec::new());
        for mut entry in entries {
            match entry.answer.take() {
                Some(answer) => asked.push(answer),
                None => kept.push_back(entry),
            }
        }
        failing.refused += asked.len() as u64;
        tell(Err(error.clone()), asked);
        shared.queue.put_back(kept, lost);
    }
}

/// What the first line of the next file says.
fn goes_on_from(closed: &Path) -> String {
    format!("goes on from {}", closed.file_name().unwrap_or_default().to_string_lossy())
}
