//! `jitney lease`: lists, shows, revokes, follows.

mod show;
mod watch;

use std::process::ExitCode;

use serde_json::{Value, json};

use super::admin::{self, explain, list, moment, relative, text};
use super::args::{Format, LeaseCommand, LeaseFilterArgs, RevokeArgs};
use super::{Failure, output};
use crate::client::admin::{AdminClient, LeaseQuery, Revoke};
use crate::model::{Clock, UnixTime};

/// How many leases are asked for at once.
const PAGE: usize = 500;

/// Does what one of `jitney lease …` says.
///
/// # Errors
/// [`Failure`] where the broker refused or did not answer.
pub async fn run(command: LeaseCommand, at: Option<&str>) -> Result<ExitCode, Failure> {
    let client = admin::connect(at)?;
    match command {
        LeaseCommand::List { filter, output } => all(&client, filter, output.output).await?,
        LeaseCommand::Show { id, output } => show::show(&client, id, output.output).await?,
        LeaseCommand::Revoke(args) => revoke(&client, args).await?,
        LeaseCommand::Watch { output } => watch::watch(&client, output.output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn all(client: &AdminClient, filter: LeaseFilterArgs, format: Format) -> Result<(), Failure> {
    let query = LeaseQuery { workload: filter.workload, audience: filter.audience, task: filter.task };
    let mut leases = Vec::new();
    let mut next = None::<String>;
    loop {
        let wanted = PAGE.min(filter.limit - leases.len());
        let page = client.leases(&query, wanted, next.as_deref()).await.map_err(explain)?;
        leases.extend_from_slice(list(&page, "leases"));
        leases.truncate(filter.limit);
        next = page["next"].as_str().map(str::to_owned);
        if next.is_none() || leases.len() == filter.limit {
            break;
        }
    }
    if format == Format::Json {
        return output::json(&json!({"leases": leases, "next": next}));
    }
    let now = Clock::system().now();
    let rows = leases.iter().map(|lease| row(lease, now)).collect();
    output::table(
        &["LEASE", "WORKLOAD", "TASK", "AUDIENCE", "SCOPES", "STATE", "EXPIRES"],
        rows,
        "no lease that has not expired",
    )?;
    if next.is_some() {
        output::warning(format_args!("there are more than {}: narrow the list, or raise --limit", filter.limit));
    }
    Ok(())
}

fn row(lease: &Value, now: UnixTime) -> Vec<String> {
    let expires = lease["expires_at"].as_u64().map_or("-".into(), |at| relative(UnixTime::from_secs(at), now));
    vec![
        text(lease, "id"),
        text(lease, "workload"),
        text(lease, "task"),
        text(lease, "audience"),
        text(lease, "scopes"),
        state(lease),
        expires,
    ]
}

/// `live`, `expired`, or by what it was ended.
fn state(lease: &Value) -> String {
    match (lease["state"].as_str(), lease["ended_by"].as_str()) {
        (Some("ended"), Some(kind)) => format!("ended ({kind})"),
        _ => text(lease, "state"),
    }
}

async fn revoke(client: &AdminClient, args: RevokeArgs) -> Result<(), Failure> {
    let format = args.output.output;
    let reason = args.reason.reason.clone();
    let dry_run = args.dry_run;
    let what = selected(args)?;
    let outcome = client.revoke(&what, &reason, dry_run).await.map_err(explain)?;
    if format == Format::Json {
        return output::json(&outcome);
    }
    let count = outcome["selected"].as_u64().unwrap_or(0);
    let leases = if count == 1 { "lease" } else { "leases" };
    if dry_run {
        return output::line(format_args!("{count} live {leases} selected; nothing was revoked"));
    }
    let decision = text(&outcome, "decision_id");
    match list(&outcome, "rules") {
        [] => output::line(format_args!("nothing was left to revoke (decision {decision})"))?,
        _ => output::line(format_args!(
            "{} by {}: {count} live {leases} selected (decision {decision})",
            output::paint(output::style::BAD, "revoked"),
            positions(&outcome),
        ))?,
    }
    match &what {
        Revoke::Lease(_) if count > 0 => {
            output::line("its holder may ask again: to stop that, revoke the task, or quarantine the workload")
        }
        Revoke::Task(task, _) if !outcome["closed_until"].is_null() => {
            let until = moment(&outcome, "closed_until");
            output::line(format_args!("the task {task}, and all below it, takes no lease until {until}"))
        }
        _ => Ok(()),
    }
}

/// Where the rules stand in the log.
pub(super) fn positions(outcome: &Value) -> String {
    let places: Vec<String> = list(outcome, "rules").iter().map(|rule| rule[2].to_string()).collect();
    match places.as_slice() {
        [] => "no new rule".into(),
        [one] => format!("rule {one} of the log"),
        [first, .., last] => format!("{} rules of the log, {first} to {last}", places.len()),
    }
}

/// The one selector; clap has made sure that there is one, and `--workload` beside `--task` narrows it.
fn selected(args: RevokeArgs) -> Result<Revoke, Failure> {
    Ok(match args {
        RevokeArgs { lease: Some(id), .. } => Revoke::Lease(id),
        RevokeArgs { task: Some(task), workload, .. } => Revoke::Task(task, workload),
        RevokeArgs { workload: Some(workload), .. } => Revoke::Workload(workload),
        RevokeArgs { audience: Some(audience), .. } => Revoke::Audience(audience),
        RevokeArgs { key: Some(kid), .. } => Revoke::Key(kid),
        RevokeArgs { all: true, .. } => Revoke::All,
        _ => return Err(Failure::usage("nothing says what is to be revoked", "jitney lease revoke --help")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_by_their_place() {
        assert_eq!(positions(&json!({"rules": []})), "no new rule");
        assert_eq!(positions(&json!({"rules": [["task", "d", 7, 9]]})), "rule 7 of the log");
        let rules = json!({"rules": [["lease", "d", 7, 9], ["lease", "e", 8, 9]]});
        assert_eq!(positions(&rules), "2 rules of the log, 7 to 8");
    }

    #[test]
    fn an_ended_lease_says_by_what() {
        assert_eq!(state(&json!({"state": "ended", "ended_by": "task"})), "ended (task)");
        assert_eq!(state(&json!({"state": "live", "ended_by": null})), "live");
    }
}
