//! The log as the rest of the broker sees it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{broadcast, watch};

use crate::model::{Clock, Reason, is_broker_name};

use super::answer::awaited;
use super::chain::{Chain, Hex};
use super::error::AuditError;
use super::file::LogFile;
use super::flood::{Flood, FloodRate};
use super::queue::{Entry, MAX_POSTED, Queue};
use super::record::{AuditRecord, Event, Outcome};
use super::rotate::Rotation;
use super::witness::Witnessed;
use super::writer::Writer;

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the kernel has it: it outlives this process, not the machine.
    #[default]
    Write,
    /// When the disk has it: one `fdatasync` a batch.
    Sync,
}

/// Where and how the log is kept.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// The file. Created with mode 0600 where it is missing; its folder must exist.
    pub path: PathBuf,
    /// This broker's name, in every line: 1 to 64 characters of `A-Z a-z 0-9 _ -`.
    pub broker: String,
    /// When a record counts as written.
    pub durability: Durability,
    /// When the file is closed and another goes on.
    pub rotation: Rotation,
    /// How many records may wait, with somebody waiting for each.
    pub queue: usize,
    /// How many refusals to unknown callers are written one by one.
    pub flood: FloodRate,
    /// What stamps the lines.
    pub clock: Clock,
}

impl AuditOptions {
    /// The log at `path` of the broker called `broker`, all else by default: `write`, one file, a queue of 8192, 5 a second.
    pub fn new(path: impl Into<PathBuf>, broker: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            broker: broker.into(),
            durability: Durability::default(),
            rotation: Rotation::default(),
            queue: 8192,
            flood: FloodRate::default(),
            clock: Clock::system(),
        }
    }
}

/// Figures for metrics; all only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Lines written.
    pub lines: AtomicU64,
    /// Writes that carried them.
    pub writes: AtomicU64,
    /// Writes that failed, and records that were refused because the queue was full or the writer late.
    pub failures: AtomicU64,
    /// Refusals that were counted instead of written.
    pub summarised: AtomicU64,
}

/// What the log's handle and its writer share.
pub(super) struct Shared {
    pub(super) broker: String,
    pub(super) clock: Clock,
    pub(super) queue: Queue,
    pub(super) counters: Counters,
    pub(super) lines: broadcast::Sender<Bytes>,
    /// The last line of the last file that was closed.
    pub(super) closed: watch::Sender<Option<Head>>,
    health: Mutex<Health>,
    started: Instant,
    /// Milliseconds from `started` to when the write under way began, plus one; 0 while there is none.
    writing_since: AtomicU64,
}

/// How the log stands: together, since both change with each write.
struct Health {
    failure: Option<String>,
    head: Head,
}

/// The end of the chain at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of the last line that is written; 0 before the first.
    pub seq: u64,
    pub(super) hash: Hex,
}

impl Head {
    /// The last line's hash, 64 hex digits.
    pub fn hash(&self) -> &str {
        self.hash.as_str()
    }
}

impl Shared {
    pub(super) fn set_writing(&self, is_writing: bool) {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        self.writing_since.store(if is_writing { since } else { 0 }, Relaxed);
    }

    /// The chain's end after a write that went well.
    pub(super) fn written(&self, chain: Chain) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.failure = None;
        health.head = chain.into();
    }

    pub(super) fn failed(&self, failure: String) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).failure = Some(failure);
    }
}

impl From<Chain> for Head {
    fn from(chain: Chain) -> Self {
        Self { seq: chain.seq, hash: chain.head }
    }
}

/// The decision log: one file at a time, one writer thread, one broker. Dropping it writes what waits and ends the thread.
pub struct AuditLog {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl AuditLog {
    /// The longest that anybody waits for a record.
    const PATIENCE: Duration = Duration::from_millis(1500);
    /// How often those that are ready are let first, before a write begins.
    const ROUNDS: usize = 8;
    /// With so many records a write is worth its while.
    const ENOUGH: usize = 32;
    /// How many lines a slow subscriber may lag behind before it misses some.
    const BACKLOG: usize = 4096;

    /// Opens or creates the file, locks it, sets half a last line aside, and takes up the chain where it ends.
    ///
    /// # Errors
    /// [`AuditError`]: no regular file, not a log of jitney's, locked by another process, or what the system said.
    pub fn open(options: AuditOptions) -> Result<Self, AuditError> {
        let AuditOptions { path, broker, durability, rotation, queue, flood, clock } = options;
        if !is_broker_name(&broker) {
            return Err(AuditError::BrokerName);
        }
        let mut file = LogFile::new(path.clone(), durability, rotation);
        let opened = file.ready(clock.now_ms())?;
        super::rotate::check(&path, rotation)?;
        let chain = opened.as_ref().map_or(Chain::START, |opened| opened.chain);
        let behind = opened.as_ref().and_then(|opened| opened.behind.clone());
        let shared = Arc::new(Shared {
            broker,
            clock,
            queue: Queue::new(queue, MAX_POSTED, Flood::new(flood, Instant::now())),
            counters: Counters::default(),
            lines: broadcast::Sender::new(Self::BACKLOG),
            closed: watch::Sender::new(None),
            health: Mutex::new(Health { failure: None, head: chain.into() }),
            started: Instant::now(),
            writing_since: AtomicU64::new(0),
        });
        let writer = Writer::new(shared.clone(), file, chain, behind);
        let writer = thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run())
            .map_err(|error| AuditError::io(&path, "its writer cannot be started", &error))?;
        let log = Self { shared, writer: Some(writer), path };
        if let Some(detail) = opened.and_then(|opened| opened.torn) {
            log.post(AuditRecord::new(Event::ChainTorn, Outcome::Done).detail(&detail));
        }
        Ok(log)
    }

