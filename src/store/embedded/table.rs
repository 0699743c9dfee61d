//! The file: its tables, how it is opened and made, and what redb's errors mean to a caller.
//!
//! Owns the names and types of the tables and the file's mode. The one place, with `writer` and `read`, that knows redb.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableTable as _, Table, TableDefinition, WriteTransaction};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::same::Identity;
use crate::model::UnixTime;
use crate::store::{RecordError, StoreError};

/// Moments and digests in one key, so that the first of a table is the first to go.
pub(super) type Due = [u8; 24];

/// Lease id, whose order is that of time → the packed lease.
pub(super) const LEASES: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("leases");
/// Lease id → the lease that renewed it.
pub(super) const SUCCESSORS: TableDefinition<&[u8; 16], &[u8; 16]> = TableDefinition::new("successors");
/// Lease id → when its own end was and where in the log.
pub(super) const LEASE_ENDS: TableDefinition<&[u8; 16], (u64, u64)> = TableDefinition::new("lease_ends");
/// Assertions used up without a lease, or remembered for longer than theirs: until, digest.
pub(super) const SPENT: TableDefinition<&Due, ()> = TableDefinition::new("spent");
/// Ended tasks: kept until, digest → closed until, position of the rule (0 where none was needed).
pub(super) const MARKS: TableDefinition<&Due, (u64, u64)> = TableDefinition::new("marks");
/// Position → the tag chained up to it, the packed rule.
pub(super) const LOG: TableDefinition<u64, (u64, &[u8])> = TableDefinition::new("log");
/// Key id → the published key, as JSON.
pub(super) const KEYS: TableDefinition<&str, &[u8]> = TableDefinition::new("keys");
/// Key id → the position of the rule that ended it.
pub(super) const REVOKED: TableDefinition<&str, u64> = TableDefinition::new("revoked_keys");
/// Workload → its quarantine, as JSON.
pub(super) const QUARANTINES: TableDefinition<&str, &[u8]> = TableDefinition::new("quarantines");
/// Workloads that were released in this epoch.
pub(super) const RELEASED: TableDefinition<&str, ()> = TableDefinition::new("released");
/// `format`, `epoch`, `position`, `tag`, `commits`; `memory` since a loss; `gone` and `gone_refusals`, how far
/// what was past was taken out.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// The arrangement of tables written today.
const FORMAT: u64 = 1;
/// redb's page cache. Leases are read again only when they are dropped, renewed or looked at.
const CACHE_BYTES: usize = 32 << 20;

/// All tables within one write transaction.
pub(super) struct Tables<'txn> {
    pub leases: Table<'txn, &'static [u8; 16], &'static [u8]>,
    pub successors: Table<'txn, &'static [u8; 16], &'static [u8; 16]>,
    pub lease_ends: Table<'txn, &'static [u8; 16], (u64, u64)>,
    pub spent: Table<'txn, &'static Due, ()>,
    pub marks: Table<'txn, &'static Due, (u64, u64)>,
    pub log: Table<'txn, u64, (u64, &'static [u8])>,
    pub keys: Table<'txn, &'static str, &'static [u8]>,
    pub revoked: Table<'txn, &'static str, u64>,
    pub quarantines: Table<'txn, &'static str, &'static [u8]>,
    pub released: Table<'txn, &'static str, ()>,
    pub meta: Table<'txn, &'static str, u64>,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            leases: txn.open_table(LEASES)?,
            successors: txn.open_table(SUCCESSORS)?,
            lease_ends: txn.open_table(LEASE_ENDS)?,
            spent: txn.open_table(SPENT)?,
            marks: txn.open_table(MARKS)?,
            log: txn.open_table(LOG)?,
            keys: txn.open_table(KEYS)?,
            revoked: txn.open_table(REVOKED)?,
            quarantines: txn.open_table(QUARANTINES)?,
            released: txn.open_table(RELEASED)?,
            meta: txn.open_table(META)?,
        })
    }
}

/// The key of what goes at `until`, named by `digest`.
pub(super) fn due(until: u64, digest: &[u8; 16]) -> Due {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&until.to_be_bytes());
    key[8..].copy_from_slice(digest);
    key
}

