//! Checkpoints of the audit log: now and then, when a file is closed, and at the end, the broker signs for its last line.
//!
//! Off every request's way: the disk is waited for, and the signature made, in a thread of its own. A checkpoint that fails is
//! told in the log and tried again with the next; no token waits for one, since the chain itself needs none.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use crate::audit::{AuditError, Checkpoint, Checkpoints, Head};
use crate::keys::KeyError;
use crate::model::UnixTime;

use super::Broker;

/// How soon the first one is tried again.
const FIRST: Duration = Duration::from_secs(1);

/// The last one, for `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CheckpointView {
    /// The line that it tells of.
    pub seq: u64,
    /// When it was signed.
    pub at: UnixTime,
}

/// Why a checkpoint was not made.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Its file, or the log's, cannot be read or written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// No key may sign.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The thread that was to make it ended.
    #[error("its thread ended before it was made")]
    Thread,
}

/// The file of checkpoints, once it was opened, and the last one that this process made.
#[derive(Debug, Default)]
pub(super) struct Made {
    file: Option<Checkpoints>,
    last: Option<CheckpointView>,
}

impl Broker {
    /// Makes checkpoints until the process ends: so often, and whenever a file of the log is closed.
    pub async fn keep_checkpoints(self: Arc<Self>, every: Duration) {
        let mut closed = self.parts.audit.closed();
        // The line of the start may not be written yet: the first one is not to wait until the next turn.
        let mut is_first = true;
        let mut tick = interval(every.min(FIRST));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_failing = false;
        loop {
            let head = tokio::select! {
                _ = tick.tick() => self.parts.audit.head(),
                Ok(()) = closed.changed() => closed.borrow_and_update().unwrap_or_else(|| self.parts.audit.head()),
            };
            match self.checkpoint(head).await {
                Ok(()) => is_failing = false,
                // Said once, for it goes on at each tick.
                Err(error) if !is_failing => {
                    tracing::warn!(%error, "no checkpoint of the audit log can be made");
                    is_failing = true;
                }
                Err(error) => tracing::debug!(%error, "no checkpoint of the audit log can be made"),
            }
            if is_first && self.last_checkpoint().is_some() {
                is_first = false;
                tick = interval_at(Instant::now() + every, every);
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            }
        }
    }

    /// Signs for a line that the log has written, unless one of it or behind it is there already.
    ///
    /// # Errors
    /// [`CheckpointError`]; nothing is then kept.
    pub async fn checkpoint(&self, head: Head) -> Result<(), CheckpointError> {
        let (made, audit, keys) = (self.checkpoints.clone(), self.parts.audit.clone(), self.parts.keys.clone());
        let (iss, broker, now) = (self.options.issuer.clone(), self.options.name.clone(), self.now());
        let work = move || {
            let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
            if made.file.is_none() {
                made.file = Some(opened(&audit)?);
            }
            let Some(file) = &mut made.file else { return Ok(()) };
            if head.seq <= file.last() {
                return Ok(());
            }
            file.settle()?;
            let after = file.last();
            let checkpoint = Checkpoint {
                iss,
                broker,
                iat: now.secs(),
                seq: head.seq,
                head: head.hash().to_owned(),
                after,
                count: head.seq - after,
            };
            let (signed, key) = keys.sign_checkpoint(&checkpoint)?;
            file.add(head.seq, signed, key)?;
            made.last = Some(CheckpointView { seq: head.seq, at: now });
            Ok(())
        };
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(CheckpointError::Thread))
    }

    /// The last checkpoint that this process has made.
    pub(super) fn last_checkpoint(&self) -> Option<CheckpointView> {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner).last
    }
}

/// The checkpoints of a log; that they tell of more than the log has is said.
fn opened(audit: &crate::audit::AuditLog) -> Result<Checkpoints, AuditError> {
    let file = Checkpoints::open(audit.path())?;
    let (told, has) = (file.last(), audit.head().seq);
    if told > has {
        tracing::error!(
            "the audit log ends in line {has}, and its checkpoints tell of line {told}: lines were lost or taken away. Until \
             it has as many, no checkpoint is made; where the log was moved, move its checkpoints with it"
        );
    }
    Ok(file)
}

/// Shared with the thread that makes one.
pub(super) type Shared = Arc<Mutex<Made>>;
