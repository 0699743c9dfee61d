//! The last resort: a solver, within a budget, where there is one.
//!
//! Owns how much work an answer may be, and what is said where nothing was proven. A solver that fails, or takes too long, has proven nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use cedar_policy_core::ast::Expr;

use super::proven::Proven;
use super::question::{Question, Side, cannot_fail};
use super::request::Request;
use crate::policy::{IdentityKind, What};
use crate::prove::{Found, Solver, Texts, Unproven};

/// So long one question may take.
const EACH: Duration = Duration::from_secs(10);

/// So many requests are tried for one question, unless somebody asks for fewer.
const TRIES: usize = 1000;

/// How much work answers may be.
#[derive(Debug, Clone, Copy)]
pub struct Effort<'a> {
    /// For so long a solver is asked, at most.
    pub budget: Duration,
    /// What it has proven is kept in this file.
    pub cache: Option<&'a Path>,
    /// So many requests are tried for one question before that. Fewer leave more in doubt, and call nothing proven.
    pub tries: usize,
}

impl<'a> Effort<'a> {
    /// The usual one.
    pub const fn within(budget: Duration, cache: Option<&'a Path>) -> Self {
        Self { budget, cache, tries: TRIES }
    }
}

/// A solver, started at the first question.
#[derive(Debug)]
pub struct Solving {
    schema: String,
    until: Instant,
    solver: Option<Result<Solver, Unproven>>,
    trouble: Option<Unproven>,
    proven: Proven,
    /// So many requests are tried before it is asked.
    pub tries: usize,
}

/// A request that a solver has shown.
#[derive(Debug, Clone)]
pub struct Shown(Found);

impl Solving {
    /// One for policies of `schema`.
    pub fn within(schema: String, effort: Effort<'_>) -> Self {
        let (proven, tries) = (Proven::of(effort.cache), effort.tries);
        Self { schema, until: Instant::now() + effort.budget, solver: None, trouble: None, proven, tries }
    }

    /// Whether all that HEAD allows is allowed by BASE: none, or a request that is not.
    ///
    /// # Errors
    /// [`Unproven`].
    pub fn answer(&mut self, question: &Question) -> Result<Option<Shown>, Unproven> {
        let (head, base) = (texts(&question.head, false), texts(&question.base, true));
        let name = Proven::name(&self.schema, &head, &base);
        if self.proven.holds(&name) {
            return Ok(None);
        }
        if Instant::now() >= self.until {
            // Not even started: nobody asked for one, or the budget is spent.
            self.trouble.get_or_insert(Unproven::Late);
            return Err(Unproven::Late);
        }
        let (schema, until) = (&self.schema, self.until);
        let solver = self.solver.get_or_insert_with(|| Solver::start(schema));
        let answer = match solver {
            Ok(solver) => solver.widens(&head, &base, until, EACH),
            Err(why) => Err(why.clone()),
        };
        if let (Err(why), None) = (&answer, &self.trouble) {
            self.trouble = Some(why.clone());
        }
        if let Ok(None) = &answer {
            self.proven.keep(name);
        }
        answer.map(|found| found.map(Shown))
    }

    /// Why the first question that was not answered was not.
    pub fn trouble(&self) -> Option<&Unproven> {
        self.trouble.as_ref()
    }
}

/// A side as texts. Cedar passes over a forbid that fails, a broker does not: on the side that must allow as much, one that may
/// fail has to be shown not to.
fn texts(side: &Side, is_base: bool) -> Texts {
    let text = |expr: &Expr| expr.to_string();
    let is_firm = |expr: &&Expr| is_base && !cannot_fail(expr);
    Texts {
        permits: side.permits.iter().map(text).collect(),
        forbids: side.forbids.iter().filter(|expr| !is_firm(expr)).chain(&side.cuts).map(text).collect(),
        firm: side.forbids.iter().filter(is_firm).map(text).collect(),
    }
}

impl Shown {
    /// As a request of this workload; none where nobody could make it.
    pub fn request(self, workload: &str, audience: &str, what: &What) -> Option<Request> {
        let found = self.0;
        let scope = match what {
            What::Named(name) => name.to_string(),
            What::AnyOther(open) => {
                let head = open.strip_suffix('*').unwrap_or(open);
                found.scope.filter(|name| name.starts_with(head)).unwrap_or_else(|| format!("{head}1"))
            }
        };
        let kinds = [IdentityKind::PrivateKeyJwt, IdentityKind::Oidc];
        Some(Request {
            workload: workload.to_owned(),
            audience: audience.to_owned(),
            scope,
            task: if found.task.is_empty() { "t".to_owned() } else { found.task },
            ttl: u64::try_from(found.ttl).ok()?,
            now: u64::try_from(found.now).ok()?,
            kind: kinds.into_iter().find(|kind| kind.as_str() == found.kind).unwrap_or(kinds[0]),
            claims: found.claims,
        })
    }
}
