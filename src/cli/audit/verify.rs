//! `jitney audit verify`: whether the log is as it was written, and what proves it.

use std::path::Path;

use serde_json::{Value, json};

use super::super::args::{Format, VerifyLogArgs};
use super::super::{Failure, output};
use super::keys::{self, Checked};
use super::{NAME_ANOTHER, path, unreadable};
use crate::audit::{self, Broken, Fault, Kept, Point, Summary, Wanted};
use crate::model::UnixTime;

/// What was asked, and what is known besides the log.
struct Evidence {
    checked: Vec<Checked>,
    /// Where keys were given: their place.
    jwks: Option<String>,
    head: Option<String>,
    /// Where one closed file was read: how many checkpoints tell of lines behind it.
    beyond: Option<usize>,
}

/// Checks and tells.
///
/// # Errors
/// [`Failure`] where the log is not as it was written, or that cannot be known.
pub(super) async fn run(args: VerifyLogArgs, at: Option<&str>) -> Result<(), Failure> {
    let path = path(args.file, at).await?;
    // Before the log: a checkpoint that comes meanwhile may tell of a line that was not there when the log was opened.
    let (file, kept) = kept(&path, args.checkpoints.as_deref())?;
    let given = match &args.jwks {
        Some(place) => Some(keys::given(place).await?),
        None => None,
    };
    let mut checked = keys::check(&kept, given.as_ref(), &file)?;
    let all = checked.len();
    let closed = audit::closed_at(&path);
    checked.retain(|each| closed.is_none_or(|last| each.checkpoint.seq <= last));
    let beyond = closed.map(|_| all - checked.len());
    if let Some(place) = &args.jwks
        && !checked.iter().any(|each| each.is_known)
    {
        return Err(unsigned(all, &file, place));
    }
    if let Some(place) = &args.jwks {
        vouched_to_the_end(&checked, place)?;
    }
    let points: Vec<Point> = checked.iter().map(Checked::point).collect();
    let evidence = Evidence { checked, jwks: args.jwks, head: args.head, beyond };
    let from = args.from_checkpoint.map(|seq| evidence.from(seq, &file)).transpose()?;
    let behind = from.as_ref().map_or(0, |from| from.seq);
    let points: Vec<Point> = points.into_iter().filter(|point| point.seq >= behind).collect();
    let wanted = Wanted { head: evidence.head.as_deref(), points: &points, from: from.as_ref() };
    let shown = path.display().to_string();
    match (audit::verify_with(&path, wanted), args.output.output) {
        (Ok(summary), _) if evidence.jwks.is_some() && from.is_none() && summary.points == 0 => {
            let told = format!("{shown} fits together, but no checkpoint in {} tells of a line of it", file.display());
            let next = "nothing signed vouches for these lines: give back the files that came before them, or your kept copy of \
                 the checkpoints, --checkpoints PATH";
            Err(Failure::new(told, next))
        }
        (Ok(summary), _) if let Some(other) = evidence.of_another(&summary).filter(|_| from.is_none()) => {
            let (seq, broker) = (other.checkpoint.seq, &other.checkpoint.broker);
            let told =
                format!("the checkpoint of line {seq} is by the broker {broker}, which wrote no line of {shown}");
            Err(Failure::new(told, "compare with a copy of the checkpoints: this one was put there by another"))
        }
        (Ok(summary), Format::Table) => evidence.told(&summary, &shown, from.as_ref()),
        (Ok(summary), Format::Json) => output::json(&evidence.document(&summary, &shown)),
        (Err(broken), format) => refuse(&broken, &shown, format),
    }
}

/// Whether all that follows the last checkpoint by a given key is silence: through the chain that one vouches for what is
/// before it, and for nothing behind.
fn vouched_to_the_end(checked: &[Checked], place: &str) -> Result<(), Failure> {
    let Some(last) = checked.iter().rposition(|each| each.is_known) else { return Ok(()) };
    let Some(other) = checked.get(last + 1) else { return Ok(()) };
    let (vouched, seq) = (checked[last].checkpoint.seq, other.checkpoint.seq);
    let told = format!(
        "the checkpoint of line {seq} is signed by a key that is not in {place}, which vouches for the lines up to {vouched}"
    );
    let next = "give the keys of a later day too, where the broker has changed its key since; if it has not, what stands \
                behind that line was written by somebody else";
    Err(Failure::new(told, next))
}

