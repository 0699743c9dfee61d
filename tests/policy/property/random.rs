//! A random organisation, small enough to meet itself again, and a random change of it.

use std::fmt::Write as _;

use super::Files;
use super::condition;
use super::identity::{self, Identity};
use crate::common::Chance;

pub const WORKLOADS: [&str; 2] = ["alpha", "beta"];
pub const AUDIENCES: [&str; 2] = ["https://one.example.com", "https://two.example.com"];
/// Declared by each audience; the last leaves its instance open.
pub const SCOPES: [&str; 3] = ["items:read", "items:write", "items:read:*"];
pub const INSTANCES: [&str; 3] = ["items:read:1", "items:read:2", "items:read:x-y"];
pub const OWNERS: [&str; 2] = ["team-a@example.com", "team-b@example.com"];
pub const TASKS: [&str; 8] = ["a", "b", "ab", "abc", "b-1", "a-b", "a/b", "ab-a"];
pub const TTLS: [u64; 7] = [1, 59, 60, 61, 120, 300, 301];
/// Last days, and the first moment behind each.
pub const ENDS: [(&str, u64); 3] =
    [("2026-11-01", 1_793_577_600), ("2026-12-31", 1_798_761_600), ("2030-01-01", 1_893_542_400)];

#[derive(Debug, Clone)]
pub struct World {
    /// None of one that is not there.
    pub workloads: Vec<Option<Workload>>,
    pub audiences: Vec<Option<Audience>>,
    pub policies: Vec<Policy>,
    /// Forbids that no broker weighs.
    pub invariants: Vec<Policy>,
}

#[derive(Debug, Clone)]
pub struct Workload {
    /// Without one it gets nothing.
    pub owner: Option<usize>,
    pub end: usize,
    pub identities: Vec<Identity>,
}

#[derive(Debug, Clone)]
pub struct Audience {
    pub owner: usize,
    /// Minutes.
    pub max_ttl: Option<u64>,
    pub max_lifetime: Option<u64>,
    /// Whether it has the open scope.
    pub is_open: bool,
}

#[derive(Debug, Clone)]
pub struct Policy {
    pub permits: bool,
    pub principal: String,
    pub action: &'static str,
    pub resource: String,
    /// All of them.
    pub clauses: Vec<String>,
    /// Minutes.
    pub max_ttl: Option<u64>,
    pub max_lifetime: Option<u64>,
    pub single_use: Option<&'static str>,
}

impl World {
    pub fn random(chance: &mut Chance) -> Self {
        let audience = |chance: &mut Chance| (chance.below(12) > 0).then(|| Audience::random(chance));
        Self {
            workloads: WORKLOADS.iter().map(|_| (chance.below(8) > 0).then(|| Workload::random(chance))).collect(),
            audiences: vec![Some(Audience::random(chance)), audience(chance)],
            policies: (0..1 + chance.below(3)).map(|_| Policy::random(chance)).collect(),
            invariants: (0..chance.below(3)).map(|_| Policy::invariant(chance)).collect(),
        }
    }

    /// One or two things of it are not as they were.
    pub fn changed(&self, chance: &mut Chance) -> Self {
        let mut changed = self.clone();
        for _ in 0..1 + chance.below(2) {
            changed.change(chance);
        }
        changed
    }

    fn change(&mut self, chance: &mut Chance) {
        let at = chance.below(self.policies.len().max(1) as u64) as usize;
        match chance.below(16) {
            0 => self.policies.push(Policy::random(chance)),
            1 if !self.policies.is_empty() => drop(self.policies.remove(at)),
            2 => {
                let who = chance.below(2) as usize;
                self.workloads[who] = (chance.below(6) > 0).then(|| Workload::random(chance));
            }
            3 => {
                let which = chance.below(2) as usize;
                self.audiences[which] = (chance.below(8) > 0).then(|| Audience::random(chance));
            }
            4 if !self.policies.is_empty() => {
                // Two policies in the place of one, or one with a further condition.
                let mut twin = self.policies[at].clone();
                twin.clauses = vec![clause(chance, 1)];
                self.policies.push(twin);
            }
            5..=7 => {
                let who = chance.below(2) as usize;
                if let Some(workload) = &mut self.workloads[who] {
                    workload.change(chance);
                }
            }
            8 => self.invariants = (0..1 + chance.below(2)).map(|_| Policy::invariant(chance)).collect(),
            _ if !self.policies.is_empty() => self.policies[at].change(chance),
            _ => self.policies.push(Policy::random(chance)),
        }
    }

