//! `jitney policy check`: one lint a file, all of them in the table of [`rules`].
//!
//! Owns which lints there are, in which order they look, and what they are given. What a broker refuses at load is found by
//! the load itself and is only sorted in here. Never asks a network or a broker.

mod beside;
mod claims;
mod empty;
mod expiry;
mod finding;
mod invariant;
mod keys;
mod missing;
mod named;
mod never;
pub mod placeholder;
mod private;
mod proofs;
mod review;
pub mod rules;
pub mod sarif;
mod secrets;
mod shadow;
mod standing;
mod suppress;
mod tree;
mod ttl;
mod unused;
mod vague;
mod what;
mod width;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::governance::logic::solve::{Effort, Solving};
use crate::model::UnixTime;
use crate::policy::{Diagnostics, Links, PolicySet, Read, with_room};

pub use finding::{Finding, Report, Suppressed};

pub(super) use vague::{TELLING, is_vague};

use finding::Findings;
use tree::{Tree, Walk};

/// A lint looks at the tree and adds what it finds.
type Lint = fn(&Tree<'_>, &mut Findings);

/// Those that look at the files alone: they look at a set that does not load, too.
const OF_FILES: [Lint; 9] = [
    missing::look,
    vague::look,
    placeholder::look,
    expiry::look,
    review::look,
    keys::look,
    claims::look,
    private::look,
    beside::look,
];

/// Those that need the set whole.
const OF_SETS: [Lint; 8] =
    [empty::look, width::look, ttl::look, never::look, shadow::look, named::look, unused::look, standing::look];

/// Whether a solver is asked, for how long, and where what it has proven is kept.
#[derive(Debug, Clone, Default)]
pub struct Proofs {
    /// Whether one is.
    pub prove: bool,
    /// For so long at most.
    pub budget: Duration,
    /// In this file.
    pub cache: Option<PathBuf>,
}

/// Checks the set under `dir`, as it is at `now`.
pub fn check(dir: &Path, now: UnixTime, asked: &Proofs) -> Report {
    // Conditions are as deep as a load lets through: where the system gives no thread with more room, there is this one's.
    with_room(|| checked(dir, now, asked)).unwrap_or_else(|_| checked(dir, now, asked))
}

fn checked(dir: &Path, now: UnixTime, asked: &Proofs) -> Report {
    let links = Links::of(dir);
    let Read { loaded, files } = Read::of(dir, &links, now);
    let walk = Walk::of(dir, &links);
    let mut findings = Findings::new(dir);
    links.findings().into_iter().for_each(|found| findings.add(what::link(), found, ""));
    let set = match &loaded {
        Ok((set, warnings)) => {
            findings.load(warnings);
            Some(set)
        }
        Err(Diagnostics(told)) => {
            findings.load(told);
            None
        }
    };
    let tree = Tree::new(now, set, &files, &walk, &findings);
    OF_FILES.iter().for_each(|look| look(&tree, &mut findings));
    if set.is_some() {
        OF_SETS.iter().for_each(|look| look(&tree, &mut findings));
        let solver = if asked.prove { asked.budget } else { Duration::ZERO };
        let schema = PolicySet::schema_of(set.into_iter());
        let mut solving = Solving::within(schema, Effort::within(solver, asked.cache.as_deref()));
        invariant::look(&tree, &mut findings, &mut solving);
        if asked.prove {
            proofs::look(&tree, &mut findings, &mut solving);
        }
    }
    let secrets = secrets::look(&tree, &mut findings);
    suppress::apply(&tree, &mut findings);
    secrets.hide(&mut findings);
    findings.report(set, walk.files.len())
}
