//! `jitney lease watch`: what happens to leases, live, a line an event, over restarts of the broker.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::admin::{explain, text};
use crate::cli::args::Format;
use crate::cli::{Failure, event, output};
use crate::client::ClientError;
use crate::client::admin::AdminClient;
use crate::fetch::FetchError;

/// How long a broker may be away.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(500);

pub(super) async fn watch(client: &AdminClient, format: Format) -> Result<(), Failure> {
    // Asked first: what ends from here on is shown, now or when it goes on.
    let status = client.status().await.map_err(explain)?;
    let mut place = Place::of(&status);
    let mut watch = client.watch(place.after()).await.map_err(explain)?;
    if std::io::stderr().is_terminal() {
        // Else nothing tells a quiet broker from a command that hangs.
        let broker = output::plain(&text(&status, "broker"));
        output::line_of_error(&format!("watching the broker {broker}, and every end on its store; Ctrl-C ends it"));
    }
    loop {
        let ended = loop {
            match watch.next().await {
                Ok(Some(line)) => show(&line, format, &mut place)?,
                Ok(None) => break "it ended the stream".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        output::warning(format_args!("the broker is away, waiting for it: {}", output::plain(&ended)));
        watch = again(client, &place).await?;
        output::warning("the broker is back");
    }
}

/// Prints a line, and takes note of where in the log it stands.
fn show(line: &str, format: Format, place: &mut Place) -> Result<(), Failure> {
    event::print(line, format)?;
    let Ok(event) = serde_json::from_str::<Value>(line) else { return Ok(()) };
    place.see(&event);
    if event["event"] == "watch.cut" {
        let why = format!(
            "the broker cut this off: it read too slowly, and missed {}",
            output::counted(&event["count"], "line")
        );
        return Err(Failure::new(why, "start it again; `jitney audit tail` shows what was missed"));
    }
    Ok(())
}

async fn again(client: &AdminClient, place: &Place) -> Result<crate::client::admin::Watch, Failure> {
    let begun = Instant::now();
    loop {
        tokio::time::sleep(AGAIN).await;
        match client.watch(place.after()).await {
            Ok(watch) => return Ok(watch),
            Err(ClientError::NoAnswer(error)) if begun.elapsed() < PATIENCE && !is_refused(&error) => {}
            Err(error) => return Err(explain(error)),
        }
    }
}

/// Whether the broker is there and will not have it; one whose store is away says so with a status above.
const fn is_refused(error: &FetchError) -> bool {
    matches!(error, FetchError::Status { status: ..500, .. })
}

/// Up to where ends have been shown.
#[derive(Debug)]
struct Place {
    position: u64,
    epoch: String,
}

impl Place {
    /// Where the log stands by a broker's status; nowhere while its store is away.
    fn of(status: &Value) -> Self {
        let (position, epoch) = (&status["store"]["position"], &status["store"]["epoch"]);
        Self { position: position.as_u64().unwrap_or(0), epoch: epoch.as_str().unwrap_or_default().to_owned() }
    }

    fn see(&mut self, event: &Value) {
        let is_end = matches!(event["event"].as_str(), Some("complete" | "revoke" | "quarantine" | "end"));
        let Some(position) = event["position"].as_u64().filter(|_| is_end) else { return };
        match event["epoch"].as_str() {
            Some(epoch) if epoch != self.epoch => *self = Self { position, epoch: epoch.to_owned() },
            _ => self.position = self.position.max(position),
        }
    }

    fn after(&self) -> Option<(u64, &str)> {
        (!self.epoch.is_empty()).then_some((self.position, &*self.epoch))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_goes_on_behind_the_last_end_that_was_shown() {
        assert_eq!(Place::of(&json!({"store": {"away": {}}})).after(), None);
        let mut place = Place::of(&json!({"store": {"position": 4, "epoch": "e"}}));
        place.see(&json!({"event": "mint", "position": 9}));
        assert_eq!(place.after(), Some((4, "e")), "a grant names the place that it was granted at");
        place.see(&json!({"event": "end", "position": 7, "epoch": "e"}));
        place.see(&json!({"event": "revoke", "position": 6}));
        place.see(&json!({"event": "complete"}));
        assert_eq!(place.after(), Some((7, "e")));
        place.see(&json!({"event": "end", "position": 2, "epoch": "f"}));
        assert_eq!(place.after(), Some((2, "f")));
    }
}
