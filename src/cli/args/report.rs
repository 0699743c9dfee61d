//! What `jitney report` is asked.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::audit::When;

pub const HELP: &str = "\
Examples:
  jitney report --out report.html
  jitney report policies --audit /var/lib/jitney/audit.jsonl --since 2026-10-01 --until 2027-01-01 --offline

Without DIR and --audit, the running broker says where its policies and its audit log lie; each broker writes a log of its own:
name all of them. With --offline no broker is asked.
Exit code: 0 written; 1 an audit log is not as it was written, which the report says first, or there is no report; 2 wrong usage.";

/// `jitney report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The policies' folder [default: that of the broker of --admin]
    pub dir: Option<PathBuf>,
    /// An audit log; repeat it for each broker [default: that of the broker of --admin]
    #[arg(long = "audit", value_name = "FILE")]
    pub audit: Vec<PathBuf>,
    /// From then on: a moment, a day (UTC), or how long ago
    #[arg(long, value_name = "WHEN", value_parser = When::parse, default_value = "90d")]
    pub since: When,
    /// Before then [default: now]
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub until: Option<When>,
    /// How it is written [default: as the name of --out ends (.html, .json), else markdown]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<ReportFormat>,
    /// Where to [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Ask no broker
    #[arg(long)]
    pub offline: bool,
}

impl ReportArgs {
    /// What was asked for; else what the name of the file says, and Markdown where it says nothing. Where it says a form that there is
    /// not, that is the error.
    ///
    /// # Errors
    /// The ending.
    pub fn form(&self) -> Result<ReportFormat, String> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let ending = self.out.as_ref().and_then(|file| file.extension()).map(|ending| ending.to_string_lossy());
        match ending.unwrap_or_default().to_ascii_lowercase().as_str() {
            "html" | "htm" => Ok(ReportFormat::Html),
            "json" => Ok(ReportFormat::Json),
            "" | "md" | "markdown" | "txt" => Ok(ReportFormat::Markdown),
            other => Err(other.to_owned()),
        }
    }
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ReportFormat {
    #[default]
    Markdown,
    Json,
    Html,
}
