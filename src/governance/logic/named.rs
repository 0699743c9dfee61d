//! Where a condition names workloads, audiences, scopes and tasks by text: compared with `==`, in a list, or by a pattern. Cedar
//! checks names of entities by their types alone, and texts not at all.
//!
//! Owns which texts those are, whether the set has what they name, and whether anything could ever be called so. Sound, not
//! complete: what is not understood names nothing.

use cedar_policy::{Policy, ResourceConstraint};
use cedar_policy_core::ast::{self, BinaryOp, Expr, ExprKind, Pattern, PatternElem, UnaryOp};

use super::facts::{path, text};
use crate::model::{AudienceUri, Scope, TaskId, WorkloadId};
use crate::policy::{PolicySet, ScopeDeclaration, closest};

/// A pattern with more stars is not followed.
const MOST_STARS: usize = 16;

/// What is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By its id.
    Workload,
    /// By its URI.
    Audience,
    /// By its name, without its audience.
    Scope,
    /// By its name. No set has tasks.
    Task,
}

/// A name, or a pattern of names.
#[derive(Debug, Clone, Copy)]
pub enum Text<'a> {
    /// This.
    Exactly(&'a str),
    /// What is like this.
    Like(&'a Pattern),
}

/// One part of a condition: that something is called like one of these.
#[derive(Debug, Clone)]
pub struct Naming<'a> {
    /// What is.
    pub kind: Kind,
    /// The names.
    pub texts: Vec<Text<'a>>,
    /// Whether the condition speaks of less where nothing is called so. Else it speaks of more.
    pub narrows: bool,
    /// The audience that the policy's head names: a scope is one of its.
    within: Option<String>,
}

/// Every part of a policy's condition that names something by text.
pub fn namings(policy: &Policy) -> Vec<Naming<'_>> {
    let within = match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
            let id = uid.id().unescaped();
            Some(id.split_once(' ').map_or(id, |(uri, _)| uri).to_owned())
        }
    };
    let mut found = Vec::new();
    let whole: &ast::Policy = policy.as_ref();
    if let Some(body) = whole.non_scope_constraints() {
        follow(body, true, &mut found);
    }
    found.iter_mut().for_each(|naming| naming.within.clone_from(&within));
    found
}

/// `holds`: whether the policy applies where this does, as against where it does not.
fn follow<'a>(expr: &'a Expr, holds: bool, found: &mut Vec<Naming<'a>>) {
    match expr.expr_kind() {
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => follow(arg, !holds, found),
        // One or the other: what is said of the same is one part.
        ExprKind::Or { .. } if holds => {
            let mut either: Vec<Naming<'a>> = Vec::new();
            for each in alternatives(expr) {
                match part(each, true) {
                    None => follow(each, true, found),
                    Some(part) => match either.iter_mut().find(|other| other.kind == part.kind) {
                        Some(other) => other.texts.extend(part.texts),
                        None => either.push(part),
                    },
                }
            }
            found.extend(either);
        }
        ExprKind::And { left, right } | ExprKind::Or { left, right } => {
            follow(left, holds, found);
            follow(right, holds, found);
        }
        ExprKind::If { test_expr, then_expr, else_expr } => {
            follow(test_expr, true, found);
            follow(then_expr, holds, found);
            follow(else_expr, holds, found);
        }
        _ => found.extend(part(expr, holds)),
    }
}

fn alternatives(expr: &Expr) -> Vec<&Expr> {
    match expr.expr_kind() {
        ExprKind::Or { left, right } => [alternatives(left), alternatives(right)].concat(),
        _ => vec![expr],
    }
}

