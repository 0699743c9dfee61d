//! Cuts the policies, at load, into the few that can speak of one workload and one scope.
//!
//! Cedar weighs every policy it is given, so it is given only those whose head can match. Sound by construction: a
//! policy is left out only where its head names another workload, or a scope or audience that the asked one does not
//! lie in; what is not understood stays in.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use cedar_policy::{EntityUid, PolicySet, PrincipalConstraint, ResourceConstraint};

use super::catalogue::scopes::ScopeIx;
use super::condition::Reads;
use super::diagnostic::Diagnostic;
use super::ready::{Asked, Ready};
use super::rule::Rule;
use super::world::{Principal, ScopeEntry, Target};

/// Up to so many policies that speak of everybody are copied into each workload's own slice: one evaluation then
/// decides. With more, memory would grow as workloads times policies, so the two are evaluated one after the other.
const MERGE_UP_TO: usize = 16;

/// A rule's place in the set.
pub(super) type RuleIx = u32;

/// Policies that are evaluated together.
#[derive(Debug)]
pub(super) struct Slice {
    pub policies: PolicySet,
    pub rules: Box<[RuleIx]>,
}

/// A slice in its place: for one workload, one scope, or one of each.
pub(super) struct Part {
    pub slice: Arc<Slice>,
    /// What all requests that come to it have in common.
    known: Reads,
    /// Made by the first of them, for good.
    ready: OnceLock<Ready>,
}

impl Part {
    const fn new(slice: Arc<Slice>, known: Reads) -> Self {
        Self { slice, known, ready: OnceLock::new() }
    }

    /// What is left of it once all that is known was weighed.
    pub fn ready(&self, rules: &[Rule], asked: &Asked<'_>) -> &Ready {
        self.ready.get_or_init(|| Ready::settle(&self.slice.rules, rules, self.known, asked))
    }
}

/// All slices of a set.
pub(super) struct Slices {
    /// Per scope: the policies that name no workload.
    shared: Vec<Part>,
    /// Per workload: the policies that name it.
    own: Vec<Own>,
}

struct Own {
    /// By scope, sorted; only scopes that a policy of the workload's can speak of.
    scopes: Box<[OwnSlice]>,
    /// For the other scopes: those of its policies that name no resource.
    rest: Option<Part>,
}

struct OwnSlice {
    scope: ScopeIx,
    /// Whether the shared policies of that scope are in it already.
    whole: bool,
    part: Part,
}

impl Slices {
    /// The slices that together hold every policy that can speak of this workload and this scope.
    pub fn of(&self, workload: usize, scope: ScopeIx) -> impl Iterator<Item = &Part> {
        let own = &self.own[workload];
        let (first, whole) = match own.scopes.binary_search_by_key(&scope, |own| own.scope) {
            Ok(at) => (Some(&own.scopes[at].part), own.scopes[at].whole),
            Err(_) => (own.rest.as_ref(), false),
        };
        let shared = (!whole).then(|| &self.shared[scope as usize]);
        first.into_iter().chain(shared).filter(|part| !part.slice.rules.is_empty())
    }

    /// Cuts `rules`.
    pub fn cut(
        rules: &[Rule],
        principals: &[Principal],
        targets: &[Target],
        scopes: &[ScopeEntry],
    ) -> Result<Self, Diagnostic> {
        let index = Index::new(principals, targets, scopes);
        let sorted = index.sort(rules);
        let mut maker = Maker { rules, made: HashMap::new() };
        let shared_rules: Vec<Vec<RuleIx>> = (0..scopes.len())
            .map(|scope| merged(&sorted.everyone.anywhere, sorted.everyone.at.get(&(scope as ScopeIx))))
            .collect();
        let shared = |rules: &Vec<RuleIx>| Ok(Part::new(maker.slice(rules)?, Reads::RESOURCE));
        let shared = shared_rules.iter().map(shared).collect::<Result<_, Diagnostic>>()?;
        let mut own = Vec::with_capacity(principals.len());
        for reach in &sorted.own {
            own.push(maker.own(reach, &shared_rules)?);
        }
        Ok(Self { shared, own })
    }
}

/// The rules of one workload, or of everybody, by the scopes they can speak of.
#[derive(Default)]
struct Reach {
    anywhere: Vec<RuleIx>,
    at: HashMap<ScopeIx, Vec<RuleIx>>,
}

struct Sorted {
    everyone: Reach,
    own: Vec<Reach>,
}

/// Entities to their places.
struct Index<'a> {
    workloads: HashMap<&'a EntityUid, usize>,
    /// What a scope lies in, itself included, to the scopes that lie in it.
    within: HashMap<&'a EntityUid, Vec<ScopeIx>>,
    /// Per audience, how the names of instances begin, with the declaration that leaves them open.
    open: HashMap<&'a str, Vec<(&'a str, ScopeIx)>>,
}

