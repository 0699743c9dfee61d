//! The command line as it is read: commands, options, their help. One example a command stands under each help.
//!
//! Owns names and parsing. Never acts: each command has its file beside this one.

mod audit;
mod guard;
mod operator;
mod policy;
mod report;
mod shell;
mod start;
mod workload;

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::policy::closest;

pub use audit::{AuditCommand, ExportArgs, ExportFormat, LineFilterArgs, TailArgs, VerifyLogArgs};
pub use guard::GuardArgs;
pub use operator::{
    AudienceCommand, KeyCommand, KeyFormat, LeaseCommand, LeaseFilterArgs, RevokeArgs, StateFilter, WorkloadCommand,
};
pub use policy::{CheckArgs, CheckFormat, DenyLevel, DiffArgs, DiffFormat, ExplainArgs, PolicyCommand, TestArgs};
pub use report::{ReportArgs, ReportFormat};
pub use shell::{CompletionsArgs, ManArgs};
pub use start::{DEFAULT_AUDIENCE, DoctorArgs, InitArgs, Platform};
pub use workload::{AskArgs, CompleteArgs, RunArgs, TokenArgs, VerifyArgs, joined};

const EXAMPLE: &str = "\
Examples:
  jitney demo                           see the whole life of a token
  jitney serve --dev                    start a broker to work with
  jitney run --task build-42 --audience https://api.example.com --scope orders:read -- make report

A workload is told where its broker is by JITNEY_URL, and who it is by JITNEY_WORKLOAD and JITNEY_KEY_FILE, or by its
platform: GitHub Actions, GitLab, Kubernetes;
an operator's commands find the broker by --admin or JITNEY_ADMIN, both `unix:PATH`, else at ./.jitney/admin.sock or
/run/jitney/admin.sock.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 a change that may give more (`policy diff`); `run` ends with its
command's code.";

/// Just-in-time, task-scoped credentials for workloads.
#[derive(Debug, Parser)]
#[command(name = "jitney", version, after_help = EXAMPLE, max_term_width = 100)]
pub struct Cli {
    /// Where an operator's commands find the broker [default: $JITNEY_ADMIN, else the usual sockets]
    #[arg(long, global = true, value_name = "unix:PATH", help_heading = "Operators")]
    pub admin: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// `jitney help polcy`: clap suggests for a command that is called, and not for one that help is asked for.
pub fn with_what_was_meant(mut error: clap::Error) -> clap::Error {
    let asked = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(asked)) if error.get(ContextKind::SuggestedSubcommand).is_none() => asked.clone(),
        _ => return error,
    };
    let commands = Cli::command();
    let all = commands.get_subcommands().flat_map(|each| std::iter::once(each).chain(each.get_subcommands()));
    if let Some(near) = closest(&asked, all.map(clap::Command::get_name)) {
        let near = ContextValue::Strings(vec![near.to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, near);
    }
    error
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Plays the whole life of a token against a broker of its own
    #[command(after_help = "Example:\n  jitney demo --keep")]
    Demo(DemoArgs),
    /// Writes a first workload, its key, an audience and a policy to start from
    #[command(after_help = start::INIT_HELP)]
    Init(InitArgs),
    /// Says why this workload gets no token here, and what to do
    #[command(after_help = start::DOCTOR_HELP)]
    Doctor(DoctorArgs),
    /// Runs the broker
    #[command(after_help = "Examples:\n  jitney serve --dev\n  jitney serve --config /etc/jitney/jitney.toml")]
    Serve(ServeArgs),
    /// Asks for a token and prints it, and nothing else
    #[command(after_help = workload::TOKEN_HELP)]
    Token(TokenArgs),
    /// Runs a command with a token, and completes the task when it ends
    #[command(after_help = workload::RUN_HELP)]
    Run(RunArgs),
    /// Completes a task: its tokens end, and it takes no new one
    #[command(after_help = workload::COMPLETE_HELP)]
    Complete(CompleteArgs),
    /// Says whether a token is valid now at the broker, revocation included
    #[command(after_help = workload::VERIFY_HELP)]
    Verify(VerifyArgs),
    /// Answers a proxy in front of a resource server: may this token pass here?
    #[command(after_help = guard::HELP)]
    Guard(GuardArgs),
    /// Lists, shows, revokes and watches leases
    #[command(subcommand, after_help = "Example:\n  jitney lease list --workload nightly-report")]
    Lease(LeaseCommand),
    /// The inventory of workloads, and their quarantine
    #[command(subcommand, after_help = "Example:\n  jitney workload show nightly-report")]
    Workload(WorkloadCommand),
    /// The audiences: resource servers and their scopes
    #[command(subcommand, after_help = "Example:\n  jitney audience show https://api.example.com")]
    Audience(AudienceCommand),
    /// A broker's store, log position, keys, policy set and audit log
    #[command(after_help = "Example:\n  jitney status --output json")]
    Status(OutputArgs),
    /// Checks, tests, compares and explains a policy set
    #[command(subcommand, after_help = "Example:\n  jitney policy check policies")]
    Policy(PolicyCommand),
    /// Evidence for each workload: who owns it, what it may do and did, how it ends
    #[command(after_help = report::HELP)]
    Report(ReportArgs),
    /// The tamper-evident decision log
    #[command(subcommand, after_help = "Example:\n  jitney audit verify")]
    Audit(AuditCommand),
    /// Signing keys
    #[command(subcommand, after_help = "Example:\n  jitney key list --output pem")]
    Key(KeyCommand),
    /// Prints what a shell needs to complete commands and options
    #[command(after_help = shell::COMPLETIONS_HELP)]
    Completions(CompletionsArgs),
    /// Prints the manual page, or writes one for each command
    #[command(after_help = shell::MAN_HELP)]
    Man(ManArgs),
}

