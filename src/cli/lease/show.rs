//! `jitney lease show`: one lease with its whole story, and what the broker's audit log says of it.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::state;
use crate::audit::{self, Filter};
use crate::cli::admin::{explain, moment, pasted, text};
use crate::cli::args::Format;
use crate::cli::{Failure, event, output};
use crate::client::admin::AdminClient;
use crate::model::LeaseId;

/// More lines than a lease has.
const EVENTS: usize = 100;
/// How many of the latest ends of each kind are looked through.
const ENDS: usize = 10_000;
/// So much of a line is its version and its moment.
const UP_TO_THE_MOMENT: usize = 39;

pub(super) async fn show(client: &AdminClient, id: LeaseId, format: Format) -> Result<(), Failure> {
    let mut lease = client.lease(id).await.map_err(explain)?;
    let events = events(client, id, &mut lease).await;
    if format == Format::Json {
        lease["events"] = events.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect();
        return output::json(&lease);
    }
    output::fields(&story(&lease))?;
    if !events.is_empty() {
        output::line("")?;
    }
    events.iter().try_for_each(|line| event::print(line, format))
}

/// The lines of the log about it, then the one that ended it; none where the log lies elsewhere or is not for this
/// user's eyes.
async fn events(client: &AdminClient, id: LeaseId, lease: &mut Value) -> Vec<String> {
    let Ok(status) = client.status().await else { return Vec::new() };
    let Some(path) = status["audit"]["path"].as_str().map(Path::new) else { return Vec::new() };
    let about = Filter { lease: Some(id), ..Filter::default() };
    let mut lines = audit::tail(path, EVENTS, &about).unwrap_or_default();
    if lease["state"] == "ended"
        && let Some((event, line)) = end(path, lease)
    {
        add(lease, &event);
        lines.extend((!lines.contains(&line)).then_some(line));
        // In the order of time, which each begins with.
        lines.sort_by_cached_key(|line| line.get(..UP_TO_THE_MOMENT).map(str::to_owned));
    }
    lines
}

/// The latest ends that the log tells of, and their lines.
fn ends(path: &Path) -> impl Iterator<Item = (Value, String)> {
    let lines = ["complete", "revoke", "quarantine"].into_iter().flat_map(|word| {
        let ends = Filter { event: Some(word.into()), ..Filter::default() };
        audit::tail(path, ENDS, &ends).unwrap_or_default()
    });
    lines.filter_map(|line| Some((serde_json::from_str::<Value>(&line).ok()?, line)))
}

/// When the rules of this broker's ends were made, by their places, in Unix seconds; nothing where the log lies elsewhere or is not
/// for this user's eyes. A store notes the moment only with a lease that was ended alone.
pub(super) async fn moments(client: &AdminClient) -> HashMap<u64, i64> {
    let Ok(status) = client.status().await else { return HashMap::new() };
    let Some(path) = status["audit"]["path"].as_str().map(Path::new) else { return HashMap::new() };
    ends(path).filter_map(|(event, _)| Some((event["position"].as_u64()?, at(&event)?))).collect()
}

