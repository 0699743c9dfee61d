//! `jitney lease show`: one lease with its whole story, and what the broker's audit log says of it.

use std::path::Path;

use serde_json::Value;

use super::state;
use crate::audit::{self, Filter};
use crate::cli::admin::{explain, moment, text};
use crate::cli::args::Format;
use crate::cli::{Failure, event, output};
use crate::client::admin::AdminClient;
use crate::model::LeaseId;

/// More lines than a lease has.
const EVENTS: usize = 100;
/// How many of the latest ends of each kind are looked through.
const ENDS: usize = 10_000;

pub(super) async fn show(client: &AdminClient, id: LeaseId, format: Format) -> Result<(), Failure> {
    let mut lease = client.lease(id).await.map_err(explain)?;
    let events = events(client, id, &lease).await;
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
async fn events(client: &AdminClient, id: LeaseId, lease: &Value) -> Vec<String> {
    let Ok(status) = client.status().await else { return Vec::new() };
    let Some(path) = status["audit"]["path"].as_str().map(Path::new) else { return Vec::new() };
    let about = Filter { lease: Some(id), ..Filter::default() };
    let mut lines = audit::tail(path, EVENTS, &about).unwrap_or_default();
    if lease["state"] == "ended" {
        lines.extend(end(path, lease).filter(|line| !lines.contains(line)));
    }
    lines
}

/// The first end behind the lease's position that selects it.
fn end(path: &Path, lease: &Value) -> Option<String> {
    let lines = ["complete", "revoke", "quarantine"].into_iter().flat_map(|word| {
        let ends = Filter { event: Some(word.into()), ..Filter::default() };
        audit::tail(path, ENDS, &ends).unwrap_or_default()
    });
    let behind = lines.filter_map(|line| {
        let event: Value = serde_json::from_str(&line).ok()?;
        let at = event["position"].as_u64()?;
        (Some(at) > lease["position"].as_u64() && selects(&event, lease)).then_some((at, line))
    });
    behind.min_by_key(|(at, _)| *at).map(|(_, line)| line)
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

fn story(lease: &Value) -> Vec<(&'static str, String)> {
    let mut story = vec![
        ("lease", text(lease, "id")),
        ("state", state(lease)),
        ("workload", text(lease, "workload")),
        ("task", text(lease, "task")),
        ("audience", text(lease, "audience")),
        ("scopes", text(lease, "scopes")),
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
        let end = &lease["ended"];
        story.push(("ended", format!("{}, by rule {} of the log", moment(end, "at"), text(end, "position"))));
    }
    let recorded = format!("at position {} of the log, epoch {}", text(lease, "position"), text(lease, "epoch"));
    story.push(("recorded", recorded));
    story.push(("signed with", text(lease, "kid")));
    if lease["state"] == "live" {
        story.push(("revoke", format!("jitney lease revoke --lease {} --reason …", text(lease, "id"))));
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
    }
}
