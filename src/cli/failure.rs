//! Why a command did not do what it was asked, and what to do next.

use std::io;
use std::process::ExitCode;

/// A command's failure, printed as `error: …` with its next step. Exit code 1, or 2 for wrong usage.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong, as a sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub next: Option<String>,
    code: u8,
    silent: bool,
}

impl Failure {
    /// It was refused, or failed: exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), next: None, code: 1, silent: false }
    }

    /// The command was used wrongly: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, ..Self::new(message) }
    }

    /// What was asked has been answered already, on standard output, and the answer is no: exit code 1, nothing more.
    pub fn answered() -> Self {
        Self { silent: true, ..Self::new("") }
    }

    /// The same, with the next step.
    #[must_use]
    pub fn next(self, step: impl Into<String>) -> Self {
        Self { next: Some(step.into()), ..self }
    }

    /// Prints it and gives the exit code.
    pub fn report(&self) -> ExitCode {
        if !self.silent {
            super::output::error(self);
        }
        ExitCode::from(self.code)
    }
}

impl From<io::Error> for Failure {
    /// What could not be written to standard output. A reader that left early needs no telling.
    fn from(error: io::Error) -> Self {
        let silent = error.kind() == io::ErrorKind::BrokenPipe;
        Self { silent, ..Self::new(format!("standard output cannot be written: {error}")) }
    }
}
