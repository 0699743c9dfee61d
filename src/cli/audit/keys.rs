//! Checkpoints with their signatures checked: against keys that are given, or those that stand beside them.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::Failure;
use crate::audit::{Checkpoint, Kept, Point};
use crate::fetch::{Fetch, FetchOptions};
use crate::jose::JwkSet;
use crate::keys::check_checkpoint;

/// A checkpoint whose signature fits.
pub(super) struct Checked {
    pub(super) checkpoint: Checkpoint,
    /// The key's name.
    pub(super) kid: String,
    /// Whether the key is one of those that were given.
    pub(super) is_known: bool,
}

impl Checked {
    pub(super) fn point(&self) -> Point {
        Point { seq: self.checkpoint.seq, head: self.checkpoint.head.clone() }
    }
}

/// Checks all: with the given keys where one of them is the signer's, else with the key beside it.
///
/// # Errors
/// [`Failure`] with the first that does not fit.
pub(super) fn check(all: &[Kept], given: Option<&JwkSet>, file: &Path) -> Result<Vec<Checked>, Failure> {
    let mut checked: Vec<Checked> = Vec::with_capacity(all.len());
    for (line, kept) in (1..).zip(all) {
        let wrong = |why: String| {
            let told = format!("line {line} of the checkpoints {}: {why}", file.display());
            Failure::new(told, "compare with a copy: this checkpoint was changed, or is none of a broker's")
        };
        let own = own_key(kept).map_err(&wrong)?;
        let kid = kept.key["kid"].as_str().unwrap_or_default().to_owned();
        let by_given = given.map(|keys| check_checkpoint(&kept.checkpoint, keys)).transpose();
        let by_given = by_given.map_err(|error| wrong(error.to_string()))?.flatten();
        let is_known = by_given.is_some();
        let by_own = || check_checkpoint(&kept.checkpoint, &own).map_err(|error| wrong(error.to_string()));
        let checkpoint = match by_given {
            Some(checkpoint) => Some(checkpoint),
            None => by_own()?,
        };
        let checkpoint =
            checkpoint.ok_or_else(|| wrong("it is signed with another key than the one beside it".into()))?;
        if let Some(before) = checked.last().map(|before| &before.checkpoint)
            && (checkpoint.after != before.seq || checkpoint.seq <= before.seq)
        {
            let (after, before) = (checkpoint.after, before.seq);
            return Err(wrong(format!(
                "it follows a checkpoint of line {after}, and the one before it tells of line {before}: one is missing, or \
                 the log was begun anew"
            )));
        }
        checked.push(Checked { checkpoint, kid, is_known });
    }
    Ok(checked)
}

fn own_key(kept: &Kept) -> Result<JwkSet, String> {
    let mut set = Map::new();
    set.insert("keys".into(), json!([kept.key]));
    JwkSet::from_json(&set).map_err(|error| format!("the key beside it is none: {error}"))
}

/// The keys in a file, or at a broker's URL.
///
/// # Errors
/// [`Failure`] where they cannot be had.
pub(super) async fn given(place: &str) -> Result<JwkSet, Failure> {
    let next = "name a JWK set: a file, or the URL of a broker or of its JWKS";
    let failed = |why: String| Failure::new(format!("no keys from {place}: {why}"), next);
    let bytes = match place.contains("://") {
        false => fs::read(place).map_err(|error| failed(error.to_string()))?,
        true => {
            let is_bare = place.split_once("://").is_some_and(|(_, rest)| !rest.trim_end_matches('/').contains('/'));
            let url = if is_bare { format!("{}/oauth2/jwks", place.trim_end_matches('/')) } else { place.to_owned() };
            let answer =
                Fetch::new(FetchOptions::default()).get(&url).await.map_err(|error| failed(error.to_string()))?;
            if !answer.status.is_success() {
                return Err(failed(format!("{url} answers {}", answer.status)));
            }
            answer.body.to_vec()
        }
    };
    let (keys, _) = JwkSet::parse_published(&bytes).map_err(|error| failed(error.to_string()))?;
    Ok(keys)
}

/// The last checkpoint, for programs.
pub(super) fn told(checked: &Checked) -> Value {
    let Checkpoint { iss, broker, iat, seq, head, .. } = &checked.checkpoint;
    json!({"seq": seq, "hash": head, "iat": iat, "iss": iss, "broker": broker, "kid": checked.kid})
}
