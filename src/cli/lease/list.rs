//! `jitney lease list`: leases page by page, printed as the pages come, so that a million of them fill no memory.

use std::collections::HashMap;

use serde_json::Value;

use super::{show, state};
use crate::cli::admin::{explain, list as items, pasted, relative, text};
use crate::cli::args::{Format, LeaseFilterArgs, StateFilter};
use crate::cli::{Failure, output};
use crate::client::ClientError;
use crate::client::admin::{AdminClient, LeaseQuery};
use crate::model::{AudienceUri, Clock, UnixTime, WorkloadId};
use crate::policy::meant_by;

/// How many leases are asked for at once.
const PAGE: usize = 500;

const HEADINGS: [&str; 7] = ["LEASE", "WORKLOAD", "TASK", "AUDIENCE", "SCOPES", "STATE", "EXPIRES"];

pub(super) async fn list(client: &AdminClient, filter: LeaseFilterArgs, format: Format) -> Result<(), Failure> {
    let query = LeaseQuery {
        workload: filter.workload,
        audience: filter.audience,
        task: filter.task,
        state: filter.state.map(|state| match state {
            StateFilter::Live => "live",
            StateFilter::Ended => "ended",
        }),
    };
    let limit = if filter.all { usize::MAX } else { filter.limit };
    let mut printed = Printed { format, count: 0, held: Vec::new() };
    let mut moments = None;
    let mut next = filter.cursor;
    loop {
        let page = client.leases(&query, PAGE.min(limit - printed.count), next.as_deref()).await;
        let mut page = page.map_err(|error| refused(error, next.as_deref()))?;
        if format == Format::Json && items(&page, "leases").iter().any(lacks_its_moment) {
            let known = match moments.take() {
                Some(known) => known,
                None => show::moments(client).await,
            };
            date(&mut page, moments.insert(known));
        }
        printed.page(items(&page, "leases"))?;
        next = page["next"].as_str().map(str::to_owned);
        if next.is_none() || printed.count >= limit {
            break;
        }
    }
    let found = printed.count;
    printed.finish(next.as_deref())?;
    if found == 0 && next.is_none() {
        names_nobody(client, query.workload.as_ref(), query.audience.as_ref()).await;
    }
    if let (Some(next), Format::Table) = (next, format) {
        let next = output::plain(&next);
        output::warning(format_args!(
            "there are more than {limit}: narrow the list, or go on: --cursor {next}, or --all"
        ));
    }
    Ok(())
}

/// Whether it is told where it ended, and not when.
fn lacks_its_moment(lease: &Value) -> bool {
    !lease["ended"].is_null() && lease["ended"]["at"].is_null()
}

/// Adds when each ended, as far as this broker's log tells.
fn date(page: &mut Value, moments: &HashMap<u64, i64>) {
    for lease in page["leases"].as_array_mut().into_iter().flatten().filter(|lease| lacks_its_moment(lease)) {
        let at = lease["ended"]["position"].as_u64().and_then(|place| moments.get(&place));
        if let Some(at) = at {
            lease["ended"]["at"] = (*at).into();
        }
    }
}

/// Why there is no page; of a cursor that is none, what one is.
fn refused(error: ClientError, cursor: Option<&str>) -> Failure {
    let failure = explain(error);
    match cursor {
        Some(cursor) if failure.message.contains("cursor") => {
            let next = "leave --cursor out to begin anew; a cursor is the `next` of another list of the same store";
            Failure::usage(format!("`{}` is no cursor of this broker's store", output::plain(cursor)), next)
        }
        _ => failure,
    }
}

/// Says so where a list is empty because it is of nobody.
pub(in crate::cli) async fn names_nobody(
    client: &AdminClient,
    workload: Option<&WorkloadId>,
    audience: Option<&AudienceUri>,
) {
    if let Some(id) = workload {
        unknown("workload", id.as_str(), client.workload(id).await);
    }
    if let Some(uri) = audience {
        unknown("audience", uri.as_str(), client.audience(uri).await);
    }
}

fn unknown(what: &str, name: &str, told: Result<Value, ClientError>) {
    let Err(ClientError::Refused(why)) = told else { return };
    if why.status == 404 {
        let next = pasted(&format!("`jitney {what} list` names them"));
        let meant = meant_by(&why.description).map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
        let meant = output::plain(&meant);
        output::warning(format_args!("the policies know no {what} {name}{meant}: {next}"));
    }
}

/// What was printed of a list.
struct Printed {
    format: Format,
    count: usize,
    /// Rows of pages that were nearly empty: a table of its own for each would be none.
    held: Vec<Vec<String>>,
}

impl Printed {
    fn page(&mut self, leases: &[Value]) -> Result<(), Failure> {
        match self.format {
            Format::Json => {
                let mut text = String::new();
                for (at, lease) in (self.count..).zip(leases) {
                    text.push_str(if at == 0 { "{\"leases\": [\n  " } else { ",\n  " });
                    text.push_str(&lease.to_string());
                }
                output::raw(text.as_bytes())?;
            }
            Format::Table => {
                let now = Clock::system().now();
                self.held.extend(leases.iter().map(|lease| row(lease, now)));
                if self.held.len() > 2 * PAGE {
                    self.table()?;
                }
            }
        }
        self.count += leases.len();
        Ok(())
    }

    fn finish(mut self, next: Option<&str>) -> Result<(), Failure> {
        match self.format {
            Format::Json => {
                let begin = if self.count == 0 { "{\"leases\": [" } else { "\n" };
                let next = next.map_or(Value::Null, Value::from);
                output::raw(format!("{begin}], \"next\": {next}}}\n").as_bytes())
            }
            Format::Table if self.count > 0 && self.held.is_empty() => Ok(()),
            Format::Table => self.table(),
        }
    }

    fn table(&mut self) -> Result<(), Failure> {
        output::table(&HEADINGS, std::mem::take(&mut self.held), "no lease that has not expired")
    }
}

fn row(lease: &Value, now: UnixTime) -> Vec<String> {
    let expires = lease["expires_at"].as_u64().map_or("-".into(), |at| relative(UnixTime::from_secs(at), now));
    vec![
        text(lease, "id"),
        text(lease, "workload"),
        text(lease, "task"),
        text(lease, "audience"),
        text(lease, "scope"),
        state(lease),
        expires,
    ]
}
