//! Why the keyring cannot start, or a lease gets no signature.

use std::path::PathBuf;

use crate::jose::JoseError;
use crate::model::{Epoch, KeyId, UnixTime};
use crate::store::{RecordError, StoreError};

/// What went wrong with a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The keys' folder or a file of it cannot be used: which, why, and the mend.
    #[error("{}: {why}; {mend}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to do.
        mend: String,
    },
    /// The store could not be reached: the keys at hand go on until their publication ends.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store would not publish a key.
    #[error("the store publishes no key: {0}")]
    Publish(#[source] RecordError),
    /// There is no key that may sign now.
    #[error("no key may sign now")]
    NoKey,
    /// The lease belongs to another life of the log (I5).
    #[error("the lease is of epoch {lease}, the keys are of epoch {keys}")]
    Epoch {
        /// The lease's.
        lease: Epoch,
        /// The keyring's.
        keys: Epoch,
    },
    /// The token would outlive the publication of its key (I1).
    #[error("the key {kid} is published until {until} only, and a token may not outlive that")]
    Unpublished {
        /// The key.
        kid: KeyId,
        /// As the store has recorded it.
        until: UnixTime,
    },
    /// The key was revoked (I4).
    #[error("the key {0} was revoked")]
    Revoked(KeyId),
    /// The key is not one of this broker's that signs.
    #[error("the key {0} does not sign here")]
    NotHeld(KeyId),
    /// Making or using a key failed.
    #[error(transparent)]
    Jose(#[from] JoseError),
}
