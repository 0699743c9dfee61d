//! Requests worth trying: made of what the conditions themselves speak of, and the values right beside it.
//!
//! Owns the choice of candidates. Whether one of them is decided this way or that is said by the set itself, so what is shown
//! has been tried. Finding none proves nothing.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, PatternElem};

use super::facts::{number, path, text};
use super::request::Request;
use super::sides::{FREE, Stand};
use crate::model::{Scope, TaskId};
use crate::policy::{Identity, IdentityKind, PolicySet, Proof, What, Workload};

/// A claim's name within the context.
const CLAIMS: &str = "context.identity.claims.";

/// Where requests are made.
pub struct Place<'a> {
    /// By whom.
    pub workload: &'a Workload,
    /// At which audience.
    pub audience: &'a str,
    /// For what.
    pub what: &'a What,
    /// The moment of a request that no condition asks a moment of.
    pub now: u64,
    /// So many are tried at most.
    pub tries: usize,
}

/// The first request, of those worth trying, that `is_one` takes.
pub fn find(
    place: &Place<'_>,
    conditions: &[&Expr],
    limits: &[u64],
    is_one: impl Fn(&Request) -> bool,
) -> Option<Request> {
    let words = Words::of(conditions, limits);
    let scopes = words.scopes(place.what);
    let (tasks, ttls, nows) = (words.tasks(), words.numbers("context.ttl", &[300, 60, 1]), words.moments(place.now));
    let proofs = words.proofs(&place.workload.identities);
    let sizes = [scopes.len(), tasks.len(), ttls.len(), nows.len(), proofs.len()];
    let all = sizes.iter().fold(1_usize, |all, size| all.saturating_mul(*size));
    // With too many, every so-manyth is tried: a step that shares no factor with a size passes over no value of it.
    let tries = place.tries.max(1);
    let step = if all <= tries { 1 } else { coprime(all / tries + 1, &sizes) };
    let mut at = 0_usize;
    (0..all.min(tries)).find_map(|_| {
        let mut rest = at;
        at = (at + step) % all.max(1);
        let [scope, task, ttl, now, proof] = sizes.map(|size| {
            let place = rest % size;
            rest /= size;
            place
        });
        let (kind, claims) = &proofs[proof];
        let request = Request {
            workload: place.workload.id.to_string(),
            audience: place.audience.to_owned(),
            scope: scopes[scope].clone(),
            task: tasks[task].clone(),
            ttl: ttls[ttl],
            now: nows[now],
            kind: *kind,
            claims: claims.clone(),
        };
        is_one(&request).then_some(request)
    })
}

/// A request for which `head` gives more than `base`.
pub fn of_gain(place: &Place<'_>, (head, base): (&Stand, &Stand), sets: (&PolicySet, &PolicySet)) -> Option<Request> {
    let all = || [head, base].into_iter().flat_map(|stand| stand.permits.iter().chain(&stand.forbids));
    let conditions: Vec<&Expr> = all().map(|standing| &standing.left).collect();
    let limits: Vec<u64> = all().map(|standing| standing.reach[0]).filter(|limit| *limit != FREE).collect();
    find(place, &conditions, &limits, |request| request.gains(sets.0, sets.1))
}

fn coprime(from: usize, sizes: &[usize]) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    (from..).find(|step| sizes.iter().all(|size| gcd(*step, *size) == 1)).unwrap_or(1)
}

/// What conditions speak of, by attribute.
#[derive(Default)]
struct Words {
    texts: BTreeMap<String, BTreeSet<String>>,
    numbers: BTreeMap<String, BTreeSet<i64>>,
    claims: BTreeSet<String>,
    /// Every attribute that is looked at: what is not is the same for all requests.
    looked_at: BTreeSet<String>,
}

impl Words {
    fn of(conditions: &[&Expr], limits: &[u64]) -> Self {
        let mut words = Self::default();
        conditions.iter().flat_map(|expr| expr.subexpressions()).for_each(|part| {
            words.looked_at.extend(path(part));
            words.add(part);
        });
        let limits = limits.iter().filter_map(|limit| i64::try_from(*limit).ok());
        words.numbers.entry("context.ttl".into()).or_default().extend(limits);
        words
    }

    fn add(&mut self, part: &Expr) {
        match part.expr_kind() {
            ExprKind::BinaryApp { op: BinaryOp::Eq | BinaryOp::Less | BinaryOp::LessEq, arg1, arg2 } => {
                for (one, other) in [(arg1, arg2), (arg2, arg1)] {
                    let Some(path) = path(one) else { continue };
                    if let Some(text) = text(other) {
                        self.texts.entry(path).or_default().insert(text.to_owned());
                    } else if let Some(number) = number(other) {
                        self.numbers.entry(path).or_default().insert(number);
                    }
                }
                // A sum's own numbers may lie near what decides.
                let parts = [arg1, arg2].into_iter().flat_map(|arg| arg.subexpressions()).collect::<Vec<_>>();
                let numbers: Vec<i64> = parts.iter().filter_map(|part| number(part)).collect();
                for path in parts.iter().filter_map(|part| path(part)).filter(|path| path.starts_with("context.")) {
                    self.numbers.entry(path).or_default().extend(&numbers);
                }
            }
            ExprKind::BinaryApp { op: BinaryOp::Contains, arg1, arg2 } => {
                if let (ExprKind::Set(all), Some(path)) = (arg1.expr_kind(), path(arg2)) {
                    let texts = all.iter().filter_map(text).map(str::to_owned);
                    self.texts.entry(path).or_default().extend(texts);
                }
            }
            ExprKind::Like { expr, pattern } => {
                if let Some(path) = path(expr) {
                    let filled = ["", "1", "x-y"].map(|run| fill(pattern.get_elems(), run));
                    self.texts.entry(path).or_default().extend(filled);
                }
            }
            ExprKind::HasAttr { expr, attr } if path(expr).as_deref() == Some("context.identity.claims") => {
                self.claims.insert(attr.to_string());
            }
            _ => {}
        }
    }

