//! What is asked of a policies directory, without a broker.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::OutputArgs;
use crate::model::time::parse_span;
use crate::model::{TaskId, WorkloadId};

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
    /// Says why a request is allowed or refused, and what would have to be different
    #[command(after_help = EXPLAIN_HELP)]
    Explain(Box<ExplainArgs>),
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
    /// Ask a solver what form alone does not tell: permits that never apply, conditions that always fail, invariants
    #[arg(long)]
    pub prove: bool,
    /// How long the solver may be asked
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = parse_span, requires = "prove")]
    pub budget: Duration,
    /// A file that keeps what was proven: what has not changed is not asked again
    #[arg(long, value_name = "FILE")]
    pub cache: Option<PathBuf>,
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
    /// A file that keeps what was proven: what has not changed is not asked again
    #[arg(long, value_name = "FILE")]
    pub cache: Option<PathBuf>,
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

/// `jitney policy explain`: a decision, `-`, or a request.
#[derive(Debug, Args)]
#[command(
    override_usage = "jitney policy explain DECISION_ID\n       jitney policy explain --workload ID --audience URI --scope \
                            SCOPE [OPTIONS]\n       jitney policy explain - < REQUEST.json"
)]
pub struct ExplainArgs {
    /// A decision id, as a refusal tells it: looked up in the audit log. `-`: a request in JSON on standard input
    #[arg(conflicts_with_all = ["workload", "audience", "scopes", "task", "ttl", "identity", "claims", "now"])]
    pub decision: Option<String>,
    /// Who would ask
    #[arg(long, value_name = "ID", value_parser = WorkloadId::parse, required_unless_present = "decision")]
    pub workload: Option<WorkloadId>,
    /// For which resource server
    #[arg(long, value_name = "URI", required_unless_present = "decision")]
    pub audience: Option<String>,
    /// For what; repeat it, or give several with a space between
    #[arg(long = "scope", value_name = "SCOPE", required_unless_present = "decision")]
    pub scopes: Vec<String>,
    /// For which task [default: the one that the claims attest, else a stand-in]
    #[arg(long, value_parser = TaskId::parse)]
    pub task: Option<TaskId>,
    /// For how long: seconds, or a span like 5m
    #[arg(long, value_parser = parse_span)]
    pub ttl: Option<Duration>,
    /// Proven how: oidc, private_key_jwt [default: the first way that the workload has]
    #[arg(long, value_name = "TYPE")]
    pub identity: Option<String>,
    /// With this claim of the platform's token; repeat it
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    pub claims: Vec<(String, String)>,
    /// At this moment, RFC 3339, or from this day's beginning [default: now]
    #[arg(long, value_name = "WHEN")]
    pub now: Option<String>,
    /// By the policies in this directory [default: those of the broker of --admin]
    #[arg(long, value_name = "DIR")]
    pub policies: Option<PathBuf>,
    /// The audit log to look in [default: that of the broker of --admin]
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// How it is printed.
    #[command(flatten)]
    pub output: OutputArgs,
}

fn claim(raw: &str) -> Result<(String, String), String> {
    let (name, value) = raw.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

const EXPLAIN_HELP: &str = "\
Examples:
  jitney policy explain b1f4a2c9.6rmXl1cQk0m3k2Yx8cJc1A
  jitney policy explain --workload nightly-report --audience https://api.example.com --scope orders:write --ttl 10m
  jitney policy explain --policies policies - < request.json

A request in JSON has the members of a test case: workload, audience, scope, task, ttl, now, identity. What would have to be
different is marked where it could not be tried: anything else was decided as allowed, by the changed request or the changed set.
A broker that is reached says who is in quarantine; its set in use is explained, also where its folder does not load by now.
Exit code: 0 a decision was found and is explained, or the request would be allowed; 1 the request would be refused, or there
is no such decision here.";

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
