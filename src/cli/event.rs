//! One line of the audit log, as a person reads it.

use anstyle::Style;
use serde_json::Value;

use super::Failure;
use super::args::Format;
use super::output::{self, style};

/// Members that are told, in this order, where the line has them.
const TOLD: &[&str] = &[
    "workload",
    "task",
    "audience",
    "audiences",
    "scope",
    "ttl",
    "lease",
    "predecessor",
    "kid",
    "kind",
    "position",
    "policies",
    "probe",
    "refusal",
    "count",
    "actor",
    "reason",
    "detail",
    "decision_id",
];

/// Writes one audit line: for people in one line of words, for programs as it came.
///
/// # Errors
/// [`Failure`] where it cannot be written.
pub fn print(raw: &str, format: Format) -> Result<(), Failure> {
    match (format, serde_json::from_str::<Value>(raw)) {
        (Format::Table, Ok(event)) => output::line(told(&event)),
        _ => output::line(output::plain(raw)),
    }
}

fn told(event: &Value) -> String {
    let outcome = event["outcome"].as_str().unwrap_or("-");
    let word = event["event"].as_str().unwrap_or("-");
    let mut told = format!(
        "{}  {}  {}",
        output::paint(style::DIM, said(&event["time"])),
        output::paint(colour(word), format_args!("{:<10}", output::plain(word))),
        output::paint(outcome_colour(outcome), format_args!("{:<7}", output::plain(outcome))),
    );
    // Of a grant the place in the log says little; of an end it is where every broker finds it.
    let is_grant = matches!(word, "mint" | "renew");
    let has_more = event["more"] == true;
    let is_told = |name: &str| match name {
        "position" if is_grant => false,
        "count" if has_more => true,
        _ => !event[name].is_null(),
    };
    for &name in TOLD.iter().filter(|&&name| is_told(name)) {
        let label = output::paint(style::DIM, format_args!("{name}="));
        let value = match name {
            "count" if has_more => at_least(&event[name]),
            _ => said(&event[name]),
        };
        told.push_str(&format!("  {label}{value}"));
    }
    told
}

/// A count of which it is known that there may have been more.
fn at_least(count: &Value) -> String {
    if count.is_null() { "\"not counted\"".into() } else { format!("\"at least {}\"", said(count)) }
}

/// A value in one word, or in quotes.
fn said(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains(' ') => format!("\"{}\"", output::plain(text)),
        Value::String(text) => output::plain(text),
        Value::Array(items) => items.iter().map(said).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn colour(event: &str) -> Style {
    match event {
        "mint" | "renew" | "release" => style::GOOD,
        "refuse" | "revoke" | "quarantine" | "watch.cut" => style::BAD,
        "complete" | "end" => style::WARN,
        _ => style::STRONG,
    }
}

fn outcome_colour(outcome: &str) -> Style {
    match outcome {
        "refused" | "failed" => style::BAD,
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_broker_s_end_says_what_is_known_of_it() {
        let event = json!({
            "time": "t", "event": "end", "outcome": "done", "kind": "task", "audiences": ["https://a", "https://b"], "position": 7,
            "digest": "AAAA", "until": 9,
        });
        let line = anstream::adapter::strip_str(&told(&event)).to_string();
        assert_eq!(line, "t  end         done     audiences=https://a,https://b  kind=task  position=7");
    }

    #[test]
    fn a_count_that_was_not_made_to_its_end_says_so() {
        let told = |event: Value| anstream::adapter::strip_str(&told(&event)).to_string();
        let event =
            |count: Value| json!({"time": "t", "event": "revoke", "outcome": "done", "count": count, "more": true});
        assert!(told(event(json!(256))).ends_with("  count=\"at least 256\""), "{}", told(event(json!(256))));
        assert!(told(event(Value::Null)).ends_with("  count=\"not counted\""));
        assert!(told(json!({"time": "t", "event": "revoke", "outcome": "done", "count": 3})).ends_with("  count=3"));
    }

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        let event = json!({
            "time": "2026-01-01T00:00:00.000Z", "event": "revoke", "outcome": "done", "reason": "left\nrunning", "task": "t",
            "policies": ["a", "b"], "prev": "00",
        });
        let line = anstream::adapter::strip_str(&told(&event)).to_string();
        assert_eq!(line, "2026-01-01T00:00:00.000Z  revoke      done     task=t  policies=a,b  reason=left\\nrunning");
    }
}