    fn texts_of(&self, path: &str) -> BTreeSet<String> {
        let own = self.texts.get(path).cloned().unwrap_or_default();
        let mut all = own.clone();
        // What begins as one asks and ends as another does.
        for one in own.iter().take(8) {
            all.extend(own.iter().take(8).map(|other| format!("{one}{other}")));
        }
        all
    }

    fn scopes(&self, what: &What) -> Vec<String> {
        match what {
            What::Named(name) => vec![name.to_string()],
            What::AnyOther(open) => {
                let head = open.strip_suffix('*').unwrap_or(open);
                let own = self.texts_of("resource.name").into_iter();
                let fits =
                    |name: &String| name.len() > head.len() && name.starts_with(head) && Scope::parse(name).is_ok();
                ["1", "7f3a"].iter().map(|instance| format!("{head}{instance}")).chain(own).filter(fits).collect()
            }
        }
    }

    fn tasks(&self) -> Vec<String> {
        let own = self.texts_of("context.task").into_iter();
        let all = own.chain(["job-1".to_owned(), "x".to_owned()]).filter(|task| TaskId::parse(task).is_ok());
        all.take(if self.looked_at.contains("context.task") { usize::MAX } else { 1 }).collect()
    }

    fn numbers(&self, path: &str, others: &[i64]) -> Vec<u64> {
        let own = self.numbers.get(path).into_iter().flatten();
        let near = own.flat_map(|n| [n.saturating_sub(1), *n, n.saturating_add(1)]);
        let all: BTreeSet<i64> = near.chain(others.iter().copied()).filter(|n| *n > 0).collect();
        all.into_iter().filter_map(|n| u64::try_from(n).ok()).collect()
    }

    fn moments(&self, now: u64) -> Vec<u64> {
        match self.looked_at.contains("context.now") {
            true => self.numbers("context.now", &[i64::try_from(now).unwrap_or(1)]),
            false => vec![now],
        }
    }

    /// Each way the workload can prove itself, with each claim there, as the conditions want it, or not.
    fn proofs(&self, identities: &[Identity]) -> Vec<(IdentityKind, BTreeMap<String, String>)> {
        let mut proofs = Vec::new();
        for identity in identities {
            let mut options: Vec<(String, Vec<Option<String>>)> = Vec::new();
            match &identity.proof {
                Proof::PrivateKeyJwt(jwks) => {
                    if !self.looked_at.contains("context.identity.claims") {
                        proofs.push((identity.kind(), BTreeMap::new()));
                        continue;
                    }
                    let kids = jwks.keys().iter().map(|key| key.kid().map(str::to_owned));
                    let own = self.wanted("kid").into_iter().map(Some);
                    options.push(("kid".into(), [None].into_iter().chain(kids).chain(own).collect()));
                }
                Proof::Oidc(oidc) => {
                    options.push(("iss".into(), vec![Some(oidc.issuer.to_string())]));
                    for name in &oidc.keep {
                        let exact = oidc.claims.iter().find(|rule| rule.name == *name).and_then(|rule| rule.exact());
                        let values = match exact {
                            Some(exact) => vec![Some(exact.to_owned())],
                            None => {
                                let wanted = self.wanted(name).into_iter().map(Some);
                                [None, Some("x".to_owned())].into_iter().chain(wanted).collect()
                            }
                        };
                        if self.claims.contains(&**name) {
                            options.push((name.to_string(), values));
                        }
                    }
                }
            }
            proofs.extend(product(&options).into_iter().map(|claims| (identity.kind(), claims)));
        }
        if !self.looked_at.contains("context.identity") {
            proofs.truncate(1);
        }
        if proofs.is_empty() {
            proofs.push((IdentityKind::PrivateKeyJwt, BTreeMap::new()));
        }
        proofs
    }

    fn wanted(&self, claim: &str) -> BTreeSet<String> {
        self.texts_of(&format!("{CLAIMS}{claim}"))
    }
}

/// Every choice of one value for each name; a few hundred at most.
fn product(options: &[(String, Vec<Option<String>>)]) -> Vec<BTreeMap<String, String>> {
    const MOST: usize = 256;
    let mut all = vec![BTreeMap::new()];
    for (name, values) in options {
        let mut more = Vec::with_capacity(all.len() * values.len());
        for chosen in &all {
            for value in values {
                let mut chosen: BTreeMap<String, String> = chosen.clone();
                chosen.extend(value.clone().map(|value| (name.clone(), value)));
                more.push(chosen);
            }
        }
        more.truncate(MOST);
        all = more;
    }
    all
}

fn fill(pattern: &[PatternElem], run: &str) -> String {
    let mut filled = String::new();
    for each in pattern {
        match each {
            PatternElem::Char(c) => filled.push(*c),
            PatternElem::Wildcard => filled.push_str(run),
        }
    }
    filled
}
