//! `jitney lease watch`: what happens to leases, live, a line an event.

use crate::cli::admin::explain;
use crate::cli::args::Format;
use crate::cli::{Failure, event};
use crate::client::admin::AdminClient;

pub(super) async fn watch(client: &AdminClient, format: Format) -> Result<(), Failure> {
    let mut lines = client.watch().await.map_err(explain)?;
    while let Some(line) = lines.next().await.map_err(explain)? {
        event::print(&line, format)?;
    }
    Err(Failure::new("the broker ended the stream", "start it again: `jitney lease watch`"))
}
