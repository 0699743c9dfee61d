//! `jitney workload`: the inventory, quarantine and release.

use std::process::ExitCode;

use serde_json::Value;

use super::admin::{self, explain, list, pasted, proves, text};
use super::args::{Format, OutputArgs, WorkloadCommand};
use super::lease::{positions, selection};
use super::{Failure, history, in_use, output};
use crate::client::admin::AdminClient;
use crate::governance::inventory::NEAR;
use crate::model::WorkloadId;

/// Where there are more leases than can be looked at while somebody waits.
const MORE_UNDECLARED: &str = "There are more leases than can be looked at in a moment: one that is no longer declared and has some \
                               may be missing here. `jitney lease list` goes through all of them.";

/// Does what one of `jitney workload …` says.
///
/// # Errors
/// [`Failure`] where the broker refused or did not answer.
pub async fn run(command: WorkloadCommand, at: Option<&str>) -> Result<ExitCode, Failure> {
    let client = admin::connect(at)?;
    match command {
        WorkloadCommand::List { due, output } => all(&client, due, output.output).await?,
        WorkloadCommand::Show { id, output } => show(&client, &id, output.output).await?,
        WorkloadCommand::Quarantine { id, reason, output } => {
            let outcome = client.quarantine(&id, &reason.reason).await.map_err(explain)?;
            changed(&outcome, output, &shut_out(&outcome))?;
        }
        WorkloadCommand::Release { id, reason, output } => {
            let outcome = client.release(&id, &reason.reason).await.map_err(explain)?;
            let was = if outcome["released"] == false { "was in no quarantine" } else { "released" };
            changed(&outcome, output, &format!("{was}, its state is {}", text(&outcome, "state")))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a quarantine did; of one that stood before, whose word it was.
fn shut_out(outcome: &Value) -> String {
    let first = &outcome["already"];
    if first.is_null() {
        let (state, leases) = (text(outcome, "state"), selection(outcome));
        if outcome["selected"] == 0 && outcome["more"] != true && list(outcome, "rules").is_empty() {
            return format!("{state}; it had no live lease that could be ended");
        }
        return format!("{state}, {leases}, ended by {}", positions(outcome));
    }
    let since = admin::moment(first, "since");
    let (actor, reason) = (text(first, "actor"), output::plain(&text(first, "reason")));
    format!("already in quarantine since {since} by {actor} because: {reason}")
}

async fn all(client: &AdminClient, due: bool, format: Format) -> Result<(), Failure> {
    let mut document = client.workloads().await.map_err(explain)?;
    in_use::warn(&mut document, &in_use::status(client).await);
    if let Some(all) = document["workloads"].as_array_mut().filter(|_| due) {
        all.retain(is_due);
        all.sort_by_key(soonest);
    }
    if format == Format::Json {
        return output::json(&document);
    }
    let is_alone = list(&document, "unread").is_empty();
    let rows = list(&document, "workloads").iter().map(|workload| {
        let [id, owner, purpose] = ["id", "owner", "purpose"].map(|name| text(workload, name));
        let [expires, review] = ["expires", "review"].map(|name| day(workload, name));
        vec![id, state(workload), owner, expires, review, last_use(workload, false, is_alone), purpose]
    });
    let nothing = if due { "nothing is due within 30 days" } else { "no workload" };
    let headings = ["WORKLOAD", "STATE", "OWNER", "EXPIRES", "REVIEW", "LAST USE", "PURPOSE"];
    output::table(&headings, rows.collect(), nothing)?;
    match document["more_undeclared"] == true {
        true => output::line(pasted(MORE_UNDECLARED)),
        false => Ok(()),
    }
}

/// The fewer of the days until its end and its review.
fn soonest(workload: &Value) -> i64 {
    let days = ["expires_in_days", "review_in_days"].map(|name| workload[name].as_i64().unwrap_or(i64::MAX));
    days[0].min(days[1])
}

fn is_due(workload: &Value) -> bool {
    soonest(workload) <= NEAR
}

async fn show(client: &AdminClient, id: &WorkloadId, format: Format) -> Result<(), Failure> {
    let mut workload = client.workload(id).await.map_err(explain)?;
    let status = in_use::status(client).await;
    in_use::warn(&mut workload, &status);
    history::add(&mut workload, &status);
    if format == Format::Json {
        return output::json(&workload);
    }
    output::fields(&story(&workload))?;
    output::line("")?;
    let grants: Vec<Vec<String>> = list(&workload, "grants").iter().flat_map(|each| grant(each, "audience")).collect();
    let headings = ["MAY", "AT", "A TOKEN", "A CHAIN", "WHERE", "BY POLICY"];
    output::table(&headings, grants, "no policy grants it anything")?;
    output::line("")?;
    let withheld: Vec<Vec<String>> = list(&workload, "withheld").iter().map(withheld).collect();
    if !withheld.is_empty() {
        output::table(&["MAY NOT", "AT", "THOUGH PERMITTED BY", "FORBIDDEN BY"], withheld, "")?;
        output::line("")?;
    }
    output::fields(&ends(&workload))
}

fn story(workload: &Value) -> Vec<(&'static str, String)> {
    let identities: Vec<String> = list(workload, "identities").iter().map(proven_by).collect();
    let mut story = vec![("workload", text(workload, "id")), ("state", state(workload))];
    let quarantine = &workload["quarantine"];
    if !quarantine.is_null() {
        let told = format!(
            "since {} by {}: {}",
            admin::moment(quarantine, "since"),
            text(quarantine, "actor"),
            text(quarantine, "reason")
        );
        story.push(("quarantine", told));
    }
    story.extend([("owner", text(workload, "owner")), ("purpose", text(workload, "purpose"))]);
    story.extend(history::fields(workload));
    story.extend([
        ("expires", day(workload, "expires")),
        ("review", day(workload, "review")),
        ("proves itself by", if identities.is_empty() { "-".into() } else { identities.join("; or ") }),
        ("last use", last_use(workload, true, list(workload, "unread").is_empty())),
        ("live leases", live_leases(workload)),
    ]);
    story
}

/// One way to prove itself, with all that tells it from another.
fn proven_by(identity: &Value) -> String {
    let mut told = vec![proves(identity)];
    told.extend(identity["audience"].as_str().map(|audience| format!("for {audience}")));
    let claims = admin::shown(&identity["claims"]);
    told.extend((!list(identity, "claims").is_empty()).then(|| format!("whose {claims}")));
    let kids = list(identity, "kids").iter().map(|kid| kid.as_str().unwrap_or("without kid"));
    let kids: Vec<&str> = kids.collect();
    told.extend((!kids.is_empty()).then(|| format!("keys {}", kids.join(", "))));
    told.extend(
        identity["keys_from"].as_str().filter(|from| *from != "discovery").map(|from| format!("keys at {from}")),
    );
    told.extend(match identity["task"].as_str() {
        None | Some("caller") => None,
        Some("auto") => Some("task named by it or by the broker".to_owned()),
        Some(template) => Some(format!("task {template}")),
    });
    told.join(", ")
}

/// Its state, and whether a file still says who it is.
fn state(workload: &Value) -> String {
    match (text(workload, "state"), workload["declared"] == false) {
        (state, false) => state,
        (state, true) if state == "undeclared" => {
            "no longer declared: it gets nothing, and what it has lives on".into()
        }
        (state, true) => format!("{state}, no longer declared"),
    }
}

/// How it is ended, from one task of it to all of it, ready to paste but for the reason.
fn ends(workload: &Value) -> Vec<(&'static str, String)> {
    let id = text(workload, "id");
    let mut ends = vec![
        ("end one task", pasted(&format!("jitney lease revoke --workload {id} --task TASK --reason …"))),
        ("end all its leases", pasted(&text(workload, "revoke"))),
        (
            if workload["quarantine"].is_null() { "shut it out" } else { "let it in again" },
            pasted(&text(workload, "shut")),
        ),
    ];
    if workload["declared"] != false {
        let file = text(workload, "file");
        ends.push(("end it for good", format!("delete {file}{}, once its leases are ended", kept(workload))));
    }
    ends
}

/// What has to go with its file, or to change: policies that name it elsewhere than in the head of a permit.
fn kept(workload: &Value) -> String {
    match workload["kept_by"].as_array().map(Vec::as_slice) {
        // An older broker does not say.
        None => " and the forbids that name it".into(),
        Some([]) => String::new(),
        Some(policies) => format!(
            ", and what else names it, or the set does not load: {}",
            policies.iter().map(placed).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// A policy with its place.
fn placed(policy: &Value) -> String {
    format!("{} ({}:{})", text(policy, "policy"), text(policy, "file"), text(policy, "line"))
}

/// What a permit names and forbids take away, as a row.
fn withheld(withheld: &Value) -> Vec<String> {
    let forbids: Vec<String> = list(withheld, "forbids").iter().map(placed).collect();
    vec![text(withheld, "scope"), text(withheld, "audience"), placed(withheld), forbids.join(", ")]
}

/// A day with how far it is: `2027-03-31 (in 123 days)`.
fn day(workload: &Value, name: &str) -> String {
    let day = text(workload, name);
    match workload[format!("{name}_in_days")].as_i64() {
        None => day,
        Some(0) => format!("{day} (today)"),
        Some(1) => format!("{day} (tomorrow)"),
        Some(days @ 2..) => format!("{day} (in {days} days)"),
        Some(-1) => format!("{day} (yesterday)"),
        Some(days) => format!("{day} ({} days ago)", -days),
    }
}

/// Its last grant, in whole where there is room; where there is none, how far back was looked, and that it was only here where
/// other brokers have logs of their own.
fn last_use(workload: &Value, is_whole: bool, is_alone: bool) -> String {
    let last = &workload["last_use"];
    let second = |at: String| at.get(..19).map_or(at.clone(), |at| format!("{at}Z"));
    let here = if is_alone { "" } else { "here " };
    match (last.is_null(), workload["unused_since"].as_str(), is_whole) {
        (true, Some(since), true) => {
            let more = if is_alone { "" } else { ", and that of another broker was not" };
            format!("none {here}since {}: so far back the audit log was looked through{more}", second(since.into()))
        }
        (true, Some(since), false) => format!("not {here}since {}", since.get(..10).unwrap_or(since)),
        (true, None, _) => "-".into(),
        (false, _, false) => second(text(last, "at")),
        (false, _, true) => {
            let [at, scope, audience, task] = ["at", "scope", "audience", "task"].map(|name| text(last, name));
            format!("{}: {scope} at {audience}, task {task}", second(at))
        }
    }
}

/// A grant in rows: the first in whole, one for each further condition.
pub(super) fn grant(grant: &Value, whose: &str) -> Vec<Vec<String>> {
    let longest = |name: &str| match &grant[name] {
        Value::Null => "-".to_owned(),
        _ => admin::span(grant, name),
    };
    let policy = placed(grant);
    let mut conditions = list(grant, "conditions").iter().map(|each| each.as_str().unwrap_or("-").to_owned());
    let first = conditions.next().unwrap_or_else(|| "always".into());
    let head =
        vec![text(grant, "scope"), text(grant, whose), longest("max_ttl"), longest("max_lifetime"), first, policy];
    let more = conditions.map(|condition| {
        let mut row = vec![String::new(); head.len()];
        row[4] = format!("and {condition}");
        row
    });
    let more: Vec<Vec<String>> = more.collect();
    std::iter::once(head).chain(more).collect()
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
        true => pasted(&format!("at least {}: `jitney lease revoke --dry-run` counts", text(workload, "live_leases"))),
        false => text(workload, "live_leases"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(fields: &[(&'static str, String)]) -> Vec<String> {
        fields.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn a_workload_in_quarantine_says_since_when_by_whom_and_why() {
        let workload = json!({
            "id": "w", "state": "quarantined", "identities": [{"type": "private_key_jwt"}],
            "quarantine": {"workload": "w", "reason": "leak", "actor": "uid:0", "since": 1_790_000_000},
            "shut": "jitney workload release w --reason …",
        });
        let told = [told(&story(&workload)), told(&ends(&workload))].concat();
        assert!(
            told[2].starts_with("quarantine=since 2026-09-21T14:13:20Z") && told[2].ends_with("by uid:0: leak"),
            "{told:?}"
        );
        for line in ["proves itself by=private_key_jwt", "let it in again=jitney workload release w --reason …"] {
            assert!(told.contains(&line.to_owned()), "{told:?}");
        }
    }

    #[test]
    fn an_identity_is_told_with_all_that_pins_it() {
        let oidc = json!({
            "type": "oidc", "issuer": "https://ci.example.com", "audience": "https://b.example.com",
            "claims": ["repository_id is 123456", "ref is like refs/tags/v*"], "task": "{run_id}.{run_attempt}",
            "keys_from": "discovery",
        });
        let told = "oidc of https://ci.example.com, for https://b.example.com, whose repository_id is 123456, ref is like \
                    refs/tags/v*, task {run_id}.{run_attempt}";
        assert_eq!(proven_by(&oidc), told);
        let key = json!({"type": "private_key_jwt", "kids": ["k1", null], "task": "caller"});
        assert_eq!(proven_by(&key), "private_key_jwt, keys k1, without kid");
        assert_eq!(proven_by(&json!({"type": "private_key_jwt"})), "private_key_jwt", "of an older broker");
    }

    #[test]
    fn a_second_quarantine_says_whose_the_first_is_and_one_without_a_file_that_it_has_none() {
        let first = json!({"workload": "w", "reason": "leak", "actor": "uid:0", "since": 1_790_000_000});
        let told_now = shut_out(&json!({"state": "quarantined", "selected": 0, "rules": [], "already": first}));
        assert!(told_now.starts_with("already in quarantine since 2026-09-21T14:13:20Z"), "{told_now}");
        assert!(told_now.ends_with(" by uid:0 because: leak"), "{told_now}");
        let gone = json!({"id": "w", "state": "quarantined", "declared": false, "quarantine": first});
        assert_eq!(state(&gone), "quarantined, no longer declared");
        assert!(!told(&ends(&gone)).concat().contains("for good"), "there is no file to delete");
        assert!(told(&ends(&json!({"id": "w"}))).concat().contains("for good"));
    }

    #[test]
    fn days_and_the_last_use_are_told_as_people_say_them() {
        let at = |days: i64| day(&json!({"expires": "2027-01-02", "expires_in_days": days}), "expires");
        assert_eq!([at(0), at(1), at(2)], ["(today)", "(tomorrow)", "(in 2 days)"].map(|t| format!("2027-01-02 {t}")));
        assert_eq!([at(-1), at(-2)], ["(yesterday)", "(2 days ago)"].map(|t| format!("2027-01-02 {t}")));
        assert_eq!(day(&json!({"expires": null}), "expires"), "-");
        let last = json!({"at": "2026-09-21T14:13:20.123Z", "scope": "a b", "audience": "https://x", "task": "t"});
        let used = json!({"last_use": last});
        assert_eq!(last_use(&used, true, true), "2026-09-21T14:13:20Z: a b at https://x, task t");
        assert_eq!(last_use(&used, false, true), "2026-09-21T14:13:20Z");
        let unused = json!({"last_use": null, "unused_since": "2026-09-21T14:13:20.123Z"});
        assert_eq!(last_use(&unused, false, true), "not since 2026-09-21");
        assert_eq!(last_use(&unused, false, false), "not here since 2026-09-21", "another broker may know better");
        assert!(last_use(&unused, true, false).ends_with("that of another broker was not"));
        assert_eq!(last_use(&json!({"last_use": null}), true, true), "-", "an empty log says nothing");
    }

    #[test]
    fn each_condition_of_a_grant_has_a_row() {
        let rows = grant(
            &json!({"scope": "s", "audience": "a", "policy": "p", "file": "f.cedar", "line": 7, "max_ttl": 300,
                    "conditions": ["one", "two"]}),
            "audience",
        );
        assert_eq!(rows, [["s", "a", "5m", "-", "one", "p (f.cedar:7)"], ["", "", "", "", "and two", ""]]);
    }

    #[test]
    fn a_quarantine_of_one_that_had_nothing_says_so() {
        let mut outcome = serde_json::json!({"state": "quarantined", "selected": 0, "more": false, "rules": []});
        assert_eq!(shut_out(&outcome), "quarantined; it had no live lease that could be ended");
        outcome["selected"] = 2.into();
        outcome["rules"] = serde_json::json!([["workload", "w", 7, 9]]);
        assert_eq!(shut_out(&outcome), "quarantined, 2 live leases selected, ended by rule 7 of the log");
    }
}
