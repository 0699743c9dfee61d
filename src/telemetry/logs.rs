//! The log: `tracing` events on standard error, as text or as one JSON object a line.

use std::io::IsTerminal as _;
use std::str::FromStr;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// A line for people, coloured on a terminal unless `NO_COLOR` is set.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl Format {
    /// The words of the configuration.
    pub const NAMES: [&'static str; 2] = ["text", "json"];
}

impl FromStr for Format {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        match raw {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{raw}` is no log format: write `text` or `json`")),
        }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The filter does not parse.
    #[error("`{filter}` is no log level: write error, warn, info, debug, trace or off, or `info,jitney::store=debug`")]
    Filter {
        /// What was given.
        filter: String,
    },
    /// Something else takes the events already.
    #[error("a log was set up before in this process")]
    Twice,
}

/// The levels by name; numbers are not taken.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Checks a filter as [`init`] reads it.
///
/// # Errors
/// [`LogError::Filter`].
pub fn check_filter(filter: &str) -> Result<(), LogError> {
    parse_filter(filter).map(drop)
}

fn parse_filter(filter: &str) -> Result<Targets, LogError> {
    let wrong = || LogError::Filter { filter: filter.to_owned() };
    let targets: Targets = filter.parse().map_err(|_| wrong())?;
    // `Targets` takes a word it does not know as the name of a target: a misspelt level would log everything of nothing.
    let level = |part: &str| LEVELS.iter().any(|level| part.eq_ignore_ascii_case(level));
    let known =
        |part: &str| part.split_once('=').map_or_else(|| level(part), |(name, at)| !name.is_empty() && level(at));
    if filter.split(',').all(|part| known(part.trim())) { Ok(targets) } else { Err(wrong()) }
}

/// Sends the process's events to standard error from now on. `level`: a level (`info`), or comma-separated
/// `target=level` beside one.
///
/// # Errors
/// [`LogError`] where the level does not parse or a log is there already.
pub fn init(level: &str, format: Format) -> Result<(), LogError> {
    let targets = parse_filter(level)?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        Format::Json => lines.json().flatten_event(true).boxed(),
        Format::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            lines.with_ansi(colour).boxed()
        }
    };
    registry().with(lines.with_filter(targets)).try_init().map_err(|_| LogError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_targets_parse() {
        for filter in ["info", "WARN", "off", "info,jitney::store=debug", "jitney=trace, warn"] {
            assert!(parse_filter(filter).is_ok(), "{filter}");
        }
    }

    #[test]
    fn a_misspelt_level_is_refused_not_taken_for_a_target() {
        for filter in ["", "inf", "info,", "jitney=loud", "=info", "verbose"] {
            assert!(parse_filter(filter).unwrap_err().to_string().contains("jitney::store=debug"), "{filter}");
        }
    }

    #[test]
    fn every_named_format_parses() {
        assert_eq!(Format::NAMES.map(|name| name.parse::<Format>().is_ok()), [true; 2]);
        assert!("yaml".parse::<Format>().is_err());
    }
}
