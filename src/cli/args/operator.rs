//! What an operator types.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};

use super::OutputArgs;
use crate::model::{AudienceUri, KeyId, LeaseId, TaskId, WorkloadId};

fn lease_id(raw: &str) -> Result<LeaseId, String> {
    LeaseId::parse(raw).ok_or_else(|| "a lease id is a UUID in lower case, as `jitney lease list` prints it".into())
}

fn limit(raw: &str) -> Result<usize, String> {
    let read = raw.parse().ok().filter(|limit| *limit > 0);
    read.ok_or_else(|| "write a whole number from 1; as many as there are: --all".into())
}

/// `--reason`, of whatever ends something or lifts its end.
#[derive(Debug, Args)]
pub struct Reason {
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub reason: String,
}

/// `jitney lease`.
#[derive(Debug, Subcommand)]
pub enum LeaseCommand {
    /// Lists the leases that have not expired, ended ones too
    #[command(after_help = LIST_HELP)]
    List {
        /// Which.
        #[command(flatten)]
        filter: LeaseFilterArgs,
        /// How they are printed.
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Shows one lease with its whole story
    #[command(after_help = "Example:\n  jitney lease show 0190163d-8694-839b-aea5-966c26f8ad91")]
    Show {
        /// The lease: its token's `jti`
        #[arg(value_parser = lease_id)]
        id: LeaseId,
        /// How it is printed.
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Ends leases: one, a task's, a workload's, an audience's, a key's, or all
    #[command(after_help = "Examples:\n  \
        jitney lease revoke --task deploy-42 --workload deployer --reason 'left running'\n  \
        jitney lease revoke --all --reason drill --dry-run")]
    Revoke(RevokeArgs),
    /// Follows what happens to leases live, one line an event
    #[command(after_help = WATCH_HELP)]
    Watch {
        /// How they are printed.
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Which leases are listed.
#[derive(Debug, Args)]
pub struct LeaseFilterArgs {
    /// Of this workload
    #[arg(long, value_name = "ID", value_parser = WorkloadId::parse)]
    pub workload: Option<WorkloadId>,
    /// For this resource server
    #[arg(long, value_name = "URI", value_parser = AudienceUri::parse)]
    pub audience: Option<AudienceUri>,
    /// Of this task and its children
    #[arg(long, value_parser = TaskId::parse)]
    pub task: Option<TaskId>,
    /// In this state; one that has expired is in neither
    #[arg(long, value_enum)]
    pub state: Option<StateFilter>,
    /// At most so many
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = limit)]
    pub limit: usize,
    /// As many as there are, printed as they come
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
    /// Go on where another list ended: its `next`
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
}

/// In which state leases are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StateFilter {
    /// Its token is good now
    Live,
    /// It was ended before its time
    Ended,
}

const LIST_HELP: &str = "\
Examples:
  jitney lease list --task deploy-42 --state live
  jitney lease list --all --output json | jq -r '.leases[].id'

A list is read page by page and is no picture of one moment: what is granted meanwhile may be in it or not. It is in no
promised order. JSON is one document, {\"leases\": […], \"next\": …}, a line a lease, written as the pages come; `next` is null
where there are no more, else what --cursor takes.";

const WATCH_HELP: &str = "\
Examples:
  jitney lease watch
  jitney lease watch --output json | jq 'select(.event != \"mint\")'

Shows the lines of this broker's audit log as they are written, and of the other brokers on its store every end: their log
is one. Of another broker's end this one knows the kind, the position, and the name of a workload, an audience or a key; its
broker's audit log has the rest. Grants and refusals of other brokers are not shown.
When the broker goes away this goes on as soon as it is back, for a minute, and misses no end; grants of meanwhile stand in
the audit log. Who reads too slowly is cut off, which is said in the last line. Ends with Ctrl-C.";

/// `jitney lease revoke`: exactly one selector; `--workload` is one, or narrows `--task`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("selector").required(true).multiple(true)
    .args(["lease", "task", "workload", "audience", "key", "all"]))]
