//! `jitney lease`: lists, shows, revokes, follows.

mod list;
mod show;
mod watch;

pub(super) use list::names_nobody;

use std::process::ExitCode;

use serde_json::Value;

use super::admin::{self, explain, list as items, moment, pasted, text};
use super::args::{Format, LeaseCommand, RevokeArgs};
use super::{Failure, output};
use crate::client::admin::{AdminClient, Revoke};

/// Does what one of `jitney lease …` says.
///
/// # Errors
/// [`Failure`] where the broker refused or did not answer.
pub async fn run(command: LeaseCommand, at: Option<&str>) -> Result<ExitCode, Failure> {
    let client = admin::connect(at)?;
    match command {
        LeaseCommand::List { filter, output } => list::list(&client, filter, output.output).await?,
        LeaseCommand::Show { id, output } => show::show(&client, id, output.output).await?,
        LeaseCommand::Revoke(args) => revoke(&client, args).await?,
        LeaseCommand::Watch { output } => watch::watch(&client, output.output).await?,
    }
    Ok(ExitCode::SUCCESS)
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
    let leases = selection(&outcome);
    if dry_run {
        return output::line(format_args!("{leases}; nothing was revoked"));
    }
    let decision = text(&outcome, "decision_id");
    match items(&outcome, "rules") {
        [] => output::line(format_args!("{} (decision {decision})", nothing_left(&outcome)))?,
        _ => output::line(format_args!(
            "{} by {}: {leases} (decision {decision})",
            output::paint(output::style::BAD, "revoked"),
            positions(&outcome),
        ))?,
    }
    match &what {
        Revoke::Lease(id) if !outcome["already"].is_null() => {
            output::line(pasted(&format!("the whole story: jitney lease show {id}")))
        }
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

/// Why an end made no rule.
fn nothing_left(outcome: &Value) -> String {
    let already = &outcome["already"];
    match (already["state"].as_str(), already["ended_by"].as_str(), already["ended"]["position"].as_u64()) {
        (Some("expired"), ..) => "it had expired already; nothing was revoked".into(),
        (Some(_), Some(kind), Some(rule)) => {
            format!("already ended ({kind}), by rule {rule} of the log, which stands as it is")
        }
        (Some(_), ..) => "already ended; nothing was revoked".into(),
        (None, ..) => "nothing was left to revoke".into(),
    }
}

/// How many leases an end has selected: it does not wait until millions are counted.
pub(super) fn selection(outcome: &Value) -> String {
    match (outcome["selected"].as_u64().unwrap_or(0), outcome["more"] == true) {
        (0, true) => "live leases not counted".into(),
        (count, true) => format!("at least {} selected", output::counted(count, "live lease")),
        (count, false) => format!("{} selected", output::counted(count, "live lease")),
    }
}

/// Where the rules stand in the log.
pub(super) fn positions(outcome: &Value) -> String {
    let places: Vec<String> = items(outcome, "rules").iter().map(|rule| rule[2].to_string()).collect();
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
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_counted_to_the_end_is_told_as_such() {
        let told = |selected: u64, more: bool| selection(&json!({"selected": selected, "more": more}));
        assert_eq!(told(1, false), "1 live lease selected");
        assert_eq!(
            (told(0, false), told(7, true)),
            ("0 live leases selected".into(), "at least 7 live leases selected".into())
        );
        assert_eq!(told(0, true), "live leases not counted");
        assert_eq!(selection(&json!({"selected": 2})), "2 live leases selected", "of an older broker");
    }

    #[test]
    fn what_ended_before_is_told_with_its_end() {
        let told = |already: Value| nothing_left(&json!({"rules": [], "already": already}));
        assert_eq!(
            told(json!({"state": "ended", "ended_by": "task", "ended": {"position": 7, "at": null}})),
            "already ended (task), by rule 7 of the log, which stands as it is"
        );
        assert_eq!(told(json!({"state": "expired"})), "it had expired already; nothing was revoked");
        assert_eq!(told(Value::Null), "nothing was left to revoke");
    }

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