    pub fn files(&self) -> Files {
        let mut files = Files::new();
        // Who keeps all claims, so that conditions may speak of them; no policy speaks of it.
        let keeper = "[[identity]]\ntype = \"oidc\"\nissuer = \"https://keeper.example.com\"\nclaims = { sub = \"keeper\" }\n\
                      keep = [\"env\", \"ref\"]\n";
        files.insert("workloads/zz-keeper.toml".into(), keeper.to_owned());
        for (name, workload) in WORKLOADS.iter().zip(&self.workloads) {
            let Some(Workload { owner, end, identities }) = workload else { continue };
            let mut text = owner.map_or_else(String::new, |owner| format!("owner = \"{}\"\n", OWNERS[owner]));
            let _ = writeln!(text, "purpose = \"Tries {name}\"\nexpires = {}", ENDS[*end].0);
            text.extend(identities.iter().map(Identity::text));
            files.insert(format!("workloads/{name}.toml"), text);
        }
        for (id, audience) in AUDIENCES.iter().zip(&self.audiences) {
            let Some(audience) = audience else { continue };
            let mut text = format!("id = \"{id}\"\nowner = \"{}\"\npurpose = \"Is tried\"\n", OWNERS[audience.owner]);
            for (name, span) in [("max_ttl", audience.max_ttl), ("max_lifetime", audience.max_lifetime)] {
                if let Some(minutes) = span {
                    let _ = writeln!(text, "{name} = \"{minutes}m\"");
                }
            }
            text.push_str("[scopes]\n");
            for scope in audience.scopes() {
                let _ = writeln!(text, "\"{scope}\" = \"Something\"");
            }
            files.insert(format!("audiences/{}.toml", &id[8..11]), text);
        }
        files.insert("all.cedar".into(), told(&self.policies, "p"));
        if !self.invariants.is_empty() {
            files.insert("invariants/all.cedar".into(), told(&self.invariants, "i"));
        }
        files
    }

    /// Everything, for whoever reads of a failure.
    pub fn told(&self) -> String {
        self.files().into_iter().map(|(path, text)| format!("--- {path}\n{text}")).collect()
    }

    /// The ways in which a workload can be proven.
    pub fn identities(&self, workload: &str) -> &[Identity] {
        let at = WORKLOADS.iter().position(|name| *name == workload).unwrap();
        self.workloads[at].as_ref().map_or(&[], |workload| &workload.identities)
    }

    /// The places that issuers' keys come from, in the order of the files.
    pub fn sources(&self) -> Vec<(&'static str, Option<&'static str>)> {
        let mut all: Vec<_> =
            self.workloads.iter().flatten().flat_map(|each| &each.identities).filter_map(Identity::source).collect();
        let mut seen = std::collections::HashSet::new();
        all.retain(|source| seen.insert(*source));
        all
    }
}

fn told(policies: &[Policy], letter: &str) -> String {
    let tell = |(at, policy): (usize, &Policy)| policy.text(&format!("{letter}{at}"));
    policies.iter().enumerate().map(tell).collect::<Vec<_>>().join("\n")
}

impl Workload {
    fn random(chance: &mut Chance) -> Self {
        Self {
            owner: (chance.below(12) > 0).then(|| chance.below(2) as usize),
            end: chance.below(5).saturating_sub(2) as usize,
            identities: identity::random(chance),
        }
        .most_are_alive(chance)
    }

    fn most_are_alive(self, chance: &mut Chance) -> Self {
        let end = if self.end == 0 && chance.below(4) > 0 { 2 } else { self.end };
        Self { end, ..self }
    }

    fn change(&mut self, chance: &mut Chance) {
        match chance.below(6) {
            0 => self.owner = (chance.below(6) > 0).then(|| chance.below(2) as usize),
            1 => self.end = chance.below(3) as usize,
            _ => identity::change(&mut self.identities, chance),
        }
    }
}

impl Audience {
    fn random(chance: &mut Chance) -> Self {
        let span = |chance: &mut Chance| (chance.below(2) > 0).then(|| 1 + chance.below(5));
        Self {
            owner: chance.below(2) as usize,
            max_ttl: span(chance),
            max_lifetime: span(chance).map(|minutes| minutes * 10),
            is_open: chance.below(4) > 0,
        }
    }

    pub fn scopes(&self) -> impl Iterator<Item = &'static str> {
        SCOPES.into_iter().take(if self.is_open { 3 } else { 2 })
    }
}

