//! The keyring's rules, case by case and over any sequence of steps.

pub(super) mod fake;
mod files;
mod life;
mod property;
