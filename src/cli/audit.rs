//! `jitney audit`: the decision log, read from its file.
//!
//! Never asks a broker for its contents: what is checked must not come from the one who is checked. Only where the file
//! is may be asked.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::admin::{self, explain};
use super::args::{AuditCommand, Format};
use super::{Failure, event, output};
use crate::audit::{self, Filter, Follow, Summary};

/// What helps where the log cannot be read.
const NAME_ANOTHER: &str = "name another: --file PATH";
/// How often a followed file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Does what one of `jitney audit …` says.
///
/// # Errors
/// [`Failure`] where the log cannot be read, or is not as it was written.
pub async fn run(command: AuditCommand, at: Option<&str>) -> Result<ExitCode, Failure> {
    match command {
        AuditCommand::Tail { lines, follow, file, output } => {
            let path = path(file, at).await?;
            let unreadable = |error: audit::AuditError| Failure::new(error.to_string(), NAME_ANOTHER);
            if follow {
                let (last, rest) = Follow::open(&path, lines, Filter::default()).map_err(unreadable)?;
                print(&last, output.output)?;
                follow_on(rest, output.output).await?;
            } else {
                print(&audit::tail(&path, lines, &Filter::default()).map_err(unreadable)?, output.output)?;
            }
        }
        AuditCommand::Verify { head, file, output } => {
            verify(path(file, at).await?, head.as_deref(), output.output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The file named, or the one that the broker writes.
async fn path(file: Option<PathBuf>, at: Option<&str>) -> Result<PathBuf, Failure> {
    if let Some(file) = file {
        return Ok(file);
    }
    let status = admin::connect(at)?.status().await.map_err(explain)?;
    status["audit"]["path"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| Failure::new("the broker does not say where its audit log is", "name it: --file PATH"))
}

fn print(lines: &[String], format: Format) -> Result<(), Failure> {
    lines.iter().try_for_each(|line| event::print(line, format))
}

async fn follow_on(mut rest: Follow, format: Format) -> Result<(), Failure> {
    loop {
        print(&rest.next_lines().map_err(|error| Failure::new(error.to_string(), NAME_ANOTHER))?, format)?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn verify(path: PathBuf, head: Option<&str>, format: Format) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let verified = head.map_or_else(|| audit::verify(&path), |head| audit::verify_holding(&path, head));
    match (verified, format) {
        (Ok(summary), Format::Table) => told(&summary, &shown, head),
        (Ok(summary), Format::Json) => {
            let mut document = json!({"file": shown, "intact": true, "held": head});
            if let (Some(document), Ok(serde_json::Value::Object(summary))) =
                (document.as_object_mut(), serde_json::to_value(&summary))
            {
                document.extend(summary);
            }
            output::json(&document)
        }
        (Err(broken), Format::Table) if broken.fault == audit::Fault::Unreadable => {
            Err(Failure::new(format!("the audit log cannot be read: {}", broken.why), NAME_ANOTHER))
        }
        (Err(broken), Format::Table) => {
            let next = match broken.fault {
                audit::Fault::HeadMissing => "compare with a copy: what came after that line is gone, or was replaced",
                _ => "compare with a copy: what follows that line proves nothing any more",
            };
            Err(Failure::new(format!("{shown}: {broken}"), next))
        }
        (Err(broken), Format::Json) => {
            let fault = broken.fault.to_string();
            output::json(
                &json!({"file": shown, "intact": false, "line": broken.line, "fault": fault, "why": broken.why}),
            )?;
            Err(Failure::answered())
        }
    }
}

fn told(summary: &Summary, path: &str, held: Option<&str>) -> Result<(), Failure> {
    output::line(format_args!("{} {path}", output::paint(output::style::GOOD, "intact")))?;
    let mut fields = vec![("lines", summary.lines.to_string())];
    for (name, line) in [("first", &summary.first), ("last", &summary.last)] {
        if let Some(line) = line {
            fields.push((name, format!("number {}, {}", line.seq, line.time)));
        }
    }
    fields.push(("brokers", summary.brokers.join(", ")));
    fields.push(("head", summary.head.clone()));
    fields.extend(summary.continues.clone().map(|head| ("continues", head)));
    fields.push(("its end", end(held).to_owned()));
    output::fields(&fields)
}

/// What is known of the log's end: a log that was cut off at a whole line is intact as far as it goes.
const fn end(held: Option<&str>) -> &'static str {
    match held {
        Some(_) => "the head asked for stands in it: nothing up to there was cut off",
        None => "not checked: whole lines cut off it show only against a head from before, --head HEX",
    }
}
