//! The command line: one file a command.
//!
//! Owns names, output and exit codes. Never decides anything: it asks a broker, or reads a file.

mod admin;
mod args;
mod audience;
mod audit;
mod cedar;
mod complete;
mod completions;
mod demo;
mod diff;
mod doctor;
mod event;
mod explain;
mod failure;
mod fresh;
mod guard;
mod history;
mod in_use;
mod init;
mod input;
mod key;
mod lease;
mod man;
mod output;
mod policy;
mod private;
mod report;
mod run;
pub mod serve;
mod shell;
mod status;
mod token;
mod verify;
mod who;
mod workload;

use std::future::Future;
use std::process::ExitCode;

use clap::Parser as _;

pub use args::ServeArgs;
pub use failure::Failure;

use crate::client::ClientError;
use args::{Cli, Command};

/// Parses the command line, does what it says, gives the exit code.
pub fn main() -> ExitCode {
    let is_private = private::memory();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&args::with_what_was_meant(error)),
    };
    if let Err(error) = is_private {
        output::warning(format_args!("this process's memory can be read by others of this user: {error}"));
    }
    match dispatch(cli) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

/// Help and version, or what is wrong with the command line: in colours, but for a credential that it would quote.
fn not_understood(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let shown = output::without_secrets(&text);
    if error.use_stderr() && shown != text {
        output::line_of_error(&shown);
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let at = cli.admin.as_deref();
    admin::named(at);
    match cli.command {
        Command::Demo(args) => wait_for(demo::run(args)),
        Command::Init(args) => init::run(&args),
        Command::Doctor(args) => wait_for(doctor::run(args)),
        Command::Serve(args) => Ok(serve::run(args)),
        Command::Token(args) => wait_for(token::run(args)),
        Command::Run(args) => wait_for(run::run(args)),
        Command::Complete(args) => wait_for(complete::run(args)),
        Command::Verify(args) => wait_for(verify::run(args)),
        Command::Guard(args) => Ok(guard::run(&args)),
        Command::Lease(command) => wait_for(lease::run(command, at)),
        Command::Workload(command) => wait_for(workload::run(command, at)),
        Command::Audience(command) => wait_for(audience::run(command, at)),
        Command::Status(args) => wait_for(status::run(args, at)),
        Command::Report(args) => wait_for(report::run(args, at)),
        Command::Policy(command) => policy::run(command, at),
        Command::Audit(command) => wait_for(audit::run(command, at)),
        Command::Key(command) => wait_for(key::run(command, at)),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// Runs one command's future on this thread: a client needs no more.
fn wait_for(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| no_event_loop(&error))?;
    runtime.block_on(command)
}

fn no_event_loop(error: &std::io::Error) -> Failure {
    Failure::new(format!("this system gives no event loop: {error}"), "raise the limits on open files and on threads")
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Setting { .. } | ClientError::NoIdentity { .. } => {
                Self::usage(error.to_string(), error.next_step())
            }
            _ => Self::new(error.to_string(), error.next_step()),
        }
    }
}
