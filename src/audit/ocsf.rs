//! A line as an event of the Open Cybersecurity Schema Framework, version 1.3.0, for whoever gathers events of many programs.
//!
//! Owns which event is of which class. What the schema has no place for stands under `unmapped`, by the log's own names;
//! nothing is made up, and nothing is left out but the hashes, which prove nothing outside of the chain.

use serde_json::{Map, Value, json};

use super::chain::Stamp;
use super::line::{Line, Str};

/// The version of the schema.
pub const OCSF_VERSION: &str = "1.3.0";

/// A class of the schema.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    EventLog,
    AccountChange,
    Authentication,
    EntityManagement,
    ApplicationLifecycle,
    ApiActivity,
}

impl Class {
    /// Its number; the thousands are its category.
    const fn uid(self) -> u64 {
        match self {
            Self::EventLog => 1008,
            Self::AccountChange => 3001,
            Self::Authentication => 3002,
            Self::EntityManagement => 3004,
            Self::ApplicationLifecycle => 6002,
            Self::ApiActivity => 6003,
        }
    }
}

/// Class, activity, and the activity's name in the schema. An event that a later version adds is one of the log.
fn class_of(event: &str) -> (Class, u64, &'static str) {
    match event {
        "mint" => (Class::Authentication, 4, "Service Ticket Request"),
        "renew" => (Class::Authentication, 5, "Service Ticket Renew"),
        "refuse" | "refused.summary" => (Class::Authentication, 1, "Logon"),
        "complete" => (Class::Authentication, 2, "Logoff"),
        "introspect" => (Class::ApiActivity, 2, "Read"),
        "revoke" => (Class::ApiActivity, 4, "Delete"),
        "admin" => (Class::ApiActivity, 99, "Other"),
        "quarantine" => (Class::AccountChange, 5, "Disable"),
        "release" => (Class::AccountChange, 2, "Enable"),
        "key.publish" | "epoch.start" => (Class::EntityManagement, 1, "Create"),
        "key.rotate" => (Class::EntityManagement, 10, "Activate"),
        "key.withdraw" => (Class::EntityManagement, 4, "Delete"),
        "policy.reload" => (Class::EntityManagement, 3, "Update"),
        "start" => (Class::ApplicationLifecycle, 3, "Start"),
        "stop" => (Class::ApplicationLifecycle, 4, "Stop"),
        "chain.continue" => (Class::EventLog, 5, "Rotate"),
        "chain.expire" => (Class::EventLog, 2, "Delete"),
        "chain.resume" => (Class::EventLog, 9, "Enable"),
        _ => (Class::EventLog, 99, "Other"),
    }
}

/// The event that a line is.
pub fn ocsf(line: &Line<'_>) -> Value {
    let (class, activity, activity_name) = class_of(&line.event);
    let uid = class.uid();
    let is_success = matches!(&*line.outcome, "granted" | "done");
    let mut event = json!({
        "class_uid": uid,
        "category_uid": uid / 1000,
        "activity_id": activity,
        "activity_name": activity_name,
        "type_uid": uid * 100 + activity,
        "time": Stamp::parse(&line.time).unwrap_or_default(),
        "severity_id": severity(line),
        "status_id": if is_success { 1 } else { 2 },
        "status": if is_success { "Success" } else { "Failure" },
        "message": message(line),
        "metadata": metadata(line),
        "unmapped": unmapped(line),
    });
    if let Some(refusal) = &line.refusal {
        event["status_detail"] = text(refusal);
    }
    if let Some(count) = line.count {
        event["count"] = count.into();
    }
    add_parties(&mut event, class, line);
    event
}

fn text(text: &Str<'_>) -> Value {
    Value::from(&**text)
}

/// Informational, Low for a refusal, Medium for what an operator ends or what failed, High for what the log has lost.
fn severity(line: &Line<'_>) -> u64 {
    match (&*line.event, &*line.outcome) {
        ("lost.summary" | "chain.torn", _) => 4,
        ("revoke" | "quarantine", _) | (_, "failed") => 3,
        (_, "refused") => 2,
        _ => 1,
    }
}