/// What [`due`] put together.
pub(super) fn undue(key: &Due) -> (u64, [u8; 16]) {
    let (mut until, mut digest) = ([0; 8], [0; 16]);
    until.copy_from_slice(&key[..8]);
    digest.copy_from_slice(&key[8..]);
    (u64::from_be_bytes(until), digest)
}

/// How a file becomes a database; tests put a faulty disk between.
pub(super) type Opener = fn(File) -> Result<Database, DatabaseError>;

/// The real disk.
pub(super) fn on_disk(file: File) -> Result<Database, DatabaseError> {
    builder().create_with_backend(FileBackend::new(file)?)
}

/// redb as this store wants it.
pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// What is to be done where there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    /// Nothing: that is an error.
    Nothing,
    /// One is made.
    IfMissing,
    /// One is made that follows one that was lost at this moment; it is an error where there is one.
    Anew(UnixTime),
}

/// Opens the file, or makes it (mode 0600) with a fresh epoch. What stands in it afterwards is durable, its name too.
pub(super) fn open(path: &Path, opener: Opener, make: Make) -> Result<(Database, Identity), StoreError> {
    let cannot = |why: String| StoreError::Unavailable(format!("cannot open {}: {why}", path.display()));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(make == Make::IfMissing)
        .create_new(matches!(make, Make::Anew(_)))
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|why| cannot(why.to_string()))?;
    let identity = Identity::of(&file).map_err(|why| cannot(why.to_string()))?;
    let database = opener(file).map_err(|why| match why {
        DatabaseError::DatabaseAlreadyOpen => cannot(
            "another process has it open; an embedded store serves one broker, several brokers share a Redis".into(),
        ),
        DatabaseError::Storage(redb::StorageError::Io(why)) if why.kind() == std::io::ErrorKind::InvalidData => {
            StoreError::Corrupt(format!("{} is no store of jitney's: {why}", path.display()))
        }
        DatabaseError::Storage(redb::StorageError::Corrupted(why)) => {
            StoreError::Corrupt(format!("{}: {why}", path.display()))
        }
        other => cannot(other.to_string()),
    })?;
    prepare(&database, make)?;
    // A new file's name is in its folder, which is synced on its own.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|why| cannot(why.to_string()))?;
    Ok((database, identity))
}

/// Makes the tables, and the epoch where there is none.
fn prepare(database: &Database, make: Make) -> Result<(), StoreError> {
    let txn = database.begin_write()?;
    {
        let mut tables = Tables::open(&txn)?;
        let format = tables.meta.get("format")?.map(|guard| guard.value());
        match format {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(StoreError::Corrupt(format!(
                    "the file is of format {other}, this release writes {FORMAT}"
                )));
            }
            None => {
                let numbers = [("format", FORMAT), ("epoch", random_epoch()?), ("position", 0), ("tag", 0)];
                for (name, number) in numbers {
                    tables.meta.insert(name, number)?;
                }
                if let Make::Anew(lost) = make {
                    tables.meta.insert("memory", lost.secs())?;
                }
            }
        }
    }
    txn.commit()?;
    Ok(())
}

/// An epoch that there never was.
pub(super) fn random_epoch() -> Result<u64, StoreError> {
    let mut random = [0; 8];
    let drawn = SystemRandom::new().fill(&mut random);
    drawn.map_err(|_| StoreError::Unavailable("the system has no randomness for an epoch".into()))?;
    Ok(u64::from_be_bytes(random))
}

/// Damage is said as damage; everything else is a disk that does not serve now.
fn meaning(why: &redb::Error) -> StoreError {
    match why {
        redb::Error::Corrupted(why) => StoreError::Corrupt(why.clone()),
        other => StoreError::Unavailable(other.to_string()),
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for StoreError {
            fn from(why: redb::$error) -> Self {
                meaning(&why.into())
            }
        }
        impl From<redb::$error> for RecordError {
            fn from(why: redb::$error) -> Self {
                Self::Store(why.into())
            }
        }
    )*};
}

from_redb!(StorageError, TableError, TransactionError, CommitError);