fn part(expr: &Expr, narrows: bool) -> Option<Naming<'_>> {
    let (kind, texts) = match expr.expr_kind() {
        ExprKind::Like { expr, pattern } => (kind(expr)?, vec![Text::Like(pattern)]),
        ExprKind::BinaryApp { op, arg1, arg2 } => {
            let (one, other) = (arg1.as_ref(), arg2.as_ref());
            match op {
                BinaryOp::Eq => named(one, other).or_else(|| named(other, one))?,
                BinaryOp::Contains => (kind(other)?, listed(one)?),
                BinaryOp::ContainsAny => in_a_list(one, other).or_else(|| in_a_list(other, one))?,
                BinaryOp::ContainsAll => in_a_list(other, one)?,
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(Naming { kind, texts, narrows, within: None })
}

fn named<'a>(what: &Expr, name: &'a Expr) -> Option<(Kind, Vec<Text<'a>>)> {
    Some((kind(what)?, vec![Text::Exactly(text(name)?)]))
}

/// `[resource.name]`, and the texts that it is one of.
fn in_a_list<'a>(what: &Expr, names: &'a Expr) -> Option<(Kind, Vec<Text<'a>>)> {
    match what.expr_kind() {
        ExprKind::Set(all) if all.len() == 1 => Some((kind(&all[0])?, listed(names)?)),
        _ => None,
    }
}

fn listed(expr: &Expr) -> Option<Vec<Text<'_>>> {
    let ExprKind::Set(all) = expr.expr_kind() else { return None };
    all.iter().map(|each| text(each).map(Text::Exactly)).collect()
}

fn kind(expr: &Expr) -> Option<Kind> {
    match path(expr)?.as_str() {
        "principal.id" => Some(Kind::Workload),
        "resource.audience.id" => Some(Kind::Audience),
        "resource.name" => Some(Kind::Scope),
        "context.task" => Some(Kind::Task),
        _ => None,
    }
}

impl Kind {
    /// For people.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Audience => "audience",
            Self::Scope => "scope",
            Self::Task => "task",
        }
    }

    /// Which characters its names are made of, for people.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Workload => {
                "a workload is named by 1 to 64 characters of A-Z a-z 0-9 . _ -, the first a letter or digit"
            }
            Self::Audience => "an audience is an absolute URI of visible ASCII characters",
            Self::Scope => "a scope is named by visible ASCII characters without \" and \\, and nobody asks for a `*`",
            Self::Task => {
                "a task is named by A-Z a-z 0-9 . _ ~ : -, and / before a child; no part is empty, `.` or `..`"
            }
        }
    }

    fn names(self, name: &str) -> bool {
        match self {
            Self::Workload => WorkloadId::parse(name).is_ok(),
            Self::Audience => AudienceUri::parse(name).is_ok(),
            // A `*` is declared, and never asked for.
            Self::Scope => Scope::parse(name).is_ok() && !name.contains('*'),
            Self::Task => TaskId::parse(name).is_ok(),
        }
    }
}

impl Naming<'_> {
    /// Whether `set` has something that is called like one of these. A task may always come.
    pub fn is_in(&self, set: &PolicySet) -> bool {
        self.texts.iter().any(|text| self.has(set, text))
    }

    /// The names, for people.
    pub fn told(&self) -> String {
        let all: Vec<String> = self.texts.iter().map(Text::written).collect();
        format!("{} {}", self.kind.told(), all.join(" or "))
    }

    /// Whether `set` has something that is called so.
    pub fn has(&self, set: &PolicySet, text: &Text<'_>) -> bool {
        match self.kind {
            Kind::Task => true,
            Kind::Workload => set.workloads().any(|workload| text.is(workload.id.as_str())),
            Kind::Audience => set.audiences().any(|audience| text.is(audience.id.as_str())),
            Kind::Scope => self.scopes(set).any(|scope| text.is_asked_of(scope)),
        }
    }

    /// What was probably meant.
    pub fn near(&self, set: &PolicySet, text: &Text<'_>) -> Option<String> {
        let Text::Exactly(name) = text else { return None };
        let near = match self.kind {
            Kind::Task => None,
            Kind::Workload => closest(name, set.workloads().map(|workload| workload.id.as_str())),
            Kind::Audience => closest(name, set.audiences().map(|audience| audience.id.as_str())),
            Kind::Scope => closest(name, self.scopes(set).map(|scope| &*scope.name)),
        };
        near.map(str::to_owned)
    }

    fn scopes<'s>(&self, set: &'s PolicySet) -> impl Iterator<Item = &'s ScopeDeclaration> {
        let is_within = |uri: &str| self.within.as_deref().is_none_or(|within| within == uri);
        let all: Vec<_> = set.audiences().filter(|audience| is_within(audience.id.as_str())).collect();
        all.into_iter().flat_map(|audience| &audience.scopes)
    }
}

