//! What is asked of a policies directory, without a broker.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::OutputArgs;
use crate::model::time::parse_span;

/// `jitney policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Loads a policies directory and prints what is wrong with it
    #[command(after_help = "Examples:\n  \
        jitney policy check policies\n  \
        jitney policy check --deny warning --format sarif > findings.sarif")]
    Check(CheckArgs),
    /// Shows who gains what access by a change; exits with 3 where access widens and the change does not state it
    #[command(after_help = "Examples:\n  \
        jitney policy diff origin/main policies\n  \
        jitney policy diff v1.4 v1.5 --dir deploy/policies --format json")]
    Diff(DiffArgs),
    /// Runs the cases of tests/*.toml, and names the policies that none of them has put to work
    #[command(after_help = "Example:\n  jitney policy test policies")]
    Test(TestArgs),
}

/// `jitney policy check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The directory
    #[arg(default_value = "policies")]
    pub dir: PathBuf,
    /// How findings are printed: for people, for programs, or for a code host
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: CheckFormat,
    /// From which level on a finding makes the command fail
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    pub deny: DenyLevel,
}

/// `jitney policy diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// What there was: a folder, a revision of git, or REVISION:FOLDER
    pub base: String,
    /// What there is to be, named in the same way
    pub head: String,
    /// The folder that is read at a revision, seen from here
    #[arg(long, value_name = "DIR", default_value = "policies")]
    pub dir: String,
    /// How the change is printed: for a pull request, or for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: DiffFormat,
    /// How long a solver may be asked, where nothing else tells whether access widens
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = parse_span)]
    pub budget: Duration,
}

/// `jitney policy test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The directory
    #[arg(default_value = "policies")]
    pub dir: PathBuf,
    /// How the outcome is printed.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How a change is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DiffFormat {
    #[default]
    Markdown,
    Json,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum CheckFormat {
    #[default]
    Text,
    Json,
    Sarif,
}

/// From which level on a finding makes a check fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DenyLevel {
    #[default]
    Error,
    Warning,
    Note,
}
