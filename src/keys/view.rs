//! The keys as operators see them.

use serde::Serialize;

use crate::jose::es256::VerifyingKey;
use crate::model::{KeyId, UnixTime};
use crate::store::PublishedKey;

use super::Keyring;

/// A key's place in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Published, and waits.
    Next,
    /// Signs.
    Active,
    /// Signs no more; published for the sake of its tokens.
    Retired,
}

/// One published key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// Its name.
    pub kid: KeyId,
    /// The broker that holds the private half.
    pub broker: String,
    /// Its place in its life.
    pub state: KeyState,
    /// First published at.
    pub published_at: UnixTime,
    /// Signs from, or has since.
    pub signs_from: UnixTime,
    /// Leaves the JWKS at, unless that is extended.
    pub published_until: UnixTime,
    /// Signs no more since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<UnixTime>,
    /// The public half (`SubjectPublicKeyInfo` in PEM).
    pub pem: String,
}

impl Keyring {
    /// The published keys of all brokers, by broker and by age.
    pub fn list(&self) -> Vec<KeyView> {
        let state = self.state();
        let public = |kid: &KeyId| state.verifying.iter().find(|(name, _)| name == kid).map(|(_, key)| key);
        let mut views: Vec<KeyView> = state
            .published
            .values()
            .filter_map(|key| public(&key.kid).map(|public| view(key, public, state.published.values())))
            .collect();
        // By age; of two published in one second the one that is done comes first.
        let age = |view: &KeyView| (view.published_at, view.signs_from, view.retired_at.is_none());
        views.sort_by(|a, b| a.broker.cmp(&b.broker).then_with(|| age(a).cmp(&age(b))));
        views
    }
}

fn view<'a>(key: &PublishedKey, public: &VerifyingKey, all: impl Iterator<Item = &'a PublishedKey>) -> KeyView {
    KeyView {
        kid: key.kid.clone(),
        broker: key.broker.clone(),
        state: state_of(key, all),
        published_at: key.published_at,
        signs_from: key.signs_from,
        published_until: key.published_until,
        retired_at: key.retired_at,
        pem: public.to_pem(),
    }
}

/// Of a broker's keys that are not retired, the one that signs from the latest moment is the next one: the other signs
/// already. One alone signs.
fn state_of<'a>(key: &PublishedKey, mut all: impl Iterator<Item = &'a PublishedKey>) -> KeyState {
    if key.retired_at.is_some() {
        return KeyState::Retired;
    }
    let later = |other: &PublishedKey| other.signs_from < key.signs_from;
    match all.any(|other| other.broker == key.broker && other.retired_at.is_none() && later(other)) {
        true => KeyState::Next,
        false => KeyState::Active,
    }
}
