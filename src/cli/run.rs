//! `jitney run`: a command with a token, from the first grant to the completed task.
//!
//! Whatever happens once a token may have been granted, the task is completed before this ends. Only a death that
//! nobody can catch (SIGKILL) leaves it to the token's `exp`.

mod environment;
mod folder;
mod signals;

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::args::RunArgs;
use super::{Failure, output, who};
use crate::client::{ClientError, HeldToken, Token, TokenClient};
use crate::model::TaskId;
use environment::Hidden;
use folder::TokenFolder;
use signals::Signals;

/// How long a signal waits for what may have been granted already, and then for the end of its task.
const PATIENCE: Duration = Duration::from_secs(10);
/// After this a token that could not be written to its file is written again.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// Runs the command.
///
/// # Errors
/// [`Failure`] where no token was granted; the command was not started then.
pub async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let ask = super::token::ask(args.ask)?;
    let mut signals = Signals::listen()?;
    let client = tokio::select! {
        connected = TokenClient::connect(who::here()?) => Arc::new(connected?),
        signal = signals.next() => return Ok(ExitCode::from(code_of_signal(signal.number()))),
    };
    let task = ask.task.clone();
    let mut asking = Box::pin(HeldToken::ask(client.clone(), ask));
    let mut held = tokio::select! {
        granted = &mut asking => granted?,
        signal = signals.next() => {
            give_up(&client, task, asking).await;
            return Ok(ExitCode::from(code_of_signal(signal.number())));
        }
    };
    let secrets = client.identity().secrets().await;
    let hidden = Hidden { broker: client.identity().broker(), secrets: &secrets };
    let code = supervise(&args.command, &mut held, &hidden, &mut signals).await;
    let task = held.task().clone();
    if let Err(error) = held.complete().await {
        not_completed(&task, &error);
    }
    Ok(ExitCode::from(code))
}

/// Ends the task of a token that nobody waits for any more: the broker may have granted it.
async fn give_up(
    client: &TokenClient,
    task: Option<TaskId>,
    asking: impl Future<Output = Result<HeldToken, ClientError>>,
) {
    let (task, completed) = match task {
        Some(task) => {
            drop(asking);
            let completed = client.complete_within(&task, PATIENCE).await;
            (task, completed)
        }
        // Only the answer tells which task that is. Where none comes, nobody knows of a token.
        None => match timeout(PATIENCE, asking).await {
            Ok(Ok(held)) => (held.task().clone(), held.complete().await),
            _ => return,
        },
    };
    if let Err(error) = completed {
        not_completed(&task, &error);
    }
}

/// Starts the command, keeps its token fresh and passes signals on until it ends; gives the exit code.
async fn supervise(command: &[OsString], held: &mut HeldToken, hidden: &Hidden<'_>, signals: &mut Signals) -> u8 {
    let token = held.token();
    let folder = match TokenFolder::create(&token.text) {
        Ok(folder) => folder,
        Err(error) => {
            let next = "name a folder that can be written in TMPDIR";
            return failed(&format!("no folder can be made for the token: {error}"), next, 1);
        }
    };
    let (program, arguments) = match command {
        [program, arguments @ ..] => (program, arguments),
        [] => return failed("there is no command to run", "write it behind `--`", 127),
    };
    let mut child = Command::new(program);
    child.args(arguments);
    for name in hidden.names(std::env::vars_os()) {
        child.env_remove(name);
    }
    child.env("JITNEY_TOKEN", token.text.expose()).env("JITNEY_TOKEN_FILE", folder.file());
    let mut child = match child.spawn() {
        Ok(child) => child,
        Err(error) => {
            let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
            let next = "see that it is in PATH, or write its path, and that it may be executed";
            return failed(&format!("`{}` cannot be started: {error}", program.display()), next, code);
        }
    };
    tokio::select! {
        status = wait(&mut child, signals) => code_of(status),
        never = keep_file(held, token, &folder) => match never {},
    }
}

/// Waits for the command's end; passes on what it does not hear itself.
async fn wait(child: &mut Child, signals: &mut Signals) -> std::io::Result<ExitStatus> {
    loop {
        // The id is there until the child was waited for: a signal meets this child or, at worst, its corpse.
        let id = child.id();
        tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => if let Some(id) = id { signal.pass_on(id) },
        }
    }
}

/// Keeps the newest token in the file, for ever. `written`: the one that stands there.
async fn keep_file(held: &mut HeldToken, mut written: Arc<Token>, folder: &TokenFolder) -> Infallible {
    loop {
        held.changed().await;
        match held.trouble() {
            Some(why) if held.is_ended() => output::warning(format_args!(
                "the task has ended, its token is over and is not asked for any more; the command still runs: {why}"
            )),
            Some(why) => output::warning(format_args!("the token is not fresh, it is asked for again: {why}")),
            None => {}
        }
        let mut told = false;
        loop {
            let newest = held.token();
            if Arc::ptr_eq(&newest, &written) {
                break;
            }
            match folder.replace(&newest.text) {
                Ok(()) => written = newest,
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        output::warning(format_args!("the fresh token cannot be written, it is tried again: {error}"));
                    }
                    sleep(WRITE_AGAIN).await;
                }
            }
        }
    }
}

fn not_completed(task: &TaskId, why: &ClientError) {
    let why = format!("the task {task} was not completed, its tokens live on until they expire: {why}");
    output::error(&Failure::new(why, format!("jitney complete --task {task}")));
}

/// Tells why the command did not run.
fn failed(why: &str, next: &str, code: u8) -> u8 {
    output::error(&Failure::new(why, next));
    code
}

fn code_of(status: std::io::Result<ExitStatus>) -> u8 {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => u8::try_from(code).unwrap_or(1),
            (None, Some(signal)) => code_of_signal(signal),
            (None, None) => 1,
        },
        Err(error) => {
            let next = "look whether the command still runs; the task is completed";
            failed(&format!("the command's end cannot be seen: {error}"), next, 1)
        }
    }
}

/// As shells say it: 128 + n.
fn code_of_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}
