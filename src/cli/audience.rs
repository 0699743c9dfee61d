//! `jitney audience`: the resource servers and what can be asked for there.

use std::process::ExitCode;

use serde_json::Value;

use super::admin::{self, explain, list, pasted, proves, span, text};
use super::args::{AudienceCommand, Format};
use super::workload::grant;
use super::{Failure, history, in_use, output};
use crate::client::admin::AdminClient;
use crate::model::AudienceUri;

/// Does what one of `jitney audience …` says.
///
/// # Errors
/// [`Failure`] where the broker refused or did not answer.
pub async fn run(command: AudienceCommand, at: Option<&str>) -> Result<ExitCode, Failure> {
    let client = admin::connect(at)?;
    match command {
        AudienceCommand::List { output } => all(&client, output.output).await?,
        AudienceCommand::Show { id, output } => show(&client, &id, output.output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn all(client: &AdminClient, format: Format) -> Result<(), Failure> {
    let mut document = client.audiences().await.map_err(explain)?;
    in_use::warn(&mut document, &in_use::status(client).await);
    if format == Format::Json {
        return output::json(&document);
    }
    let rows = list(&document, "audiences").iter().map(|audience| {
        let names: Vec<&str> = scopes(audience).map(|(name, _)| name).collect();
        let (id, owner) = (text(audience, "id"), text(audience, "owner"));
        vec![id, owner, span(audience, "max_ttl"), span(audience, "max_lifetime"), names.join(", ")]
    });
    output::table(&["AUDIENCE", "OWNER", "MAX TTL", "MAX LIFETIME", "SCOPES"], rows.collect(), "no audience")
}

async fn show(client: &AdminClient, id: &AudienceUri, format: Format) -> Result<(), Failure> {
    let mut audience = client.audience(id).await.map_err(explain)?;
    let status = in_use::status(client).await;
    in_use::warn(&mut audience, &status);
    history::add(&mut audience, &status);
    if format == Format::Json {
        return output::json(&audience);
    }
    let identities: Vec<String> = list(&audience, "identities").iter().map(proves).collect();
    let mut fields: Vec<_> = [("audience", "id"), ("owner", "owner"), ("purpose", "purpose")]
        .map(|(name, of)| (name, text(&audience, of)))
        .into();
    fields.extend(history::fields(&audience));
    fields.extend([
        ("longest token", span(&audience, "max_ttl")),
        ("longest chain of renewals", span(&audience, "max_lifetime")),
        ("proves itself by", if identities.is_empty() { "-".into() } else { identities.join(", ") }),
        ("revoke", pasted(&format!("jitney lease revoke --audience {} --reason …", text(&audience, "id")))),
    ]);
    output::fields(&fields)?;
    output::line("")?;
    let rows = scopes(&audience).map(|(name, meaning)| vec![name.to_owned(), meaning.to_owned()]);
    output::table(&["SCOPE", "MEANS"], rows.collect(), "no scope")?;
    output::line("")?;
    let granted = list(&audience, "granted_to").iter().flat_map(|each| grant(each, "workload"));
    let headings = ["MAY BE ASKED", "BY WORKLOAD", "A TOKEN", "A CHAIN", "WHERE", "BY POLICY"];
    output::table(&headings, granted.collect(), "no policy grants anybody anything here")
}

/// Names and meanings.
fn scopes(audience: &Value) -> impl Iterator<Item = (&str, &str)> {
    let scopes = audience["scopes"].as_object().into_iter().flatten();
    scopes.map(|(name, meaning)| (name.as_str(), meaning.as_str().unwrap_or("-")))
}
