//! What a broker has in use, where its policies' folder holds something else: what is shown of the set says so.
//!
//! The broker's own word, and not a look at the folder: it may lie on another machine, or be another user's.

use serde_json::{Value, json};

use super::admin::{list, moment, text};
use super::output;
use crate::client::admin::AdminClient;

/// The broker at a glance; null where it does not say: that is no reason to show less.
pub async fn status(client: &AdminClient) -> Value {
    client.status().await.unwrap_or_default()
}

/// Adds `warnings` to a document that tells of the set in use, and says them on standard error.
pub fn warn(document: &mut Value, status: &Value) {
    let warnings: Vec<String> = does_not_load(status).into_iter().chain(unread(document)).collect();
    for warning in &warnings {
        output::warning(output::plain(warning));
    }
    document["warnings"] = json!(warnings);
}

fn does_not_load(status: &Value) -> Option<String> {
    let policies = &status["policies"];
    let refused = &policies["refused"];
    if refused.is_null() {
        return None;
    }
    let (dir, finding, since) = (text(policies, "dir"), text(refused, "finding"), moment(refused, "since"));
    Some(format!(
        "{dir} does not load since {since} ({finding}); the broker goes on with the set before, which is shown here; mend \
         it: jitney policy check {dir}"
    ))
}

/// What other brokers of the store may have granted, which a document that tells of last uses cannot know.
fn unread(document: &Value) -> Option<String> {
    let names: Vec<&str> = list(document, "unread").iter().filter_map(Value::as_str).collect();
    let of = logs_of(&names)?;
    Some(format!(
        "{of} not read: what was granted there is known here only while its leases last; all logs at once: jitney report --audit \
         FILE, once for each broker"
    ))
}

/// `the log of broker b2 was`, `the logs of brokers b2 and b3 were`; nothing of none.
pub fn logs_of(brokers: &[&str]) -> Option<String> {
    match brokers {
        [] => None,
        [one] => Some(format!("the log of broker {one} was")),
        [all @ .., last] => Some(format!("the logs of brokers {} and {last} were", all.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_does_not_load_is_told_and_nothing_else_is() {
        for fine in [Value::Null, json!({"policies": {"dir": "p"}}), json!({"policies": {"refused": null}})] {
            let mut document = json!({});
            warn(&mut document, &fine);
            assert_eq!(document["warnings"], json!([]), "{fine}");
        }
        let mut document = json!({"unread": ["b2", "b3"]});
        warn(&mut document, &Value::Null);
        let told = document["warnings"][0].as_str().unwrap();
        assert!(told.starts_with("the logs of brokers b2 and b3 were not read: "), "{told}");
        let refused = json!({"since": 1_790_000_000, "finding": "a.cedar:1:1: unexpected"});
        let told = does_not_load(&json!({"policies": {"dir": "/p", "refused": refused}})).unwrap();
        assert!(told.starts_with("/p does not load since 2026-09-21T14:13:20Z ("), "{told}");
        assert!(told.contains("(a.cedar:1:1: unexpected)") && told.ends_with("jitney policy check /p"), "{told}");
    }
}
