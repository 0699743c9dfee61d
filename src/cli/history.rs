//! When a workload's or an audience's file came and was last changed: asked of git by the command line, where the policies'
//! folder lies on this machine. The broker never runs git.

use std::path::Path;

use serde_json::{Value, json};

use super::admin::text;
use crate::governance::history::History;
use crate::model::UnixTime;

/// Adds `history` to a document that names its `file`; `status` is the broker's. One that does not say where its policies lie, or a
/// folder without git, adds nothing: that is no reason to show less.
pub fn add(document: &mut Value, status: &Value) {
    let (Some(dir), Some(file)) = (status["policies"]["dir"].as_str(), document["file"].as_str()) else { return };
    let Some(history) = History::of(Path::new(dir)) else { return };
    if let Some(story) = history.story(file) {
        document["history"] = json!(story);
    }
}

/// The fields for people.
pub fn fields(document: &Value) -> Vec<(&'static str, String)> {
    let history = &document["history"];
    if history.is_null() {
        return Vec::new();
    }
    vec![("created", told(&history["created"])), ("last changed", told(&history["changed"]))]
}

fn told(commit: &Value) -> String {
    let at = commit["at"].as_u64().map_or_else(|| "-".into(), |at| UnixTime::from_secs(at).rfc3339());
    let id = text(commit, "id");
    let short = id.get(..12).unwrap_or(&id);
    format!("{at} by {}: {} ({short})", text(commit, "author"), text(commit, "subject"))
}
