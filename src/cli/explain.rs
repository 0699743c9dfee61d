//! `jitney policy explain`: why a request is allowed or refused, by the policies of a directory or of the running broker.
//!
//! A decision is looked up in the audit log itself, over all its files; the broker is asked for places alone.

use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::admin::{self, explain as explain_client};
use super::args::{ExplainArgs, Format};
use super::audit::unreadable;
use super::output::style::{BAD, DIM, GOOD, STRONG, WARN};
use super::{Failure, event, output};
use crate::audit::{Line, Records};
use crate::governance::explain::{self, Basis, Described, Proven, Span, Undescribed};
use crate::model::time::format_span;
use crate::model::{DecisionId, Reason};
use crate::policy::{Diagnostics, Explanation, Limits, Outcome, PolicyExplained, Question, Severity};

/// The longest request that is read from standard input.
const LONGEST: u64 = 1 << 20;

/// Explains and prints.
///
/// # Errors
/// [`Failure`] where there is no such decision, or no such policies.
pub async fn run(args: ExplainArgs, at: Option<&str>) -> Result<ExitCode, Failure> {
    match args.decision.as_deref() {
        None => of_request(&described(&args), &args, at).await,
        Some("-") => of_request(&from_stdin()?, &args, at).await,
        Some(raw) => {
            let id = DecisionId::parse(raw).map_err(|error| {
                Failure::usage(
                    format!("`{raw}` is no decision id: {error}"),
                    "paste it as a refusal tells it: `decision_id`",
                )
            })?;
            of_decision(&id, &args, at).await
        }
    }
}