/// The moment of a line, in Unix seconds.
fn at(event: &Value) -> Option<i64> {
    let time = event["time"].as_str()?;
    OffsetDateTime::parse(time, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}

/// The line of the end that made the rule by which the lease ended first.
fn end(path: &Path, lease: &Value) -> Option<(Value, String)> {
    let first = lease["ended"]["position"].as_u64()?;
    ends(path).find(|(event, _)| made(event, first) && (selects(event, lease) || event["lease"].is_string()))
}

/// Whether an end made the rule at this place. Its line tells the last of its rules; that of a lease has one for each lease
/// that renewed it too.
fn made(event: &Value, place: u64) -> bool {
    let rules = if event["lease"].is_null() { 1 } else { event["count"].as_u64().unwrap_or(1).max(1) };
    event["position"].as_u64().is_some_and(|last| last.saturating_sub(rules) < place && place <= last)
}

/// Adds to the lease's end what its line in the log tells of it.
fn add(lease: &mut Value, event: &Value) {
    let end = &mut lease["ended"];
    if let Some(at) = at(event).filter(|_| end["at"].is_null()) {
        end["at"] = at.into();
    }
    for name in ["event", "actor", "reason", "decision_id"] {
        end[name] = event[name].clone();
    }
}

/// Whether an end selects a lease: whatever it names is the lease's own, and it names nothing where it ended everything.
fn selects(event: &Value, lease: &Value) -> bool {
    let same = [("workload", "workload"), ("audience", "audience"), ("kid", "kid"), ("lease", "id")];
    let agrees = same.iter().all(|(named, own)| event[*named].is_null() || event[*named] == lease[*own]);
    let within = match (event["task"].as_str(), lease["task"].as_str()) {
        (Some(named), Some(own)) => {
            own.strip_prefix(named).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        (named, _) => named.is_none(),
    };
    agrees && within
}

/// `2026-09-21T14:13:20Z (2m ago), by rule 9 of the log: revoke by uid:1000, left running`
fn told(end: &Value) -> String {
    let rule = format!("by rule {} of the log", text(end, "position"));
    let mut told = if end["at"].is_null() { rule } else { format!("{}, {rule}", moment(end, "at")) };
    if let Some(event) = end["event"].as_str() {
        // Without an actor it was the workload itself.
        let actor = end["actor"].as_str().unwrap_or("the workload");
        told.push_str(&format!(": {event} by {actor}"));
    }
    if let Some(reason) = end["reason"].as_str() {
        told.push_str(&format!(", {reason}"));
    }
    told
}

fn story(lease: &Value) -> Vec<(&'static str, String)> {
    let mut story = vec![
        ("lease", text(lease, "id")),
        ("state", state(lease)),
        ("workload", text(lease, "workload")),
        ("task", text(lease, "task")),
        ("audience", text(lease, "audience")),
        ("scopes", text(lease, "scope")),
        ("issued", moment(lease, "issued_at")),
        ("expires", moment(lease, "expires_at")),
        ("renewable until", moment(lease, "chain_limit")),
    ];
    for (name, member) in [("renews", "predecessor"), ("renewed by", "successor"), ("acting for it", "actors")] {
        if !lease[member].is_null() {
            story.push((name, text(lease, member)));
        }
    }
    if !lease["ended"].is_null() {
        story.push(("ended", told(&lease["ended"])));
    }
    let recorded = format!("at position {} of the log, epoch {}", text(lease, "position"), text(lease, "epoch"));
    story.push(("recorded", recorded));
    story.push(("signed with", text(lease, "kid")));
    if lease["state"] == "live" {
        let command = format!("jitney lease revoke --lease {} --reason …", text(lease, "id"));
        story.push(("revoke", pasted(&command)));
    }
    story
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_end_selects_a_lease_when_all_that_it_names_is_the_lease_s() {
        let lease = json!({"id": "l", "workload": "w", "audience": "a", "kid": "k", "task": "t/u"});
        for event in [
            json!({}),
            json!({"workload": "w"}),
            json!({"workload": "w", "task": "t"}),
            json!({"task": "t/u", "workload": "w"}),
            json!({"audience": "a"}),
            json!({"kid": "k"}),
            json!({"lease": "l"}),
        ] {
            assert!(selects(&event, &lease), "{event}");
        }
        for event in [
            json!({"workload": "v"}),
            json!({"workload": "v", "task": "t"}),
            json!({"workload": "w", "task": "t/u/v"}),
            json!({"workload": "w", "task": "t/"}),
            json!({"audience": "b"}),
            json!({"lease": "m"}),
        ] {
            assert!(!selects(&event, &lease), "{event}");
        }
    }

    #[test]
    fn a_live_lease_says_how_to_revoke_it_and_an_ended_one_where_it_ended() {
        let mut lease = json!({"id": "l", "state": "live", "position": 3, "epoch": "e", "predecessor": "before"});
        let told =
            |lease: &Value| story(lease).iter().map(|(name, value)| format!("{name}={value}\n")).collect::<String>();
        let live = told(&lease);
        assert!(live.contains("revoke=jitney lease revoke --lease l") && live.contains("renews=before"), "{live}");
        assert!(live.contains("recorded=at position 3 of the log, epoch e"), "{live}");
        lease["state"] = "ended".into();
        lease["ended_by"] = "lease".into();
        lease["ended"] = json!({"at": 5, "position": 9});
        let ended = told(&lease);
        assert!(ended.contains("state=ended (lease)") && ended.contains("by rule 9 of the log"), "{ended}");
        assert!(!ended.contains("revoke="), "{ended}");
        add(
            &mut lease,
            &json!({"time": "1970-01-01T00:00:09.123Z", "event": "revoke", "actor": "uid:0", "reason": "r"}),
        );
        let ended = told(&lease);
        assert!(ended.contains("1970-01-01T00:00:05Z") && ended.contains("log: revoke by uid:0, r"), "{ended}");
    }

    #[test]
    fn an_end_is_found_by_the_place_of_its_rule() {
        let of = |last: u64, count: u64| json!({"position": last, "count": count});
        assert!(made(&of(7, 3), 7) && !made(&of(7, 3), 6), "one rule, whatever it selects");
        let mut event = of(7, 3);
        event["lease"] = "l".into();
        assert_eq!([4, 5, 7, 8].map(|place| made(&event, place)), [false, true, true, false]);
        assert!(!made(&json!({"lease": "l", "count": 0}), 0), "one that ended nothing");
    }
}