impl Policy {
    fn random(chance: &mut Chance) -> Self {
        let span = |chance: &mut Chance| (chance.below(3) == 0).then(|| 1 + chance.below(5));
        let permits = chance.below(4) > 0;
        let clauses = (0..chance.below(8).min(2)).map(|_| clause(chance, 2)).collect();
        Self {
            permits,
            principal: principal(chance),
            action: *chance.pick(&ACTIONS),
            resource: resource(chance),
            clauses,
            max_ttl: span(chance).filter(|_| permits),
            max_lifetime: span(chance).filter(|_| permits).map(|minutes| minutes * 10),
            single_use: Some(*chance.pick(&["lease", "task"])).filter(|_| permits && chance.below(6) == 0),
        }
    }

    fn invariant(chance: &mut Chance) -> Self {
        let policy = Self::random(chance);
        // Most of them speak of much, as those that people write do.
        let clauses = (0..chance.below(2)).map(|_| clause(chance, 1)).collect();
        Self { permits: false, clauses, max_ttl: None, max_lifetime: None, single_use: None, ..policy }
    }

    fn change(&mut self, chance: &mut Chance) {
        match chance.below(8) {
            0 => self.principal = principal(chance),
            1 => self.resource = resource(chance),
            2 if self.permits => self.max_ttl = (chance.below(3) > 0).then(|| 1 + chance.below(5)),
            3 if self.permits => self.max_lifetime = (chance.below(3) > 0).then(|| 10 + chance.below(5) * 10),
            4 => self.clauses.push(clause(chance, 1)),
            5 => drop(self.clauses.pop()),
            6 => {
                let all: Vec<String> = self.clauses.iter().map(|clause| clause_as_condition(clause)).collect();
                let all = if all.is_empty() { "true".to_owned() } else { all.join(" && ") };
                self.clauses = vec![format!("when {{ ({all}) || ({}) }}", condition::random(chance, 1))];
            }
            _ => self.clauses = vec![clause(chance, 2)],
        }
    }

    pub fn text(&self, id: &str) -> String {
        let mut text = format!("@id(\"{id}\")\n");
        for (name, span) in [("max_ttl", self.max_ttl), ("max_lifetime", self.max_lifetime)] {
            if let Some(minutes) = span {
                let _ = writeln!(text, "@{name}(\"{minutes}m\")");
            }
        }
        if let Some(uses) = self.single_use {
            let _ = writeln!(text, "@single_use(\"{uses}\")");
        }
        let effect = if self.permits { "permit" } else { "forbid" };
        let (principal, action, resource, clauses) =
            (&self.principal, self.action, &self.resource, self.clauses.join(" "));
        let _ = writeln!(text, "{effect} ({principal}, {action}, {resource}) {clauses};");
        text
    }
}

const ACTIONS: [&str; 4] = [
    "action",
    "action == Jitney::Action::\"mint\"",
    "action in Jitney::Action::\"mint\"",
    "action in [Jitney::Action::\"mint\"]",
];

fn clause(chance: &mut Chance, depth: u64) -> String {
    let word = if chance.below(4) == 0 { "unless" } else { "when" };
    format!("{word} {{ {} }}", condition::random(chance, depth))
}

fn clause_as_condition(clause: &str) -> String {
    let (word, rest) = clause.split_once(" { ").unwrap();
    let inner = rest.strip_suffix(" }").unwrap();
    if word == "unless" { format!("!({inner})") } else { format!("({inner})") }
}

fn principal(chance: &mut Chance) -> String {
    let who = chance.pick(&WORKLOADS);
    match chance.below(8) {
        0 => "principal".into(),
        1 => "principal is Jitney::Workload".into(),
        2 => format!("principal in Jitney::Workload::\"{who}\""),
        3 => format!("principal is Jitney::Workload in Jitney::Workload::\"{who}\""),
        _ => format!("principal == Jitney::Workload::\"{who}\""),
    }
}

fn resource(chance: &mut Chance) -> String {
    let audience = chance.pick(&AUDIENCES);
    match chance.below(12) {
        0 => "resource".into(),
        1 => "resource is Jitney::Scope".into(),
        2 => format!("resource in Jitney::Audience::\"{audience}\""),
        3 => format!("resource is Jitney::Scope in Jitney::Audience::\"{audience}\""),
        4..=6 => format!("resource in Jitney::Scope::\"{audience} items:read:*\""),
        7 => format!("resource == Jitney::Scope::\"{audience} {}\"", chance.pick(&INSTANCES)),
        8 => format!("resource in Jitney::Scope::\"{audience} {}\"", chance.pick(&["items:read", "items:read:1"])),
        _ => format!("resource == Jitney::Scope::\"{audience} {}\"", chance.pick(&SCOPES[..2])),
    }
}
