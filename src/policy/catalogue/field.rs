//! Fields of the catalogue's files: read with their places, then checked, so that a finding points at the value.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::value::Datetime;

use super::Day;
use crate::model::time::parse_span;
use crate::policy::diagnostic::{Diagnostic, SourceFile};

/// One file being read, and what was found in it so far.
pub(in crate::policy) struct Reading<'a> {
    pub file: &'a SourceFile,
    pub findings: &'a mut Vec<Diagnostic>,
}

impl Reading<'_> {
    /// Adds a finding that points at `span`.
    pub fn found(&mut self, finding: Diagnostic, span: Range<usize>) {
        self.findings.push(finding.at(self.file, span));
    }

    /// The file as `T`; a finding where it is none.
    pub fn toml<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        match toml::from_str(&self.file.text) {
            Ok(raw) => Some(raw),
            Err(error) => {
                self.findings.push(Diagnostic::of_toml(self.file, &error));
                None
            }
        }
    }

    /// A sentence or address for people: an empty one counts as missing.
    pub fn text(&mut self, name: &str, raw: Option<Spanned<String>>) -> Option<String> {
        let raw = raw?;
        let trimmed = raw.get_ref().trim();
        if trimmed.is_empty() {
            self.found(Diagnostic::warning("governance", format!("`{name}` is empty")), raw.span());
            return None;
        }
        Some(trimmed.to_owned())
    }

    /// A calendar day, and nothing finer.
    pub fn day(&mut self, name: &str, raw: Option<Spanned<Datetime>>) -> Option<Day> {
        let raw = raw?;
        let day = match raw.get_ref() {
            Datetime { date: Some(date), time: None, offset: None } => time::Month::try_from(date.month)
                .and_then(|month| time::Date::from_calendar_date(i32::from(date.year), month, date.day))
                .ok()
                .filter(|date| date.year() >= 1970),
            _ => None,
        };
        if day.is_none() {
            let finding =
                Diagnostic::error("toml", format!("`{name}` is a day of the calendar, counted to its end in UTC"));
            self.found(finding.help(format!("write {name} = 2027-06-30")), raw.span());
        }
        day.map(Day)
    }

    /// A span such as `10m`.
    pub fn span(&mut self, raw: Option<Spanned<String>>) -> Option<Duration> {
        let raw = raw?;
        match parse_span(raw.get_ref()) {
            Ok(span) => Some(span),
            Err(why) => {
                self.found(Diagnostic::error("span", why), raw.span());
                None
            }
        }
    }
}