/// How records are printed: for people, or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
}

/// `--output`, of every command that prints records.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputArgs {
    /// How records are printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `jitney demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave the broker running until Ctrl-C, and print commands to paste
    #[arg(long)]
    pub keep: bool,
}

/// `jitney serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The configuration file [default: none, every setting at its default or from its JITNEY_… variable]
    #[arg(long, value_name = "FILE", conflicts_with = "dev")]
    pub config: Option<PathBuf>,
    /// A broker to work with: no configuration, loopback only, example policies
    #[arg(long)]
    pub dev: bool,
    /// Where `--dev` keeps its keys, policies and store [default: ./.jitney]
    #[arg(long, value_name = "DIR", requires = "dev")]
    pub data: Option<PathBuf>,
    /// Where to listen; port 0 picks a free one and prints it
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// The store to use with `--dev` in place of the embedded one
    #[arg(long, value_name = "URL", requires = "dev")]
    pub store: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn every_help_has_an_example() {
        fn look(command: &clap::Command, path: &str) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example") && help.contains("  jitney "), "`{path} --help` shows no example");
            for sub in command.get_subcommands() {
                look(sub, &format!("{path} {}", sub.get_name()));
            }
        }
        Cli::command().debug_assert();
        look(&Cli::command(), "jitney");
    }

    #[test]
    fn every_command_of_the_contract_that_exists_now_is_read() {
        let lines = [
            "demo --keep",
            "init",
            "init shop --workload w --audience https://a --scope a --scope b --owner o --broker https://b",
            "init --platform github --repository-id 1 --environment e --ref r --issuer https://i",
            "init --platform gitlab --project-id 1",
            "init --platform kubernetes --service-account n/s --issuer https://i",
            "doctor",
            "doctor --audience https://a --scope a --task t --no-ask --output json",
            "serve --dev --data d --listen 127.0.0.1:0 --store redis://127.0.0.1:6379",
            "serve",
            "serve --config jitney.toml",
            "token --task t --audience https://a --scope a --scope b --ttl 5m",
            "run --task t --audience https://a --scope a -- true --not-ours",
            "token --audience https://a --scope a",
            "run --audience https://a --scope a -- true",
            "complete --task a/b",
            "complete --token-file -",
            "verify --audience https://a -",
            "verify --token-file f --output json",
            "guard",
            "guard --listen 127.0.0.1:0 --audience https://a --audience https://b --max-staleness 5s --proxy nginx --rules f",
            "lease list --workload w --task t --audience https://a --output json",
            "lease list --state live --all --cursor c",
            "lease show 0190163d-8694-839b-aea5-966c26f8ad91",
            "lease revoke --task t --workload w --reason why --dry-run",
            // One key in 64 is called so.
            "lease revoke --key -sqnzg9DvQshs4bebBnsFOLpHBZPld5F1CVGng0-wLg --reason why",
            "lease watch",
            "workload list",
            "workload list --due --output json",
            "workload show w",
            "workload quarantine w --reason why",
            "workload release w --reason why",
            "audience list",
            "audience show https://a",
            "status --admin unix:/s",
            "--admin unix:/s status",
            "policy check",
            "policy check dir",
            "policy check dir --format sarif --deny note",
            "policy test",
            "policy test dir --output json",
            "report",
            "report dir --audit a --audit b --since 2026-10-01 --until 2026-12-31 --format html --out f --offline",
            "report --since 30d --format json",
            "policy explain b1.aaaaaaaaaaaaaaaaaaaaaa --policies p --file f",
            "policy explain --policies p -",
            "policy explain --workload w --audience https://a --scope a --scope b --task t --ttl 5m --claim ref=x --output json",
            "audit tail -n 5 --follow --file f",
            "audit verify",
            "audit verify --from-checkpoint --jwks https://i --checkpoints c --output json",
            "audit verify --from-checkpoint 17",
            "audit tail --since 2h --event mint --outcome refused --workload w --audience https://a --decision b.aaaaaaaaaaaaaaaaaaaaaa",
            "audit export --format ocsf --since 2026-11-01 --until 2026-12-01T00:00:00Z --task t --file f",
            "key list --output pem",
            "key rotate --now",
            "completions bash",
            "completions fish",
            "man",
            "man lease revoke",
            "man --dir d",
        ];
        for line in lines {
            if let Err(error) = Cli::try_parse_from(std::iter::once("jitney").chain(line.split(' '))) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn help_is_a_command_too() {
        for (line, example) in [("help token", "jitney token --task"), ("help lease revoke", "jitney lease revoke")] {
            let asked = Cli::try_parse_from(std::iter::once("jitney").chain(line.split(' '))).expect_err(line);
            assert_eq!((asked.kind(), asked.exit_code()), (clap::error::ErrorKind::DisplayHelp, 0), "{line}");
            assert!(asked.to_string().contains(example), "{line}: {asked}");
        }
    }

    #[test]
    fn wrong_usage_ends_with_2() {
        let lines = [
            "",
            "complete",
            "complete --task t --token-file f",
            "token --task a//b --audience https://a --scope a",
            "token --task t --audience a --scope a",
            "token --task t --audience https://a --scope a --ttl soon",
            "run --task t --audience https://a --scope a",
            "lease revoke --all",
            "lease revoke --reason why",
            "lease revoke --all --key k --reason why",
            "lease revoke --lease nonsense --reason why",
            "serve --config a --dev",
            "init --platform mainframe",
            "init --platform github --repository-id name",
            "doctor --audience https://a",
            "doctor --scope a",
            "guard --max-staleness soon",
            "guard --proxy apache",
            "guard --listen here",
            "guard --audience api",
            "policy check --deny nothing",
            "report --since soon",
            "report --format pdf",
            "audit tail --event dance",
            "policy explain",
            "policy explain --workload w --audience https://a",
            "policy explain b1.aaaaaaaaaaaaaaaaaaaaaa --workload w",
            "audit export --since soon",
            "policy check --format xml",
            "completions",
            "completions tcsh",
        ];
        for line in lines {
            let words = line.split(' ').filter(|word| !word.is_empty());
            let error = Cli::try_parse_from(std::iter::once("jitney").chain(words)).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_command_that_help_is_asked_for_is_guessed_as_one_that_is_called() {
        let told = |line: &str| {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
            with_what_was_meant(error).render().to_string()
        };
        for (line, near) in [("jitney help polcy", "'policy'"), ("jitney help policy chekc", "'check'")] {
            let told = told(line);
            assert!(told.contains("similar subcommand") && told.contains(near), "{line}: {told}");
        }
        assert!(!told("jitney help quite-another").contains("similar"));
    }
}
