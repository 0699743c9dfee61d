//! `jitney key`: the published signing keys, and switching to the next.

use std::process::ExitCode;

use super::admin::{self, explain, list, moment, text};
use super::args::{Format, KeyCommand, KeyFormat};
use super::{Failure, output};
use crate::client::admin::AdminClient;

/// Does what one of `jitney key …` says.
///
/// # Errors
/// [`Failure`] where the broker refused or did not answer.
pub async fn run(command: KeyCommand, at: Option<&str>) -> Result<ExitCode, Failure> {
    let client = admin::connect(at)?;
    match command {
        KeyCommand::List { output } => all(&client, output).await?,
        KeyCommand::Rotate { now, output } => rotate(&client, now, output.output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn all(client: &AdminClient, format: KeyFormat) -> Result<(), Failure> {
    let document = client.keys().await.map_err(explain)?;
    let keys = list(&document, "keys");
    match format {
        KeyFormat::Json => output::json(&document),
        KeyFormat::Pem => keys.iter().try_for_each(|key| output::raw(pem(&text(key, "pem")).as_bytes())),
        KeyFormat::Table => {
            let rows = keys.iter().map(|key| {
                let names = ["kid", "state", "broker"].map(|name| text(key, name));
                let moments = ["signs_from", "published_until"].map(|name| moment(key, name));
                names.into_iter().chain(moments).collect()
            });
            output::table(&["KEY", "STATE", "BROKER", "SIGNS FROM", "PUBLISHED UNTIL"], rows.collect(), "no key")
        }
    }
}

/// Lines of a PEM block, with a newline at the end of the last.
fn pem(block: &str) -> String {
    format!("{}\n", block.trim_end())
}

async fn rotate(client: &AdminClient, now: bool, format: Format) -> Result<(), Failure> {
    let outcome = client.rotate(now).await.map_err(explain)?;
    if format == Format::Json {
        return output::json(&outcome);
    }
    if outcome["rotated"] == true {
        return output::line(format_args!("{} signs from now on", text(&outcome, "kid")));
    }
    output::line(format_args!(
        "the next key signs from {}: until then some verifiers may not have fetched it. For a stolen key: --now",
        moment(&outcome, "not_before"),
    ))
}
