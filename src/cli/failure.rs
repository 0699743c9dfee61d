//! Why a command did not do what it was asked, and what to do next.

use std::io;
use std::process::ExitCode;

/// A command's failure, printed as `error: …` with its next step: there is none without. Exit code 1, or 2 for wrong usage.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong, as a sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub next: String,
    code: u8,
    silent: bool,
}

impl Failure {
    /// It was refused, or failed: exit code 1.
    pub fn new(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { message: message.into(), next: next.into(), code: 1, silent: false }
    }

    /// The command was used wrongly: exit code 2.
    pub fn usage(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code: 2, ..Self::new(message, next) }
    }

    /// What must not happen has happened, and nobody but jitney's makers can mend it: exit code 1.
    pub fn unexpected(message: impl Into<String>) -> Self {
        Self::new(
            message,
            "this is a mistake of jitney's own: please report it, with this message and `jitney --version`",
        )
    }

    /// What was asked has been answered already, on standard output, and the answer is no: exit code 1, nothing more.
    pub fn answered() -> Self {
        Self { silent: true, ..Self::new("", "") }
    }

    /// The same, with another next step.
    #[must_use]
    pub fn next(self, step: impl Into<String>) -> Self {
        Self { next: step.into(), ..self }
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
        let next = "see that what standard output leads to can be written, and that the disk is not full";
        Self { silent, ..Self::new(format!("standard output cannot be written: {error}"), next) }
    }
}
