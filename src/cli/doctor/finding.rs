//! What a check found, and how it is told to people and to programs.

use serde_json::{Value, json};

use super::super::{Failure, output};

/// What came of one check.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is as it should be: what was seen.
    Pass(String),
    /// It is not: what was seen, and what to do.
    Fail { detail: String, mend: String },
    /// It was not looked at: why.
    Skipped(String),
}

/// A check and its outcome.
#[derive(Debug)]
pub(super) struct Finding {
    pub name: &'static str,
    pub outcome: Outcome,
}

impl Outcome {
    pub(super) fn pass(detail: impl Into<String>) -> Self {
        Self::Pass(detail.into())
    }

    pub(super) fn fail(detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Fail { detail: detail.into(), mend: mend.into() }
    }

    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped(why.into())
    }

    pub(super) const fn is_failure(&self) -> bool {
        matches!(self, Self::Fail { .. })
    }

    /// Why a check that needs this one, called `name`, cannot be made: the first cause, not the nearest.
    pub(super) fn hinders(&self, name: &str) -> Option<String> {
        match self {
            Self::Pass(_) => None,
            Self::Fail { .. } => Some(format!("{name} failed")),
            Self::Skipped(why) => Some(why.clone()),
        }
    }

    const fn status(&self) -> &'static str {
        match self {
            Self::Pass(_) => "pass",
            Self::Fail { .. } => "fail",
            Self::Skipped(_) => "skipped",
        }
    }
}

impl Finding {
    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        let (detail, mend) = match &self.outcome {
            Outcome::Pass(detail) | Outcome::Skipped(detail) => (detail, None),
            Outcome::Fail { detail, mend } => (detail, Some(mend)),
        };
        json!({ "name": self.name, "status": self.outcome.status(), "detail": detail, "mend": mend })
    }

    /// For people: a line, and another with the mend where it failed.
    pub(super) fn tell(&self, width: usize) -> Result<(), Failure> {
        use output::style::{BAD, DIM, GOOD, STRONG};
        let (style, detail) = match &self.outcome {
            Outcome::Pass(detail) => (GOOD, detail),
            Outcome::Fail { detail, .. } => (BAD, detail),
            Outcome::Skipped(detail) => (DIM, detail),
        };
        let status = output::paint(style, format_args!("{:<7}", self.outcome.status()));
        output::line(format_args!("{status} {:<width$}  {}", self.name, output::plain(detail)))?;
        match &self.outcome {
            Outcome::Fail { mend, .. } => {
                let at = " ".repeat(8 + width - "mend:".len());
                output::line(format_args!("{at}{}  {}", output::paint(STRONG, "mend:"), output::plain(mend)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_is_told_and_not_the_nearest() {
        let first = Outcome::fail("x", "y").hinders("tcp").unwrap();
        assert_eq!(Outcome::Skipped(first).hinders("tls").as_deref(), Some("tcp failed"));
        assert_eq!(Outcome::pass("x").hinders("tcp"), None);
    }
}
