//! What is asked of a policies directory, without a broker.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::OutputArgs;

/// `jitney policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Loads a policies directory and prints what is wrong with it
    #[command(after_help = "Examples:\n  \
        jitney policy check policies\n  \
        jitney policy check --deny warning --format sarif > findings.sarif")]
    Check(CheckArgs),
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
