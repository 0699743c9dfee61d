//! `jitney report`: evidence for each workload, from files, and from the broker where one runs.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::admin::{self, explain, list, text};
use super::args::{ReportArgs, ReportFormat};
use super::in_use::logs_of;
use super::shell::quoted;
use super::{Failure, output};
use crate::audit;
use crate::client::admin::AdminClient;
use crate::governance::report::{self, LastUse, Live, LogView, Period, Report, ReportError, Sources};
use crate::model::Clock;
use crate::policy::PolicySet;

/// Between two words of how far it is.
const STEP: Duration = Duration::from_millis(100);

/// What helps where nothing says what to read.
const NAME_THEM: &str = "name them: jitney report DIR --audit FILE";

/// Makes the report that is asked for.
///
/// # Errors
/// [`Failure`] where something cannot be read, or the report cannot be written.
pub async fn run(args: ReportArgs, at: Option<&str>) -> Result<ExitCode, Failure> {
    let clock = Clock::system();
    let now_ms = clock.now_ms();
    let [since, until] = [args.since.ms(now_ms), args.until.map_or(now_ms, |when| when.ms(now_ms))];
    if since >= until {
        return Err(Failure::usage("the period ends before it begins", "give an earlier --since or a later --until"));
    }
    let form = args.form().map_err(|ending| {
        let next = "name a file that ends in .md, .html or .json, or say --format";
        Failure::usage(format!("a report is not written as .{}", output::plain(&ending)), next)
    })?;
    let asked = if args.offline { None } else { broker(at, &args).await? };
    let (dir, logs) = places(&args, asked.as_ref().map(|(status, _)| status))?;
    let signed: Vec<_> = logs.iter().map(|log| super::audit::points(log)).collect();
    let mut bar = Bar::of(&logs);
    let mut build = |served: Option<&PolicySet>| {
        let sources = Sources {
            dir: &dir,
            logs: &logs,
            signed: &signed,
            period: Period { since: audit::time(since), until: audit::time(until) },
            now: clock.now(),
            broker: asked.as_ref().map(|(_, live)| live.clone()),
            served,
        };
        report::build(sources, &mut |bytes| bar.add(bytes))
    };
    let mut made = build(None);
    if let (Err(ReportError::Policies(_)), Some((status, _))) = (&made, &asked)
        && is_of_broker(&dir, status)
        && let Some(basis) = super::explain::in_use(&admin::connect(at)?, &dir).await
    {
        // The broker goes on with the set before, and so does the report.
        made = build(Some(&basis.set));
    }
    bar.finish();
    let report = made.map_err(|error| unreadable(&error, &dir))?;
    if let Some(why) = &report.policies.does_not_load {
        output::warning(format_args!(
            "{} does not load ({}): the report tells of the set that the broker has in use",
            dir.display(),
            output::plain(why)
        ));
    }
    let unread: Vec<&str> = report.unread.iter().map(String::as_str).collect();
    if let Some(of) = logs_of(&unread) {
        output::warning(format_args!(
            "{} not read: no grant is known to be unused, and there is no patch; name all logs: --audit FILE, once for each broker",
            output::plain(&of)
        ));
    }
    write(&report, form, &args)?;
    if report.intact { Ok(ExitCode::SUCCESS) } else { Err(touched(&report, &args)) }
}

/// The report is written, and what it counts proves nothing: it ends like `audit verify` does.
fn touched(report: &Report, args: &ReportArgs) -> Failure {
    let broken: Vec<&LogView> = report.logs.iter().filter(|log| !log.intact).collect();
    let told = |log: &&LogView| {
        let fault = log.fault.as_deref().unwrap_or("not checked");
        format!("{} is not as it was written: {fault}", output::plain(&log.file))
    };
    let told = broken.iter().map(told).collect::<Vec<_>>().join("; ");
    let file = broken.first().map_or("", |log| log.file.as_str());
    let place = args.out.as_ref().map_or_else(String::new, |file| format!(" to {}", file.display()));
    Failure::new(
        format!("{told}; the report is written{place} all the same, and says so"),
        format!("compare the log with a copy: jitney audit verify --file {}", quoted(file)),
    )
}

/// Whether the broker reads its policies there.
fn is_of_broker(dir: &Path, status: &Value) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let of_broker = status["policies"]["dir"].as_str().map(Path::new);
    of_broker.is_some_and(|other| other == dir || (real(other).is_some() && real(other) == real(dir)))
}

/// What a running broker says; none where no broker was named and none is found.
async fn broker(at: Option<&str>, args: &ReportArgs) -> Result<Option<(Value, Live)>, Failure> {
    let is_named = at.is_some() || std::env::var_os("JITNEY_ADMIN").is_some_and(|value| !value.is_empty());
    // Whoever names all files needs no broker; it is asked all the same where it is there.
    let is_needed = is_named || args.dir.is_none() || args.audit.is_empty();
    let said = match admin::connect(at) {
        Ok(client) => ask(&client).await,
        Err(failure) => Err(failure),
    };
    match said {
        Ok(said) => Ok(Some(said)),
        Err(failure) if is_needed => {
            Err(Failure::new(failure.message, format!("{}; without a broker: {NAME_THEM} --offline", failure.next)))
        }
        Err(_) => Ok(None),
    }
}

