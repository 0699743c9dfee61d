//! Where private keys lie: a folder of mode 0700 with files of mode 0600, or memory alone.
//!
//! Owns writing a file so that it is there whole or not at all: temporary file, sync, rename, sync of the folder. Never
//! knows what a key is for.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{KeyId, Secret};

use super::KeyError;

/// The longest file that is read: a PKCS#8 key has 250 bytes, the ledger some thousand.
const MAX_FILE: u64 = 256 * 1024;

/// Files by name.
#[derive(Debug, Clone)]
pub(super) enum Shelf {
    /// In a folder.
    Folder(PathBuf),
    /// In memory; a clone shares it.
    Memory(Memory),
}

/// Files that leave no trace.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    pub(super) files: Arc<Mutex<BTreeMap<String, Secret<String>>>>,
    #[cfg(test)]
    pub(super) fuse: super::tests::fake::Fuse,
}

/// A private key's file.
pub(super) fn file_of(kid: &KeyId) -> String {
    format!("{kid}.pem")
}

impl Shelf {
    /// Makes the folder where it is missing, and checks that nobody else may read it.
    pub(super) async fn prepare(&self) -> Result<(), KeyError> {
        self.run(|shelf| match shelf {
            Self::Folder(dir) => prepare(dir),
            Self::Memory(_) => Ok(()),
        })
        .await
    }

    /// Takes the folder for this process alone, for as long as what comes back lives: two brokers on one ledger would
    /// retire each other's keys.
    pub(super) async fn lock(&self) -> Result<Option<File>, KeyError> {
        self.run(|shelf| match shelf {
            Self::Folder(dir) => lock(dir).map(Some),
            Self::Memory(_) => Ok(None),
        })
        .await
    }

    /// The names of all files.
    pub(super) async fn list(&self) -> Result<Vec<String>, KeyError> {
        self.run(|shelf| match shelf {
            Self::Folder(dir) => list(dir),
            Self::Memory(memory) => memory.with(|files| files.keys().cloned().collect()),
        })
        .await
    }

    /// A file's text; none where it is missing.
    pub(super) async fn read(&self, name: &str) -> Result<Option<Secret<String>>, KeyError> {
        let name = name.to_owned();
        self.run(move |shelf| match shelf {
            Self::Folder(dir) => read(&dir.join(name)),
            Self::Memory(memory) => memory.with(|files| files.get(&name).cloned()),
        })
        .await
    }

    /// Writes a file whole and durably; an older one of this name stands until then.
    pub(super) async fn write(&self, name: &str, text: Secret<String>) -> Result<(), KeyError> {
        let name = name.to_owned();
        self.run(move |shelf| match shelf {
            Self::Folder(dir) => write(dir, &name, text.expose()),
            Self::Memory(memory) => memory.with(|files| drop(files.insert(name, text))),
        })
        .await
    }

    /// Removes a file; a missing one is no error.
    pub(super) async fn remove(&self, name: &str) -> Result<(), KeyError> {
        let name = name.to_owned();
        self.run(move |shelf| match shelf {
            Self::Folder(dir) => remove(dir, &name),
            Self::Memory(memory) => memory.with(|files| drop(files.remove(&name))),
        })
        .await
    }

    /// What a file is called, for errors.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Folder(dir) => dir.join(name),
            Self::Memory(_) => Path::new("(memory)").join(name),
        }
    }

    /// Files are synced, which takes milliseconds: that is no work for the threads that answer requests.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, KeyError> + Send + 'static,
    ) -> Result<T, KeyError> {
        if matches!(self, Self::Memory(_)) {
            return work(self);
        }
        let shelf = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&shelf)).await;
        done.unwrap_or_else(|_| Err(wrong(Path::new("keys"), "the work on it was cut off", "start the broker again")))
    }
}

impl Memory {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Secret<String>>) -> T) -> Result<T, KeyError> {
        // No code of ours panics under this lock, and a map that it left is whole.
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        #[cfg(test)]
        return self.fuse.guard(|| work(&mut files)).ok_or_else(|| wrong(Path::new("memory"), "cut off", "restart"));
        #[cfg(not(test))]
        Ok(work(&mut files))
    }
}

/// An error that names the file and the mend.
pub(super) fn wrong(path: &Path, why: impl Into<String>, mend: impl Into<String>) -> KeyError {
    KeyError::File { path: path.to_owned(), why: why.into(), mend: mend.into() }
}

fn failed(path: &Path, error: &io::Error) -> KeyError {
    wrong(path, error.to_string(), "let the broker's user read and write here, and see that the disk is not full")
}

fn prepare(dir: &Path) -> Result<(), KeyError> {
    let found = match fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| failed(dir, &error))?;
            fs::metadata(dir)
        }
        found => found,
    };
    let found = found.map_err(|error| failed(dir, &error))?;
    if !found.is_dir() {
        return Err(wrong(dir, "it is no folder", "name a folder for the keys"));
    }
    if found.permissions().mode() & 0o077 != 0 {
        let why = format!("its mode is {:04o}: others may reach the keys", found.permissions().mode() & 0o7777);
        return Err(wrong(dir, why, format!("run: chmod 700 {}", dir.display())));
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, KeyError> {
    let folder = File::open(dir).map_err(|error| failed(dir, &error))?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => {
            Err(wrong(dir, "another broker keeps its keys in it", "give each broker a folder of its own in [keys] dir"))
        }
        Err(TryLockError::Error(error)) => Err(failed(dir, &error)),
    }
}

fn list(dir: &Path) -> Result<Vec<String>, KeyError> {
    let entries = fs::read_dir(dir).map_err(|error| failed(dir, &error))?;
    let mut names = Vec::new();
    for entry in entries {
        // A name that is not UTF-8 is none of ours.
        names.extend(entry.map_err(|error| failed(dir, &error))?.file_name().into_string());
    }
    Ok(names)
}

fn read(path: &Path) -> Result<Option<Secret<String>>, KeyError> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(|error| failed(path, &error))?,
    };
    if !found.is_file() || found.len() > MAX_FILE {
        return Err(wrong(path, "it is no file of the broker's", "put the file back, or remove it"));
    }
    if found.permissions().mode() & 0o177 != 0 {
        let why = format!("its mode is {:04o}, wider than 0600", found.permissions().mode() & 0o7777);
        let mend = format!("if nobody read the key, run: chmod 600 {}; else remove the file", path.display());
        return Err(wrong(path, why, mend));
    }
    let mut text = String::with_capacity(usize::try_from(found.len()).unwrap_or(0) + 1);
    File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
        .map_err(|error| failed(path, &error))?;
    Ok(Some(Secret::new(text)))
}

fn write(dir: &Path, name: &str, text: &str) -> Result<(), KeyError> {
    let (path, temporary) = (dir.join(name), dir.join(format!("{name}.tmp")));
    // A crash may have left it; `create_new` then makes sure that the mode is ours.
    if let Err(error) = fs::remove_file(&temporary)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(failed(&temporary, &error));
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, &path))
        .and_then(|()| sync(dir))
        .map_err(|error| failed(&path, &error))
}

fn remove(dir: &Path, name: &str) -> Result<(), KeyError> {
    let path = dir.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.and_then(|()| sync(dir)).map_err(|error| failed(&path, &error)),
    }
}

/// A name in a folder is durable once the folder is.
fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
