//! A solver for questions about conditions: Cedar's symbolic compiler, and cvc5 as a process that answers it.
//!
//! Owns the process and its limits of time. What it says is so for every request that the schema allows; where it fails, is
//! late, or does not know, nothing is proven. Never knows what a workload is.

mod data;
mod found;

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use cedar_policy::{Effect, Policy, PolicySet, RequestEnv, Schema};
use cedar_policy_symcc::solver::LocalSolver;
use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicy, CompiledPolicySet};
use thiserror::Error;
use tokio::process::Command;
use tokio::runtime::{Builder, Runtime};

pub use data::{Found, Texts};

/// Where the program is, first to last; else `cvc5` on the search path.
const PROGRAM: [&str; 2] = ["JITNEY_CVC5", "CVC5"];

/// Why a solver said nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unproven {
    /// There is no such program.
    #[error("no solver was started: {program}: {told}")]
    NoProgram {
        /// What was to be started.
        program: String,
        /// What the system says.
        told: String,
    },
    /// It took too long.
    #[error("the solver was not done in time")]
    Late,
    /// It does not know, or the question cannot be put to it.
    #[error("the solver did not answer: {0}")]
    Failed(String),
    /// A forbid may fail, which a broker takes for one that applies and a solver does not.
    #[error("a forbid may fail to evaluate")]
    MayFail,
}

type Compiler = CedarSymCompiler<LocalSolver>;

/// A solver. Its process ends with the value.
pub struct Solver {
    schema: Schema,
    env: RequestEnv,
    runtime: Runtime,
    compiler: Option<Compiler>,
}

impl std::fmt::Debug for Solver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Solver").field("runs", &self.compiler.is_some()).finish_non_exhaustive()
    }
}

impl Solver {
    /// Starts one for policies of this schema.
    ///
    /// # Errors
    /// [`Unproven`]: there is none.
    pub fn start(schema: &str) -> Result<Self, Unproven> {
        let (schema, _) = Schema::from_cedarschema_str(schema).map_err(|error| failed(&error))?;
        let env = schema.request_envs().next().ok_or_else(|| Unproven::Failed("a schema without requests".into()))?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
        let mut solver = Self { schema, env, runtime, compiler: None };
        solver.compiler = Some(solver.process()?);
        Ok(solver)
    }

    /// Whether all that `head` allows is allowed by `base`: none, or a request that is not. It is asked until `until`, and for
    /// `each` at most.
    ///
    /// # Errors
    /// [`Unproven`].
    pub fn widens(
        &mut self,
        head: &Texts,
        base: &Texts,
        until: Instant,
        each: Duration,
    ) -> Result<Option<Found>, Unproven> {
        let left = until.saturating_duration_since(Instant::now()).min(each);
        if left.is_zero() {
            return Err(Unproven::Late);
        }
        let mut compiler = match self.compiler.take() {
            Some(compiler) => compiler,
            None => self.process()?,
        };
        let (schema, env) = (&self.schema, &self.env);
        let answer = self.runtime.block_on(async {
            let asked = ask(&mut compiler, head, base, (schema, env));
            tokio::time::timeout(left, asked).await.unwrap_or(Err(Unproven::Late))
        });
        // One that failed may be in the middle of a word: another one is started for the next question.
        if answer.is_ok() || answer == Err(Unproven::MayFail) {
            self.compiler = Some(compiler);
        }
        answer
    }

    fn process(&self) -> Result<Compiler, Unproven> {
        let named = PROGRAM.iter().find_map(std::env::var_os).filter(|name| !name.is_empty());
        let program = named.unwrap_or_else(|| "cvc5".into());
        let mut command = Command::new(&program);
        command.args(["--lang", "smt"]).kill_on_drop(true);
        let _inside = self.runtime.enter();
        let started = LocalSolver::from_command(&mut command).map_err(|error| {
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Unproven::NoProgram { program: program.to_string_lossy().into_owned(), told: cause }
        })?;
        CedarSymCompiler::new(started).map_err(|error| failed(&error))
    }
}

async fn ask(
    compiler: &mut Compiler,
    head: &Texts,
    base: &Texts,
    (schema, env): (&Schema, &RequestEnv),
) -> Result<Option<Found>, Unproven> {
    for condition in &base.firm {
        let forbid = policy(0, Effect::Forbid, condition)?;
        let compiled = CompiledPolicy::compile(&forbid, env, schema).map_err(|error| failed(&error))?;
        if !compiler.check_never_errors_opt(&compiled).await.map_err(|error| failed(&error))? {
            return Err(Unproven::MayFail);
        }
    }
    let compiled = |texts: &Texts| {
        let set = set(texts)?;
        CompiledPolicySet::compile(&set, env, schema).map_err(|error| failed(&error))
    };
    let (head, base) = (compiled(head)?, compiled(base)?);
    let shown = compiler.check_implies_with_counterexample_opt(&head, &base).await.map_err(|error| failed(&error))?;
    Ok(shown.map(|shown| Found::of(&shown)))
}

fn set(texts: &Texts) -> Result<PolicySet, Unproven> {
    let permits = texts.permits.iter().map(|text| (Effect::Permit, text));
    let forbids = texts.forbids.iter().chain(&texts.firm).map(|text| (Effect::Forbid, text));
    let policies = permits.chain(forbids).enumerate().map(|(at, (effect, text))| policy(at, effect, text));
    let policies: Vec<Policy> = policies.collect::<Result<_, _>>()?;
    PolicySet::from_policies(policies).map_err(|error| failed(&error))
}

fn policy(at: usize, effect: Effect, condition: &str) -> Result<Policy, Unproven> {
    let word = if effect == Effect::Permit { "permit" } else { "forbid" };
    let text = format!("{word}(principal, action, resource) when {{ {condition} }};");
    let policy = Policy::from_str(&text).map_err(|error| failed(&error))?;
    Ok(policy.new_id(cedar_policy::PolicyId::new(format!("p{at}"))))
}

/// With its causes: the outermost often says only what was done.
fn failed(error: &dyn std::error::Error) -> Unproven {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        told = format!("{told}: {inner}");
        cause = inner.source();
    }
    Unproven::Failed(told)
}
