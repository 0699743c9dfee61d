//! What must hold of a request for a condition to come out as it says, followed case by case until it contradicts itself.
//!
//! Sound, not complete: what is not understood counts as possible, and so does what takes too many steps. "It cannot hold" is
//! the only answer that anything is built on.

use std::collections::{HashMap, HashSet};

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, Pattern, PatternElem, UnaryOp, Var};

/// So many steps are followed for one question; what is left then counts as possible.
pub const BUDGET: usize = 2000;

/// `ttl` is asked for in nine digits at most.
const LONGEST_TTL: i64 = 999_999_999;
/// 2020 and 2200: no broker of jitney's was asked before, and nobody who writes a policy means a moment behind.
const BEFORE_JITNEY: i64 = 1_577_836_800;
const LONG_AFTER: i64 = 7_258_118_400;

/// What the schema gives each request: that it is there is no condition.
const ALWAYS_THERE: [(&str, &[&str]); 6] = [
    ("context", &["task", "ttl", "now", "identity"]),
    ("context.identity", &["type", "claims"]),
    ("principal", &["id", "owner", "purpose"]),
    ("resource", &["name", "audience"]),
    ("resource.audience", &["id", "owner"]),
    ("action", &[]),
];

/// What must hold of one attribute for a case to go on.
#[derive(Debug, Clone)]
pub enum Test {
    /// It is one of these texts.
    OneOf(Vec<String>),
    /// It is not this text.
    Not(String),
    /// Whether it is like this.
    Like(Pattern, bool),
    /// A number, both ends included.
    Between(i64, i64),
}

/// What is known in one case, by attribute.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    tests: HashMap<String, Vec<Test>>,
    /// What is not understood, and how it must come out.
    said: Vec<(Expr, bool)>,
    /// The claims that a named workload's proofs can carry.
    pub claims: Option<HashSet<String>>,
}

impl Facts {
    /// What holds of every request there can be, whoever asks for what.
    pub fn of_any_request() -> Self {
        let mut facts = Self::default();
        facts.must("context.ttl", Test::Between(1, LONGEST_TTL));
        facts.must("context.now", Test::Between(BEFORE_JITNEY, LONG_AFTER));
        for named in ["context.task", "principal.id", "resource.name", "resource.audience.id"] {
            facts.must(named, Test::Not(String::new()));
        }
        facts
    }

    /// That an attribute is this text.
    pub fn is(&mut self, path: &str, value: &str) {
        self.must(path, Test::OneOf(vec![value.to_owned()]));
    }

    /// Adds a test, and says whether all of that attribute's can still hold together.
    pub fn must(&mut self, path: &str, test: Test) -> bool {
        let tests = self.tests.entry(path.to_owned()).or_default();
        tests.push(test);
        let (mut low, mut high) = (i64::MIN, i64::MAX);
        for test in tests.iter() {
            if let Test::Between(from, to) = test {
                (low, high) = (low.max(*from), high.min(*to));
            }
        }
        let options = tests.iter().find_map(|test| if let Test::OneOf(all) = test { Some(all) } else { None });
        let fits = |value: &String| tests.iter().all(|test| test.fits(value));
        let likes = tests.iter().filter_map(|test| match test {
            Test::Like(pattern, holds) => Some((pattern.get_elems(), *holds)),
            _ => None,
        });
        let likes: Vec<_> = likes.collect();
        low <= high && options.is_none_or(|options| options.iter().any(fits)) && !exclude_each_other(&likes)
    }

    /// Whether there may be a request for which all of `wanted` come out as they say.
    pub fn can_hold(&mut self, wanted: &[(&Expr, bool)], budget: &mut usize) -> bool {
        let Some(((expr, holds), rest)) = wanted.split_last() else { return true };
        *budget = budget.saturating_sub(1);
        if *budget == 0 {
            return true;
        }
        match case(expr, *holds) {
            Case::Sure(flag) => flag && self.can_hold(rest, budget),
            Case::All(all) => self.can_hold(&[rest, &all].concat(), budget),
            Case::Any(cases) => cases.iter().any(|case| self.clone().can_hold(&[rest, case].concat(), budget)),
            Case::Test(path, test) => self.must(&path, test) && self.can_hold(rest, budget),
            Case::Claim(name) => {
                self.claims.as_ref().is_none_or(|claims| claims.contains(&name))
                    && self.say(expr, true)
                    && self.can_hold(rest, budget)
            }
            Case::Tests(path, tests) => {
                tests.into_iter().all(|test| self.must(&path, test)) && self.can_hold(rest, budget)
            }
            Case::Same(one, other) => match (self.only(&one), self.only(&other)) {
                (Some(one), Some(other)) => (one == other) == *holds && self.can_hold(rest, budget),
                _ => self.say(expr, *holds) && self.can_hold(rest, budget),
            },
            Case::Unknown => self.say(expr, *holds) && self.can_hold(rest, budget),
        }
    }