    /// Writes the record, and gives `proof` back as witnessed once it is written.
    ///
    /// # Errors
    /// [`AuditError`] where it could not be written, the queue is full, or 1.5 s have passed; in the last case alone the
    /// line may still follow. A call that is dropped while it waits leaves its line too.
    pub async fn witness<T>(&self, record: AuditRecord, proof: T) -> Result<Witnessed<T>, AuditError> {
        self.note(record).await?;
        Ok(Witnessed::by_the_log(proof))
    }

    /// Writes a record that proves nothing: a refusal.
    ///
    /// # Errors
    /// As [`AuditLog::witness`].
    pub async fn note(&self, record: AuditRecord) -> Result<(), AuditError> {
        let (answer, awaited) = awaited();
        let entry = Entry { at_ms: self.shared.clock.now_ms(), record, answer: Some(answer) };
        let result = match self.shared.queue.ask(entry) {
            Ok(wake) => {
                if wake.is_some() {
                    self.gather().await;
                    drop(wake);
                }
                match tokio::time::timeout(Self::PATIENCE, awaited.answer()).await {
                    Ok(Some(result)) => return result,
                    Ok(None) => Err(AuditError::Closed),
                    Err(_) => Err(AuditError::Late),
                }
            }
            Err(error) => Err(error),
        };
        self.shared.counters.failures.fetch_add(1, Relaxed);
        result
    }

    /// Lets others that are ready to be run hand over their records first, so that all of them are one write. Waits for
    /// nothing that is not ready: where nobody adds one, the write begins at once.
    async fn gather(&self) {
        let mut before = self.shared.queue.asked();
        for _ in 0..Self::ROUNDS {
            tokio::task::yield_now().await;
            let now = self.shared.queue.asked();
            if now <= before || now >= Self::ENOUGH {
                break;
            }
            before = now;
        }
    }

    /// Writes a refusal to a caller that did not prove who it is. Past a few a second these are counted, and the counts
    /// written once a second.
    ///
    /// # Errors
    /// As [`AuditLog::witness`].
    pub async fn note_unknown(&self, record: AuditRecord) -> Result<(), AuditError> {
        let reason = record.refused_for().unwrap_or(Reason::InvalidClient);
        if self.shared.queue.admit(reason, self.shared.clock.now_ms()) {
            return self.note(record).await;
        }
        self.shared.counters.summarised.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Writes a record of what has happened already and is held by the store's log: an end. Never waits and never fails;
    /// kept in memory while the file cannot be written (100 000 records; the oldest beyond are counted in a line).
    pub fn post(&self, record: AuditRecord) {
        self.shared.queue.post(Entry { at_ms: self.shared.clock.now_ms(), record, answer: None });
    }

    /// The lines as they are written, without their newlines, from now on. A receiver that lags by more than 4096 lines
    /// misses the oldest of them.
    pub fn subscribe(&self) -> broadcast::Receiver<Bytes> {
        self.shared.lines.subscribe()
    }

    /// Whether the last write went well and none has been under way for 1.5 s.
    ///
    /// # Errors
    /// A sentence on what went wrong.
    pub fn healthy(&self) -> Result<(), String> {
        let since = self.shared.writing_since.load(Relaxed);
        let now = u64::try_from(self.shared.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if since > 0 && Duration::from_millis(now.saturating_sub(since)) > Self::PATIENCE {
            return Err(format!("the audit log {}: a write does not come back", self.path.display()));
        }
        let health = self.shared.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.failure.clone().map_or(Ok(()), Err)
    }

    /// The last line that is written.
    pub fn head(&self) -> Head {
        self.shared.health.lock().unwrap_or_else(PoisonError::into_inner).head
    }

    /// Changes whenever a file is closed, to its last line.
    pub fn closed(&self) -> watch::Receiver<Option<Head>> {
        self.shared.closed.subscribe()
    }

    /// Figures for metrics.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so already.
            let _ = writer.join();
        }
    }
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditLog").field("path", &self.path).field("healthy", &self.healthy()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn nobody_waits_longer_than_a_second_and_a_half_for_a_writer_that_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::open(AuditOptions::new(folder.path().join("audit.jsonl"), "b1")).unwrap();
        let asked = Instant::now();
        let record = AuditRecord::new(Event::Mint, Outcome::Granted);
        let answer = {
            let shared = log.shared.clone();
            let (held, release) = std::sync::mpsc::channel::<()>();
            let (started, has_started) = oneshot::channel();
            // The writer needs this lock before it answers.
            let holder = thread::spawn(move || {
                let _lock = shared.health.lock().unwrap();
                started.send(()).unwrap();
                let _ = release.recv();
            });
            has_started.await.unwrap();
            let answer = log.witness(record, ()).await;
            drop(held);
            holder.join().unwrap();
            answer
        };
        assert!(matches!(answer, Err(AuditError::Late)));
        assert!((AuditLog::PATIENCE..Duration::from_secs(2)).contains(&asked.elapsed()));
        // Late is not lost: the line follows, and the log is well again.
        log.note(AuditRecord::new(Event::Stop, Outcome::Done)).await.unwrap();
        assert_eq!(std::fs::read_to_string(log.path()).unwrap().lines().count(), 2);
        assert!(log.healthy().is_ok());
    }
}
