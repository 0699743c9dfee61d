//! Why not, with what was weighed: the refusal for the caller, the rest for the audit log alone.

use std::fmt;
use std::sync::Arc;

use crate::model::{Reason, Refusal, Scope};

/// A decision that came out "no".
#[derive(Debug, Clone)]
pub struct Denial {
    /// For the caller.
    pub refusal: Refusal,
    /// The ids of the policies that determined it: forbids that applied, or the permit whose limit was passed.
    pub policies: Vec<Arc<str>>,
    /// What became of each asked scope, where it came to policies.
    pub considered: Vec<Considered>,
}

impl Denial {
    pub(super) fn new(reason: Reason, description: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { refusal: Refusal::new(reason, description), policies: Vec::new(), considered: Vec::new() }
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        denial.refusal
    }
}

/// One asked scope, and what the policies said to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    /// The scope.
    pub scope: Scope,
    /// What came out.
    pub outcome: Outcome,
    /// The policies that determined it.
    pub policies: Vec<Arc<str>>,
}

/// What the policies said to one scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A permit applied and no forbid did.
    Permitted,
    /// No permit applied.
    NotPermitted,
    /// A forbid applied, or could not be evaluated, which counts as if it did.
    Forbidden,
}

impl Outcome {
    /// Its name in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::NotPermitted => "not_permitted",
            Self::Forbidden => "forbidden",
        }
    }
}

impl fmt::Display for Considered {
    /// `orders:read permitted by a, b`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.scope, self.outcome.as_str())?;
        for (at, policy) in self.policies.iter().enumerate() {
            write!(f, "{}{policy}", if at == 0 { " by " } else { ", " })?;
        }
        Ok(())
    }
}