async fn ask(client: &AdminClient) -> Result<(Value, Live), Failure> {
    let status = client.status().await.map_err(explain)?;
    let workloads = client.workloads().await.map_err(explain)?;
    let quarantined = list(&workloads, "workloads").iter().filter(|each| !each["quarantine"].is_null());
    let quarantines: BTreeMap<String, String> =
        quarantined.map(|each| (text(each, "id"), text(&each["quarantine"], "reason"))).collect();
    let live = Live {
        name: text(&status, "broker"),
        version: text(&status, "version"),
        digest: text(&status["policies"], "digest"),
        live_leases: status["store"]["live_leases"].as_u64(),
        quarantines,
        others: list(&workloads, "unread").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        last_uses: list(&workloads, "workloads").iter().filter_map(last_use).collect(),
    };
    Ok((status, live))
}

/// When a workload had its last token, by the broker's word.
fn last_use(workload: &Value) -> Option<(String, LastUse)> {
    let last = &workload["last_use"];
    let [at, audience, scope] = ["at", "audience", "scope"].map(|name| text(last, name));
    (!last.is_null()).then(|| (text(workload, "id"), LastUse { at, audience, scope }))
}

/// The folder and the logs: those named, else those of the broker.
fn places(args: &ReportArgs, status: Option<&Value>) -> Result<(PathBuf, Vec<PathBuf>), Failure> {
    let of_broker = |room: &str, name: &str| {
        status.and_then(|status| status[room][name].as_str()).filter(|path| !path.is_empty()).map(PathBuf::from)
    };
    let dir = args.dir.clone().or_else(|| of_broker("policies", "dir"));
    let mut logs = args.audit.clone();
    if logs.is_empty() {
        logs.extend(of_broker("audit", "path"));
    }
    match (dir, logs.is_empty()) {
        (Some(dir), false) => Ok((dir, logs)),
        (None, _) => Err(Failure::usage("it is not said where the policies lie", NAME_THEM)),
        (_, true) => Err(Failure::usage("it is not said where the audit log lies", NAME_THEM)),
    }
}

fn unreadable(error: &ReportError, dir: &Path) -> Failure {
    match error {
        ReportError::Policies(findings) => Failure::new(
            format!("the policies in {} do not load\n{findings}", dir.display()),
            format!("mend them; `jitney policy check {}` says the same", dir.display()),
        ),
        ReportError::Log(_) => Failure::new(error.to_string(), "name another: --audit FILE"),
    }
}

fn write(report: &Report, form: ReportFormat, args: &ReportArgs) -> Result<(), Failure> {
    let text = match form {
        ReportFormat::Markdown => report.markdown(),
        ReportFormat::Html => report.html(),
        ReportFormat::Json => {
            let text = serde_json::to_string_pretty(report);
            text.map_err(|error| Failure::unexpected(format!("the report cannot be written as JSON: {error}")))? + "\n"
        }
    };
    let Some(file) = &args.out else { return output::raw(text.as_bytes()) };
    std::fs::write(file, text).map_err(|error| {
        let next = "name another with --out, in a folder that you can write";
        Failure::new(format!("{} cannot be written: {error}", file.display()), next)
    })?;
    let unused = if report.unread.is_empty() { "not used" } else { "not seen in use" };
    output::line(format_args!(
        "{} {}: {}, {}, {} {unused}",
        output::paint(output::style::GOOD, "written"),
        output::plain(&file.display().to_string()),
        output::counted(report.workloads.len(), "workload"),
        output::counted(report.total.granted, "token"),
        output::counted(report.unused.unused.len(), "grant"),
    ))
}

/// How far it is, on one line of a terminal; nothing elsewhere.
struct Bar {
    total: u64,
    read: u64,
    told: Option<Instant>,
    begun: Instant,
}

impl Bar {
    fn of(logs: &[PathBuf]) -> Self {
        let total = logs.iter().map(|log| audit::size(log)).sum();
        let told = std::io::stderr().is_terminal().then(Instant::now);
        Self { total, read: 0, told, begun: Instant::now() }
    }

    fn add(&mut self, bytes: u64) {
        self.read += bytes;
        if self.told.is_some_and(|told| told.elapsed() >= STEP) {
            self.told = Some(Instant::now());
            output::progress(&shown(self.read, self.total, self.begun.elapsed()));
        }
    }

    fn finish(&self) {
        if self.told.is_some() {
            output::progress("");
        }
    }
}

fn shown(read: u64, total: u64, took: Duration) -> String {
    const PLACES: u64 = 30;
    // The log may grow while it is read.
    let total = total.max(read).max(1);
    let full = (read * PLACES / total) as usize;
    let bar = "#".repeat(full) + &".".repeat(PLACES as usize - full);
    format!(
        "reading the audit log [{bar}] {:>3} % of {} MB, {} s",
        read * 100 / total,
        total.div_ceil(1 << 20),
        took.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_is_is_told_and_never_more_than_all() {
        let told = |read, total| shown(read, total, Duration::from_secs(2));
        assert!(told(0, 100 << 20).contains("[..............................]   0 % of 100 MB"));
        assert!(told(50 << 20, 100 << 20).contains("[###############...............]  50 % of 100 MB, 2 s"));
        assert!(told(101 << 20, 100 << 20).contains("] 100 % of 101 MB"), "the log has grown");
        assert!(told(0, 0).contains("  0 % of 1 MB"));
    }
}