    /// The one text that an attribute can be.
    fn only(&self, path: &str) -> Option<&str> {
        self.tests.get(path)?.iter().find_map(|test| match test {
            Test::OneOf(all) if all.len() == 1 => Some(all[0].as_str()),
            _ => None,
        })
    }

    /// Adds what is not understood, and says whether it was not said to come out the other way.
    fn say(&mut self, expr: &Expr, holds: bool) -> bool {
        match self.said.iter().find(|(said, _)| said == expr) {
            Some((_, before)) => *before == holds,
            None => {
                self.said.push((expr.clone(), holds));
                true
            }
        }
    }
}

impl Test {
    fn fits(&self, value: &String) -> bool {
        match self {
            Self::OneOf(all) => all.contains(value),
            Self::Not(other) => value != other,
            Self::Like(pattern, holds) => pattern.wildcard_match(value) == *holds,
            // Of a number; texts have none of these.
            Self::Between(..) => true,
        }
    }
}

/// What it means that an expression holds, or does not.
enum Case<'a> {
    Sure(bool),
    All(Vec<(&'a Expr, bool)>),
    Any(Vec<Vec<(&'a Expr, bool)>>),
    Test(String, Test),
    Tests(String, Vec<Test>),
    Claim(String),
    /// That two attributes are the same.
    Same(String, String),
    Unknown,
}

fn case(expr: &Expr, holds: bool) -> Case<'_> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::Bool(flag)) => Case::Sure(*flag == holds),
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => Case::All(vec![(arg, !holds)]),
        ExprKind::And { left, right } if holds => Case::All(vec![(left, true), (right, true)]),
        ExprKind::Or { left, right } if !holds => Case::All(vec![(left, false), (right, false)]),
        ExprKind::And { left, right } | ExprKind::Or { left, right } => {
            Case::Any(vec![vec![(left, holds)], vec![(right, holds)]])
        }
        ExprKind::If { test_expr, then_expr, else_expr } => {
            Case::Any(vec![vec![(test_expr, true), (then_expr, holds)], vec![(test_expr, false), (else_expr, holds)]])
        }
        ExprKind::HasAttr { expr, attr } if holds && path(expr).as_deref() == Some("context.identity.claims") => {
            Case::Claim(attr.to_string())
        }
        ExprKind::HasAttr { expr, attr } if is_always_there(expr, attr) => Case::Sure(holds),
        ExprKind::Like { expr, pattern } if path(expr).is_some() && takes_any(pattern) => Case::Sure(holds),
        ExprKind::Like { expr, pattern } => match path(expr) {
            Some(path) => Case::Test(path, Test::Like(pattern.clone(), holds)),
            None => Case::Unknown,
        },
        ExprKind::BinaryApp { op, arg1, arg2 } => compared(*op, arg1, arg2, holds),
        _ => Case::Unknown,
    }
}

fn is_always_there(expr: &Expr, attr: &str) -> bool {
    let Some(path) = path(expr) else { return false };
    ALWAYS_THERE.iter().any(|(of, attrs)| *of == path && attrs.contains(&attr))
}

/// Whether every text fits.
pub fn takes_any(pattern: &Pattern) -> bool {
    let elements = pattern.get_elems();
    !elements.is_empty() && elements.iter().all(|each| matches!(each, PatternElem::Wildcard))
}

/// What a comparison comes to that looks at nothing of the request: of a value with itself, or of two that are written out.
fn settled(op: BinaryOp, left: &Expr, right: &Expr) -> Option<bool> {
    let is_same = left == right && path(left).is_some();
    match op {
        BinaryOp::Eq if is_same => Some(true),
        BinaryOp::LessEq if is_same => Some(true),
        BinaryOp::Less if is_same => Some(false),
        BinaryOp::Eq => match (left.expr_kind(), right.expr_kind()) {
            (ExprKind::Lit(one), ExprKind::Lit(other)) => Some(one == other),
            _ => None,
        },
        BinaryOp::Less => Some(number(left)? < number(right)?),
        BinaryOp::LessEq => Some(number(left)? <= number(right)?),
        BinaryOp::Contains => match left.expr_kind() {
            ExprKind::Set(all) if path(right).is_some() && all.iter().any(|each| each == right) => Some(true),
            _ => None,
        },
        _ => None,
    }
}

fn compared<'a>(op: BinaryOp, left: &'a Expr, right: &'a Expr, holds: bool) -> Case<'a> {
    if let Some(flag) = settled(op, left, right) {
        return Case::Sure(flag == holds);
    }
    match op {
        BinaryOp::Eq => match (path(left).or_else(|| path(right)), text(left).or_else(|| text(right))) {
            (Some(path), Some(value)) if holds => Case::Test(path, Test::OneOf(vec![value.to_owned()])),
            (Some(path), Some(value)) => Case::Test(path, Test::Not(value.to_owned())),
            (Some(one), None) => match (number(left).or_else(|| number(right)), path(left), path(right)) {
                (Some(number), ..) if holds => Case::Test(one, Test::Between(number, number)),
                (None, Some(one), Some(other)) => Case::Same(one, other),
                _ => Case::Unknown,
            },
            _ => Case::Unknown,
        },
        // `a < n`, and what is left of it where it does not hold.
        BinaryOp::Less | BinaryOp::LessEq => {
            let step = i64::from(op == BinaryOp::Less);
            match (path(left), number(right), number(left), path(right)) {
                (Some(path), Some(n), ..) if holds => Case::Test(path, Test::Between(i64::MIN, n.saturating_sub(step))),
                (Some(path), Some(n), ..) => Case::Test(path, Test::Between(n.saturating_add(1 - step), i64::MAX)),
                (_, _, Some(n), Some(path)) if holds => {
                    Case::Test(path, Test::Between(n.saturating_add(step), i64::MAX))
                }
                (_, _, Some(n), Some(path)) => Case::Test(path, Test::Between(i64::MIN, n.saturating_sub(1 - step))),
                _ => Case::Unknown,
            }
        }
        BinaryOp::Contains => match (left.expr_kind(), path(right)) {
            (ExprKind::Set(all), Some(path)) => match all.iter().map(text).collect::<Option<Vec<_>>>() {
                Some(all) if holds => Case::Test(path, Test::OneOf(all.into_iter().map(str::to_owned).collect())),
                Some(all) => Case::Tests(path, all.into_iter().map(|text| Test::Not(text.to_owned())).collect()),
                None => Case::Unknown,
            },
            _ => Case::Unknown,
        },
        _ => Case::Unknown,
    }
}

/// Whether no text is like all of these that hold and none of those that do not.
fn exclude_each_other(likes: &[(&[PatternElem], bool)]) -> bool {
    likes.iter().enumerate().any(|(at, (one, holds))| {
        likes[at + 1..].iter().any(|(other, other_holds)| match (holds, other_holds) {
            (true, false) => is_within(one, other),
            (false, true) => is_within(other, one),
            (true, true) => begin_differently(one, other),
            (false, false) => false,
        })
    })
}

/// Whether every text that is like `inner` is like `outer`: where `outer` matches `inner` itself, a wildcard of which only
/// another wildcard takes.
pub fn is_within(inner: &[PatternElem], outer: &[PatternElem]) -> bool {
    let (mut at, mut by, mut retry) = (0, 0, None);
    while at < inner.len() {
        match outer.get(by) {
            Some(PatternElem::Wildcard) => {
                retry = Some((at, by + 1));
                by += 1;
            }
            Some(PatternElem::Char(c)) if matches!(inner[at], PatternElem::Char(d) if d == *c) => {
                at += 1;
                by += 1;
            }
            _ => match retry {
                Some((from, behind)) => {
                    retry = Some((from + 1, behind));
                    (at, by) = (from + 1, behind);
                }
                None => return false,
            },
        }
    }
    outer[by..].iter().all(|each| matches!(each, PatternElem::Wildcard))
}

/// Whether two patterns ask for different first letters.
fn begin_differently(one: &[PatternElem], other: &[PatternElem]) -> bool {
    let letters = |pattern: &[PatternElem]| -> Vec<char> {
        let letter = |each: &PatternElem| if let PatternElem::Char(c) = each { Some(*c) } else { None };
        pattern.iter().map_while(letter).collect()
    };
    letters(one).iter().zip(&letters(other)).any(|(a, b)| a != b)
}

/// `context.task`, `resource.audience.owner`: attributes from a variable on.
pub fn path(expr: &Expr) -> Option<String> {
    match expr.expr_kind() {
        ExprKind::Var(var) => Some(match var {
            Var::Principal => "principal".into(),
            Var::Action => "action".into(),
            Var::Resource => "resource".into(),
            Var::Context => "context".into(),
        }),
        ExprKind::GetAttr { expr, attr } => Some(format!("{}.{attr}", path(expr)?)),
        _ => None,
    }
}

/// The text that it is.
pub fn text(expr: &Expr) -> Option<&str> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::String(text)) => Some(text),
        _ => None,
    }
}

/// The number that it is.
pub fn number(expr: &Expr) -> Option<i64> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::Long(number)) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
