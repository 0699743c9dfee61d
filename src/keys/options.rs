//! What a keyring is told at start-up, and the spans of time that follow from it.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::UnixTime;

/// How far a publication reaches beyond the longest token: as long a store may be away.
const BEYOND: Duration = Duration::from_secs(24 * 3600);

/// What a slow answer of the store and whole seconds can cost of a wait.
const MARGIN: Duration = Duration::from_secs(5);

/// What a keyring is told at start-up.
#[derive(Debug, Clone)]
pub struct KeyringOptions {
    /// The broker's name: whose keys these are.
    pub broker: String,
    /// The `iss` of every token.
    pub issuer: String,
    /// Where the private keys lie.
    pub storage: Storage,
    /// How long a JWKS may be cached.
    pub jwks_max_age: Duration,
    /// The longest life of a token.
    pub max_ttl: Duration,
    /// By how much clocks may differ.
    pub skew: Duration,
    /// A key signs no longer than this, where it is given.
    pub rotation: Option<Duration>,
}

/// Where the private keys lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In this folder, which is made with mode 0700 where it is missing.
    File(PathBuf),
    /// Nowhere: they end with the process, and each start begins with a first key.
    Memory,
}

/// The spans that follow from the options.
#[derive(Debug, Clone)]
pub(super) struct Times {
    pub(super) max_age: Duration,
    pub(super) skew: Duration,
    /// The longest token and the skew: what a publication must always reach to.
    needed: Duration,
    pub(super) rotation: Option<Duration>,
}

impl Times {
    pub(super) fn of(options: &KeyringOptions) -> Self {
        Self {
            max_age: options.jwks_max_age,
            skew: options.skew,
            needed: options.max_ttl + options.skew,
            rotation: options.rotation,
        }
    }

    /// How old the reading behind a JWKS may be before less than `max_age` is promised for it. Another broker may serve a
    /// JWKS it built this long ago.
    pub(super) const fn lag(&self) -> Duration {
        Duration::from_secs(self.max_age.as_secs() / 20)
    }

    /// How long before its first signature a key is published (I2): at least `max_age`.
    pub(super) fn ahead(&self) -> Duration {
        self.max_age + self.lag() + MARGIN
    }

    /// Until when a key is published: moved out once half of the reserve is used up, never moved in.
    pub(super) fn extended(&self, known: Option<UnixTime>, now: UnixTime) -> UnixTime {
        match known {
            Some(until) if until.since(now) >= self.needed + BEYOND / 2 => until,
            _ => now.plus(self.needed + BEYOND),
        }
    }
}