/// The checkpoints that are named, or those beside the log.
fn kept(log: &Path, named: Option<&Path>) -> Result<(std::path::PathBuf, Vec<Kept>), Failure> {
    let file = named.map_or_else(|| audit::beside(log), Path::to_owned);
    let kept = audit::checkpoints(&file).map_err(unreadable)?;
    match named {
        Some(named) if !named.exists() => Err(Failure::new(
            format!("there is no {}", named.display()),
            "name the file of checkpoints: --checkpoints PATH",
        )),
        _ => Ok((file, kept)),
    }
}

/// The lines of a log that the checkpoints beside it tell of, their signatures checked by the keys beside them.
///
/// # Errors
/// What is wrong with the checkpoints.
pub(in crate::cli) fn points(log: &Path) -> Result<Vec<Point>, String> {
    let told = |failure: Failure| failure.message;
    let (file, kept) = kept(log, None).map_err(told)?;
    Ok(keys::check(&kept, None, &file).map_err(told)?.iter().map(Checked::point).collect())
}

/// Where no key that was given has signed anything. Whoever cuts a log off takes its checkpoints away too, so the advice is never
/// to ask for less proof.
fn unsigned(all: usize, file: &Path, place: &str) -> Failure {
    const GONE: &str =
        "the checkpoints are missing: somebody may have removed them; give your kept copy, --checkpoints PATH";
    let shown = file.display();
    match all {
        0 if file.exists() => Failure::new(format!("there is no checkpoint in {shown}"), GONE),
        0 => Failure::new(format!("there is no {shown}"), GONE),
        _ => Failure::new(
            format!("no checkpoint in {shown} is signed by a key of {place}"),
            "name the keys of the broker that wrote the log, as they were then",
        ),
    }
}

fn refuse(broken: &Broken, shown: &str, format: Format) -> Result<(), Failure> {
    let file = broken.file.as_ref().map_or_else(|| shown.to_owned(), |file| file.display().to_string());
    if format == Format::Json {
        let fault = broken.fault.to_string();
        output::json(&json!({
            "file": shown, "intact": false, "in": file, "line": broken.line, "fault": fault, "why": broken.why,
        }))?;
        return Err(Failure::answered());
    }
    if broken.fault == Fault::Unreadable {
        return Err(Failure::new(format!("the audit log cannot be read: {file}: {}", broken.why), NAME_ANOTHER));
    }
    let next = match broken.fault {
        Fault::HeadMissing => "compare with a copy: what came after that line is gone, or was replaced",
        Fault::Truncated => "compare with a copy: what came behind that line is gone",
        _ => "compare with a copy: what follows that line proves nothing any more",
    };
    Err(Failure::new(format!("{file}: {broken}"), next))
}

impl Evidence {
    /// The checkpoint to begin at: of this line, or the newest one. Where keys were given, one that is signed by them.
    fn from(&self, seq: u64, file: &Path) -> Result<Point, Failure> {
        let may = |each: &&Checked| self.jwks.is_none() || each.is_known;
        let found = match seq {
            0 => self.checked.iter().rev().find(may),
            seq => self.checked.iter().filter(may).find(|each| each.checkpoint.seq == seq),
        };
        found.map(Checked::point).ok_or_else(|| {
            let which =
                if seq == 0 { "no checkpoint to begin at".into() } else { format!("no checkpoint of line {seq}") };
            let told = format!("there is {which} in {}", file.display());
            Failure::new(told, "check the whole log: leave out --from-checkpoint")
        })
    }

