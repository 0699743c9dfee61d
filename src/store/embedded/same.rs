//! Whether the file that is open is still the one at its path, and whether one that was opened again goes on where the
//! last one was left.
//!
//! Owns what counts as a lost tail here, and as a memory that a wrong clock has cost. A file with another past than was
//! shown to anybody gets a new epoch, so that no token of the old one lives on; who was ended or shut out in what was lost,
//! nobody can say any more.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use redb::{Database, ReadableDatabase as _, ReadableTable as _};

use super::expire::Gone;
use super::index::Index;
use super::step::GRACE;
use super::table::{LOG, META, Tables, random_epoch};
use crate::model::UnixTime;
use crate::store::{Head, StoreError};

/// What tells one file from another, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    pub(super) fn of(file: &File) -> std::io::Result<Self> {
        file.metadata().map(|meta| Self(meta.dev(), meta.ino()))
    }

    /// An error where the path leads to another file by now, or to none: what is written would be found by nobody.
    pub(super) fn is_at(self, path: &Path) -> Result<(), StoreError> {
        let gone = |why: &str| Err(StoreError::Unavailable(format!("the store's file {} {why}", path.display())));
        match fs::metadata(path) {
            Ok(meta) if self == Self(meta.dev(), meta.ino()) => Ok(()),
            Ok(_) => gone("was replaced by another"),
            Err(error) if error.kind() == ErrorKind::NotFound => gone("is gone"),
            Err(error) => gone(&format!("cannot be looked at: {error}")),
        }
    }
}

/// What was shown to anybody last: the log's last place, and how many commits there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    head: Head,
    tag: u64,
    commits: u64,
}

impl Shown {
    pub(super) const fn of(index: &Index) -> Self {
        Self { head: index.head, tag: index.tag, commits: index.commits }
    }

    /// Begins a new epoch in a file that does not go on from here: an older one, one that was changed, or one whose life
    /// was left behind. `now` is since when used assertions are remembered there.
    pub(super) fn goes_on_in(self, database: &Database, now: UnixTime) -> Result<(), StoreError> {
        if self.is_in(database)? {
            return Ok(());
        }
        tracing::warn!(
            epoch = %self.head.epoch, position = %self.head.position,
            "the store's file is not as it was left: a new epoch begins, tokens of the old one end"
        );
        let left = Left { position: self.head.position.get(), commits: self.commits, memory: now, is_made_good: false };
        left.begin_anew(database)
    }

    fn is_in(self, database: &Database) -> Result<bool, StoreError> {
        let txn = database.begin_read()?;
        let meta = txn.open_table(META)?;
        let number = |name: &str| Ok::<_, StoreError>(meta.get(name)?.map(|guard| guard.value()));
        let (epoch, position, tag) = (number("epoch")?, number("position")?, number("tag")?);
        let here = self.head.position.get();
        // A lease or a mark that is missing moves no place, but it was a commit.
        Ok(epoch == Some(self.head.epoch.bits())
            && number("commits")?.unwrap_or(0) >= self.commits
            && match position {
                Some(position) if position == here => tag == Some(self.tag),
                // No entry: it has expired with all it could end.
                Some(position) if position > here => {
                    txn.open_table(LOG)?.get(here)?.is_none_or(|entry| entry.value().0 == self.tag)
                }
                _ => false,
            })
    }
}

/// Begins a new epoch in a file out of which something was taken that may count at `now`: the clock was ahead for a while,
/// and what was past by it is not past by this one. Which tokens had ended nobody knows any more, so none of them stands;
/// nor which assertions were used and which tasks had ended, so none counts that is as old as any of these may be.
pub(super) fn misses_nothing_in(database: &Database, now: UnixTime) -> Result<(), StoreError> {
    let (gone, left) = {
        let txn = database.begin_read()?;
        let meta = txn.open_table(META)?;
        let number = |name: &str| Ok::<_, StoreError>(meta.get(name)?.map_or(0, |guard| guard.value()));
        let moment = |name: &str| number(name).map(UnixTime::from_secs);
        let gone = Gone { counted: moment("gone")?, refused: moment("gone_refusals")? };
        let memory = moment("memory")?.max(gone.refused.plus(GRACE)).max(now);
        (gone, Left { position: number("position")?, commits: number("commits")?, memory, is_made_good: true })
    };
    if !gone.is_missed(now) {
        return Ok(());
    }
    tracing::warn!(
        %now, gone = %gone.counted, memory = %left.memory,
        "the clock was ahead and the store dropped by it what still counts: a new epoch begins, tokens of the old one end"
    );
    left.begin_anew(database)
}

/// What is known of an epoch that is left.
struct Left {
    position: u64,
    commits: u64,
    /// Since when used assertions are remembered in the next one.
    memory: UnixTime,
    /// Whether that memory makes good what was dropped by a clock that was ahead.
    is_made_good: bool,
}

impl Left {
    fn begin_anew(&self, database: &Database) -> Result<(), StoreError> {
        let txn = database.begin_write()?;
        {
            let mut tables = Tables::open(&txn)?;
            // Places go on behind the highest one known, so that no place is ever used twice.
            let found = tables.meta.get("position")?.map_or(0, |guard| guard.value());
            let position = found.max(self.position);
            let memory = tables.meta.get("memory")?.map_or(0, |guard| guard.value()).max(self.memory.secs());
            if self.is_made_good {
                tables.meta.insert("gone", 0)?;
                tables.meta.insert("gone_refusals", 0)?;
            }
            let numbers = [
                ("epoch", random_epoch()?),
                ("position", position),
                ("tag", 0),
                ("commits", self.commits),
                ("memory", memory),
            ];
            for (name, number) in numbers {
                tables.meta.insert(name, number)?;
            }
            // Rules and keys of another epoch say nothing in this one. Leases stay, for they hold the memory of used
            // assertions; none of them stands any more.
            tables.log.retain(|_, _| false)?;
            tables.keys.retain(|_, _| false)?;
            tables.released.retain(|_, ()| false)?;
        }
        txn.commit()?;
        Ok(())
    }
}
