//! What a start finds on the shelf: the ledger and the private keys it names.

use std::sync::Arc;

use crate::jose::es256::SigningKey;
use crate::model::{Epoch, KeyId, Secret};

use super::KeyError;
use super::ledger::{self, Ledger};
use super::shelf::{Shelf, file_of, wrong};
use super::state::HeldKey;
use super::steps::Desk;

/// Reads ledger and keys from a shelf that is prepared. Keys of another epoch are not even read: they never sign again (I5).
/// The second is whether the ledger is of another epoch.
pub(super) async fn desk(shelf: &Shelf, epoch: Epoch) -> Result<(Desk, bool), KeyError> {
    let mut desk = Desk::empty(epoch);
    let Some(text) = shelf.read(ledger::FILE).await? else { return Ok((desk, false)) };
    let found: Ledger = serde_json::from_str(text.expose()).map_err(|error| {
        let mend = "restore it, or empty the folder: the broker then starts with new keys";
        wrong(&shelf.path(ledger::FILE), format!("it is not the ledger of a keyring ({error})"), mend)
    })?;
    if found.epoch != epoch {
        tracing::warn!(found = %found.epoch, store = %epoch, "the store's log began anew: new signing keys are made");
        return Ok((desk, true));
    }
    desk.ledger = found;
    for kid in [desk.ledger.active.clone(), desk.ledger.next.clone()].into_iter().flatten() {
        match shelf.read(&file_of(&kid)).await? {
            Some(text) => drop(desk.held.insert(kid.clone(), held(shelf, &kid, &text)?)),
            // What it signed stays good for as long as it is published; it signs no more.
            None => {
                tracing::warn!(%kid, "the file of a signing key is gone: another key takes its place");
                desk.ledger = desk.ledger.without(&kid, desk.ledger.active_since);
            }
        }
    }
    Ok((desk, false))
}

/// Removes keys that no state names: made or left behind by a crash between two steps. They have never signed, or never
/// will again.
pub(super) async fn sweep(shelf: &Shelf, ledger: &Ledger) -> Result<(), KeyError> {
    let kept: Vec<String> = [&ledger.active, &ledger.next].into_iter().flatten().map(file_of).collect();
    for name in shelf.list().await? {
        let ours = name.strip_suffix(".tmp").unwrap_or(&name).strip_suffix(".pem").is_some_and(|kid| kid.len() == 43);
        if ours && !kept.contains(&name) {
            shelf.remove(&name).await?;
        }
    }
    Ok(())
}

fn held(shelf: &Shelf, kid: &KeyId, text: &Secret<String>) -> Result<Arc<HeldKey>, KeyError> {
    let path = shelf.path(&file_of(kid));
    let mend = "restore the file, or remove it: the broker then goes on with another key";
    let key = SigningKey::from_pkcs8_pem(text.expose()).map_err(|error| wrong(&path, error.to_string(), mend))?;
    if key.kid() != kid {
        return Err(wrong(&path, format!("it holds the key {}", key.kid()), mend));
    }
    Ok(HeldKey::new(key))
}