fn message(line: &Line<'_>) -> String {
    let mut told = format!("{} {}", line.event, line.outcome);
    let parts =
        [("workload", &line.workload), ("audience", &line.audience), ("scope", &line.scope), ("task", &line.task)];
    for (name, value) in parts {
        if let Some(value) = value {
            told.push_str(&format!(", {name} {value}"));
        }
    }
    told
}

fn metadata(line: &Line<'_>) -> Value {
    let mut metadata = json!({
        "version": OCSF_VERSION,
        "product": {"name": "jitney", "vendor_name": "jitney", "version": env!("CARGO_PKG_VERSION")},
        "event_code": text(&line.event),
        "log_name": "audit",
        "log_provider": text(&line.broker),
        "original_time": text(&line.time),
        "sequence": line.seq,
        // The log's number is its alone within the broker's chain.
        "uid": format!("{}:{}", line.broker, line.seq),
    });
    if let Some(decision) = &line.decision_id {
        metadata["correlation_uid"] = text(decision);
    }
    metadata
}

/// Who, from where, at what: by what each class asks for.
fn add_parties(event: &mut Value, class: Class, line: &Line<'_>) {
    // A caller who proved nothing has no name.
    let user = line.workload.as_ref().map_or_else(
        || json!({"name": "unknown", "type_id": 0}),
        |id| json!({"name": text(id), "uid": text(id), "type": "workload", "type_id": 99}),
    );
    let broker = json!({"name": "jitney", "uid": text(&line.broker)});
    let endpoint = line.peer.as_ref().map_or_else(
        || json!({"name": if line.actor.is_some() { "admin" } else { "jitney" }, "uid": text(&line.broker)}),
        |ip| json!({"ip": text(ip)}),
    );
    match class {
        Class::Authentication => {
            event["user"] = user;
            event["service"] = broker;
            event["auth_protocol_id"] = 6.into();
            event["auth_protocol"] = "OAUTH 2.0".into();
            event["src_endpoint"] = endpoint;
            if let Some(lease) = &line.lease {
                event["session"] = json!({"uid": text(lease)});
            }
            if let Some(audience) = &line.audience {
                event["dst_endpoint"] = json!({"svc_name": text(audience)});
            }
        }
        Class::AccountChange => {
            event["user"] = user;
            event["src_endpoint"] = endpoint;
            if let Some(actor) = &line.actor {
                event["actor"] = json!({"user": {"name": text(actor), "type_id": 2}});
            }
        }
        Class::ApiActivity => {
            let actor = line.actor.as_ref().or(line.workload.as_ref());
            event["actor"] = match actor {
                Some(actor) => json!({"user": {"name": text(actor), "type_id": 99}}),
                None => json!({"app_name": "unknown"}),
            };
            event["api"] = json!({"operation": text(&line.event), "service": broker});
            event["src_endpoint"] = endpoint;
            event["resources"] = resources(line).into();
        }
        Class::EntityManagement => event["entity"] = entity(line),
        Class::ApplicationLifecycle => {
            event["app"] = json!({"name": "jitney", "vendor_name": "jitney", "uid": text(&line.broker)});
        }
        Class::EventLog => {
            event["log_name"] = "audit".into();
            event["log_provider"] = text(&line.broker);
            event["log_type_id"] = 2.into();
        }
    }
}

/// What an end or a question is about.
fn resources(line: &Line<'_>) -> Vec<Value> {
    let parts = [
        ("lease", &line.lease),
        ("task", &line.task),
        ("workload", &line.workload),
        ("audience", &line.audience),
        ("key", &line.kid),
    ];
    let resource = |(kind, value): (&str, &Option<Str<'_>>)| {
        value.as_ref().map(|value| json!({"type": kind, "name": text(value), "uid": text(value)}))
    };
    parts.into_iter().filter_map(resource).collect()
}

