//! `jitney doctor`: why this workload gets no token here, and what to do about it.
//!
//! Owns the table of checks, their order, and how findings are printed. Each check is a small function in a file beside
//! this one; one that needs another which failed is skipped. No secret is printed: of tokens only what they say.

mod ask;
mod broker;
mod finding;
mod identity;
mod mend;
mod platform;
mod scene;
mod tls;
mod told;

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;

use serde_json::json;

use super::args::{DoctorArgs, Format};
use super::{Failure, output};
use finding::{Finding, Outcome};
use scene::Scene;

/// A check at work.
type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// One check: its name, the checks it needs, and what it does.
struct Check {
    name: &'static str,
    needs: &'static [&'static str],
    run: for<'a> fn(&'a mut Scene) -> Running<'a>,
}

const fn check(
    name: &'static str,
    needs: &'static [&'static str],
    run: for<'a> fn(&'a mut Scene) -> Running<'a>,
) -> Check {
    Check { name, needs, run }
}

/// All of them, in the order in which a request for a token meets what they look at.
const CHECKS: &[Check] = &[
    check("settings", &[], |scene| Box::pin(broker::settings(scene))),
    check("dns", &["settings"], |scene| Box::pin(broker::dns(scene))),
    check("tcp", &["dns"], |scene| Box::pin(broker::tcp(scene))),
    check("tls", &["tcp"], |scene| Box::pin(tls::tls(scene))),
    check("http", &["tls"], |scene| Box::pin(broker::http(scene))),
    check("clock", &["http"], |scene| Box::pin(broker::clock(scene))),
    check("issuer", &["http"], |scene| Box::pin(broker::issuer(scene))),
    check("identity", &["settings"], |scene| Box::pin(identity::identity(scene))),
    check("key_file", &["identity"], |scene| Box::pin(identity::key_file(scene))),
    check("authentication", &["clock", "issuer", "identity"], |scene| Box::pin(ask::authentication(scene))),
    check("workload", &["authentication"], |scene| Box::pin(ask::workload(scene))),
    check("audience", &["workload"], |scene| Box::pin(ask::audience(scene))),
    check("scope", &["audience"], |scene| Box::pin(ask::scope(scene))),
    check("policy", &["scope"], |scene| Box::pin(ask::policy(scene))),
];

/// Runs the checks and prints what they found. Exit code 1 where one failed.
///
/// # Errors
/// [`Failure`] where the options make no sense, or nothing can be printed.
pub async fn run(args: DoctorArgs) -> Result<ExitCode, Failure> {
    let format = args.output.output;
    let mut scene = Scene::of(args, |name| std::env::var(name).ok())?;
    let findings = examine(&mut scene).await;
    let is_well = findings.iter().all(|finding| !finding.outcome.is_failure());
    match format {
        Format::Json => {
            let checks: Vec<_> = findings.iter().map(Finding::to_json).collect();
            output::json(&json!({ "ok": is_well, "checks": checks }))?;
        }
        Format::Table => tell(&findings, &scene)?,
    }
    if is_well { Ok(ExitCode::SUCCESS) } else { Err(Failure::answered()) }
}

async fn examine(scene: &mut Scene) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::with_capacity(CHECKS.len());
    for Check { name, needs, run } in CHECKS {
        let missing = needs.iter().find_map(|need| {
            let needed = findings.iter().find(|finding| finding.name == *need)?;
            needed.outcome.hinders(need)
        });
        let outcome = match missing {
            Some(why) => Outcome::Skipped(why),
            None => run(scene).await,
        };
        findings.push(Finding { name, outcome });
    }
    findings
}

fn tell(findings: &[Finding], scene: &Scene) -> Result<(), Failure> {
    let width = CHECKS.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for finding in findings {
        finding.tell(width)?;
    }
    if let Some(left) = scene.left_behind() {
        output::line(output::paint(output::style::DIM, left))?;
    }
    let failed = findings.iter().filter(|finding| finding.outcome.is_failure()).count();
    let skipped = findings.iter().filter(|finding| matches!(finding.outcome, Outcome::Skipped(_))).count();
    match (failed, skipped) {
        (0, 0) => output::line(output::paint(output::style::GOOD, "all is well")),
        (0, _) => output::line(format_args!("nothing failed, {skipped} not looked at")),
        _ => output::line(format_args!("{failed} failed, {skipped} not looked at")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_needs_only_what_was_looked_at_before() {
        for (at, check) in CHECKS.iter().enumerate() {
            assert!(CHECKS[..at].iter().all(|before| before.name != check.name), "{} twice", check.name);
            for need in check.needs {
                assert!(CHECKS[..at].iter().any(|before| before.name == *need), "{} needs {need}", check.name);
            }
        }
    }
}
