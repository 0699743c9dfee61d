//! The store's settings, as they were when they were last looked at, and which of them have changed since.
//!
//! Owns what counts as a change. Never refuses anything: what a store must be at the start is said there.

use std::sync::{Mutex, PoisonError};

use crate::store::Safety;

/// What is a measurement: its value is another one at every look, and no change.
const MEASURED: &str = "clock";

/// The settings as last seen; none before the first look.
#[derive(Default)]
pub(super) struct Settings(Mutex<Option<Vec<Safety>>>);

impl Settings {
    /// Takes note of the settings of now; those that became unsafe or safe since the last look, or are unsafe in another
    /// way. Of the first look, at the start, none: what is unsafe there was told of or accepted.
    pub(super) fn learn(&self, now: Vec<Safety>) -> Vec<Safety> {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(now.clone());
        let Some(before) = before else { return Vec::new() };
        let is_news = |row: &Safety| {
            let then = before.iter().find(|then| then.setting == row.setting);
            then.is_none_or(|then| {
                then.safe != row.safe || (!row.safe && row.setting != MEASURED && then.value != row.value)
            })
        };
        now.into_iter().filter(is_news).collect()
    }
}

/// Says it in the log.
pub(super) fn tell(row: &Safety) {
    let Safety { setting, value, safe, mend } = row;
    match safe {
        false => tracing::warn!(setting, value, "the store was made unsafe while it runs: {mend}"),
        true => tracing::info!(setting, value, "the store's setting is safe again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(setting: &str, value: &str, safe: bool) -> Safety {
        Safety { setting: setting.into(), value: value.into(), safe, mend: "mend it".into() }
    }

    #[test]
    fn each_change_is_told_once_and_the_first_look_tells_nothing() {
        let settings = Settings::default();
        let eviction = |value: &str| row("maxmemory-policy", value, value == "noeviction");
        // What was accepted at the start is no change.
        let fsync = row("appendfsync", "everysec", false);
        let told = |value: &str| -> Vec<String> {
            let rows = settings.learn(vec![fsync.clone(), eviction(value)]);
            rows.into_iter().map(|row| format!("{} {}", row.setting, row.value)).collect()
        };
        assert_eq!(told("noeviction"), [""; 0]);
        assert_eq!(told("allkeys-lru"), ["maxmemory-policy allkeys-lru"]);
        assert_eq!(told("allkeys-lru"), [""; 0]);
        assert_eq!(told("allkeys-lfu"), ["maxmemory-policy allkeys-lfu"]);
        assert_eq!(told("noeviction"), ["maxmemory-policy noeviction"]);
        assert_eq!(told("noeviction"), [""; 0]);
    }

    #[test]
    fn a_clock_that_drifts_on_is_told_of_once() {
        let settings = Settings::default();
        let told = |apart: &str, safe| settings.learn(vec![row(MEASURED, apart, safe)]).len();
        let looks =
            [("1s apart", true), ("2s apart", true), ("40s apart", false), ("41s apart", false), ("9s apart", true)];
        assert_eq!(looks.map(|(apart, safe)| told(apart, safe)), [0, 0, 1, 0, 1]);
    }
}