fn entity(line: &Line<'_>) -> Value {
    let named = |kind: &str, uid: Option<&Str<'_>>| match uid {
        Some(uid) => json!({"type": kind, "type_id": 99, "name": kind, "uid": text(uid)}),
        None => json!({"type": kind, "type_id": 99, "name": kind}),
    };
    match &*line.event {
        "policy.reload" => json!({"type": "policy set", "type_id": 5, "name": "policy set",
            "uid": line.detail.as_ref().map_or_else(|| "unknown".into(), text)}),
        "epoch.start" => named("epoch", line.epoch.as_ref()),
        _ => named("signing key", line.kid.as_ref()),
    }
}

/// All that the schema has no place for, by the log's names.
fn unmapped(line: &Line<'_>) -> Value {
    let mut rest = Map::new();
    let texts = [
        ("task", &line.task),
        ("scope", &line.scope),
        ("lease", &line.lease),
        ("predecessor", &line.predecessor),
        ("kid", &line.kid),
        ("epoch", &line.epoch),
        ("since", &line.since),
        ("actor", &line.actor),
        ("identity", &line.identity),
        ("reason", &line.reason),
        ("detail", &line.detail),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            rest.insert(name.into(), text(value));
        }
    }
    for (name, value) in [("ttl", line.ttl), ("position", line.position)] {
        if let Some(value) = value {
            rest.insert(name.into(), value.into());
        }
    }
    for (name, flag) in [("more", line.more), ("probe", line.probe)] {
        if flag {
            rest.insert(name.into(), true.into());
        }
    }
    if !line.policies.is_empty() {
        rest.insert("policies".into(), json!(line.policies));
    }
    if !line.claims.is_empty() {
        rest.insert("claims".into(), json!(line.claims));
    }
    rest.into()
}

#[cfg(test)]
mod tests {
    use super::super::record::{AuditRecord, Event, Outcome};
    use super::*;
    use crate::model::{AudienceUri, Reason, WorkloadId};

    fn told(record: &AuditRecord) -> Value {
        let (mut chain, mut out) = (super::super::chain::Chain::START, Vec::new());
        chain.push(&mut out, "b1", 1_790_000_000_123, record);
        ocsf(&Line::parse(out.strip_suffix(b"\n").unwrap()).unwrap())
    }

    #[test]
    fn a_refused_request_is_a_failed_authentication() {
        let record = AuditRecord::refused(Event::Mint, Reason::DeniedScope)
            .workload(WorkloadId::parse("w").unwrap())
            .audience(AudienceUri::parse("https://a.example").unwrap())
            .peer([127, 0, 0, 1].into());
        let event = told(&record);
        let numbers = ["class_uid", "category_uid", "activity_id", "type_uid", "status_id", "severity_id", "time"];
        let numbers = numbers.map(|name| event[name].as_u64().unwrap());
        assert_eq!(numbers, [3002, 3, 4, 300_204, 2, 2, 1_790_000_000_123]);
        assert_eq!((&event["user"]["uid"], &event["src_endpoint"]["ip"]), (&"w".into(), &"127.0.0.1".into()));
        assert_eq!(
            (&event["dst_endpoint"]["svc_name"], &event["status_detail"]),
            (&"https://a.example".into(), &"denied_scope".into())
        );
        assert_eq!(event["metadata"]["uid"], "b1:1");
    }

    #[test]
    fn a_count_that_was_not_made_to_its_end_says_so() {
        let event = told(&AuditRecord::new(Event::Revoke, Outcome::Done).count(256).more(true));
        assert_eq!((&event["count"], &event["unmapped"]["more"]), (&256.into(), &true.into()));
        let event = told(&AuditRecord::new(Event::Revoke, Outcome::Done).count(2));
        assert!(event["unmapped"].get("more").is_none(), "{event}");
    }

    #[test]
    fn every_event_has_a_class() {
        for event in Event::ALL {
            let class = class_of(event.as_str());
            let is_known = class.2 != "Other" || matches!(event, Event::Admin | Event::ChainTorn | Event::LostSummary);
            assert!(is_known, "{} falls among the others", event.as_str());
            let uid = told(&AuditRecord::new(*event, Outcome::Done))["class_uid"].clone();
            assert_eq!(uid, class.0.uid());
        }
    }
}
