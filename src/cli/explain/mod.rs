//! `jitney policy explain`: why a request is allowed or refused, by the policies of a directory or of the running broker.
//!
//! A decision is looked up in the audit log itself, over all its files: what it says stands, also where no policies can be had. The
//! broker is asked for places, for the set that it has in use, and for who is in quarantine.

mod claimed;
mod grounds;
mod told;

pub(super) use grounds::{Grounds, Weighed, in_use};

use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use super::args::{ExplainArgs, Format};
use super::audit::unreadable;
use super::output::style::{DIM, STRONG};
use super::{Failure, event, output};
use crate::audit::{Line, Records};
use crate::governance::explain::words::{self, Told};
use crate::governance::explain::{self, Described, Proven, Quarantine, Span, Undescribed};
use crate::model::{DecisionId, Reason};
use crate::policy::{Denial, Grant};

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

async fn of_request(described: &Described, args: &ExplainArgs, at: Option<&str>) -> Result<ExitCode, Failure> {
    let grounds = Grounds::find(args.policies.as_deref(), at).await?;
    let Weighed { question, explained, quarantine, passed_over } = grounds.weigh(described).await?;
    match args.output.output {
        Format::Json => {
            let parts = Some((&question, &explained, &quarantine));
            let mut document = grounds.document(explain::json(&explain::told(&explained), parts));
            if let Some(warnings) = document["warnings"].as_array_mut() {
                warnings.extend(passed_over.into_iter().map(Into::into));
            }
            output::json(&document)?;
        }
        Format::Table => {
            grounds.warn();
            passed_over.iter().for_each(|each| output::warning(output::plain(each)));
            told::told(&question, &explained, &quarantine)?;
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
    /// Its workload's last release from quarantine since, where this log has one: when, by whom and why.
    released: Option<Released>,
}

/// A release from quarantine.
struct Released {
    at: String,
    actor: String,
    reason: String,
}

async fn of_decision(id: &DecisionId, args: &ExplainArgs, at: Option<&str>) -> Result<ExitCode, Failure> {
    let log = super::audit::path(args.file.clone(), at).await?;
    let found = look_up(id, &log)?;
    let line = Line::parse(found.raw.as_bytes()).ok_or_else(|| Failure::unexpected("a line that was read is none"))?;
    let mut said = words::of(&line);
    // What the log says stands, whatever has become of the policies since.
    let weighed = match request_of(&line) {
        None => None,
        Some(request) => Some(weighed(&request, args, at).await),
    };
    if let Some(Ok((_, weighed))) = &weighed
        && (had_expired(&line) || was_shut_out(&line) && weighed.quarantine.is_known())
    {
        // Where it stands by now is known: nobody has to go and see.
        said.next = explain::told(&weighed.explained).next;
    }
    if let Some(known) = claimed::by_now(&line, at).await {
        said.next = Some(known);
    }
    if args.output.output == Format::Json {
        return found.json(&said, weighed.as_ref());
    }
    event::print(&found.raw, Format::Table)?;
    output::line(format_args!("\n{}", output::plain(&said.sentence)))?;
    let by_policies =
        matches!(&weighed, Some(Ok((_, weighed))) if !was_shut_out(&line) || weighed.quarantine.is_known());
    if let Some(next) = said.next.as_ref().filter(|_| !by_policies) {
        output::line(format_args!("  {} {}", output::paint(STRONG, "next:"), output::plain(next)))?;
    }
    match weighed {
        None if line.refusal.is_some() => output::line("\nIt was not the policies that decided it.")?,
        None => {}
        Some(Err(failure)) => output::warning(format_args!(
            "what the policies say of it now cannot be told: {}; next: {}",
            output::plain(&failure.message),
            output::plain(&failure.next)
        )),
        Some(Ok((grounds, weighed))) => {
            grounds.warn();
            since(&line, &found, &grounds, &weighed)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn weighed(request: &Described, args: &ExplainArgs, at: Option<&str>) -> Result<(Grounds, Weighed), Failure> {
    let grounds = Grounds::find(args.policies.as_deref(), at).await?;
    let weighed = grounds.weigh(request).await?;
    Ok((grounds, weighed))
}

/// What the policies say of it by now.
fn since(line: &Line<'_>, found: &Found, grounds: &Grounds, weighed: &Weighed) -> Result<(), Failure> {
    let Weighed { question, explained, quarantine, .. } = weighed;
    let now = match found.reloads {
        0 => String::new(),
        1 => ", loaded anew once since".into(),
        more => format!(", loaded anew {more} times since"),
    };
    let by = format!("By {} as they are now{now}:", output::plain(&grounds.named()));
    output::line(format_args!("\n{}\n", output::paint(DIM, by)))?;
    told::told(question, explained, quarantine)?;
    if was_shut_out(line) {
        return match quarantine {
            Quarantine::No => found.let_in(explained.decided.is_ok()),
            // What was told says since when it is shut out, or that nobody looked.
            Quarantine::Yes { .. } | Quarantine::NotLookedAt(_) => Ok(()),
        };
    }
    if had_expired(line) {
        return again(&explained.decided);
    }
    let was_granted = &*line.outcome == "granted";
    if was_granted == explained.decided.is_ok() {
        return Ok(());
    }
    let then = if was_granted { "granted" } else { "refused" };
    let why = match quarantine {
        Quarantine::Yes { .. } if was_granted => "the workload has been shut out since",
        _ => "the policies have changed, or what is not in the log decided it",
    };
    output::line(format_args!("\nIt was {then} then: {why}."))
}

/// What comes of a request that was past its workload's end then.
fn again(decided: &Result<Grant, Denial>) -> Result<(), Failure> {
    match decided {
        Err(denial) if denial.refusal.reason == Reason::Expired => Ok(()),
        decided => {
            let now = if decided.is_ok() { "it would be granted" } else { "it would be refused" };
            output::line("\nThe workload had expired then; its file gives it a later end by now.")?;
            output::line(format_args!("Asked again now, {now}."))
        }
    }
}

impl Found {
    /// Takes in a line that came after it.
    fn see(&mut self, line: &Line<'_>, workload: Option<&str>) {
        match &*line.event {
            _ if &*line.outcome != "done" || line.no_effect => {}
            "policy.reload" => self.reloads += 1,
            "release" if line.workload.as_deref() == workload => {
                let text = |told: Option<&str>| told.unwrap_or("-").to_owned();
                let (actor, reason) = (text(line.actor.as_deref()), text(line.reason.as_deref()));
                self.released = Some(Released { at: line.time.to_string(), actor, reason });
            }
            _ => {}
        }
    }

    /// Says what became of the quarantine that stood in the way, and of such a request.
    fn let_in(&self, is_allowed: bool) -> Result<(), Failure> {
        let by = |released: &Released| {
            let Released { at, actor, reason } = released;
            format!("released {at} by {actor}: {reason}")
        };
        let by = self.released.as_ref().map_or_else(|| "it was released since".into(), by);
        output::line(format_args!("\nIt is in no quarantine any more, {}", output::plain(&by)))?;
        let now = if is_allowed { "it would be granted" } else { "the policies would refuse it" };
        output::line(format_args!("Asked again now, {now}."))
    }

    fn json(&self, said: &Told, weighed: Option<&Result<(Grounds, Weighed), Failure>>) -> Result<ExitCode, Failure> {
        let mut document = match weighed {
            Some(Ok((grounds, weighed))) => {
                let parts = Some((&weighed.question, &weighed.explained, &weighed.quarantine));
                grounds.document(explain::json(said, parts))
            }
            Some(Err(failure)) => {
                let mut document = explain::json(said, None);
                document["warnings"] = serde_json::json!([format!("{}; next: {}", failure.message, failure.next)]);
                document
            }
            None => explain::json(said, None),
        };
        document["decision"] = serde_json::from_str(&self.raw).unwrap_or_default();
        document["reloads_since"] = self.reloads.into();
        if let Some(Released { at, actor, reason }) = &self.released {
            document["released"] = serde_json::json!({"at": at, "actor": actor, "reason": reason});
        }
        output::json(&document)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Finds the line of a decision; where there is none, says whose log has it.
fn look_up(id: &DecisionId, log: &Path) -> Result<Found, Failure> {
    let mut found: Option<(Found, Option<String>)> = None;
    let mut brokers = Vec::<String>::new();
    let mut records = Records::open(log).map_err(unreadable)?;
    let tell = |line: Line<'_>| {
        if line.decision_id.as_deref() == Some(id.as_str()) {
            let raw = String::from_utf8_lossy(line.raw).into_owned();
            let workload = line.workload.as_deref().map(str::to_owned);
            found = Some((Found { raw, reloads: 0, released: None }, workload));
        } else if let Some((found, workload)) = &mut found {
            found.see(&line, workload.as_deref());
        }
        if brokers.last().is_none_or(|last| *last != *line.broker) && !brokers.iter().any(|each| *each == *line.broker)
        {
            brokers.push(line.broker.to_string());
        }
        ControlFlow::Continue(())
    };
    records.for_each(tell).map_err(unreadable)?;
    found.map(|(found, _)| found).ok_or_else(|| super::audit::whose(id, log, &brokers))
}

/// What policies were asked, as the line tells it; nothing where they were not, or it was not known yet.
fn request_of(line: &Line<'_>) -> Option<Described> {
    let is_asked = matches!(&*line.event, "mint" | "renew") && line.refusal.as_deref().is_none_or(is_of_policies);
    // What is no number of seconds came to no policy.
    if !is_asked || line.detail.as_deref().is_some_and(|detail| detail.starts_with("ttl: ")) {
        return None;
    }
    let claims = line.claims.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    Some(Described {
        workload: line.workload.as_deref()?.to_owned(),
        audience: line.audience.as_deref()?.to_owned(),
        scope: line.scope.as_deref()?.to_owned(),
        task: Some(line.task.as_deref()?.to_owned()),
        ttl: line.ttl.map(Span::Seconds),
        // Who was shut out or past its end asks again: what counts is what comes of it now.
        now: (!was_shut_out(line) && !had_expired(line)).then(|| line.time.to_string()),
        identity: Proven { r#type: line.identity.as_deref().map(str::to_owned), claims: claims.collect() },
    })
}

/// Whether it was refused for the workload was in quarantine.
fn was_shut_out(line: &Line<'_>) -> bool {
    line.refusal.as_deref() == Some(Reason::Quarantined.as_str())
}

/// Whether it was refused for the workload was past its end.
fn had_expired(line: &Line<'_>) -> bool {
    line.refusal.as_deref() == Some(Reason::Expired.as_str())
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
        Reason::Quarantined,
    ];
    of.iter().any(|each| each.as_str() == reason)
}
