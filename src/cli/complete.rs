//! `jitney complete`: says that a task is over, with the workload's own credential.

use std::path::Path;
use std::process::ExitCode;

use super::args::CompleteArgs;
use super::{Failure, input, who};
use crate::client::{self, TokenClient};
use crate::model::TaskId;

/// Where such a token comes from.
const EXAMPLE: &str = "jitney token --audience A --scope S > token";

/// Completes the task. Silent when done, also the second time.
///
/// # Errors
/// [`Failure`] where the broker did not take it.
pub async fn run(args: CompleteArgs) -> Result<ExitCode, Failure> {
    let task = match args.task {
        Some(task) => task,
        None => task_in(args.token_file.as_deref())?,
    };
    TokenClient::connect(who::here()?).await?.complete(&task).await?;
    Ok(ExitCode::SUCCESS)
}

/// The task of a token, where its name was the platform's or the broker's choice. Whether the token is good does not matter.
fn task_in(file: Option<&Path>) -> Result<TaskId, Failure> {
    let file = file.filter(|path| *path != Path::new("-"));
    let token = input::token(file, EXAMPLE)?;
    client::task_of(token.expose()).ok_or_else(|| Failure::new("what was read is no token of a jitney broker", EXAMPLE))
}
