//! `jitney run`: a command with a token, from the first grant to the completed task.
//!
//! Whatever happens once a token may have been granted, the task is completed before this ends. Only a death that
//! nobody can catch (SIGKILL) leaves it to the token's `exp`.

mod environment;
mod folder;
mod signals;

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};

use super::args::RunArgs;
use super::{Failure, output};
use crate::client::{ClientError, Identity, Token, TokenAsk, TokenClient};
use folder::TokenFolder;
use signals::Signals;

/// How long completing is tried.
const COMPLETE_WITHIN: Duration = Duration::from_secs(10);
/// A token that could not be had again is asked for again after this, then after twice as long, and so on …
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// … up to this.
const LAST_RETRY: Duration = Duration::from_secs(30);

/// Runs the command.
///
/// # Errors
/// [`Failure`] where no token was granted; the command was not started then.
pub async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let ask = super::token::ask(args.ask)?;
    let mut signals = Signals::listen()?;
    let client = tokio::select! {
        connected = TokenClient::connect(Identity::from_env()?) => connected?,
        signal = signals.next() => return Ok(ExitCode::from(code_of_signal(signal.number()))),
    };
    let code = tokio::select! {
        granted = client.token(&ask) => supervise(&args.command, &client, &ask, granted?, &mut signals).await,
        // The broker may have granted what nobody waits for any more.
        signal = signals.next() => code_of_signal(signal.number()),
    };
    complete(&client, &ask).await;
    Ok(ExitCode::from(code))
}

/// Starts the command, keeps its token fresh and passes signals on until it ends; gives the exit code.
async fn supervise(
    command: &[std::ffi::OsString],
    client: &TokenClient,
    ask: &TokenAsk,
    token: Token,
    signals: &mut Signals,
) -> u8 {
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
    for name in environment::hidden(std::env::vars_os().map(|(name, _)| name)) {
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
        never = keep_fresh(client, ask, token.expires_in, &folder) => match never {},
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

/// Replaces the token in its file well before it ends, for ever.
async fn keep_fresh(
    client: &TokenClient,
    ask: &TokenAsk,
    mut lives: Duration,
    folder: &TokenFolder,
) -> std::convert::Infallible {
    let mut told = String::new();
    let mut retry = FIRST_RETRY;
    sleep(freshness(lives)).await;
    loop {
        let outcome = match client.token(ask).await {
            Ok(token) => folder.replace(&token.text).map(|()| token.expires_in).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(expires_in) => {
                lives = expires_in;
                retry = FIRST_RETRY;
                told.clear();
                sleep(freshness(lives)).await;
            }
            Err(why) => {
                if why != told {
                    output::warning(format_args!("the token is not fresh, it is asked for again: {why}"));
                    told = why;
                }
                sleep(retry).await;
                retry = (retry * 2).min(LAST_RETRY);
            }
        }
    }
}

/// After how much of its life a token is replaced: two thirds, less up to a sixth so that a fleet does not ask as one.
fn freshness(lives: Duration) -> Duration {
    let mut random = [0u8; 1];
    // Without randomness the fleet asks as one: slower, not wrong.
    let _ = SystemRandom::new().fill(&mut random);
    let early = lives.mul_f64(f64::from(random[0]) / 255.0 / 6.0);
    (lives.mul_f64(2.0 / 3.0).saturating_sub(early)).max(Duration::from_secs(1))
}

/// Completes the task with bounded effort. A failure is told and changes no exit code.
async fn complete(client: &TokenClient, ask: &TokenAsk) {
    let deadline = Instant::now() + COMPLETE_WITHIN;
    let mut retry = Duration::from_millis(200);
    let mut last = None;
    loop {
        match timeout_at(deadline, client.complete(&ask.task)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) if error.is_temporary() && Instant::now() + retry < deadline => last = Some(error),
            Ok(Err(error)) => return not_completed(ask, Some(&error)),
            Err(_) => return not_completed(ask, last.as_ref()),
        }
        sleep(retry).await;
        retry *= 2;
    }
}

fn not_completed(ask: &TokenAsk, why: Option<&ClientError>) {
    let why = why.map_or_else(|| "the broker gave no answer in time".to_owned(), ToString::to_string);
    output::error(&Failure::new(
        format!("the task {} was not completed, its tokens live on until they expire: {why}", ask.task),
        format!("jitney complete --task {}", ask.task),
    ));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_replaced_in_the_second_half_of_its_life_and_before_its_end() {
        for _ in 0..200 {
            let after = freshness(Duration::from_secs(300)).as_secs_f64();
            assert!((150.0..=200.0).contains(&after), "{after}");
        }
        assert_eq!(freshness(Duration::ZERO), Duration::from_secs(1));
    }
}