pub struct RevokeArgs {
    /// This lease, and those that renewed it
    #[arg(long, value_name = "ID", value_parser = lease_id, conflicts_with_all = ["task", "workload", "audience", "key", "all"])]
    pub lease: Option<LeaseId>,
    /// This task and its children; with --workload where several workloads run one of that name
    #[arg(long, value_parser = TaskId::parse, conflicts_with_all = ["audience", "key", "all"])]
    pub task: Option<TaskId>,
    /// Everything of this workload
    #[arg(long, value_name = "ID", value_parser = WorkloadId::parse, conflicts_with_all = ["audience", "key", "all"])]
    pub workload: Option<WorkloadId>,
    /// Everything for this resource server
    #[arg(long, value_name = "URI", value_parser = AudienceUri::parse, conflicts_with_all = ["key", "all"])]
    pub audience: Option<AudienceUri>,
    /// Everything this key has signed; it never signs again
    #[arg(long, value_name = "KID", value_parser = KeyId::parse, allow_hyphen_values = true, conflicts_with = "all")]
    pub key: Option<KeyId>,
    /// Everything
    #[arg(long)]
    pub all: bool,
    /// Why.
    #[command(flatten)]
    pub reason: Reason,
    /// Only count what would end
    #[arg(long)]
    pub dry_run: bool,
    /// How the outcome is printed.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `jitney workload`.
#[derive(Debug, Subcommand)]
pub enum WorkloadCommand {
    /// Lists the workloads
    #[command(after_help = "Examples:\n  jitney workload list\n  jitney workload list --due")]
    List {
        /// Those alone that expire or are to be reviewed within 30 days, or are past it
        #[arg(long)]
        due: bool,
        /// How they are printed.
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Shows one: who owns it, why it exists, what it may do, when it expires, how it is revoked
    #[command(after_help = "Example:\n  jitney workload show nightly-report")]
    Show {
        /// The workload
        #[arg(value_parser = WorkloadId::parse)]
        id: WorkloadId,
        /// How it is printed.
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Ends all its leases and lets it have no new one until it is released
    #[command(after_help = "Example:\n  jitney workload quarantine nightly-report --reason 'key leaked'")]
    Quarantine {
        /// The workload
        #[arg(value_parser = WorkloadId::parse)]
        id: WorkloadId,
        /// Why.
        #[command(flatten)]
        reason: Reason,
        /// How the outcome is printed.
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Lifts a quarantine
    #[command(after_help = "Example:\n  jitney workload release nightly-report --reason 'new key in place'")]
    Release {
        /// The workload
        #[arg(value_parser = WorkloadId::parse)]
        id: WorkloadId,
        /// Why.
        #[command(flatten)]
        reason: Reason,
        /// How the outcome is printed.
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// `jitney audience`.
#[derive(Debug, Subcommand)]
pub enum AudienceCommand {
    /// Lists the audiences
    #[command(after_help = "Example:\n  jitney audience list")]
    List {
        /// How they are printed.
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Shows one with its scopes
    #[command(after_help = "Example:\n  jitney audience show https://api.example.com")]
    Show {
        /// Its URI
        #[arg(value_name = "URI", value_parser = AudienceUri::parse)]
        id: AudienceUri,
        /// How it is printed.
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// How keys are printed: for people, for programs, or as PEM for other tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum KeyFormat {
    #[default]
    Table,
    Json,
    Pem,
}

/// `jitney key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Lists the published keys of all brokers
    #[command(after_help = "Example:\n  jitney key list --output pem")]
    List {
        /// How they are printed
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        output: KeyFormat,
    },
    /// Lets the next key sign, once verifiers have had time to fetch it
    #[command(after_help = "Example:\n  jitney key rotate")]
    Rotate {
        /// Do not wait until verifiers have fetched it: for a stolen key
        #[arg(long)]
        now: bool,
        /// How the outcome is printed.
        #[command(flatten)]
        output: OutputArgs,
    },
}