fn described(args: &ExplainArgs) -> Described {
    Described {
        workload: args.workload.as_ref().map(ToString::to_string).unwrap_or_default(),
        audience: args.audience.clone().unwrap_or_default(),
        scope: args.scopes.join(" "),
        task: args.task.as_ref().map(ToString::to_string),
        ttl: args.ttl.map(|ttl| Span::Seconds(ttl.as_secs())),
        now: args.now.clone(),
        identity: Proven { r#type: args.identity.clone(), claims: args.claims.iter().cloned().collect() },
    }
}

fn from_stdin() -> Result<Described, Failure> {
    let mut text = String::new();
    let next = "give one on standard input: {\"workload\": …, \"audience\": …, \"scope\": …}";
    let read = std::io::stdin().take(LONGEST).read_to_string(&mut text);
    read.map_err(|error| Failure::new(format!("standard input cannot be read: {error}"), next))?;
    Described::from_json(&text).map_err(|error| Failure::usage(error.to_string(), next))
}

/// Which policies, and under which limits.
struct Grounds {
    basis: Basis,
    limits: Limits,
    dir: PathBuf,
    /// The running broker's set is another than what lies in the directory.
    is_stale: bool,
}

async fn grounds(dir: Option<&Path>, at: Option<&str>) -> Result<Grounds, Failure> {
    let (dir, limits, running) = match dir {
        Some(dir) => (dir.to_owned(), Limits::default(), None),
        None => {
            let status = admin::connect(at)?.status().await.map_err(explain_client)?;
            let dir = status["policies"]["dir"].as_str().filter(|dir| !dir.is_empty()).map(PathBuf::from);
            let dir = dir.ok_or_else(|| {
                Failure::new("the broker does not say where its policies are", "name them: --policies DIR")
            })?;
            (dir, limits_of(&status), status["policies"]["digest"].as_str().map(str::to_owned))
        }
    };
    let basis = Basis::load(&dir).map_err(|findings| does_not_load(&dir, &findings))?;
    let is_stale = running.is_some_and(|running| running != basis.set.digest());
    Ok(Grounds { basis, limits, dir, is_stale })
}

fn does_not_load(dir: &Path, findings: &Diagnostics) -> Failure {
    let first = findings.0.iter().find(|finding| finding.severity == Severity::Error);
    let why = first.map(|finding| format!(": {}", finding.message)).unwrap_or_default();
    let dir = dir.display();
    Failure::new(format!("{dir} does not load{why}"), format!("mend it; `jitney policy check {dir}` has all of it"))
}

fn limits_of(status: &Value) -> Limits {
    let default = Limits::default();
    let span = |name: &str, default| status["tokens"][name].as_u64().map_or(default, Duration::from_secs);
    Limits {
        default_ttl: span("default_ttl", default.default_ttl),
        max_ttl: span("max_ttl", default.max_ttl),
        max_lifetime: span("max_lifetime", default.max_lifetime),
    }
}

async fn of_request(described: &Described, args: &ExplainArgs, at: Option<&str>) -> Result<ExitCode, Failure> {
    let grounds = grounds(args.policies.as_deref(), at).await?;
    let question = grounds.basis.question(described, grounds.limits).map_err(undescribed)?;
    let explained = grounds.basis.explain(&question);
    match args.output.output {
        Format::Json => output::json(&grounds.document(&question, &explained))?,
        Format::Table => {
            grounds.warn();
            told(&question, &explained)?;
        }
    }
    // The answer has been given: that it is no is not a failure to tell of.
    if explained.decided.is_ok() { Ok(ExitCode::SUCCESS) } else { Err(Failure::answered()) }
}

fn undescribed(error: Undescribed) -> Failure {
    Failure::usage(error.to_string(), "correct it, then ask again; docs/policies.md says what a request has")
}

/// A decision's line, and what is to be known of the log around it.
struct Found {
    raw: String,
    /// The set was loaded anew so often since.
    reloads: u64,
}

async fn of_decision(id: &DecisionId, args: &ExplainArgs, at: Option<&str>) -> Result<ExitCode, Failure> {
    let log = super::audit::path(args.file.clone(), at).await?;
    let found = look_up(id, &log)?;
    let line = Line::parse(found.raw.as_bytes()).ok_or_else(|| Failure::unexpected("a line that was read is none"))?;
    let is_by_policies = line.refusal.as_deref().is_none_or(is_of_policies);
    let request = request_of(&line).filter(|_| is_by_policies);
    let explained = match &request {
        None => None,
        Some(request) => {
            let grounds = grounds(args.policies.as_deref(), at).await?;
            let question = grounds.basis.question(request, grounds.limits).map_err(undescribed)?;
            let explained = grounds.basis.explain(&question);
            Some((grounds, question, explained))
        }
    };
    if args.output.output == Format::Json {
        let record: Value = serde_json::from_str(&found.raw).unwrap_or_default();
        let mut document = match &explained {
            Some((grounds, question, explained)) => grounds.document(question, explained),
            None => serde_json::json!({"version": 1}),
        };
        document["decision"] = record;
        document["reloads_since"] = found.reloads.into();
        output::json(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    event::print(&found.raw, Format::Table)?;
    let Some((grounds, question, explained)) = explained else {
        let why = output::plain(line.refusal.as_deref().unwrap_or("it"));
        output::line(format_args!("\nThe policies were not asked: {}", not_by_policies(&why)))?;
        return Ok(ExitCode::SUCCESS);
    };
    grounds.warn();
    let now = if found.reloads > 0 { format!(", loaded anew {} times since", found.reloads) } else { String::new() };
    let by = format!("By the policies in {} as they are now{now}:", output::plain(&grounds.dir.display().to_string()));
    output::line(format_args!("\n{}\n", output::paint(DIM, by)))?;
    told(&question, &explained)?;
    let was_granted = &*line.outcome == "granted";
    if was_granted != explained.decided.is_ok() {
        let then = if was_granted { "granted" } else { "refused" };
        output::line(format_args!(
            "\nIt was {then} then: the policies have changed, or what is not in the log decided it."
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Finds the line of a decision; where there is none, says whose log has it.
fn look_up(id: &DecisionId, log: &Path) -> Result<Found, Failure> {
    let (mut raw, mut reloads, mut brokers) = (None, 0, Vec::<String>::new());
    let mut records = Records::open(log).map_err(unreadable)?;
    let tell = |line: Line<'_>| {
        if line.decision_id.as_deref() == Some(id.as_str()) {
            (raw, reloads) = (Some(String::from_utf8_lossy(line.raw).into_owned()), 0);
        } else if &*line.event == "policy.reload" && &*line.outcome == "done" {
            reloads += 1;
        }
        if brokers.last().is_none_or(|last| *last != *line.broker) && !brokers.iter().any(|each| *each == *line.broker)
        {
            brokers.push(line.broker.to_string());
        }
        ControlFlow::Continue(())
    };
    records.for_each(tell).map_err(unreadable)?;
    if let Some(raw) = raw {
        return Ok(Found { raw, reloads });
    }
    Err(super::audit::whose(id, log, &brokers))
}

/// What was asked, as the line tells it; nothing where that was not known yet.
fn request_of(line: &Line<'_>) -> Option<Described> {
    let claims = line.claims.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    Some(Described {
        workload: line.workload.as_deref()?.to_owned(),
        audience: line.audience.as_deref()?.to_owned(),
        scope: line.scope.as_deref()?.to_owned(),
        task: Some(line.task.as_deref()?.to_owned()),
        ttl: line.ttl.map(Span::Seconds),
        now: Some(line.time.to_string()),
        identity: Proven { r#type: line.identity.as_deref().map(str::to_owned), claims: claims.collect() },
    })
}

/// Whether such a refusal is the policies', or that of what they are held beside.
fn is_of_policies(reason: &str) -> bool {
    let of = [
        Reason::DeniedScope,
        Reason::UnknownScope,
        Reason::UnknownAudience,
        Reason::InvalidRequest,
        Reason::Expired,
        Reason::Ungoverned,
    ];
    of.iter().any(|each| each.as_str() == reason)
}

fn not_by_policies(reason: &str) -> String {
    let told = match reason {
        "quarantined" => "the workload was in quarantine; `jitney workload show` says since when and why",
        "task_ended" => "the task had ended, and takes no lease for a while",
        "invalid_client" => "nobody proved who asks; the line's detail says what was wrong with the assertion",
        "audit_unavailable" | "store_unavailable" | "busy" => {
            "the broker could not record what it decides; the caller tries again"
        }
        other => return format!("it was refused as {other}, before or beside them; the line's detail says more"),
    };
    format!("{told} ({reason})")
}

impl Grounds {
    fn document(&self, question: &Question, explained: &Explanation) -> Value {
        let mut document = explain::json(question, explained);
        document["policies_dir"] = self.dir.display().to_string().into();
        document["digest"] = self.basis.set.digest().into();
        document["is_in_use"] = (!self.is_stale).into();
        document
    }

    fn warn(&self) {
        if self.is_stale {
            output::warning(format_args!(
                "what lies in {} is another set than the broker has in use: it was changed just now, or is refused; see \
                 `jitney status`",
                output::plain(&self.dir.display().to_string())
            ));
        }
    }
}

fn told(question: &Question, explained: &Explanation) -> Result<(), Failure> {
    let ttl = question.ttl.map_or_else(|| "no ttl asked".to_owned(), |ttl| format!("ttl {}", format_span(ttl)));
    let asked = format!(
        "{} for {} at {}, task {}, {ttl}, proven by {}",
        question.scopes,
        question.workload,
        question.audience,
        question.task,
        question.identity.kind.as_str()
    );
    let asked = output::plain(&asked);
    match &explained.decided {
        Ok(grant) => {
            let by = format!("by {}, for {} s", grant.policies().join(", "), grant.ttl().as_secs());
            output::line(format_args!("{} {asked}\n  {}", output::paint(GOOD, "allowed"), output::plain(&by)))?;
        }
        Err(denial) => {
            let refusal = &denial.refusal;
            let why = format!("{}: {}", refusal.reason.as_str(), refusal.description);
            output::line(format_args!("{} {asked}\n  {}", output::paint(BAD, "refused"), output::plain(&why)))?;
        }
    }
    for scope in &explained.scopes {
        let outcome = match scope.outcome {
            Some(Outcome::Permitted) => output::paint(GOOD, "permitted"),
            Some(Outcome::NotPermitted) => output::paint(BAD, "not permitted"),
            Some(Outcome::Forbidden) => output::paint(BAD, "forbidden"),
            None => output::paint(BAD, "not declared"),
        };
        output::line(format_args!("\n{} {outcome}", output::paint(STRONG, output::plain(&scope.scope))))?;
        if scope.policies.is_empty() && scope.outcome.is_some() {
            output::line("  no policy speaks of it")?;
        }
        scope.policies.iter().try_for_each(policy)?;
    }
    changes(explained)
}

fn policy(policy: &PolicyExplained) -> Result<(), Failure> {
    let does = match (policy.permits, policy.applies) {
        (true, true) => output::paint(GOOD, "permits it"),
        (true, false) => output::paint(WARN, "would permit it, but not so"),
        (false, true) => output::paint(BAD, "forbids it"),
        (false, false) => output::paint(DIM, "forbids, but not this"),
    };
    let place = format!("({}:{})", policy.file, policy.line);
    output::line(format_args!("  policy {} {} {does}", output::plain(&policy.id), output::plain(&place)))?;
    for part in &policy.parts {
        let mark = match part.holds {
            Some(true) => output::paint(GOOD, "holds"),
            Some(false) => output::paint(BAD, "fails"),
            None => output::paint(BAD, "cannot be evaluated"),
        };
        let values: Vec<String> = part.values.iter().map(|(name, value)| format!("{name} is {value}")).collect();
        let values = if values.is_empty() { String::new() } else { format!("   ({})", values.join(", ")) };
        output::line(format_args!(
            "    {mark}  {}{}",
            output::plain(&part.text),
            output::paint(DIM, output::plain(&values))
        ))?;
    }
    Ok(())
}

fn changes(explained: &Explanation) -> Result<(), Failure> {
    if explained.changes.is_empty() {
        return Ok(());
    }
    output::line(format_args!("\n{}", output::paint(STRONG, "what would have to be different")))?;
    for (number, change) in (1..).zip(&explained.changes) {
        let tried = if change.proven { "" } else { "  (not tried)" };
        output::line(format_args!("  {number}. {}{}", output::plain(&change.text), output::paint(DIM, tried)))?;
        if let Some((file, text)) = &change.paste {
            output::line(format_args!("\n     {}", output::paint(DIM, format_args!("# {}", output::plain(file)))))?;
            text.lines().try_for_each(|line| output::line(format_args!("     {}", output::plain(line))))?;
            output::line("")?;
        }
    }
    Ok(())
}
