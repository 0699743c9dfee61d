//! `jitney policy check`: loads a policies directory as a broker would, and prints what is wrong with it.

use std::path::Path;
use std::process::ExitCode;

use super::args::PolicyCommand;
use super::{Failure, output};
use crate::policy::{Diagnostic, PolicySet, Severity};

/// Does what one of `jitney policy …` says.
///
/// # Errors
/// [`Failure`] where a broker would not load the directory.
pub fn run(command: PolicyCommand) -> Result<ExitCode, Failure> {
    let PolicyCommand::Check { dir } = command;
    check(&dir)?;
    Ok(ExitCode::SUCCESS)
}

fn check(dir: &Path) -> Result<(), Failure> {
    match PolicySet::load(dir) {
        Ok((set, warnings)) => {
            print(&warnings)?;
            let mut count = warnings.len();
            if set.workloads().len() + set.audiences().len() + set.policy_count() == 0 {
                output::warning(format_args!(
                    "{} holds no workload, no audience and no policy: a broker loads it and grants nothing. Is it the \
                     folder you mean?",
                    dir.display()
                ));
                count += 1;
            }
            output::line(format_args!(
                "{} {}: {}, {}, {}, {}",
                output::paint(output::style::GOOD, "ok"),
                dir.display(),
                counted(set.workloads().len(), "workload"),
                counted(set.audiences().len(), "audience"),
                if set.policy_count() == 1 { "1 policy".into() } else { format!("{} policies", set.policy_count()) },
                counted(count, "warning"),
            ))
        }
        Err(findings) => {
            print(&findings.0)?;
            let errors = findings.0.iter().filter(|each| each.severity == Severity::Error).count();
            let told = format!("{} in {}: a broker does not load it", counted(errors, "error"), dir.display());
            Err(Failure::new(told, "mend what is shown, then check again"))
        }
    }
}

fn print(findings: &[Diagnostic]) -> Result<(), Failure> {
    findings.iter().try_for_each(|finding| output::line(format_args!("{finding}\n")))
}

/// `1 error`, `2 errors`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!(
            (counted(0, "error"), counted(1, "error"), counted(2, "error")),
            ("0 errors".into(), "1 error".into(), "2 errors".into())
        );
    }

    #[test]
    fn a_directory_that_does_not_load_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("workloads")).unwrap();
        std::fs::write(dir.path().join("workloads/w.toml"), "ownr = 'x'\n").unwrap();
        let failure = check(dir.path()).unwrap_err();
        assert!(failure.message.contains("a broker does not load it"), "{}", failure.message);
    }
}
