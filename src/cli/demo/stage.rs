//! How the demo tells what happens: numbered steps, what came of each, how long it took, and why.

use std::fmt::Display;
use std::time::Duration;

use crate::cli::Failure;
use crate::cli::output::{self, paint, style};

/// The column in which times stand.
const TIME_AT: usize = 84;

/// Counts the steps.
#[derive(Debug, Default)]
pub(super) struct Stage {
    step: usize,
}

impl Stage {
    /// A new step: who does what.
    pub(super) fn step(&mut self, what: impl Display) -> Result<(), Failure> {
        self.step += 1;
        output::line(format_args!(
            "{} {}",
            paint(style::DIM, format_args!("{:>2}", self.step)),
            paint(style::STRONG, what)
        ))
    }

    /// It was done, or is good.
    pub(super) fn yes(&self, what: impl Display, took: Duration) -> Result<(), Failure> {
        outcome(&paint(style::GOOD, "✓"), &what.to_string(), took)
    }

    /// It was refused, as it should be.
    pub(super) fn no(&self, what: impl Display, took: Duration) -> Result<(), Failure> {
        outcome(&paint(style::BAD, "✗"), &what.to_string(), took)
    }

    /// Why.
    pub(super) fn why(&self, why: impl Display) -> Result<(), Failure> {
        output::line(format_args!("     {}", paint(style::DIM, why)))
    }
}

fn outcome(mark: &str, what: &str, took: Duration) -> Result<(), Failure> {
    let took = format!("{:.1} ms", took.as_secs_f64() * 1000.0);
    let width = TIME_AT.saturating_sub(took.len());
    output::line(format_args!("   {mark} {what:<width$} {}", paint(style::DIM, took)))
}