impl<'a> Index<'a> {
    fn new(principals: &'a [Principal], targets: &'a [Target], scopes: &'a [ScopeEntry]) -> Self {
        let workloads = principals.iter().enumerate().map(|(at, principal)| (&principal.uid, at)).collect();
        let mut within: HashMap<_, Vec<_>> = HashMap::new();
        let mut open: HashMap<_, Vec<_>> = HashMap::new();
        for (ix, scope) in (0..).zip(scopes) {
            for ancestor in std::iter::once(&scope.uid).chain(&scope.parents) {
                within.entry(ancestor).or_default().push(ix);
            }
            if let Some(head) = scope.name.strip_suffix('*') {
                open.entry(targets[scope.target].audience.id.as_str()).or_default().push((head, ix));
            }
        }
        Self { workloads, within, open }
    }

    fn sort(&self, rules: &[Rule]) -> Sorted {
        let mut sorted =
            Sorted { everyone: Reach::default(), own: self.workloads.iter().map(|_| Reach::default()).collect() };
        for (ix, rule) in (0..).zip(rules) {
            let reach = match rule.policy.principal_constraint() {
                PrincipalConstraint::Eq(uid) => match self.workloads.get(&uid) {
                    Some(at) => &mut sorted.own[*at],
                    // It names a workload that is not there: no request is made by it.
                    None => continue,
                },
                PrincipalConstraint::Any
                | PrincipalConstraint::In(_)
                | PrincipalConstraint::Is(_)
                | PrincipalConstraint::IsIn(..) => &mut sorted.everyone,
            };
            match rule.policy.resource_constraint() {
                ResourceConstraint::Any | ResourceConstraint::Is(_) => reach.anywhere.push(ix),
                ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
                    for scope in self.scopes_of(&uid) {
                        reach.at.entry(scope).or_default().push(ix);
                    }
                }
            }
        }
        sorted
    }

    /// The declared scopes under which something equal to `uid`, or in it, can be asked for.
    fn scopes_of(&self, uid: &EntityUid) -> Vec<ScopeIx> {
        if let Some(scopes) = self.within.get(uid) {
            return scopes.clone();
        }
        // An instance of an open declaration: `<audience> <scope>`.
        let id = uid.id();
        let Some((audience, scope)) = id.unescaped().split_once(' ') else { return Vec::new() };
        let declared = self.open.get(audience).map_or(&[][..], Vec::as_slice);
        declared.iter().filter(|(head, _)| scope.starts_with(head)).map(|(_, ix)| *ix).collect()
    }
}

/// Makes slices, each once: workloads and scopes with the same policies share one.
struct Maker<'a> {
    rules: &'a [Rule],
    made: HashMap<Vec<RuleIx>, Arc<Slice>>,
}

impl Maker<'_> {
    fn slice(&mut self, rules: &[RuleIx]) -> Result<Arc<Slice>, Diagnostic> {
        if let Some(slice) = self.made.get(rules) {
            return Ok(slice.clone());
        }
        let policies = rules.iter().map(|ix| self.rules[*ix as usize].policy.clone());
        let policies =
            PolicySet::from_policies(policies).map_err(|error| Diagnostic::error("policy-id", error.to_string()))?;
        let slice = Arc::new(Slice { policies, rules: rules.into() });
        self.made.insert(rules.to_owned(), slice.clone());
        Ok(slice)
    }

    fn own(&mut self, reach: &Reach, shared: &[Vec<RuleIx>]) -> Result<Own, Diagnostic> {
        let rest = match reach.anywhere.is_empty() {
            true => None,
            false => Some(Part::new(self.slice(&reach.anywhere)?, Reads::PRINCIPAL)),
        };
        let mut scopes = Vec::with_capacity(reach.at.len());
        for (scope, rules) in &reach.at {
            let own = merged(&reach.anywhere, Some(rules));
            let shared = &shared[*scope as usize];
            let whole = shared.len() <= MERGE_UP_TO;
            let slice = if whole { self.slice(&merged(&own, Some(shared)))? } else { self.slice(&own)? };
            scopes.push(OwnSlice { scope: *scope, whole, part: Part::new(slice, Reads::PRINCIPAL | Reads::RESOURCE) });
        }
        scopes.sort_unstable_by_key(|own| own.scope);
        Ok(Own { scopes: scopes.into(), rest })
    }
}

/// Two lists of rules as one, in order.
fn merged(one: &[RuleIx], other: Option<&Vec<RuleIx>>) -> Vec<RuleIx> {
    let mut all = one.to_owned();
    all.extend(other.into_iter().flatten());
    all.sort_unstable();
    all.dedup();
    all
}
