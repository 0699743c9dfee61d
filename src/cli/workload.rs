//! `jitney workload`: the inventory, quarantine and release.

use std::process::ExitCode;

use serde_json::Value;

use super::admin::{self, explain, list, proves, text};
use super::args::{Format, OutputArgs, WorkloadCommand};
use super::lease::{positions, selection};
use super::{Failure, output};
use crate::client::admin::AdminClient;
use crate::model::WorkloadId;

/// Does what one of `jitney workload …` says.
///
/// # Errors
/// [`Failure`] where the broker refused or did not answer.
pub async fn run(command: WorkloadCommand, at: Option<&str>) -> Result<ExitCode, Failure> {
    let client = admin::connect(at)?;
    match command {
        WorkloadCommand::List { output } => all(&client, output.output).await?,
        WorkloadCommand::Show { id, output } => show(&client, &id, output.output).await?,
        WorkloadCommand::Quarantine { id, reason, output } => {
            let outcome = client.quarantine(&id, &reason.reason).await.map_err(explain)?;
            let (state, leases) = (text(&outcome, "state"), selection(&outcome));
            let state = format!("{state}, {leases}, ended by {}", positions(&outcome));
            changed(&outcome, output, &state)?;
        }
        WorkloadCommand::Release { id, reason, output } => {
            let outcome = client.release(&id, &reason.reason).await.map_err(explain)?;
            let was = if outcome["released"] == false { "was in no quarantine" } else { "released" };
            changed(&outcome, output, &format!("{was}, its state is {}", text(&outcome, "state")))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn all(client: &AdminClient, format: Format) -> Result<(), Failure> {
    let document = client.workloads().await.map_err(explain)?;
    if format == Format::Json {
        return output::json(&document);
    }
    let rows = list(&document, "workloads").iter().map(|workload| {
        ["id", "state", "owner", "expires", "purpose"].iter().map(|name| text(workload, name)).collect()
    });
    output::table(&["WORKLOAD", "STATE", "OWNER", "EXPIRES", "PURPOSE"], rows.collect(), "no workload")
}

async fn show(client: &AdminClient, id: &WorkloadId, format: Format) -> Result<(), Failure> {
    let workload = client.workload(id).await.map_err(explain)?;
    if format == Format::Json {
        return output::json(&workload);
    }
    output::fields(&story(&workload))?;
    let grants: Vec<Vec<String>> = list(&workload, "grants").iter().map(grant).collect();
    output::line("")?;
    output::table(&["MAY", "AT", "BY POLICY", "FOR AT MOST", "CONDITIONS"], grants, "no policy grants it anything")
}

fn story(workload: &Value) -> Vec<(&'static str, String)> {
    let identities: Vec<String> = list(workload, "identities").iter().map(proves).collect();
    let mut story = vec![
        ("workload", text(workload, "id")),
        ("state", text(workload, "state")),
        ("owner", text(workload, "owner")),
        ("purpose", text(workload, "purpose")),
        ("expires", text(workload, "expires")),
        ("review", text(workload, "review")),
        ("proves itself by", identities.join(", ")),
        ("live leases", live_leases(workload)),
        ("revoke", text(workload, "revoke")),
    ];
    let quarantine = &workload["quarantine"];
    if !quarantine.is_null() {
        let told = format!(
            "since {} by {}: {}",
            admin::moment(quarantine, "since"),
            text(quarantine, "actor"),
            text(quarantine, "reason")
        );
        story.insert(2, ("quarantine", told));
    }
    story
}

fn grant(grant: &Value) -> Vec<String> {
    let longest = match &grant["max_ttl"] {
        Value::Null => "-".to_owned(),
        _ => admin::span(grant, "max_ttl"),
    };
    let conditions = if grant["conditional"] == true { "yes" } else { "no" };
    vec![text(grant, "scope"), text(grant, "audience"), text(grant, "policy"), longest, conditions.into()]
}

fn changed(outcome: &Value, output: OutputArgs, state: &str) -> Result<(), Failure> {
    if output.output == Format::Json {
        return output::json(outcome);
    }
    output::line(format_args!("{}: {state} (decision {})", text(outcome, "workload"), text(outcome, "decision_id")))
}

/// So many, or at least so many: one workload may have a million.
fn live_leases(workload: &Value) -> String {
    match workload["more_leases"] == true {
        true => format!("at least {}: `jitney lease revoke --dry-run` counts", text(workload, "live_leases")),
        false => text(workload, "live_leases"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workload_in_quarantine_says_since_when_by_whom_and_why() {
        let workload = json!({
            "id": "w", "state": "quarantined", "identities": [{"type": "private_key_jwt"}],
            "quarantine": {"workload": "w", "reason": "leak", "actor": "uid:0", "since": 1_790_000_000},
        });
        let told: Vec<String> = story(&workload).iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert!(
            told[2].starts_with("quarantine=since 2026-09-21T14:13:20Z") && told[2].ends_with("by uid:0: leak"),
            "{told:?}"
        );
        assert!(told.contains(&"proves itself by=private_key_jwt".to_owned()), "{told:?}");
    }
}
