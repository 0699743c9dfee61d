//! `jitney complete`: says that a task is over, with the workload's own credential.

use std::process::ExitCode;

use super::Failure;
use super::args::CompleteArgs;
use crate::client::{Identity, TokenClient};

/// Completes the task. Silent when done, also the second time.
///
/// # Errors
/// [`Failure`] where the broker did not take it.
pub async fn run(args: CompleteArgs) -> Result<ExitCode, Failure> {
    TokenClient::connect(Identity::from_env()?).await?.complete(&args.task).await?;
    Ok(ExitCode::SUCCESS)
}
