//! The broker's keyring: keys that are next, active, retired; their files, their publication, and the signing of tokens.
//!
//! Never decides who gets a token, and signs nothing but what is recorded and witnessed. What always holds:
//! I1 a token ends, skew included, before its key's publication does, as the store has recorded it. I2 a next key is
//! published at least `jwks_max_age` before it first signs. I3 a retired key stays published until the last token under
//! it has ended. I4 a revoked key leaves the JWKS at once and never signs again. I5 a new epoch brings new keys.
//!
//! I2 has four stated exceptions, where a key signs as soon as it is published: a broker's first key (none on the shelf,
//! or its publication ran out, with broker or store away for a day), a new epoch, `rotate(true)`, and a revocation or
//! loss that finds no next key that has waited. A verifier then meets an unknown `kid` once, and fetches again.

mod checkpoint;
mod error;
mod jwks;
mod ledger;
mod load;
mod options;
mod shelf;
mod sign;
mod state;
mod steps;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Mutex, watch};

use crate::jose::es256::VerifyingKey;
use crate::model::{Clock, Epoch, KeyId, UnixTime};
use crate::store::LeaseStore;

use options::Times;
use shelf::Shelf;
use state::State;
use steps::Desk;

pub use checkpoint::check_checkpoint;
pub use error::KeyError;
pub use jwks::JwksDocument;
pub use options::{KeyringOptions, Storage};
pub use sign::SignedToken;
pub use view::{KeyState, KeyView};

/// The keys of one broker, and the published ones of all.
#[derive(Debug)]
pub struct Keyring {
    broker: String,
    issuer: String,
    times: Times,
    store: DebugStore,
    clock: Clock,
    shelf: Shelf,
    /// The folder's advisory lock, which lives as long as this.
    _folder: Option<std::fs::File>,
    /// Read by every request, without a lock.
    state: ArcSwap<State>,
    /// One step at a time changes the shelf and asks the store; an async lock, because a step waits for both. No request
    /// ever takes it.
    desk: Mutex<Desk>,
    changes: watch::Sender<u64>,
}

/// The key to write into a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Its name.
    pub kid: KeyId,
    /// The log's life that it signs in.
    pub epoch: Epoch,
    /// No token under it may live to this moment, less the skew (I1).
    pub published_until: UnixTime,
}

/// What became of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// This key signs now.
    Done(KeyId),
    /// The next key has not been published long enough; the keyring rotates by itself at this moment (I2).
    Waits(UnixTime),
}

impl Keyring {
    /// Opens the keyring: reads the shelf, makes the keys that are missing, publishes what this broker has.
    ///
    /// # Errors
    /// [`KeyError::File`] with the mend, where the folder or a file is not as it must be; [`KeyError::Store`] and
    /// [`KeyError::Publish`] where the store does not answer or refuses.
    pub async fn open(options: KeyringOptions, store: Arc<dyn LeaseStore>, clock: Clock) -> Result<Self, KeyError> {
        let shelf = match &options.storage {
            Storage::File(dir) => Shelf::Folder(dir.clone()),
            Storage::Memory => Shelf::Memory(shelf::Memory::default()),
        };
        Self::open_on(shelf, options, store, clock).await
    }

    async fn open_on(
        shelf: Shelf,
        options: KeyringOptions,
        store: Arc<dyn LeaseStore>,
        clock: Clock,
    ) -> Result<Self, KeyError> {
        let times = Times::of(&options);
        let epoch = store.head().await?.epoch;
        shelf.prepare().await?;
        let folder = shelf.lock().await?;
        let (desk, is_another) = load::desk(&shelf, epoch).await?;
        if is_another {
            // The store was lost while this broker was down, or begun anew: what was used before is not known there.
            store.forget(clock.now()).await?;
        }
        let keyring = Self {
            state: ArcSwap::from_pointee(State::empty(epoch, clock.now(), &times)),
            broker: options.broker,
            issuer: options.issuer,
            times,
            store: DebugStore(store),
            clock,
            shelf,
            _folder: folder,
            desk: Mutex::new(desk),
            changes: watch::Sender::new(0),
        };
        {
            let mut desk = keyring.desk.lock().await;
            keyring.arrange(&desk);
            keyring.reconcile(&mut desk).await?;
            load::sweep(&keyring.shelf, &desk.ledger).await?;
        }
        Ok(keyring)
    }

    /// The key that signs now, for a draft: a token may be asked of it up to `published_until` less the skew.
    ///
    /// # Errors
    /// [`KeyError::NoKey`], between a revocation or a new epoch and the making of new keys.
    pub fn signer(&self) -> Result<Signer, KeyError> {
        let state = self.state();
        let kid = state.active.as_ref().ok_or(KeyError::NoKey)?.kid();
        Ok(Signer { kid: kid.clone(), epoch: state.epoch, published_until: state.until(kid) })
    }

    /// The JWKS of all brokers' keys.
    pub fn jwks(&self) -> Arc<JwksDocument> {
        self.state().jwks.clone()
    }

    /// The same keys, for a verifier's table.
    pub fn verifying_keys(&self) -> Vec<(KeyId, VerifyingKey)> {
        self.state().verifying.to_vec()
    }

    /// Changes whenever other keys are published than before.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn state(&self) -> Guard<Arc<State>> {
        self.state.load()
    }

    fn now(&self) -> UnixTime {
        self.clock.now()
    }

    const fn skew(&self) -> std::time::Duration {
        self.times.skew
    }

    fn issuer(&self) -> &str {
        &self.issuer
    }
}

/// A store has no `Debug` of its own.
struct DebugStore(Arc<dyn LeaseStore>);

impl std::fmt::Debug for DebugStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LeaseStore")
    }
}

impl std::ops::Deref for DebugStore {
    type Target = dyn LeaseStore;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
