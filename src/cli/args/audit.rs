//! What is asked of the decision log.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::OutputArgs;
use crate::audit::{Event, Outcome, moment};
use crate::model::time::parse_span;
use crate::model::{AudienceUri, DecisionId, LeaseId, TaskId, WorkloadId};

fn head(raw: &str) -> Result<String, String> {
    if raw.len() == 64 && raw.bytes().all(|byte| byte == b'0') {
        return Err("that is the head of a log without a line: it stands in every log, and proves nothing".into());
    }
    let is_hash = raw.len() == 64 && raw.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then(|| raw.to_owned()).ok_or_else(|| "a head is 64 hex digits, as `jitney audit verify` prints it".into())
}

fn event(raw: &str) -> Result<Event, String> {
    Event::parse(raw).ok_or_else(|| {
        let known: Vec<_> = Event::ALL.iter().map(|event| event.as_str()).collect();
        format!("there is no such event; there are {}", known.join(", "))
    })
}

fn outcome(raw: &str) -> Result<Outcome, String> {
    Outcome::parse(raw).ok_or_else(|| {
        let known: Vec<_> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
        format!("an outcome is one of {}", known.join(", "))
    })
}

fn lease(raw: &str) -> Result<LeaseId, String> {
    LeaseId::parse(raw).ok_or_else(|| "a lease id is a UUID in lower case, as `jitney lease list` prints it".into())
}

/// A moment, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// In milliseconds since the Unix epoch.
    At(u64),
    /// So many milliseconds before now.
    Ago(u64),
}

impl When {
    fn parse(raw: &str) -> Result<Self, String> {
        let at = moment(raw).or_else(|| moment(&format!("{raw}T00:00:00Z")));
        let ago = || parse_span(raw).ok().filter(|_| raw.ends_with(['s', 'm', 'h', 'd']));
        match (at, ago()) {
            (Some(ms), _) => Ok(Self::At(ms)),
            (None, Some(span)) => Ok(Self::Ago(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))),
            (None, None) => {
                Err("write a moment like 2026-11-28T14:00:00Z, a day like 2026-11-28, or how long ago, like 2h".into())
            }
        }
    }

    /// In milliseconds since the Unix epoch.
    pub const fn ms(self, now_ms: u64) -> u64 {
        match self {
            Self::At(ms) => ms,
            Self::Ago(ms) => now_ms.saturating_sub(ms),
        }
    }
}

/// Which lines.
#[derive(Debug, Args)]
pub struct LineFilterArgs {
    /// About this workload
    #[arg(long, value_name = "ID", value_parser = WorkloadId::parse)]
    pub workload: Option<WorkloadId>,
    /// About this resource server
    #[arg(long, value_name = "URI", value_parser = AudienceUri::parse)]
    pub audience: Option<AudienceUri>,
    /// About this task and its children
    #[arg(long, value_parser = TaskId::parse)]
    pub task: Option<TaskId>,
    /// About this lease, or its renewal
    #[arg(long, value_name = "ID", value_parser = lease)]
    pub lease: Option<LeaseId>,
    /// Of this event, by its word in the log: mint, renew, complete, revoke, …
    #[arg(long, value_parser = event)]
    pub event: Option<Event>,
    /// That came out so: granted, refused, done, failed
    #[arg(long, value_parser = outcome)]
    pub outcome: Option<Outcome>,
    /// That explain this decision
    #[arg(long, value_name = "ID", value_parser = DecisionId::parse)]
    pub decision: Option<DecisionId>,
    /// From then on: a moment, a day (UTC), or how long ago
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub since: Option<When>,
    /// Before then
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub until: Option<When>,
}

/// `jitney audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Prints the last lines of the log
    #[command(after_help = "Examples:\n  jitney audit tail -n 20 --follow\n  \
        jitney audit tail --since 1h --outcome refused --workload nightly-report")]
    Tail(TailArgs),
    /// Checks that no line was changed, removed or added
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyLogArgs),
    /// Writes lines out for other programs
    #[command(
        after_help = "Examples:\n  jitney audit export --since 2026-11-01 --until 2026-12-01 > november.jsonl\n  \
        jitney audit export --since 1d --format ocsf"
    )]
    Export(ExportArgs),
}

/// `jitney audit tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// How many lines [default: 10, or with --since all of then]
    #[arg(short = 'n', long = "lines", value_name = "N")]
    pub lines: Option<usize>,
    /// Go on printing what is added, until Ctrl-C
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// Which.
    #[command(flatten)]
    pub filter: LineFilterArgs,
    /// The log [default: that of the broker of --admin]
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// How they are printed.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `jitney audit verify`.
#[derive(Debug, Args)]
pub struct VerifyLogArgs {
    /// A head that an earlier run printed: it must still stand in the log
    #[arg(long, value_name = "HEX", value_parser = head)]
    pub head: Option<String>,
    /// Begin at the newest checkpoint, or at that of line N: what stands before is not read
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "0", value_parser = clap::value_parser!(u64))]
    pub from_checkpoint: Option<u64>,
    /// Keys that checkpoints must be signed with: a JWK set in a file, or the URL of a broker or of its JWKS
    #[arg(long, value_name = "FILE|URL")]
    pub jwks: Option<String>,
    /// The checkpoints [default: PATH.checkpoints beside the log]
    #[arg(long, value_name = "PATH")]
    pub checkpoints: Option<PathBuf>,
    /// The log [default: that of the broker of --admin]
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// How the outcome is printed.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `jitney audit export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// As the lines stand in the log, or as events of OCSF 1.3.0, one JSON object a line either way
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: ExportFormat,
    /// Which.
    #[command(flatten)]
    pub filter: LineFilterArgs,
    /// The log [default: that of the broker of --admin]
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
}

/// How lines are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ExportFormat {
    #[default]
    Jsonl,
    Ocsf,
}

const VERIFY_HELP: &str = "\
Examples:
  jitney audit verify --file /var/lib/jitney/audit.jsonl
  jitney audit verify --jwks https://jitney.example.com
  jitney audit verify --from-checkpoint --jwks kept.jwks.json
  jitney audit verify --head 3f1c…   the head that an earlier run printed

The chain tells lines that were changed, dropped, inserted or moved. That its end was cut off, or written anew, only a
checkpoint tells, or a head from before. Without --jwks a checkpoint is checked with the key that stands beside it, which
whoever can write the folder can put there. Exit code 1: the log is not as it was written, or cannot be read.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_a_day_or_a_span() {
        assert_eq!(When::parse("2026-11-28T00:00:01+01:00"), Ok(When::At(1_795_820_401_000)));
        assert_eq!(When::parse("2026-11-28"), Ok(When::At(1_795_824_000_000)));
        assert_eq!(When::parse("2h").unwrap().ms(7_200_001), 1);
        assert_eq!(When::parse("9d").unwrap().ms(5), 0);
        for wrong in ["", "yesterday", "2026-13-01", "300", "-1h"] {
            assert!(When::parse(wrong).is_err(), "{wrong}");
        }
    }
}
