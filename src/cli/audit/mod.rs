//! `jitney audit`: the decision log, read from its files.
//!
//! Never asks a broker for its contents: what is checked must not come from the one who is checked. Only where the log
//! is may be asked.

mod keys;
mod verify;

pub(in crate::cli) use verify::points;

use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::admin::{self, explain};
use super::args::{AuditCommand, ExportArgs, ExportFormat, Format, LineFilterArgs, TailArgs};
use super::lease::names_nobody;
use super::{Failure, event, output};
use crate::audit::{self, AuditError, Filter, Follow, Line, Records};
use crate::model::{Clock, DecisionId};

/// What helps where the log cannot be read.
const NAME_ANOTHER: &str = "name another: --file PATH";
/// How often a followed file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How many lines are printed where nobody says.
const LINES: usize = 10;

/// Does what one of `jitney audit …` says.
///
/// # Errors
/// [`Failure`] where the log cannot be read, or is not as it was written.
pub async fn run(command: AuditCommand, at: Option<&str>) -> Result<ExitCode, Failure> {
    match command {
        AuditCommand::Tail(args) => tail(args, at).await?,
        AuditCommand::Verify(args) => verify::run(args, at).await?,
        AuditCommand::Export(args) => {
            let found = export(&args, &path(args.file.clone(), at).await?)?;
            // Only a broker that wrote the log, or that was named, can tell who is nobody.
            let is_of_broker = args.file.is_none() || at.is_some();
            if let (0, true, Ok(client)) = (found, is_of_broker, admin::connect(at)) {
                names_nobody(&client, args.filter.workload.as_ref(), args.filter.audience.as_ref()).await;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The file named, or the one that the broker writes.
///
/// # Errors
/// [`Failure`] where none is named and no broker tells one.
pub(super) async fn path(file: Option<PathBuf>, at: Option<&str>) -> Result<PathBuf, Failure> {
    if let Some(file) = file {
        return Ok(file);
    }
    let status = admin::connect(at)?.status().await.map_err(explain)?;
    status["audit"]["path"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| Failure::new("the broker does not say where its audit log is", "name it: --file PATH"))
}

/// What the broker's log says in `detail` of a decision that was made a moment ago; none where it cannot be read here, or does not
/// have it.
pub(in crate::cli) async fn detail(id: &DecisionId) -> Option<String> {
    const A_MOMENT_MS: u64 = 120_000;
    let log = path(None, None).await.ok()?;
    let since = Some(Clock::system().now_ms().saturating_sub(A_MOMENT_MS));
    let filter = Filter { decision_id: Some(id.clone()), since, ..Filter::default() };
    let lines = audit::tail(&log, 1, &filter).ok()?;
    Line::parse(lines.first()?.as_bytes())?.detail.map(|detail| detail.to_string())
}

pub(super) fn unreadable(error: AuditError) -> Failure {
    Failure::new(error.to_string(), NAME_ANOTHER)
}

fn filter(args: &LineFilterArgs) -> Filter {
    let now = Clock::system().now_ms();
    Filter {
        event: args.event.map(|event| event.as_str().to_owned()),
        outcome: args.outcome.map(|outcome| outcome.as_str().to_owned()),
        decision_id: args.decision.clone(),
        workload: args.workload.clone(),
        audience: args.audience.clone(),
        task: args.task.clone(),
        lease: args.lease,
        since: args.since.map(|when| when.ms(now)),
        until: args.until.map(|when| when.ms(now)),
    }
}

async fn tail(args: TailArgs, at: Option<&str>) -> Result<(), Failure> {
    let filter = filter(&args.filter);
    let lines = args.lines.unwrap_or(if filter.since.is_some() { usize::MAX } else { LINES });
    let format = args.output.output;
    // Only a broker that wrote the log, or that was named, can tell who is nobody.
    let is_of_broker = args.file.is_none() || at.is_some();
    let log = path(args.file, at).await?;
    let decision = filter.decision_id.clone().filter(|_| !args.follow);
    let (workload, audience) = (filter.workload.clone(), filter.audience.clone());
    let (last, mut rest) = Follow::open(&log, lines, filter).map_err(unreadable)?;
    if let Some(id) = decision.filter(|_| last.is_empty()) {
        return Err(whose(&id, &log, &brokers(&log)?));
    }
    print(&last, format)?;
    if let (true, true, Ok(client)) = (last.is_empty(), is_of_broker, admin::connect(at)) {
        names_nobody(&client, workload.as_ref(), audience.as_ref()).await;
    }
    if !args.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        print(&rest.next_lines().map_err(unreadable)?, format)?;
    }
}

fn print(lines: &[String], format: Format) -> Result<(), Failure> {
    lines.iter().try_for_each(|line| event::print(line, format))
}

/// Why a log has no line of a decision: it is another broker's, by its name, or the line is gone.
pub(super) fn whose(id: &DecisionId, log: &Path, brokers: &[String]) -> Failure {
    let (broker, shown) = (id.broker(), log.display());
    if !brokers.iter().any(|each| each == broker) {
        return Failure::new(
            format!("decision {id} is one of broker {broker}, and {shown} is the log of {}", brokers.join(", ")),
            format!(
                "look into the audit log of {broker}: --file PATH; `jitney status` on its machine says where it is"
            ),
        );
    }
    Failure::new(
        format!("{shown} has no line of decision {id}, though broker {broker} writes it"),
        "it may be older than what is kept, or one of a flood of refusals to unknown callers, which are counted alone; \
         `jitney audit verify` says whether lines are missing",
    )
}

/// The brokers that have written a log.
fn brokers(log: &Path) -> Result<Vec<String>, Failure> {
    let mut brokers = Vec::<String>::new();
    let tell = |line: Line<'_>| {
        if brokers.iter().all(|each| **each != *line.broker) {
            brokers.push(line.broker.to_string());
        }
        ControlFlow::Continue(())
    };
    Records::open(log).and_then(|mut records| records.for_each(tell)).map_err(unreadable)?;
    Ok(brokers)
}

/// Writes out what is asked for, as it is read: a log may be larger than memory. Gives the number of lines.
fn export(args: &ExportArgs, path: &Path) -> Result<u64, Failure> {
    let filter = filter(&args.filter);
    let mut records = Records::open(path).map_err(unreadable)?.between(filter.since, filter.until);
    let mut out = BufWriter::with_capacity(1 << 16, output::stream());
    let (mut failed, mut found) = (None, 0);
    let write = |line: Line<'_>| {
        if !filter.selects(line.raw) {
            return ControlFlow::Continue(());
        }
        found += 1;
        let written = match args.format {
            ExportFormat::Jsonl => out.write_all(line.raw),
            ExportFormat::Ocsf => out.write_all(audit::ocsf(&line).to_string().as_bytes()),
        };
        match written.and_then(|()| out.write_all(b"\n")) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    records.for_each(write).map_err(unreadable)?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    out.flush()?;
    match records.damaged() {
        0 => Ok(found),
        damaged => Err(Failure::new(
            format!("{} left out: not of the log's form", output::counted(damaged, "line")),
            "see what was done to it: jitney audit verify",
        )),
    }
}
