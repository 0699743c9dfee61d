//! What `jitney report` is asked.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::model::time::parse_span;

pub const HELP: &str = "\
Examples:
  jitney report --format html --out report.html
  jitney report policies --audit /var/lib/jitney/audit.jsonl --since 2026-10-01 --until 2026-12-31 --offline

Without DIR and --audit, the running broker says where its policies and its audit log lie; each broker writes a log of its own:
name all of them. With --offline no broker is asked.";

/// `jitney report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The policies' folder [default: that of the broker of --admin]
    pub dir: Option<PathBuf>,
    /// An audit log; repeat it for each broker [default: that of the broker of --admin]
    #[arg(long = "audit", value_name = "FILE")]
    pub audit: Vec<PathBuf>,
    /// From when on: a day (2026-10-01), a moment (RFC 3339), or how long ago (30d)
    #[arg(long, value_name = "WHEN", value_parser = When::parse, default_value = "90d")]
    pub since: When,
    /// Up to when: the end of a day, a moment, or how long ago [default: now]
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub until: Option<When>,
    /// How it is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: ReportFormat,
    /// Where to [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Ask no broker
    #[arg(long)]
    pub offline: bool,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ReportFormat {
    #[default]
    Markdown,
    Json,
    Html,
}

/// A moment as a person names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// A day, by its first second since 1970.
    Day(u64),
    /// A moment, milliseconds since 1970.
    Moment(u64),
    /// So many seconds ago.
    Ago(u64),
}

impl When {
    fn parse(raw: &str) -> Result<Self, String> {
        use time::format_description::well_known::{Iso8601, Rfc3339};
        const WRONG: &str = "a day (2026-10-01), a moment (2026-10-01T08:00:00Z), or how long ago (30d)";
        let from = |secs: i64| u64::try_from(secs).map_err(|_| "nothing happened before 1970".to_owned());
        // A moment begins with a day, and would be read as one.
        if raw.len() == 10
            && let Ok(day) = time::Date::parse(raw, &Iso8601::DATE)
        {
            return from(day.midnight().assume_utc().unix_timestamp()).map(Self::Day);
        }
        if let Ok(moment) = time::OffsetDateTime::parse(raw, &Rfc3339) {
            let ms = from(moment.unix_timestamp())? * 1000 + u64::from(moment.millisecond());
            return Ok(Self::Moment(ms));
        }
        parse_span(raw).map(|span| Self::Ago(span.as_secs())).map_err(|_| WRONG.into())
    }

    /// Milliseconds since 1970, where it is `now_ms`; a day counts by its end where `is_end`.
    pub fn ms(self, now_ms: u64, is_end: bool) -> u64 {
        match self {
            Self::Day(secs) => (secs + if is_end { 86_400 } else { 0 }) * 1000,
            Self::Moment(ms) => ms,
            Self::Ago(secs) => now_ms.saturating_sub(secs.saturating_mul(1000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let ms = |raw: &str, is_end| When::parse(raw).map(|when| when.ms(1_790_000_000_000, is_end));
        assert_eq!(ms("2026-09-21", false), Ok(1_789_948_800_000));
        assert_eq!(ms("2026-09-21", true), Ok(1_790_035_200_000), "up to its end");
        assert_eq!(ms("2026-09-21T02:00:00.5+02:00", true), Ok(1_789_948_800_500));
        assert_eq!(ms("30d", false), Ok(1_790_000_000_000 - 30 * 86_400_000));
        assert_eq!(ms("8h", false), Ok(1_790_000_000_000 - 8 * 3_600_000));
        for wrong in ["", "yesterday", "2026-13-01", "2026-09-31", "d", "-5d", "0d"] {
            assert!(ms(wrong, false).is_err(), "{wrong}");
        }
    }
}
