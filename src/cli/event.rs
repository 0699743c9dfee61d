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
    "scope",
    "ttl",
    "lease",
    "predecessor",
    "kid",
    "policies",
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
    for &name in TOLD.iter().filter(|&&name| !event[name].is_null()) {
        let label = output::paint(style::DIM, format_args!("{name}="));
        told.push_str(&format!("  {label}{}", said(&event[name])));
    }
    told
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
        "refuse" | "revoke" | "quarantine" => style::BAD,
        "complete" => style::WARN,
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
    fn an_event_is_one_line_whatever_it_holds() {
        let event = json!({
            "time": "2026-01-01T00:00:00.000Z", "event": "revoke", "outcome": "done", "reason": "left\nrunning", "task": "t",
            "policies": ["a", "b"], "prev": "00",
        });
        let line = anstream::adapter::strip_str(&told(&event)).to_string();
        assert_eq!(line, "2026-01-01T00:00:00.000Z  revoke      done     task=t  policies=a,b  reason=left\\nrunning");
    }
}