impl Text<'_> {
    fn is(&self, name: &str) -> bool {
        match self {
            Self::Exactly(text) => *text == name,
            Self::Like(pattern) => pattern.wildcard_match(name),
        }
    }

    fn is_asked_of(&self, scope: &ScopeDeclaration) -> bool {
        match (self, scope.name.strip_suffix('*').filter(|_| scope.is_open())) {
            (Self::Exactly(text), _) => scope.matches(text) && !text.ends_with(":*"),
            (Self::Like(pattern), Some(head)) => has_instance(pattern.get_elems(), head),
            (Self::Like(_), None) => self.is(&scope.name),
        }
    }

    /// Whether something of this kind could ever be called so.
    pub fn could_name(&self, kind: Kind) -> bool {
        let elements = match self {
            Self::Exactly(name) => return kind.names(name),
            Self::Like(pattern) => pattern.get_elems(),
        };
        let stars = elements.iter().filter(|each| matches!(each, PatternElem::Wildcard)).count();
        // A star is nothing, or a letter, or what makes a URI of it: other texts in its place make no name of what these do not.
        stars > MOST_STARS || ["", "a", "a:a"].iter().any(|run| kind.names(&filled(elements, run)))
    }

    /// As a policy writes it, between its quotes.
    pub fn written(&self) -> String {
        match self {
            Self::Exactly(name) => (*name).to_owned(),
            Self::Like(pattern) => pattern.to_string(),
        }
    }
}

/// Whether some instance of an open scope, which begins with `head`, is like a pattern.
fn has_instance(pattern: &[PatternElem], head: &str) -> bool {
    // Several stars are one: each of them is a place to go on from.
    let mut pattern = pattern.to_vec();
    pattern.dedup_by(|one, other| matches!((one, other), (PatternElem::Wildcard, PatternElem::Wildcard)));
    let pattern = pattern.as_slice();
    let mut at = with_stars(vec![0], pattern);
    for letter in head.chars() {
        let next = at.iter().filter_map(|place| match pattern.get(*place) {
            Some(PatternElem::Wildcard) => Some(*place),
            Some(PatternElem::Char(own)) => (*own == letter).then_some(place + 1),
            None => None,
        });
        at = with_stars(next.collect(), pattern);
    }
    let fits = |letter: &PatternElem| match letter {
        PatternElem::Wildcard => true,
        PatternElem::Char(':') => false,
        PatternElem::Char(letter) => Kind::Scope.names(&letter.to_string()),
    };
    at.iter().any(|place| pattern.get(*place..).is_some_and(|rest| !rest.is_empty() && rest.iter().all(fits)))
}

/// These places, and those behind a star, which may stand for nothing.
fn with_stars(mut places: Vec<usize>, pattern: &[PatternElem]) -> Vec<usize> {
    let mut at = 0;
    while let Some(place) = places.get(at).copied() {
        if matches!(pattern.get(place), Some(PatternElem::Wildcard)) && !places.contains(&(place + 1)) {
            places.push(place + 1);
        }
        at += 1;
    }
    places.sort_unstable();
    places.dedup();
    places
}

fn filled(pattern: &[PatternElem], run: &str) -> String {
    let mut filled = String::new();
    for (at, each) in pattern.iter().enumerate() {
        match each {
            PatternElem::Char(letter) => filled.push(*letter),
            PatternElem::Wildcard if at > 0 && matches!(pattern[at - 1], PatternElem::Wildcard) => {}
            PatternElem::Wildcard => filled.push_str(run),
        }
    }
    filled
}

#[cfg(test)]
#[path = "named_tests.rs"]
mod tests;
