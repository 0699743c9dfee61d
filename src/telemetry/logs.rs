//! The log: `tracing` events on standard error, as text or as one JSON object a line.
//!
//! Owns what a value may look like there: what others wrote, an issuer or a file, can neither forge a line nor move a cursor.

use std::fmt::{Debug, Write as _};
use std::io::{self, IsTerminal as _};
use std::str::FromStr;

use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};

use crate::model::is_hidden;

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
    let lines = match format {
        Format::Json => json(io::stderr),
        Format::Text => text(io::stderr, io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()),
    };
    registry().with(lines.with_filter(targets)).try_init().map_err(|_| LogError::Twice)
}

type Lines = Box<dyn Layer<registry::Registry> + Send + Sync>;

fn text<W: io::Write + 'static>(to: impl Fn() -> W + Send + Sync + 'static, is_coloured: bool) -> Lines {
    fmt::layer().fmt_fields(debug_fn(field).delimited(" ")).with_ansi(is_coloured).with_writer(to).boxed()
}

fn json<W: io::Write + 'static>(to: impl Fn() -> W + Send + Sync + 'static) -> Lines {
    fmt::layer().json().flatten_event(true).with_writer(move || Escaped(to())).boxed()
}

/// One field as `tracing` writes it, its value escaped. A message may have several lines, as what is wrong in a policy has: those
/// behind its first are set in, so that none of them looks like a line of the log.
fn field(to: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    let name = field.name();
    let name = name.strip_prefix("r#").unwrap_or(name);
    if name == "message" {
        return write!(Plain { to, behind_break: Some("\n    ") }, "{value:?}");
    }
    match to.has_ansi_escapes() {
        true => write!(to, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?,
        false => write!(to, "{name}=")?,
    }
    write!(Plain { to, behind_break: None }, "{value:?}")
}

/// Writes text without what moves a cursor or turns the direction of what follows.
struct Plain<'a, W> {
    to: &'a mut W,
    /// What a line break becomes; escaped like the others where there is nothing.
    behind_break: Option<&'static str>,
}

impl<W: std::fmt::Write> std::fmt::Write for Plain<'_, W> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for piece in text.split_inclusive(is_hidden) {
            match piece.chars().next_back().filter(|last| is_hidden(*last)) {
                None => self.to.write_str(piece)?,
                Some(last) => {
                    self.to.write_str(&piece[..piece.len() - last.len_utf8()])?;
                    match self.behind_break.filter(|_| last == '\n') {
                        Some(instead) => self.to.write_str(instead)?,
                        None => write!(self.to, "{}", last.escape_default())?,
                    }
                }
            }
        }
        Ok(())
    }
}

/// Passes lines of JSON on. Hidden characters that JSON leaves as they are stand within its strings alone, so the escape that
/// JSON has for them means the same to every reader.
struct Escaped<W>(W);

impl<W: io::Write> io::Write for Escaped<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(line) {
            Ok(text) if text.chars().any(|c| c != '\n' && is_hidden(c)) => {
                let mut escaped = String::with_capacity(text.len() + 16);
                for c in text.chars() {
                    match c != '\n' && is_hidden(c) {
                        true => {
                            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped += &format!("\\u{unit:04x}"))
                        }
                        false => escaped.push(c),
                    }
                }
                self.0.write_all(escaped.as_bytes())?;
            }
            _ => self.0.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What an issuer could write to forge a line, move the cursor, or turn what follows.
    const FORGED: &str =
        "evil\n2026-11-29T00:00:00Z  INFO jitney: all is well\r\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\u{e0041}";

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn told(lines: impl FnOnce(Kept) -> Lines) -> String {
        let kept = Kept::default();
        tracing::subscriber::with_default(registry().with(lines(kept.clone())), || {
            let span = tracing::info_span!("request", id = %FORGED);
            let _entered = span.enter();
            tracing::warn!(error = %FORGED, quoted = FORGED, "an issuer says {FORGED}");
        });
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_value_forges_a_line_of_text_or_moves_the_cursor() {
        let text = told(|kept| text(move || kept.clone(), false));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[1].starts_with("    2026-11-29"), "the rest of a message is set in: {text}");
        assert!(!text.contains(|c| c != '\n' && is_hidden(c)), "{text:?}");
        assert!(
            text.contains("error=evil\\n2026") && text.contains("all is well\\r\\u{1b}[2J\\u{9b}31m\\u{202e}\\u{200b}")
        );
    }

    #[test]
    fn colours_are_the_log_s_own() {
        let text = told(|kept| text(move || kept.clone(), true));
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("\u{1b}[3merror\u{1b}[0m\u{1b}[2m=\u{1b}[0mevil\\n"), "{text:?}");
        assert!(!text.contains("\u{1b}[2J") && !text.contains(['\r', '\u{9b}', '\u{202e}', '\u{200b}']), "{text:?}");
    }

    #[test]
    fn json_says_the_same_and_shows_nothing_hidden() {
        let text = told(|kept| json(move || kept.clone()));
        assert!(text.ends_with('\n') && !text.trim_end().contains(is_hidden), "{text:?}");
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["error"], FORGED);
        assert_eq!(event["message"], format!("an issuer says {FORGED}"));
    }

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
