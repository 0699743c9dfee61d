//! `jitney completions`: what a shell needs to complete jitney's commands and options, on standard output.

use std::process::ExitCode;

use clap::CommandFactory as _;

use super::args::{Cli, CompletionsArgs};
use super::{Failure, output};

/// Prints the script of one shell.
///
/// # Errors
/// [`Failure`] where it cannot be written.
pub fn run(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    // Into memory first: the generator panics where its writer fails, as a closed pipe does.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "jitney", &mut script);
    output::raw(&script)?;
    Ok(ExitCode::SUCCESS)
}
