//! A set as its reviewers see it: the files as they were read, and each policy with its place.
//!
//! Owns nothing: it shows what a load has made. Never weighs a request.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::Policy;
use cedar_policy_core::ast::Expr;

use super::diagnostic::SourceFile;
use super::grant::SingleUse;
use super::links::Links;
use super::set::{Loaded, PolicySet};
use crate::model::UnixTime;

/// What came of a load, and the files it read, by path relative to the directory.
pub(crate) struct Read {
    pub loaded: Loaded,
    pub files: BTreeMap<String, SourceFile>,
}

/// One policy.
pub(crate) struct RuleView<'a> {
    pub id: &'a Arc<str>,
    pub permits: bool,
    pub policy: &'a Policy,
    /// What it says behind its head, where it says anything.
    pub body: Option<&'a Expr>,
    pub max_ttl: Option<Duration>,
    pub max_lifetime: Option<Duration>,
    pub single_use: Option<SingleUse>,
    pub file: &'a SourceFile,
    /// Where in the file.
    pub span: Range<usize>,
}

impl Read {
    /// Loads the set that these files make, as if they had been read under `dir`.
    pub fn of_files(dir: &Path, files: impl IntoIterator<Item = (String, String)>, now: UnixTime) -> Loaded {
        PolicySet::load_files(dir, files, now)
    }

    /// Loads the set under `dir`, with the warnings of `now`. Nothing is read through a link that leaves the folder.
    pub fn of(dir: &Path, links: &Links, now: UnixTime) -> Self {
        let (loaded, sources) = PolicySet::load_sources(dir, Some(links), now);
        Self { loaded, files: sources.files().clone() }
    }
}

impl PolicySet {
    /// Every policy, in the order of files.
    pub(crate) fn rule_views(&self) -> impl ExactSizeIterator<Item = RuleView<'_>> {
        self.rules().iter().map(|rule| RuleView {
            id: &rule.id,
            permits: rule.permits(),
            policy: &rule.policy,
            body: rule.body.as_ref().map(|body| &*body.expr),
            max_ttl: rule.max_ttl,
            max_lifetime: rule.max_lifetime,
            single_use: rule.single_use,
            file: &rule.file,
            span: rule.span.clone(),
        })
    }
}
