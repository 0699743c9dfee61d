//! `jitney token`: asks for a token and prints it, and nothing else.

use std::process::ExitCode;

use super::args::{AskArgs, TokenArgs};
use super::{Failure, output, who};
use crate::client::{TokenAsk, TokenClient};

/// Asks and prints.
///
/// # Errors
/// [`Failure`] where there is no token.
pub async fn run(args: TokenArgs) -> Result<ExitCode, Failure> {
    let ask = ask(args.ask)?;
    let client = TokenClient::connect(who::here()?).await?;
    let token = client.token(&ask).await?;
    output::raw(token.text.expose().as_bytes())?;
    output::raw(b"\n")?;
    Ok(ExitCode::SUCCESS)
}

/// What the options ask for.
pub(super) fn ask(args: AskArgs) -> Result<TokenAsk, Failure> {
    let scopes =
        args.scopes().map_err(|error| Failure::usage(error.to_string(), "ask for fewer scopes in one token"))?;
    Ok(TokenAsk { task: args.task, audience: args.audience, scopes, ttl: args.ttl })
}
