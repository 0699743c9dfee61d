//! What somebody types at first contact: `init`, `doctor`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::OutputArgs;
use crate::model::time::parse_span;
use crate::model::{AudienceUri, ScopeSet, TaskId, WorkloadId};

pub(super) const INIT_HELP: &str = "\
Writes jitney.toml and policies/ with one workload, one audience and one policy, a comment at each line. With a key (the
default) also the key, below .jitney, and workload.env to source. No file that exists is touched: then nothing is
written. Lines to change are marked EDIT, and printed with the commands to paste.

Examples:
  jitney init shop
  jitney init shop --workload deploy --audience https://orders.example.com --scope 'orders:read orders:write'
  jitney init shop --platform github --repository-id 123456 --environment production --broker https://jitney.example.com";

pub(super) const DOCTOR_HELP: &str = "\
Checks in order, as this workload: settings, the way to the broker, TLS, clock, issuer, identity; then, by asking, what the
broker makes of them. With --audience and --scope it asks what a token of a task of its own, `doctor-…`, would be: none is
made, and a line in the audit log remains, marked as a probe. Without them it only completes such a task.
Exit code: 0 where nothing failed, 1 otherwise.

Example:
  jitney doctor --audience https://api.example.com --scope orders:read";

const PLATFORM: &str = "Platform";

/// How the first workload proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Platform {
    /// By a key of its own
    #[default]
    Key,
    /// By the token of a GitHub Actions run
    Github,
    /// By the id token of a GitLab job
    Gitlab,
    /// By the projected token of a pod
    Kubernetes,
}

/// `jitney init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The folder to write to; made where it is missing
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// The first workload's id
    #[arg(long, value_name = "ID", default_value = "first-job", value_parser = WorkloadId::parse)]
    pub workload: WorkloadId,
    /// The resource server it calls
    #[arg(long, value_name = "URI", default_value = DEFAULT_AUDIENCE, value_parser = AudienceUri::parse)]
    pub audience: AudienceUri,
    /// What it may do there; repeats, or takes a space-separated list
    #[arg(long = "scope", value_name = "SCOPE", default_value = "orders:read", value_parser = ScopeSet::parse)]
    pub scopes: Vec<ScopeSet>,
    /// Who answers for it [default: git's user.email]
    #[arg(long, value_name = "EMAIL")]
    pub owner: Option<String>,
    /// Where the broker will be reached [default: http://127.0.0.1:8180 with a key, else a name to change]
    #[arg(long, value_name = "URL")]
    pub broker: Option<String>,
    /// How it proves who it is
    #[arg(long, value_enum, default_value_t, help_heading = PLATFORM)]
    pub platform: Platform,
    /// GitHub: the repository's id, as `gh api repos/OWNER/NAME --jq .id` prints it
    #[arg(long, value_name = "NUMBER", help_heading = PLATFORM)]
    pub repository_id: Option<u64>,
    /// GitLab: the project's id, as its page shows it
    #[arg(long, value_name = "NUMBER", help_heading = PLATFORM)]
    pub project_id: Option<u64>,
    /// GitHub, GitLab: only jobs of this environment
    #[arg(long, value_name = "NAME", help_heading = PLATFORM)]
    pub environment: Option<String>,
    /// GitHub, GitLab: only jobs of this ref, like refs/heads/main (GitLab: main)
    #[arg(long = "ref", value_name = "REF", help_heading = PLATFORM)]
    pub git_ref: Option<String>,
    /// Kubernetes: the service account, as NAMESPACE/NAME
    #[arg(long, value_name = "NAMESPACE/NAME", help_heading = PLATFORM)]
    pub service_account: Option<String>,
    /// Who signs the platform's tokens [default: that of github.com or gitlab.com; a cluster's must be given]
    #[arg(long, value_name = "URL", help_heading = PLATFORM)]
    pub issuer: Option<String>,
}

/// The audience of whoever names none: `init` marks it as one to change.
pub const DEFAULT_AUDIENCE: &str = "https://api.example.com";

/// `jitney doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Ask for a token for this resource server
    #[arg(long, value_name = "URI", value_parser = AudienceUri::parse, requires = "scopes")]
    pub audience: Option<AudienceUri>,
    /// Ask for these scopes; repeats, or takes a space-separated list
    #[arg(long = "scope", value_name = "SCOPE", value_parser = ScopeSet::parse, requires = "audience")]
    pub scopes: Vec<ScopeSet>,
    /// Ask for this long: seconds, or a span like 5m
    #[arg(long, value_parser = parse_span, requires = "audience")]
    pub ttl: Option<Duration>,
    /// Ask for a child of this task, as `T/doctor-…`, where policies go by the task's name or a platform attests it
    #[arg(long, value_parser = TaskId::parse)]
    pub task: Option<TaskId>,
    /// Ask for nothing: no lease, no line in the audit log, and no word on what the broker would say
    #[arg(long)]
    pub no_ask: bool,
    /// How the findings are printed.
    #[command(flatten)]
    pub output: OutputArgs,
}
