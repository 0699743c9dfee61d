//! `policies/workloads/<id>.toml`.

use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::Workload;
use super::field::Reading;
use super::identity::{self, RawIdentity};
use crate::model::{Reason, UnixTime, WorkloadId};
use crate::policy::diagnostic::{Diagnostic, SourceFile};
use crate::policy::sources::Sources;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWorkload {
    owner: Option<Spanned<String>>,
    purpose: Option<Spanned<String>>,
    expires: Option<Spanned<Datetime>>,
    review: Option<Spanned<Datetime>>,
    #[serde(default)]
    identity: Vec<Spanned<RawIdentity>>,
}

/// Reads one file. Errors go to `findings`, and so do gaps of governance, as warnings.
pub(in crate::policy) fn read(
    stem: &str,
    file: &SourceFile,
    sources: &mut Sources,
    now: UnixTime,
    findings: &mut Vec<Diagnostic>,
) -> Option<Workload> {
    let mut reading = Reading { file, findings };
    let id = match WorkloadId::parse(stem) {
        Ok(id) => id,
        Err(error) => {
            let finding = Diagnostic::error("workload", format!("`{stem}` cannot name a workload"));
            reading.found(finding.help(format!("the file's name is the id: {}", error.rule)), 0..0);
            return None;
        }
    };
    let raw: RawWorkload = reading.toml()?;
    let identities_named = !raw.identity.is_empty();
    let workload = Workload {
        owner: reading.text("owner", raw.owner),
        purpose: reading.text("purpose", raw.purpose),
        expires: reading.day("expires", raw.expires),
        review: reading.day("review", raw.review),
        identities: identity::read_all(&mut reading, sources, "workloads", raw.identity),
        id,
    };
    warn(&workload, identities_named, now, &mut reading);
    Some(workload)
}

fn warn(workload: &Workload, identities_named: bool, now: UnixTime, reading: &mut Reading<'_>) {
    let id = &workload.id;
    let gaps = workload.gaps();
    if !gaps.is_empty() {
        let finding = Diagnostic::warning("governance", format!("workload `{id}` has no {}", gaps.join(", no ")));
        reading.found(finding.help("it gets nothing until its file has owner, purpose and expires"), 0..0);
    }
    if let (Err(Reason::Expired), Some(day)) = (workload.state(now), workload.expires) {
        let finding = Diagnostic::warning("governance", format!("workload `{id}` expired at the end of {day}"));
        reading.found(finding.help("it gets nothing: give it a later `expires`, or delete its file"), 0..0);
    }
    if let Some(day) = workload.review.filter(|day| now >= day.start()) {
        let finding = Diagnostic::warning("governance", format!("workload `{id}` was to be reviewed from {day} on"));
        reading.found(finding.help("look at its grants with its owner, then set the next `review`"), 0..0);
    }
    // One that is named and cannot be used has been told, as an error.
    if !identities_named {
        let finding = Diagnostic::warning("governance", format!("workload `{id}` has no way to prove itself"));
        reading.found(finding.help("add an [[identity]]"), 0..0);
    }
}
