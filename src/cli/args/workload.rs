//! What a workload types.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::OutputArgs;
use crate::model::time::parse_span;
use crate::model::{AudienceUri, InvalidName, ScopeSet, TaskId};

pub(super) const TOKEN_HELP: &str = "\
Settings: JITNEY_URL; who asks: JITNEY_WORKLOAD and JITNEY_KEY_FILE, or a JWT in JITNEY_ASSERTION_FILE; without them
the identity that GitHub Actions, GitLab (JITNEY_ID_TOKEN) or Kubernetes gives. Where the platform attests the task, or
the broker names it, --task is left out.

Example:
  jitney token --task build-42 --audience https://api.example.com --scope orders:read";

pub(super) const COMPLETE_HELP: &str = "\
Settings: as for `jitney token`.

Examples:
  jitney complete --task build-42
  jitney complete --token-file token";

pub(super) const RUN_HELP: &str = "\
The command finds the token in JITNEY_TOKEN, and in the file JITNEY_TOKEN_FILE, which is kept fresh for as long as it
runs. It sees none of jitney's settings but JITNEY_URL, JITNEY_ISSUER and JITNEY_WORKLOAD, and none of the platform's
credentials: ACTIONS_ID_TOKEN_REQUEST_*, ACTIONS_RUNTIME_TOKEN, CI_JOB_TOKEN and its twins (CI_REGISTRY_PASSWORD,
CI_DEPENDENCY_PROXY_PASSWORD, CI_REPOSITORY_URL), CI_JOB_JWT*, SPIFFE_ENDPOINT_SOCKET, and under any name a JWT for this
broker. Exit code: the command's own, 128 + n when signal n killed it, 126 or 127 when it cannot start, 1 when no token
was granted: then it is not started.
Settings: as for `jitney token`.

Example:
  jitney run --task build-42 --audience https://api.example.com --scope orders:read -- make report";

pub(super) const VERIFY_HELP: &str = "\
Setting: JITNEY_URL, and JITNEY_ISSUER where the broker is reached under another name.
Exit code: 0 valid, 1 not valid or not known.

Example:
  jitney token --task build-42 --audience https://api.example.com --scope orders:read | jitney verify";

/// What a token is asked for.
#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    /// The task the token is for [default: what the platform attests, or the broker names]
    #[arg(long, value_parser = TaskId::parse)]
    pub task: Option<TaskId>,
    /// The resource server it is for
    #[arg(long, value_name = "URI", value_parser = AudienceUri::parse)]
    pub audience: AudienceUri,
    /// What it may do; repeats, or takes a space-separated list
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = ScopeSet::parse)]
    scopes: Vec<ScopeSet>,
    /// How long it may live, like 90s or 5m [default: the broker's]
    #[arg(long, value_parser = parse_span)]
    pub ttl: Option<Duration>,
}

impl AskArgs {
    /// All scopes of all `--scope`, in the order given.
    ///
    /// # Errors
    /// [`InvalidName`] where there are too many.
    pub fn scopes(&self) -> Result<ScopeSet, InvalidName> {
        joined(&self.scopes)
    }
}

/// All scopes of all `--scope`, in the order given.
///
/// # Errors
/// [`InvalidName`] where there are too many.
pub fn joined(scopes: &[ScopeSet]) -> Result<ScopeSet, InvalidName> {
    let all: Vec<String> = scopes.iter().map(ToString::to_string).collect();
    ScopeSet::parse(&all.join(" "))
}

/// `jitney token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// What is asked for.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// `jitney run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What is asked for.
    #[command(flatten)]
    pub ask: AskArgs,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// `jitney complete`.
#[derive(Debug, Args)]
pub struct CompleteArgs {
    /// The task that is over
    #[arg(long, value_parser = TaskId::parse, required_unless_present = "token_file", conflicts_with = "token_file")]
    pub task: Option<TaskId>,
    /// Of the token in this file, the task; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// `jitney verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Where the token is read from: `-`, standard input
    #[arg(value_name = "-", conflicts_with = "token_file")]
    pub stdin: Option<String>,
    /// Read the token from this file instead
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The resource server it must be for [default: any]
    #[arg(long, value_name = "URI", value_parser = AudienceUri::parse)]
    pub audience: Option<AudienceUri>,
    /// How the answer is printed.
    #[command(flatten)]
    pub output: OutputArgs,
}
