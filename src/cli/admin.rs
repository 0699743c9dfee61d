//! What all operator commands share: finding the broker, and reading the documents it answers with.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::Failure;
use crate::client::ClientError;
use crate::client::admin::{AdminAddress, AdminClient};
use crate::model::time::format_span;
use crate::model::{Clock, UnixTime};

/// Where `serve --dev` puts its socket, and where a broker run by the system does.
const SOCKETS: [&str; 2] = ["./.jitney/admin.sock", "/run/jitney/admin.sock"];

/// The admin API that `--admin` names, else `JITNEY_ADMIN`, else one of the usual sockets.
///
/// # Errors
/// [`Failure`] where what was named is no address.
pub fn connect(named: Option<&str>) -> Result<AdminClient, Failure> {
    let from_env = std::env::var("JITNEY_ADMIN").ok().filter(|value| !value.is_empty());
    let address = match named.map(str::to_owned).or(from_env) {
        Some(raw) => AdminAddress::parse(&raw).map_err(|_| {
            Failure::usage(
                format!("`{raw}` is no address of an admin API"),
                "write `unix:PATH`, in --admin or JITNEY_ADMIN",
            )
        })?,
        None => AdminAddress::unix(if Path::new(SOCKETS[0]).exists() { SOCKETS[0] } else { SOCKETS[1] }),
    };
    Ok(AdminClient::new(address))
}

/// Tells an operator's failure: where no broker answers, how to name another.
pub fn explain(error: ClientError) -> Failure {
    let unreachable = matches!(error, ClientError::NoAnswer(_));
    let failure = Failure::from(error);
    if unreachable {
        return failure.next("name another with --admin unix:PATH or JITNEY_ADMIN, or start one: jitney serve --dev");
    }
    failure
}

/// A member of a document as text: `-` where it is absent, lists with commas.
pub fn text(document: &Value, name: &str) -> String {
    shown(&document[name])
}

/// How an identity proves somebody: its type, and the platform where one signs for it.
pub fn proves(identity: &Value) -> String {
    match identity["issuer"].as_str() {
        Some(_) => format!("{} of {}", text(identity, "type"), text(identity, "issuer")),
        None => text(identity, "type"),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The list that a document holds under a name; empty where it holds none.
pub fn list<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    document[name].as_array().map_or(&[], Vec::as_slice)
}

/// A moment as people read it, with how far it is from now: `2026-09-21T14:13:20Z (in 4m 12s)`.
pub fn moment(document: &Value, name: &str) -> String {
    let Some(at) = document[name].as_u64().map(UnixTime::from_secs) else { return text(document, name) };
    format!("{} ({})", at.rfc3339(), relative(at, Clock::system().now()))
}

/// How far a moment is from now: `in 4m 12s`, `12s ago`.
pub fn relative(at: UnixTime, now: UnixTime) -> String {
    if at == now {
        return "now".into();
    }
    if at > now { format!("in {}", rough(at.since(now))) } else { format!("{} ago", rough(now.since(at))) }
}

/// A span in its two largest units.
pub fn rough(span: Duration) -> String {
    let secs = span.as_secs();
    let (large, unit, small, under) = match secs {
        0..60 => return format!("{secs}s"),
        60..3600 => (secs / 60, 'm', secs % 60, 's'),
        3600..86_400 => (secs / 3600, 'h', secs % 3600 / 60, 'm'),
        _ => (secs / 86_400, 'd', secs % 86_400 / 3600, 'h'),
    };
    if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit} {small}{under}") }
}

/// A number of seconds as a span, exactly.
pub fn span(document: &Value, name: &str) -> String {
    document[name].as_u64().map_or_else(|| text(document, name), |secs| format_span(Duration::from_secs(secs)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_shown_as_people_read_it() {
        let document = json!({"owner": "team", "scopes": ["a", "b"], "n": 3, "ttl": 300, "none": null});
        assert_eq!(text(&document, "owner"), "team");
        assert_eq!(text(&document, "scopes"), "a, b");
        assert_eq!(
            (text(&document, "n"), text(&document, "none"), text(&document, "absent")),
            ("3".into(), "-".into(), "-".into())
        );
        assert_eq!(span(&document, "ttl"), "5m");
    }

    #[test]
    fn moments_are_told_from_now() {
        let now = UnixTime::from_secs(1_000_000);
        let cases = [(0, "now"), (252, "in 4m 12s"), (3600, "in 1h"), (90_000, "in 1d 1h")];
        for (ahead, expected) in cases {
            assert_eq!(relative(now.plus(Duration::from_secs(ahead)), now), expected);
        }
        assert_eq!(relative(now.minus(Duration::from_secs(12)), now), "12s ago");
    }
}
