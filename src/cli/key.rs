//! `jitney key`: the published signing keys, and switching to the next.

use std::process::ExitCode;

use serde_json::Value;

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
            let rows = keys.iter().map(row).collect();
            output::table(&["KEY", "STATE", "BROKER", "SIGNS", "IN THE JWKS"], rows, "no key")
        }
    }
}

/// What its dates mean depends on where in its life a key is.
fn row(key: &Value) -> Vec<String> {
    let (signs, published) = match key["state"].as_str() {
        Some("next") => (format!("may from {}", moment(key, "signs_from")), "while it waits and signs".into()),
        Some("active") => ("now".into(), "while it signs, then for its tokens".into()),
        _ => (
            format!("no more since {}", moment(key, "retired_at")),
            format!("for its tokens, until {}", moment(key, "published_until")),
        ),
    };
    let [kid, state, broker] = ["kid", "state", "broker"].map(|name| text(key, name));
    vec![kid, state, broker, signs, published]
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_date_says_what_it_is_the_date_of() {
        let at = 1_790_000_000;
        let told = |state: &str| {
            let key = json!({"kid": "k", "state": state, "broker": "b", "signs_from": at, "published_until": at + 60, "retired_at": at});
            row(&key)[3..].to_vec()
        };
        assert!(told("next")[0].starts_with("may from 2026-09-21T14:13:20Z ("), "{:?}", told("next"));
        assert_eq!(told("active"), ["now", "while it signs, then for its tokens"]);
        let retired = told("retired");
        assert!(retired[0].starts_with("no more since 2026-09-21T14:13:20Z ("), "{retired:?}");
        assert!(retired[1].starts_with("for its tokens, until 2026-09-21T14:14:20Z ("), "{retired:?}");
    }
}