    fn told(&self, summary: &Summary, path: &str, from: Option<&Point>) -> Result<(), Failure> {
        let Some((first, last)) = summary.first.as_ref().zip(summary.last.as_ref()) else {
            return output::line(format_args!(
                "{} {path}: nothing to verify",
                output::paint(output::style::WARN, "empty")
            ));
        };
        output::line(format_args!("{} {path}", output::paint(output::style::GOOD, "intact")))?;
        let mut fields = vec![("lines", summary.lines.to_string())];
        for (name, line) in [("first", first), ("last", last)] {
            fields.push((name, format!("number {}, {}", line.seq, line.time)));
        }
        if let Some(beyond) = self.beyond {
            let (first, last) = (first.seq, last.seq);
            let others = match beyond {
                0 => String::new(),
                some => format!("; lines in other files have {}", output::counted(some, "checkpoint")),
            };
            fields.push(("range", format!("lines {first} to {last}, one closed file of the log{others}")));
        }
        fields.extend(
            from.map(|from| {
                ("begun at", format!("the checkpoint of line {}: what stands before was not read", from.seq))
            }),
        );
        fields.push(("brokers", summary.brokers.join(", ")));
        fields.push(("head", summary.head.clone()));
        fields.extend(summary.continues.clone().map(|head| ("continues", head)));
        fields.extend(self.checkpoints(summary).map(|told| ("checkpoints", told)));
        fields.push(("its end", self.end(summary)));
        output::fields(&fields)
    }

    /// A checkpoint of a line that was read, by a broker that wrote none of them.
    fn of_another(&self, summary: &Summary) -> Option<&Checked> {
        let first = summary.first.as_ref()?.seq;
        let of_these = |each: &&Checked| each.checkpoint.seq >= first;
        self.checked.iter().filter(of_these).find(|each| !summary.brokers.contains(&each.checkpoint.broker))
    }

    /// How many there are, and whose signature the last one bears.
    fn checkpoints(&self, summary: &Summary) -> Option<String> {
        let last = self.checked.last()?;
        let key = match &self.jwks {
            Some(place) if last.is_known => format!("a key of {place}"),
            Some(place) => format!("a key that is not in {place}"),
            None => "the key beside it; --jwks checks whose key that is".into(),
        };
        let signed = UnixTime::from_secs(last.checkpoint.iat).rfc3339();
        let (held, of) = (summary.points, self.checked.len());
        Some(format!(
            "{held} of {of} fit lines that were read; the last tells of line {}, signed {signed} by {} with {key}",
            last.checkpoint.seq, last.checkpoint.broker
        ))
    }

    /// What is known of the log's end: a log that was cut off at a whole line is intact as far as it goes.
    fn end(&self, summary: &Summary) -> String {
        const BY_HEAD: &str = "whole lines cut off it show only against a head from before, --head HEX";
        // Checkpoints of lines that are not there tell nothing of those that are.
        let proven = self.proven().filter(|_| summary.points > 0);
        match (&self.head, proven.map(|last| last.checkpoint.seq)) {
            (Some(_), _) => "the head asked for stands in it: nothing up to there was cut off".into(),
            (None, Some(seq)) if summary.last.as_ref().is_some_and(|last| last.seq == seq) => {
                format!(
                    "line {seq}, the last, is what a checkpoint tells of; lines cut off together with theirs show only \
                     against a copy: --checkpoints PATH, --head HEX"
                )
            }
            (None, Some(seq)) => {
                format!("nothing up to line {seq} was cut off, as a checkpoint tells; behind it {BY_HEAD}")
            }
            (None, None) => format!("not checked: {BY_HEAD}"),
        }
    }

    /// The last checkpoint that proves something: by a key that was given, where keys were.
    fn proven(&self) -> Option<&Checked> {
        self.checked.iter().rev().find(|each| self.jwks.is_none() || each.is_known)
    }

    fn document(&self, summary: &Summary, path: &str) -> Value {
        let known = self.checked.iter().filter(|each| each.is_known).count();
        let mut document = json!({
            "file": path, "intact": true, "empty": summary.last.is_none(), "held": self.head,
            "closed_file": self.beyond.is_some(),
            "checkpoints": {
                "all": self.checked.len(), "fitting": summary.points, "by_given_keys": self.jwks.as_ref().map(|_| known),
                "last": self.proven().map(keys::told), "beyond": self.beyond.unwrap_or(0),
            },
        });
        if let (Some(document), Ok(Value::Object(mut summary))) =
            (document.as_object_mut(), serde_json::to_value(summary))
        {
            summary.remove("points");
            document.append(&mut summary);
        }
        document
    }
}
